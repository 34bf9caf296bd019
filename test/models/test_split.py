"""The halves of a cut network, held against the whole by onnxruntime."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import split_graphs

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.schema import ModelError
from qeil_ros.models.split import split, why_not
from qeil_ros.models.split_check import Whole, compare


def session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def images(model, count=4, rows=1):
    random = np.random.default_rng(7)
    (info, *_) = session(model).get_inputs()
    shape = [rows, *info.shape[1:]]
    if info.type == "tensor(uint8)":
        return [random.integers(0, 256, shape, np.uint8) for _ in range(count)]
    return [random.standard_normal(shape).astype(np.float32) for _ in range(count)]


def cut(model, *tensors):
    graph = Graph(model)
    shapes = measure(graph)
    return graph, shapes, split(graph, shapes, tensors)


@pytest.mark.parametrize("build", [split_graphs.residual, split_graphs.tokens, split_graphs.branches])
@pytest.mark.parametrize("most", [1, 3])
def test_at_every_cut_the_halves_give_what_the_whole_gives(build, most):
    model = build()
    graph = Graph(model)
    shapes = measure(graph)
    whole = Whole(graph, images(model))
    cuts = graph.cuts(most)
    assert cuts
    for entry in cuts:
        halves = split(graph, shapes, entry.tensors)
        found = whole.compare(halves, shapes)
        assert found.problem == "" and found.worst <= 1e-6 and found.same_answer == 4, entry


@pytest.mark.parametrize("tensor", ["grid", "columns", "sequence", "x", "z"])
def test_an_open_batch_stays_open_and_rows_keep_to_themselves(tensor):
    """The server part reads the batch off a Shape that lies on the robot's side."""
    model = split_graphs.tokens()
    _, _, halves = cut(model, tensor)
    agent, server, whole = session(halves.agent), session(halves.server), session(model)
    assert server.get_inputs()[0].shape[0] == "batch"
    pictures = images(model, 3)
    features = [agent.run(None, {"image": picture})[0] for picture in pictures]
    together = server.run(None, {halves.received: np.concatenate(features)})[0]
    assert together.shape == (3, 5)
    for row, picture in zip(together, pictures, strict=True):
        np.testing.assert_allclose(row, whole.run(None, {"image": picture})[0][0], rtol=1e-5, atol=1e-6)


def test_a_fixed_batch_stays_fixed_and_lengths_become_constants():
    _, _, halves = cut(split_graphs.tokens(1), "z")
    assert session(halves.server).get_inputs()[0].shape == [1, 5, 6]
    assert "Shape" not in {node.op_type for node in halves.server.graph.node}


def test_each_half_holds_only_what_it_needs():
    _, _, halves = cut(split_graphs.residual(), "f")
    assert [node.op_type for node in halves.agent.graph.node] == [
        "Conv",
        "Relu",
        "Conv",
        "Relu",
        "Conv",
        "Add",
    ]
    assert {tensor.name for tensor in halves.agent.graph.initializer} == {"w1", "w2", "bias", "w3"}
    assert {tensor.name for tensor in halves.server.graph.initializer} == {"w4"}
    assert (halves.image, halves.sent, halves.received) == ("image", "f", "f")
    assert (halves.shape, halves.dtype) == ((8, 8, 8), "float32")


def test_several_tensors_travel_as_one():
    model = split_graphs.branches()
    _, _, halves = cut(model, "left", "right")
    assert halves.shape == (4 * 6 * 6 + 4 * 2 * 2,)
    (picture,) = images(model, 1)
    agent, whole = session(halves.agent), session(model)
    (features,) = agent.run(None, {"image": picture})
    assert features.shape == (1, *halves.shape)
    joined = session(halves.server).run(None, {halves.received: features})[0]
    np.testing.assert_array_equal(joined, whole.run(None, {"image": picture})[0])


@pytest.mark.parametrize("opset", [11, 13])
def test_a_tensor_without_a_row_a_frame_is_given_one(opset):
    model = split_graphs.model(
        [
            ("Reshape", ["image", "split"], ["two"]),
            ("Relu", ["two"], ["half"]),
            ("Reshape", ["half", "back"], ["whole"]),
            ("GlobalAveragePool", ["whole"], ["scores"]),
        ],
        {"image": ("float32", [1, 4, 4, 4])},
        {"scores": ("float32", [1, 4, 1, 1])},
        {"split": np.array([2, 2, 16], np.int64), "back": np.array([1, 4, 4, 4], np.int64)},
        opset=opset,
    )
    graph, shapes, halves = cut(model, "half")
    assert halves.shape == (2, 2, 16)
    assert session(halves.agent).get_outputs()[0].shape == [1, 2, 2, 16]
    assert Whole(graph, images(model)).compare(halves, shapes).exact == 4


def test_the_server_part_takes_the_prompt():
    model = split_graphs.with_prompt()
    graph, shapes, halves = cut(model, "features")
    assert [value.name for value in halves.agent.graph.input] == ["image"]
    assert [value.name for value in halves.server.graph.input] == ["features", "tokens"]
    assert Whole(graph, images(model)).compare(halves, shapes).problem == ""


@pytest.fixture(scope="module")
def network():
    model = split_graphs.quantized()
    graph = Graph(model)
    return graph, measure(graph), Whole(graph, images(model, 8))


class TestQuantized:
    """Halves of a quantized network compute the integers of the whole, wherever it is cut."""

    def test_every_cut_is_exact(self, network):
        graph, shapes, whole = network
        cuts = graph.cuts()
        assert len(cuts) == 1 + 4 * 4 + 2
        for entry in cuts:
            found = whole.compare(split(graph, shapes, entry.tensors), shapes)
            assert (found.exact, found.problem) == (8, ""), entry

    def test_between_quantize_and_dequantize_bytes_travel(self, network):
        graph, shapes, _ = network
        halves = split(graph, shapes, ["q1"])
        assert (halves.dtype, halves.sent, halves.received) == ("uint8", "q1", "q1")

    @pytest.mark.parametrize("tensor", ["c1", "r1", "x2"])
    def test_on_the_float_side_the_values_of_the_quantization_travel(self, network, tensor):
        graph, shapes, whole = network
        halves = split(graph, shapes, [tensor])
        (features,) = session(halves.agent).run(None, {"image": whole.images[0]})
        steps = features / np.float32(6 / 255 * 0.95)
        assert features.dtype == np.float32
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (["e"], "is no cut: the outputs also need the image"),
        (["scores"], "is an output of the graph"),
    ],
)
def test_what_cannot_be_cut_is_refused(tensors, message):
    graph = Graph(split_graphs.residual())
    with pytest.raises(ModelError, match=message):
        split(graph, measure(graph), tensors)


def test_tensors_of_several_types_are_refused():
    model = split_graphs.model(
        [
            ("Relu", ["image"], ["left"]),
            ("QuantizeLinear", ["image", "s", "z"], ["right"]),
            ("DequantizeLinear", ["right", "s", "z"], ["r"]),
            ("Add", ["left", "r"], ["scores"]),
        ],
        {"image": ("float32", [1, 1, 2, 2])},
        {"scores": ("float32", [1, 1, 2, 2])},
        {"s": np.float32(0.1), "z": np.uint8(0)},
    )
    graph = Graph(model)
    reason = why_not(graph, measure(graph), ["left", "right"])
    assert reason == "tensors of several types cannot travel as one: 'left' is float32, 'right' is uint8"


def test_types_that_no_stream_carries_are_refused():
    model = split_graphs.model(
        [("Cast", ["image"], ["whole"], {"to": 7}), ("Cast", ["whole"], ["scores"], {"to": 1})],
        {"image": ("float32", [1, 1, 2, 2])},
        {"scores": ("float32", [1, 1, 2, 2])},
    )
    graph = Graph(model)
    assert "'whole' is int64; features can be float32" in why_not(graph, measure(graph), ["whole"])


def test_differences_are_told():
    one = np.array([[1.0, 2.0]], np.float32)
    assert compare([one], [one]) == (0.0, "")
    worst, problem = compare([one * np.float32(1.001)], [one])
    assert (
        worst == pytest.approx(0.001, rel=0.01) and "2 of 2 output values differ, by up to 0.001" in problem
    )
    assert compare([one * np.float32(1 + 2e-6)], [one])[1] == ""
    integers = np.array([[200, 3]], np.uint8)
    assert "1 of 2 output values differ" in compare([integers + np.array([1, 0], np.uint8)], [integers])[1]
    assert "not finite" in compare([one * np.nan], [one])[1]
    assert "(1, 1)" in compare([one[:, :1]], [one])[1]
