from __future__ import annotations

import numpy as np
import onnx
import pytest
import split_graphs

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_cost import node_costs, side_costs
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.split import split


def costs_of(model):
    graph = Graph(model)
    shapes = measure(graph)
    return graph, shapes, node_costs(graph, shapes)


def test_a_network_counted_by_hand():
    _, _, costs = costs_of(split_graphs.residual())
    by_name = {cost.name: cost for cost in costs}
    pixels = 8 * 8
    assert by_name["a"].macs == pixels * 8 * 3 * 9 and by_name["a"].flops == 2 * by_name["a"].macs
    assert by_name["c"].macs == pixels * 4 * 8 * 9
    assert by_name["c"].flops == 2 * by_name["c"].macs + pixels * 4  # the bias
    assert by_name["f"].flops == pixels * 8 and by_name["f"].macs == 0
    assert by_name["h"].flops == pixels * 8 and by_name["i"].flops == 0
    assert by_name["scores"].macs == 8 * 10
    assert by_name["a"].weight_bytes == 4 * 8 * 3 * 9 and by_name["c"].weight_bytes == 4 * (4 * 8 * 9 + 4)
    assert by_name["scores"].weight_bytes == 4 * 80  # through the constant transposition
    assert by_name["d"].activation_bytes == 4 * pixels * 4
    assert all(cost.counted for cost in costs)


def test_attention_is_counted():
    _, _, costs = costs_of(split_graphs.tokens())
    by_name = {cost.name: cost for cost in costs}
    assert by_name["q"].macs == 5 * 6 * 6
    assert by_name["logits"].macs == 5 * 5 * 6 and by_name["mixed"].macs == 5 * 5 * 6
    assert by_name["attention"].flops == 5 * 25
    assert by_name["grid"].macs == 2 * 2 * 6 * 3 * 16


@pytest.mark.parametrize(
    ("node", "shapes", "constants", "macs"),
    [
        (
            ("ConvTranspose", ["x", "w"], ["y"]),
            [1, 3, 5, 5],
            {"w": split_graphs.weights(3, 4, 2, 2)},
            75 * 16,
        ),
        (
            ("Conv", ["x", "w"], ["y"], {"group": 4}),
            [1, 4, 5, 5],
            {"w": split_graphs.weights(8, 1, 3, 3)},
            8 * 9 * 9,
        ),
        (
            ("Einsum", ["x", "w"], ["y"], {"equation": "bchw,cd->bdhw"}),
            [1, 4, 5, 5],
            {"w": split_graphs.weights(4, 6)},
            4 * 25 * 6,
        ),
        (
            ("ConvInteger", ["x", "w"], ["y"]),
            [1, 4, 5, 5],
            {"w": np.ones((2, 4, 3, 3), np.uint8)},
            2 * 9 * 36,
        ),
    ],
)
def test_products_of_other_kinds(node, shapes, constants, macs):
    integer = node[0] == "ConvInteger"
    model = split_graphs.model(
        [node, ("Cast", ["y"], ["z"], {"to": 1})],
        {"x": ("uint8" if integer else "float32", shapes)},
        {"z": ("float32", [None] * 4)},
        constants,
    )
    _, _, costs = costs_of(model)
    assert costs[0].macs == macs


def test_gemm_is_counted_with_its_transpositions():
    model = split_graphs.model(
        [("Flatten", ["x"], ["v"]), ("Gemm", ["v", "w", "b"], ["y"], {"transB": 1})],
        {"x": ("float32", [1, 3, 2, 2])},
        {"y": ("float32", [1, 7])},
        {"w": split_graphs.weights(7, 12), "b": split_graphs.weights(7)},
    )
    _, _, costs = costs_of(model)
    assert (costs[1].macs, costs[1].flops) == (84, 175)


def test_an_unknown_operator_is_said_to_be_a_guess():
    model = split_graphs.model(
        [("Bernoulli", ["x"], ["y"]), ("Relu", ["y"], ["z"])],
        {"x": ("float32", [1, 1, 2, 2])},
        {"z": ("float32", [1, 1, 2, 2])},
        opset=15,
    )
    _, _, costs = costs_of(model)
    assert [cost.counted for cost in costs] == [False, True] and costs[0].flops == 4


@pytest.mark.parametrize("build", [split_graphs.residual, split_graphs.quantized])
def test_the_sides_add_up_and_their_weights_are_those_of_the_halves(build):
    graph, shapes, costs = costs_of(build())
    at = side_costs(graph, shapes, costs)
    total = sum(cost.flops for cost in costs)
    for cut in graph.cuts():
        agent, server = at(cut.position)
        assert agent.flops + server.flops == total
        halves = split(graph, shapes, cut.tensors)
        for side, model in ((agent, halves.agent), (server, halves.server)):
            own = [t for t in model.graph.initializer if t.name in graph.initializers]
            # The halves of a quantized network repeat a scale and a clip of the other half: 13 bytes.
            stored = sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in own)
            assert side.weight_bytes <= stored <= side.weight_bytes + 13
            assert side.memory_bytes == side.weight_bytes + side.activation_bytes


def test_the_most_memory_at_a_time_is_found():
    """The skip connection keeps its tensor alive while the branch runs."""
    graph, shapes, costs = costs_of(split_graphs.residual())
    at = side_costs(graph, shapes, costs)
    plane = 4 * 8 * 8
    agent, server = at(6)  # after the addition
    assert agent.activation_bytes == plane * (8 + 8 + 8)  # b, e and f
    assert server.activation_bytes == plane * (8 + 8)  # f and g
    assert at(1)[0].activation_bytes == plane * (3 + 8)


class TestPublished:
    """Multiply-accumulates as the networks' authors, and others, have published them."""

    def test_mobilenet_v2_has_300_million(self, data_dir):
        _, _, costs = costs_of(onnx.load(str(data_dir / "weights/mobilenet_v2_1.0_224_quant.onnx")))
        assert sum(cost.macs for cost in costs) == pytest.approx(300e6, rel=0.01)
        assert sum(cost.weight_bytes for cost in costs) == pytest.approx(3.5e6, rel=0.02)  # 3.5 M parameters

    def test_mobilenet_v1_has_569_million(self, data_dir):
        macs = 0
        for part in ("mobilenet_v1_1.0_224_quant_embedding_extractor", "mobilenet_quant_v1_224_head_layers"):
            _, _, costs = costs_of(onnx.load(str(data_dir / f"weights/{part}.onnx")))
            macs += sum(cost.macs for cost in costs)
        assert macs == pytest.approx(569e6, rel=0.005)

    def test_squeezenet_v1_1_has_350_million_at_224_pixels(self, data_dir):
        """As torchvision has it: 224 pixels, sizes rounded down, no padding around the last convolution."""
        model = onnx.load(str(data_dir / "weights/squeezenet_v1.1.onnx"))
        for dim in list(model.graph.input[0].type.tensor_type.shape.dim)[2:]:
            dim.dim_value = 224
        del model.graph.value_info[:]
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "pads" and (node.op_type == "MaxPool" or node.name == "conv10"):
                    attribute.ints[:] = [0, 0, 0, 0]
                if attribute.name == "ceil_mode":
                    attribute.i = 0
        _, shapes, costs = costs_of(model)
        assert shapes.tensors["pool5"].shape[2:] == (13, 13)
        assert sum(cost.macs for cost in costs) == pytest.approx(349.2e6, rel=0.005)
        assert sum(cost.weight_bytes for cost in costs) == pytest.approx(4 * 1.2355e6, rel=1e-3)

    def test_fastestdet_has_a_quarter_of_a_million_parameters(self, data_dir):
        _, _, costs = costs_of(onnx.load(str(data_dir / "weights/fastestdet/FastestDet.onnx")))
        assert sum(cost.weight_bytes for cost in costs) == pytest.approx(4 * 0.25e6, rel=0.05)
