"""`qeil evaluate`: its table, its JSON, its plot, and what it refuses."""

from __future__ import annotations

import json

import cv2
import pytest
import tiny_models

from qeil_ros.cli.app import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name in ("red", "green", "blue"):
        cv2.imwrite(str(folder / f"{name}.png"), tiny_models.picture(name)[:, :, ::-1])
    return str(folder)


def test_table_json_and_plot(model, data, tmp_path, capsys):
    figures, plot = tmp_path / "figures.json", tmp_path / "curve.svg"
    words = ["evaluate", model, data, "--named", "--feature-bits", "2..4,8", "--json", str(figures)]
    assert main([*words, "--plot", str(plot), "--split", "all"]) == 0
    shown = capsys.readouterr().out
    assert "top 1" in shown and "local" in shown and "fallback's price" in shown
    record = json.loads(figures.read_text())
    assert [row["feature_bits"] for row in record["rows"]] == [0, 2, 3, 4, 8, 0]
    assert all(row["scores"]["top_1"]["value"] == 1 for row in record["rows"])
    assert plot.read_text().lstrip().startswith("<?xml")


def test_json_alone_on_the_terminal(model, data, capsys):
    assert (
        main(
            [
                "evaluate",
                model,
                data,
                "--json",
                "-",
                "--coder",
                "packed",
                "--coding",
                "clip=range",
                "--coding",
                "clip=mse",
            ]
        )
        == 0
    )
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["coding"] for row in rows if row["feature_bits"]] == [
        {"coder": "packed", "clip": "range"},
        {"coder": "packed", "clip": "mse"},
    ]


def test_pictures_compressed_otherwise_beside_it(model, data, capsys):
    pytest.importorskip("PIL", reason="compresses pictures with Pillow")
    assert main(["evaluate", model, data, "--images", "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "compressed images" in shown and "webp" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--bits", "0"], "--bits 0: want widths from 1 to 8"),
        (["--feature-bits", "8..1"], "--feature-bits 8..1: want widths"),
        (["--feature-bits", "none..8"], "want widths"),
        (["--coding", "clip"], "want KEY=VALUE"),
        (["--coding", "volume=11"], "volume"),
        (["--split", "elsewhere"], "no split 'elsewhere'; there are mean"),
        (["--plot", "curve.gifx"], "gifx"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(model, data, words, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", model, data, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qeil: ") and says in line


def test_no_data_is_told(model, capsys):
    assert main(["evaluate", model, "/nowhere"]) == 2
    assert "no data at /nowhere" in capsys.readouterr().err
