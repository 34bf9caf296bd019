"""`qeil quantize`: the folder it makes, its tables, its JSON, and what it refuses."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import weight_models

from qeil_ros.cli.app import main
from qeil_ros.models.folder import ModelFolder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return weight_models.folder(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(1)
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"photos/{number}.png"), generator.integers(0, 256, (8, 8, 3)))
    return str(tmp_path / "photos")


def test_folder_and_tables(model, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["quantize", str(model), str(out), "--bits", "2,8,4", "--calibrate", photos]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "first" in shown and "192x64" in shown and "4 bits" in shown
    assert "run by onnxruntime" in shown and "% of the graph's" in shown
    agent = ModelFolder.load(out).agent()
    assert agent.widths == (8, 4, 2)


def test_json(model, tmp_path, capsys):
    words = ["quantize", str(model), str(tmp_path / "out"), "--bits", "4", "--quantizer", "power_of_two"]
    assert main([*words, "--granularity", "group", "--group", "32", "--backend", "none", "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["widths"] == [4] and record["calibrated"] == 0 and record["backend"] is None
    assert record["packed_bytes"] == (tmp_path / "out" / "agent.qwt").stat().st_size
    assert record["digest"] == ModelFolder.load(tmp_path / "out").digest
    assert {layer["name"] for layer in record["layers"]} == {"first", "second"}
    assert 0 < record["layers"][0]["errors"]["4"]["weights"] < 0.3

    file = tmp_path / "figures.json"
    assert main([*words[:2], str(tmp_path / "two"), "--backend", "onnxruntime", "--json", str(file)]) == 0
    assert json.loads(file.read_text())["backend"]["chosen"] == "onnxruntime"


@pytest.mark.parametrize(
    ("bits", "content"), [("4", {"first": 2}), ("8,4", {"4": {"first": 2}, "8": {"second": 6}})]
)
def test_bits_of_single_weights(model, tmp_path, bits, content, capsys):
    (tmp_path / "allotment.json").write_text(json.dumps(content))
    words = ["quantize", str(model), str(tmp_path / "out"), "--bits", bits, "--backend", "none"]
    assert main([*words, "--per-layer", str(tmp_path / "allotment.json")]) == 0
    assert "4 bits (mixed)" in capsys.readouterr().out
    from qeil_ros.models.weights import PackedModel

    assert PackedModel(tmp_path / "out" / "agent.qwt").allotment(4) == {"first": 2, "second": 4}


@pytest.mark.parametrize(
    ("words", "content", "message"),
    [
        (["--bits", "8,four"], None, "--bits '8,four': want numbers from 1 to 8 with commas"),
        (["--bits", "9"], None, "whole numbers from 1 to 8"),
        (["--bits", "1", "--quantizer", "symmetric"], None, "symmetric needs 2 bits or more"),
        (["--quantizer", "best"], None, "'best' is not one of"),
        (["--calibrate", "nowhere"], None, "no data at nowhere"),
        (["--agent", "nowhere.onnx"], None, "nowhere.onnx: there is no such file"),
        (["--split", "nowhere"], None, "no split 'nowhere'"),
        (["--backend", "tvm"], None, "no backend 'tvm'"),
        (["--bits", "8,4"], '{"first": 2}', "which of the widths (8, 4) is it for?"),
        (["--bits", "4"], '{"third": 2}', "no weight 'third'"),
        (["--bits", "4"], '{"4": {"first": "2"}}', 'want {"weight": bits} for one width'),
        (["--bits", "4"], "[]", 'want {"weight": bits} for one width'),
        (["--bits", "4"], "{", "cannot be read as JSON"),
    ],
)
def test_what_is_not_possible_is_refused_in_one_line(model, tmp_path, capsys, words, content, message):
    if content is not None:
        (tmp_path / "allotment.json").write_text(content)
        words = [*words, "--per-layer", str(tmp_path / "allotment.json")]
    assert main(["quantize", str(model), str(tmp_path / "out"), *words]) != 0
    said = capsys.readouterr().err
    assert message in said and len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_only_replaced_when_asked_to(model, tmp_path, capsys):
    words = ["quantize", str(model), str(tmp_path / "out"), "--bits", "8", "--backend", "none"]
    assert main(words) == 0
    assert main(words) == 2
    assert "is there already; overwrite it if it may go" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_help_shows_an_example(capsys):
    assert main(["quantize", "--help"]) == 0
    assert "qeil quantize my-model my-model-q --bits 8,4,2" in " ".join(capsys.readouterr().out.split())
