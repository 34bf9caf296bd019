from __future__ import annotations

import json

import cv2
import numpy as np
import onnx
import pytest
import yaml

from qeil_ros.cli.app import main
from qeil_ros.models.evaluate import prepared
from qeil_ros.models.folder import ZOO, ModelFolder
from qeil_ros.models.pipeline import distortion
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.quantize import WeightPlan
from qeil_ros.models.quantize_folder import quantize_folder

train = pytest.importorskip("tools.train_fcdnn16", reason="this is no checkout of the project")
FOLDER = ZOO / "fcdnn16"


@pytest.fixture(scope="module")
def model():
    return ModelFolder.load("fcdnn16")


@pytest.fixture(scope="module")
def pictures():
    with np.load(FOLDER / "digits.npz") as file:
        return train.enlarge(file["held_out"])


def inputs(model, pictures):
    prepare = Preprocessor(model.input)
    return [prepared(prepare, cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)).copy() for picture in pictures]


def squared_error(model, images):
    agent, server = model.agent(), model.server()
    drawn = server.run(np.concatenate([agent.run(image) for image in images]))
    wanted = np.concatenate(images).reshape(len(images), -1)
    return float(np.mean((np.stack([answer.embedding for answer in drawn]) - wanted) ** 2))


def test_it_has_the_published_shape():
    halves = [onnx.load(str(FOLDER / f"{role}.onnx")).graph for role in ("agent", "server")]
    shapes = [[t.dims for t in graph.initializer if len(t.dims) == 2] for graph in halves]
    outputs = [[dims[0] for dims in half] for half in shapes]
    assert outputs == [[64, 128, 256, 512, 256, 128, 64, 32], [64, 128, 256, 512, 256, 128, 64, 784]]
    relus = [sum(node.op_type == "Relu" for node in graph.node) for graph in halves]
    assert relus == [8, 7]


def test_it_draws_the_held_out_digits_as_well_as_stated(model, pictures):
    scores = yaml.safe_load((FOLDER / "model.yaml").read_text())["scores"]
    assert len(pictures) == scores["held_out"]["digits"] == train.HELD_OUT
    error = squared_error(model, inputs(model, pictures))
    assert error == pytest.approx(scores["held_out"]["mse"], rel=0.01)
    # A fifth of what the same picture for every digit costs.
    mean = (pictures / 255).var(axis=0).mean()
    assert mean == pytest.approx(scores["mean_picture"]["mse"], rel=1e-3) and error < 0.2 * mean


def test_the_widths_of_its_weights_show_in_its_error(tmp_path, model, pictures):
    images = inputs(model, pictures[:40])
    quantize_folder(model, tmp_path / "packed", WeightPlan(widths=(8, 4, 2)))
    packed = ModelFolder.load(tmp_path / "packed")
    exact = [model.agent().run(image)[0] for image in images]
    found = []
    agent = packed.agent(backend="onnxruntime")
    for bits in (8, 4, 2):
        agent.set_bits(bits)
        assert agent.wait(60) and agent.bits == bits
        found.append(
            np.mean([distortion(a, agent.run(image)[0]) for a, image in zip(exact, images, strict=True)])
        )
    assert found[0] < 0.05 and found[0] < 0.5 * found[1] and found[1] < 0.5 * found[2]


def test_hidden_neurons_can_be_pruned(tmp_path, capsys):
    words = ["prune", "fcdnn16", str(tmp_path / "model"), "--structured", "neurons=0.25", "--json", "-"]
    assert main(words) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [layer["after"] for layer in layers] == [48, 96, 192, 384, 192, 96, 48]  # the code keeps its 32


def test_the_card_is_written_from_the_folder():
    document = yaml.safe_load((FOLDER / "model.yaml").read_text())
    assert (FOLDER / "README.md").read_text() == train.card(FOLDER, document)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 3_000_000


def test_the_whole_way_of_training(tmp_path):
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 17, (40, 8, 8)).astype(np.uint8)
    layers = train.train(train.enlarge(digits), steps=2, seed=1, batch=8)
    assert [w.shape[0] for w, _ in layers] == list(train.WIDTHS[1:])
    train.write_folder(tmp_path / "model", layers, digits[:5], {"digits": 40, "steps": 2, "seed": 1})
    made = ModelFolder.load(tmp_path / "model")
    assert made.server().run(np.ones((3, 32), np.float32))[2].embedding.shape == (784,)
    stated = yaml.safe_load((made.path / "model.yaml").read_text())["scores"]["held_out"]["mse"]
    assert squared_error(made, inputs(made, train.enlarge(digits[:5]))) == pytest.approx(stated, rel=1e-3)


def test_the_held_out_digits_are_those_of_the_seed():
    pytest.importorskip("sklearn")
    training, held_out = train.load_digits()
    with np.load(FOLDER / "digits.npz") as file:
        assert np.array_equal(file["held_out"], held_out)
    assert len(training) + len(held_out) == 1797
