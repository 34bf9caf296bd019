"""docs/models.md is what the recorded figures give, and its generator puts every figure where it belongs."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from support import REPO
from tiny_data import pictures
from tiny_models import classifier

from bench.harness import at_least
from bench.models import ModelsReport
from bench.pruning import PruningReport
from qeil_ros.models.evaluate import evaluate
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.prune_folder import CurvePoint
from qeil_ros.models.scores import Score
from tools import write_model_docs


def test_the_page_is_what_the_recorded_figures_give():
    files = (write_model_docs.RECORDED, write_model_docs.PRUNED)
    if not all(file.is_file() for file in files):
        pytest.skip("no run of `python -m bench models pruning` is recorded")
    page = (REPO / "docs" / "models.md").read_text()
    written = write_model_docs.page(*(json.loads(file.read_text()) for file in files))
    assert page == written, "run: python tools/write_model_docs.py"


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
        "weights": [
            {"quantizer": "nested", "granularity": "channel", "calibrated": calibrated, "bits": bits}
            | {"exact_match": match, "feature_error": 0.1}
            for calibrated, bits, match in ((False, 2, 0.5), (False, 4, 0.9321), (True, 4, None))
        ],
    }
    results = [at_least("good", 0.95, "", 0.9), at_least("bad", math.nan, "", 0.9)]
    return ModelsReport("models", {"quick": True}, [], results, {"tiny": model}).to_json()


@pytest.fixture(scope="module")
def pruned():
    score = Score(0.91, 0.01, 100)
    dense = CurvePoint("", 0, 1.0, 1.0, 4096, 2048, 1024, 512, "exact_match", score, 1.0, 1.0)
    half = dataclasses.replace(dense, plan="heads 0.5", weights=0.5, nonzero=0.4, speed=1.75)
    return PruningReport("pruning", {"quick": True}, [], [], {"tiny": [dense, half]}).to_json()


def test_every_figure_is_on_the_page(record, pruned):
    text = write_model_docs.page(json.loads(json.dumps(record, allow_nan=False)), pruned)
    assert "| `nested` | channel | nearest | 0.500 | 0.932 |" in text
    assert "| `nested` | channel | calibrated |  |  |" in text
    assert "| nothing | 0.910 ± 0.010 | 100% | 100% | 4 | 2 | 1.00 | 1 | 0 | 1.00 |" in text
    assert "| heads 0.5 | 0.910 ± 0.010 | 50% | 40% | 4 | 2 | 1.75 | 1 | 0 | 1.00 |" in text
    assert "| good | 0.95 | >= 0.9 | met |" in text
    assert "| bad |  | >= 0.9 | **missed** |" in text
    assert "| mean/agent | `agent.onnx` | 1,234 |" in text
    assert "| `mean` | 3 x 1 | float32 | 3.0 | 1.5 | 0.8 | 2, 3 KiB | 2, 3 KiB |" in text
    assert "On colours (12 frames):" in text and "| mean | robot alone | stored |" in text
    assert "0.909 ± 0.091 | 1.000" in text
    assert "Not measured: split 'mean': weights of 2 bits" in text
    assert "nan" not in text.lower()


def test_a_page_has_no_column_too_many(record, pruned):
    text = write_model_docs.page(record, pruned)
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


def test_check_compares_and_writes_nothing(record, pruned, tmp_path, monkeypatch):
    for name, content in (("RECORDED", record), ("PRUNED", pruned)):
        monkeypatch.setattr(write_model_docs, name, tmp_path / f"{name}.json")
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.setattr(write_model_docs, "PAGE", tmp_path / "models.md")
    assert write_model_docs.main(["--check"]) == 1
    assert not (tmp_path / "models.md").exists()
    assert write_model_docs.main([]) == 0
    assert write_model_docs.main(["--check"]) == 0
