"""docs/models.md is what the recorded figures give, and its generator puts every figure where it belongs."""

from __future__ import annotations

import json
import math

import pytest
from support import REPO
from tiny_data import pictures
from tiny_models import classifier

from bench.harness import at_least
from bench.models import ModelsReport
from qeil_ros.models.evaluate import evaluate
from qeil_ros.models.folder import ModelFolder
from tools import write_model_docs


def test_the_page_is_what_the_recorded_figures_give():
    if not write_model_docs.RECORDED.is_file():
        pytest.skip("no run of `python -m bench models` is recorded")
    record = json.loads(write_model_docs.RECORDED.read_text())
    page = (REPO / "docs" / "models.md").read_text()
    assert page == write_model_docs.page(record), "run: python tools/write_model_docs.py"


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = ModelFolder.load(classifier(tmp_path_factory.mktemp("models") / "tiny"))
    table = evaluate(folder, pictures(), weight_bits=(0, 2), feature_bits=(4,))
    cost = {"flops": 2_500_000, "weight_bytes": 3072, "activation_bytes": 1}
    model = {
        "licence": "Apache-2.0",
        "get": "made by the test",
        "description": "Names colours",
        "task": "classify",
        "input": [8, 8],
        "digest": folder.digest,
        "parts": {"mean/agent": {"file": "agent.onnx", "bytes": 1234}},
        "cuts": [
            {
                "name": "mean",
                "shape": [3, 1],
                "dtype": "float32",
                "bytes": {"8": 3072, "4": 1536, "2": 768},
                "agent": cost,
                "server": cost,
            }
        ],
        "tables": [table.to_json()],
    }
    results = [at_least("good", 0.95, "", 0.9), at_least("bad", math.nan, "", 0.9)]
    return ModelsReport("models", {"quick": True}, [], results, {"tiny": model}).to_json()


def test_every_figure_is_on_the_page(record):
    text = write_model_docs.page(json.loads(json.dumps(record, allow_nan=False)))
    assert "| good | 0.95 | >= 0.9 | met |" in text
    assert "| bad |  | >= 0.9 | **missed** |" in text
    assert "| mean/agent | `agent.onnx` | 1,234 |" in text
    assert "| `mean` | 3 x 1 | float32 | 3.0 | 1.5 | 0.8 | 2, 3 KiB | 2, 3 KiB |" in text
    assert "On colours (12 frames):" in text and "| mean | robot alone | stored |" in text
    assert "0.909 ± 0.091 | 1.000" in text
    assert "Not measured: split 'mean': weights of 2 bits" in text
    assert "nan" not in text.lower()


def test_a_page_has_no_column_too_many(record):
    text = write_model_docs.page(record)
    columns = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        columns = columns or line.count("|")
        assert line.count("|") == columns, line


def test_the_command_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(write_model_docs, "RECORDED", tmp_path / "models.json")
    assert write_model_docs.main([]) == 2
    assert "no recorded figures" in capsys.readouterr().err


def test_check_compares_and_writes_nothing(record, tmp_path, monkeypatch):
    monkeypatch.setattr(write_model_docs, "RECORDED", tmp_path / "models.json")
    monkeypatch.setattr(write_model_docs, "PAGE", tmp_path / "models.md")
    (tmp_path / "models.json").write_text(json.dumps(record))
    assert write_model_docs.main(["--check"]) == 1
    assert not (tmp_path / "models.md").exists()
    assert write_model_docs.main([]) == 0
    assert write_model_docs.main(["--check"]) == 0
