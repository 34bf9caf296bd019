from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import yaml

from qeil_ros.cli.app import main
from qeil_ros.models.datasets import Dataset, open_dataset
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.prune import PrunePlan
from qeil_ros.models.prune_folder import calibration_images, calibration_set, prune_curve, prune_folder
from qeil_ros.models.quantize import WeightPlan
from qeil_ros.models.quantize_folder import quantize_folder
from qeil_ros.models.schema import ModelError

HALF = PrunePlan(structured={"neurons": 0.5})


@pytest.fixture(scope="module")
def tabletop():
    return ModelFolder.load("tabletop")


@pytest.fixture(scope="module")
def pictures(tabletop):
    return calibration_images(tabletop, calibration_set("tabletop", limit=16))


def test_a_pruned_model_answers_and_can_be_quantized(tmp_path, tabletop, pictures):
    pruned, report = prune_folder(tabletop, tmp_path / "pruned", HALF, images=pictures)
    assert report.weights < 0.72 * report.weights_before and report.calibrated == 16
    assert pruned.digest != tabletop.digest and pruned.split().shape == tabletop.split().shape
    document = yaml.safe_load((pruned.path / "model.yaml").read_text())
    assert document["scores"]["pruned"]["from"] == tabletop.digest
    assert "agent_fp32" not in document.get("extra", {})
    packed = quantize_folder(pruned, tmp_path / "packed", WeightPlan(widths=(8, 4)))
    assert packed.packed_bytes < 0.3 * packed.source_bytes
    small, image = ModelFolder.load(tmp_path / "packed"), pictures[0]
    a, b = small.agent(backend="onnxruntime").run(image), pruned.agent().run(image)
    assert np.linalg.norm(a - b) < 0.1 * np.linalg.norm(b)
    assert small.server().run(b)[0].text


def test_the_same_again_gives_the_same_file(tmp_path, tabletop, pictures):
    made = [prune_folder(tabletop, tmp_path / n, HALF, images=pictures)[0].digest for n in ("one", "two")]
    assert made[0] == made[1]


def test_what_is_there_is_not_overwritten(tmp_path, tabletop):
    prune_folder(tabletop, tmp_path / "model", HALF)
    with pytest.raises(ModelError, match="exists"):
        prune_folder(tabletop, tmp_path / "model", HALF)
    again, _ = prune_folder(tabletop, tmp_path / "model", PrunePlan(sparsity=0.2), overwrite=True)
    twice, _ = prune_folder(again, tmp_path / "twice", HALF)
    assert twice.agent().run(np.zeros(tabletop.input.shape, np.float32)).shape == (1, 17, 128)


def test_packed_weights_are_not_pruned(tmp_path, tabletop):
    pruned, _ = prune_folder(tabletop, tmp_path / "pruned", HALF)
    quantize_folder(pruned, tmp_path / "packed", WeightPlan(widths=(8,)))
    with pytest.raises(ModelError, match="before its weights are packed"):
        prune_folder(ModelFolder.load(tmp_path / "packed"), tmp_path / "again", HALF)


def test_the_curve(tabletop):
    plans = [PrunePlan(structured={"heads": 0.25, "neurons": 0.25}), PrunePlan(sparsity=0.5)]
    scenes = open_dataset("tabletop", limit=12)
    dense, smaller, sparse = prune_curve(tabletop, scenes, plans, rounds=3)
    assert (dense.weights, dense.nonzero, dense.plan) == (1.0, 1.0, "") and dense.score.value > 0.8
    assert smaller.weights < 0.85 and smaller.file_bytes < 0.85 * dense.file_bytes
    assert smaller.int8_bytes < 0.9 * dense.int8_bytes
    assert sparse.weights == 1.0 and sparse.nonzero < 0.6
    # Zeros do not make a dense graph smaller, but it compresses better.
    assert sparse.file_bytes > 0.95 * dense.file_bytes and sparse.zip_bytes < 0.75 * dense.zip_bytes
    assert smaller.score_name == "exact_match"
    json.dumps([point.to_json() for point in (dense, smaller, sparse)], allow_nan=False)


def test_calibration_scenes_are_not_the_frozen_ones():
    calibration, frozen = calibration_set("tabletop", limit=3), open_dataset("tabletop")
    names = {example.name for example in calibration}
    assert names == {"scene 1000", "scene 1001", "scene 1002"} and len(frozen) == 1000


def test_the_command(tmp_path, capsys):
    out = tmp_path / "model"
    words = ["prune", "tabletop", str(out), "--structured", "heads=0.25,neurons=0.25", "--json", "-"]
    assert main(words) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["weights"] < record["weights_before"] and record["speed"] > 0
    assert [layer["after"] for layer in record["layers"]] == [3, 384] * 4
    assert ModelFolder.load(out).digest == record["digest"]
    assert main(["prune", "tabletop", str(out), "--sparsity", "0.5"]) != 0
    assert "exists" in capsys.readouterr().err
    assert main(["prune", "tabletop", str(out), "--sparsity", "0.5", "--overwrite"]) == 0
    assert "not zero" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, said",
    [
        (["--structured", "heads"], "want KIND=SHARE"),
        (["--structured", "rows=0.5"], "no units called 'rows'"),
        ([], "nothing to prune"),
        (["--structured", "channels=0.5"], "no channels that could be removed"),
        (["--sparsity", "0.5", "--data", "nowhere"], "no data at nowhere"),
    ],
)
def test_what_the_command_refuses(tmp_path, capsys, words, said):
    assert main(["prune", "tabletop", str(tmp_path / "model"), *words]) != 0
    assert said in capsys.readouterr().err and not (tmp_path / "model").exists()


def test_data_without_truth_are_scored_by_the_dense_models_answers(tabletop):
    scenes = open_dataset("tabletop", limit=12)
    blind = Dataset("no truth", [lambda e=e: dataclasses.replace(e, captions=()) for e in scenes])
    dense, ruined = prune_curve(tabletop, blind, [PrunePlan(sparsity=0.95)], rounds=1)
    assert (dense.score_name, dense.score.value) == ("agreement", 1.0) and ruined.score.value < 0.5
