from __future__ import annotations

import json

import cv2
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from qeil_ros.cli.app import main
from qeil_ros.models.create import Recipe, create
from qeil_ros.models.datasets import open_dataset
from qeil_ros.models.early_exit import fit_exit, pooled
from qeil_ros.models.folder import ModelFolder, PartFile, Split
from qeil_ros.models.local_part import add_local, held_out
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 60, 220)}


def cut(shape, *, dtype="float32", channels=0):
    part = PartFile("x.onnx", "0" * 64)
    return Split("cut", shape, dtype, part, part, channel_axis=channels)


def classes(count, inputs, *, seed=0, spread=0.3):
    """(features, targets) of three classes that lie apart."""
    rng = np.random.default_rng(seed)
    number = rng.integers(3, size=count)
    centres = np.random.default_rng(99).standard_normal((3, inputs))
    features = centres[number] + spread * rng.standard_normal((count, inputs))
    return features.astype(np.float32), np.eye(3)[number]


# ---------------------------------------------------------------- the head


def test_a_head_learns_classes_that_lie_apart():
    features, targets = classes(60, 8)
    head = fit_exit(features, targets, cut((8,)))
    unseen, truth = classes(200, 8, seed=1)
    assert (head.scores(unseen, cut((8,))).argmax(1) == truth.argmax(1)).mean() > 0.98


def test_more_inputs_than_pictures():
    features, targets = classes(20, 300, spread=0.6)
    head = fit_exit(features, targets, cut((300,)))
    unseen, truth = classes(100, 300, seed=1, spread=0.6)
    assert (head.scores(unseen, cut((300,))).argmax(1) == truth.argmax(1)).mean() > 0.95


@pytest.mark.parametrize("shape, channels", [((8, 4, 4), 0), ((4, 4, 8), 2), ((16, 8), 1)])
def test_the_mean_of_the_positions_is_enough_where_they_say_the_same(shape, channels):
    values, targets = classes(60, 8)
    spread = [1] * len(shape)
    spread[channels] = 8
    rng = np.random.default_rng(0)
    features = values.reshape(-1, *spread) + 2 * rng.standard_normal((60, *shape))
    split = cut(shape, channels=channels)
    assert np.allclose(pooled(features, split, "mean"), values, atol=2.5)
    head = fit_exit(features.astype(np.float32), targets, split)
    assert head.pool == "mean" and head.weights.shape == (8, 3)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("pool", ["mean", "all"])
def test_the_graph_gives_what_the_head_gives(tmp_path, dtype, pool):
    rng = np.random.default_rng(0)
    features = rng.integers(0, 200, (30, 6, 3, 2)).astype(dtype)
    split = cut((6, 3, 2), dtype=dtype)
    head = fit_exit(features, np.eye(4)[rng.integers(4, size=30)], split, pools=(pool,))
    (tmp_path / "local.onnx").write_bytes(head.to_onnx(split))
    scores = Runtime(tmp_path / "local.onnx").run({"features": features}, "scores")
    wanted = head.scores(features, split)
    assert np.abs(scores - wanted).max() < 1e-4 * np.abs(wanted).max() + 1e-4


def test_classes_that_no_picture_shows_are_never_answered():
    features, targets = classes(40, 8)
    head = fit_exit(features, np.hstack([targets, np.zeros((40, 5))]), cut((8,)))
    assert head.scores(features, cut((8,))).argmax(1).max() < 3


def test_too_few_pictures():
    with pytest.raises(ModelError, match="5 pictures are too few"):
        fit_exit(*classes(5, 8), cut((8,)))


# ---------------------------------------------------------------- whole folders


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A model that tells a picture's colour: the agent part blurs, the server part convolves and decides."""
    path = tmp_path_factory.mktemp("classifier")
    n = helper.make_node
    rng = np.random.default_rng(0)
    eye = np.zeros((6, 3, 1, 1), np.float32)
    eye[:3, :, 0, 0], eye[3:] = np.eye(3), 0.3 * rng.standard_normal((3, 3, 1, 1))
    deep = 0.02 * rng.standard_normal((6, 6, 3, 3)).astype(np.float32)
    deep[range(6), range(6), 1, 1] += 1
    table = np.zeros((6, 3), np.float32)
    table[:3] = 8 * np.eye(3) - 4
    _graph(
        path / "agent.onnx",
        [n("Conv", ["x", "w"], ["c"]), n("AveragePool", ["c"], ["f"], kernel_shape=[4, 4], strides=[4, 4])],
        {"w": eye},
        ("x", [1, 3, 16, 16]),
        ("f", [1, 6, 4, 4]),
    )
    _graph(
        path / "server.onnx",
        [
            n("Conv", ["f", "w"], ["c"], pads=[1, 1, 1, 1]),
            n("GlobalAveragePool", ["c"], ["g"]),
            n("Flatten", ["g"], ["r"]),
            n("MatMul", ["r", "t"], ["y"]),
        ],
        {"w": deep, "t": table},
        ("f", ["batch", 6, 4, 4]),
        ("y", ["batch", 3]),
    )
    (path / "labels.txt").write_text("\n".join(COLOURS) + "\n")
    recipe = Recipe(path / "agent.onnx", path / "server.onnx", "colours", words=path / "labels.txt")
    return create(path / "model", recipe)


def _graph(path, nodes, weights, taken, given):
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in (taken, given)]
    graph = helper.make_graph(nodes, "test", *ends, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve pictures of each colour, in a folder a colour."""
    path = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(5)
    for name, rgb in COLOURS.items():
        (path / name).mkdir()
        for number in range(12):
            noise = rng.integers(-40, 41, (24, 32, 3))
            pixels = np.clip(np.array(rgb[::-1]) + noise, 0, 255).astype(np.uint8)
            cv2.imwrite(str(path / name / f"{number}.png"), pixels)
    return path


@pytest.mark.parametrize("labels", [False, True])
def test_an_exit_stands_beside_the_offboard_answer(tmp_path, classifier, photos, labels):
    fit, score = held_out(open_dataset(photos), in_order=False)
    assert (len(fit), len(score)) == (27, 9)
    made, report = add_local(classifier, tmp_path / "model", "exit", fit, score, labels=labels)
    assert report.local["top_1"]["value"] == 1.0 and report.local["agreement"]["value"] == 1.0
    assert report.offboard["agreement"]["value"] == 1.0
    assert (report.fitted, report.held_out) == (27, 9) and report.local_ms > 0
    assert report.head["from"] == ("labels" if labels else "the whole model")
    noted = yaml.safe_load((made.path / "model.yaml").read_text())["scores"]["local"]
    assert noted["file_bytes"] == (made.path / "cut_local.onnx").stat().st_size
    part = made.split().local
    assert part.task.kind == "classify" and part.task.activation == "softmax"
    assert made.digest == classifier.digest  # the local part is the robot's own affair
    (answer,) = made.local().run(np.ones((1, 6, 4, 4), np.float32))
    assert sum(answer.scores) == pytest.approx(1, abs=1e-5)


def test_the_whole_model_in_int8(tmp_path, classifier, photos):
    fit, score = held_out(open_dataset(photos), in_order=False)
    made, report = add_local(classifier, tmp_path / "model", "whole", fit, score)
    assert report.local["agreement"]["value"] == 1.0
    graph = onnx.load(str(made.path / "cut_local.onnx")).graph
    assert any(node.op_type == "QuantizeLinear" for node in graph.node)


def test_a_captioner_keeps_its_words(tmp_path):
    fit, score = held_out(open_dataset("tabletop", limit=16), in_order=True)
    made, report = add_local(ModelFolder.load("tabletop"), tmp_path / "model", "whole", fit, score)
    assert report.local["agreement"]["value"] >= 0.75 and report.local["exact_match"]["value"] >= 0.5
    server = (made.path / made.split().server.file).stat().st_size
    assert report.file_bytes < 0.5 * server
    assert made.digest == ModelFolder.load("tabletop").digest


def test_an_exit_is_for_classifiers(tmp_path):
    fit, score = held_out(open_dataset("tabletop", limit=8), in_order=True)
    with pytest.raises(ModelError, match="an early exit is for classifiers"):
        add_local(ModelFolder.load("tabletop"), tmp_path / "model", "exit", fit, score)
    assert not (tmp_path / "model").exists()


def test_what_is_held_back_is_not_fitted_to(photos):
    data = open_dataset(photos)
    for in_order in (False, True):
        fit, score = held_out(data, in_order=in_order)
        assert not set(fit.examples) & set(score.examples) and len(fit) + len(score) == len(data)
    assert list(held_out(data, in_order=True)[1].examples) == list(data.examples[-9:])


def test_the_command(tmp_path, classifier, photos, capsys):
    words = ["local", str(classifier.path), str(tmp_path / "model"), "--data", str(photos), "--kind", "exit"]
    assert main([*words, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["local"]["top_1"]["value"] == 1.0
    assert main([*words, "--overwrite"]) == 0
    assert "scored on 9 others" in " ".join(capsys.readouterr().out.split())
    assert main(words) != 0 and "exists" in capsys.readouterr().err
