from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="exporting needs torch: pip install qeil-ros[torch]")
pytest.importorskip("transformers", reason="exporting needs transformers")
pytest.importorskip("onnxscript", reason="exporting needs onnxscript")

import tiny_transformers

from qeil_ros.cli.app import main
from qeil_ros.models.folder import ModelFolder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return tiny_transformers.git(tmp_path_factory.mktemp("published") / "git")


def test_export_makes_a_folder_and_says_what_is_in_it(source, tmp_path, capsys):
    target = tmp_path / "out"
    words = [
        "export",
        str(source),
        str(target),
        "--generate",
        "max_new_tokens=3",
        "--generate",
        "num_beams=2",
    ]
    assert main([*words, "--licence", "MIT", "--json", "-"]) == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    folder = ModelFolder.load(target)
    assert report["digest"] == folder.digest
    assert report["task"]["options"] == {"max_new_tokens": 3, "num_beams": 2}
    server = report["splits"]["vision"]["server"]
    assert (server["file"], server["licence"]) == ("server/", "MIT") and server["bytes"] > 10_000
    assert "qeil export: loading the whole model" in printed.err
    assert main(["model", "show", str(target)]) == 0
    assert main(["model", "check", str(target), "--runs", "1", "--json"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--generate", "num_beams"], "want KEY=VALUE"),
        (["--local", "head.onnx", "--local-labels", "a", "--local-vocabulary", "b"], "--local CUT=FILE"),
        (["--local", "vision=head.onnx", "--local-labels", "a", "--local-vocabulary", "b"], "say either"),
        (["--cut", "middle"], "no cut 'middle'"),
    ],
)
def test_bad_options_are_told_in_a_line(source, tmp_path, capsys, words, message):
    assert main(["export", str(source), str(tmp_path / "out"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main(["export", str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "no such folder" in capsys.readouterr().err
