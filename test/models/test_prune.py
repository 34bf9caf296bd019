from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from qeil_ros.models.folder import ZOO
from qeil_ros.models.prune import PrunePlan, prune
from qeil_ros.models.prune_graph import PruneGraph, kept
from qeil_ros.models.prune_layers import layers_of, second_moments
from qeil_ros.models.prune_surgery import Reader, remove_units, sparsify
from qeil_ros.models.schema import ModelError

AGENT = ZOO / "tabletop" / "agent_fp32.onnx"


def network(nodes, weights, shape, out):
    """A graph from `x` [1, *shape] to `y` [1, *out]."""
    made = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, *out])],
        made,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def residual():
    """conv a, plus a branch of two; batch norm, a depthwise one, concatenation, a linear layer on top."""
    rng = np.random.default_rng(0)
    n = helper.make_node
    nodes = [
        n("Conv", ["x", "wa", "ba"], ["a"], pads=[1, 1, 1, 1]),
        n("Conv", ["a", "wb", "bb"], ["b"], pads=[1, 1, 1, 1]),
        n("BatchNormalization", ["b", "scale", "shift", "mean", "var"], ["b_n"]),
        n("Relu", ["b_n"], ["b_r"]),
        n("Conv", ["b_r", "wc"], ["c"]),
        n("Add", ["a", "c"], ["sum"]),
        n("Conv", ["sum", "wd"], ["d"], group=8, pads=[1, 1, 1, 1]),
        n("Conv", ["sum", "we"], ["e"]),
        n("Concat", ["d", "e"], ["both"], axis=1),
        n("Sigmoid", ["both"], ["s"]),
        n("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        n("Flatten", ["p"], ["flat"]),
        n("Gemm", ["flat", "wf", "bf"], ["y"], transB=1),
    ]
    weights = {
        "wa": floats(rng, 8, 3, 3, 3),
        "ba": floats(rng, 8),
        "wb": floats(rng, 12, 8, 3, 3),
        "bb": floats(rng, 12),
        **{name: floats(rng, 12) for name in ("scale", "shift", "mean")},
        "var": np.abs(floats(rng, 12)) + 0.5,
        "wc": floats(rng, 8, 12, 1, 1),
        "wd": floats(rng, 8, 1, 3, 3),
        "we": floats(rng, 6, 8, 1, 1),
        "wf": floats(rng, 5, 14 * 16),
        "bf": floats(rng, 5),
    }
    return network(nodes, weights, (3, 8, 8), (5,))


def split_attention():
    """Attention whose query, key and value come out of one product by Split; no normalization."""
    rng = np.random.default_rng(1)
    n = helper.make_node
    nodes = [
        n("Reshape", ["x", "tokens"], ["t"]),
        n("MatMul", ["t", "w_qkv"], ["qkv"]),
        n("Split", ["qkv"], ["q", "k", "v"], axis=2, num_outputs=3),
        *[n("Reshape", [name, "heads"], [f"{name}_h"]) for name in "qkv"],
        *[n("Transpose", [f"{name}_h"], [f"{name}_t"], perm=[0, 2, 1, 3]) for name in "qv"],
        n("Transpose", ["k_h"], ["k_t"], perm=[0, 2, 3, 1]),
        n("MatMul", ["q_t", "k_t"], ["scores"]),
        n("Softmax", ["scores"], ["p"]),
        n("MatMul", ["p", "v_t"], ["mix"]),
        n("Transpose", ["mix"], ["mix_t"], perm=[0, 2, 1, 3]),
        n("Reshape", ["mix_t", "joined"], ["o"]),
        n("MatMul", ["o", "w_o"], ["out"]),
        n("Slice", ["out", "zero", "two", "one"], ["y"]),
    ]
    weights = {
        "tokens": np.array([1, 4, 12]),
        "heads": np.array([0, 0, 3, 4]),
        "joined": np.array([1, -1, 12]),
        "zero": np.array([0]),
        "two": np.array([2]),
        "one": np.array([1]),
        "w_qkv": floats(rng, 12, 36),
        "w_o": floats(rng, 12, 7),
    }
    return network(nodes, weights, (3, 4, 4), (2, 7))


def run(model, image):
    return ort.InferenceSession(model.SerializeToString()).run(None, {graph_input(model): image})[0]


def graph_input(model):
    return model.graph.input[0].name


def image(model, seed=3):
    shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def half(group, seed=0):
    removed = np.zeros(group.units, bool)
    removed[np.random.default_rng(seed).permutation(group.units)[: group.units // 2]] = True
    return removed


def tiny_encoder(tmp_path, architecture):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("onnxscript")
    import tiny_transformers

    from qeil_ros.models.export import Order, export

    source = tiny_transformers.encoder(tmp_path / "source", architecture)
    folder = export(source, tmp_path / "model", Order(name="tiny"))
    return onnx.load(str(folder.path / folder.split().agent.file))


# ---------------------------------------------------------------- whole units


@pytest.mark.parametrize("make", [residual, split_attention, lambda: onnx.load(str(AGENT))])
def test_a_smaller_graph_gives_what_the_one_with_zeros_gives(make):
    graph = PruneGraph(make())
    groups, _ = graph.groups()
    for chosen in [*([group] for group in groups), groups]:
        keep = kept([(group, half(group)) for group in chosen])
        dense, small = graph.zeroed(keep), graph.remove(keep).to_model()
        onnx.checker.check_model(small, full_check=True)
        x = image(dense)
        wanted = run(dense, x)
        assert np.abs(run(small, x) - wanted).max() <= 2e-5 * np.abs(wanted).max()
        assert not np.allclose(wanted, run(graph.to_model(), x), rtol=1e-3)  # something was removed


@pytest.mark.parametrize("architecture", ["ViTForImageClassification", "CLIPVisionModel"])
def test_an_exported_transformer_loses_heads_and_neurons(tmp_path, architecture):
    model = tiny_encoder(tmp_path, architecture)
    groups, _ = PruneGraph(model).groups()
    assert sorted((group.kind, group.units) for group in groups) == [("heads", 2), ("neurons", 64)]
    small, report = prune(model, PrunePlan(structured={"heads": 0.5, "neurons": 0.5}))
    # Two heads of 16 columns of width 32 each, four matrices; 64 neurons between two matrices.
    gone = 4 * 32 * 16 + 3 * 16 + 2 * 32 * 32 + 32
    assert report.weights_before - report.weights <= gone
    assert report.weights_before - report.weights >= gone - 4 * 32  # biases that are equal are stored once
    assert run(small, image(model)).shape == run(model, image(model)).shape


def test_channels_that_a_sum_couples_leave_together():
    groups, blocked = PruneGraph(residual()).groups()
    coupled = next(group for group in groups if ("wa", 0) in group.labels)
    assert {("wa", 0), ("wc", 0), ("wb", 1), ("wd", 0), ("we", 1)} <= set(coupled.labels)
    assert (coupled.labels["wf", 1] >= 0).sum() == 8 * 16
    assert blocked == {"y": "'y' is an output"}


def test_branches_of_a_concatenation_are_groups_of_their_own():
    groups, _ = PruneGraph(residual()).groups()
    both = [group for group in groups if ("wf", 1) in group.labels]
    assert [group.units for group in both] == [8, 6]
    assert not (np.minimum(*[group.labels["wf", 1] for group in both]) >= 0).any()


def test_the_stream_past_a_normalization_stays_whole():
    groups, blocked = PruneGraph(onnx.load(str(AGENT))).groups()
    assert [(group.kind, group.units) for group in groups] == [("heads", 4), ("neurons", 512)] * 4
    assert len(blocked) == 9 and set(blocked.values()) <= {
        "LayerNormalization runs along it",
        "'features' is an output",
    }


def test_the_weakest_units_go():
    model = residual()
    wb = next(t for t in model.graph.initializer if t.name == "wb")
    array = numpy_helper.to_array(wb).copy()
    weak = [2, 5, 7]
    array[weak] *= 1e-4
    wb.CopyFrom(numpy_helper.from_array(array, "wb"))
    for name in ("wc", "bb", "scale", "shift", "mean", "var"):
        tensor = next(t for t in model.graph.initializer if t.name == name)
        array = numpy_helper.to_array(tensor).copy()
        array[(slice(None), weak) if name == "wc" else weak] *= 1e-4
        tensor.CopyFrom(numpy_helper.from_array(array, name))
    small, _ = prune(model, PrunePlan(structured={"channels": 0.25}))
    bias = next(numpy_helper.to_array(t) for t in small.graph.initializer if t.name == "bb")
    assert len(bias) == 9 and np.abs(bias).min() > 1e-3
    x = image(model)
    assert run(small, x).shape == run(model, x).shape


def test_shares_of_all_layers_together():
    model = onnx.load(str(AGENT))
    _, report = prune(model, PrunePlan(structured={"neurons": 0.25}, scope="global"))
    left = [layer.after for layer in report.layers if layer.kind == "neurons"]
    assert sum(left) == 4 * 512 * 3 // 4 and len(set(left)) > 1


def test_pictures_choose_better_than_magnitudes():
    model = onnx.load(str(AGENT))
    rng = np.random.default_rng(0)
    images = [rng.standard_normal((1, 3, 64, 64)).astype(np.float32) for _ in range(24)]
    x = images[-1]
    plan = PrunePlan(structured={"neurons": 0.5})
    wanted = run(model, x)
    errors = {}
    for name, given in (("magnitude", []), ("data", images[:-1])):
        small, report = prune(model, plan, images=given)
        assert report.calibrated == len(given)
        errors[name] = np.linalg.norm(run(small, x) - wanted) / np.linalg.norm(wanted)
    assert errors["data"] < 0.7 * errors["magnitude"]


@pytest.mark.parametrize("share, stays", [(0.1, 464), (0.25, 384), (0.99, 16), (0.001, 512)])
def test_whole_vectors_of_neurons_stay(share, stays):
    _, report = prune(onnx.load(str(AGENT)), PrunePlan(structured={"neurons": share, "heads": 0.25}))
    assert {layer.after for layer in report.layers if layer.kind == "neurons"} == {stays}


def test_one_unit_of_each_layer_stays():
    _, report = prune(split_attention(), PrunePlan(structured={"heads": 0.99}))
    (layer,) = report.layers
    assert (layer.kind, layer.before, layer.after) == ("heads", 3, 1)
    assert report.weights == 12 * 12 + 4 * 7


# ---------------------------------------------------------------- single weights


@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("calibrated", [False, True])
def test_single_weights_become_zero(scope, calibrated):
    model = residual()
    images = [image(model, seed) for seed in range(4)] if calibrated else []
    small, report = prune(model, PrunePlan(sparsity=0.5, scope=scope), images=images)
    before, after = (
        sum(layer.before for layer in report.layers),
        sum(layer.after for layer in report.layers),
    )
    assert abs(after / before - 0.5) < 0.01 and report.weights == report.weights_before
    names = {layer.name for layer in report.layers}
    assert "wf" in names and "wd" not in names
    if scope == "layer":
        assert all(abs(layer.after / layer.before - 0.5) < 0.02 for layer in report.layers)
    zeros = sum(
        int((numpy_helper.to_array(t) == 0).sum()) for t in small.graph.initializer if t.name in names
    )
    assert zeros == before - after


def test_the_smallest_weights_are_those_that_go():
    model = residual()
    small, _ = prune(model, PrunePlan(sparsity=0.3))
    old, new = (
        next(numpy_helper.to_array(t) for t in each.graph.initializer if t.name == "wf")
        for each in (model, small)
    )
    gone = new == 0
    assert np.abs(old[gone]).max() <= np.abs(old[~gone]).min() and np.array_equal(new[~gone], old[~gone])


# ---------------------------------------------------------------- what reaches a layer


@pytest.mark.parametrize(
    "given", [{}, {"pads": [1, 0, 2, 1], "strides": [2, 1]}, {"dilations": [2, 1], "strides": [1, 2]}]
)
def test_a_convolution_is_a_product_of_its_windows(given):
    rng = np.random.default_rng(0)
    weights = {"w": floats(rng, 4, 3, 3, 2), "b": floats(rng, 4)}
    x = floats(rng, 1, 3, 9, 8)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], **given)
    sizes = run(network([node], weights, (3, 9, 8), (4, "h", "v")), x).shape[1:]
    model = network([node], weights, (3, 9, 8), sizes)
    graph = PruneGraph(model)
    (layer,) = layers_of(graph)
    rows = layer.rows(x, rng)
    product = rows @ layer.matrix(graph) + graph.weights[layer.bias]
    assert np.allclose(product.T.reshape(1, *sizes), run(model, x), atol=1e-5)
    moments = second_moments(graph, [layer], [x, x])["w"]
    ones = np.hstack([rows, np.ones((len(rows), 1))])
    assert np.allclose(moments, ones.T @ ones / len(rows), atol=1e-5)


def test_removal_refits_by_least_squares():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 6))
    x[:, 5] = x[:, 0] + x[:, 1] + 0.01 * rng.standard_normal(4000)  # the others can stand in for it
    weights, moments = rng.standard_normal((6, 3)), x.T @ x / len(x)
    reader = Reader(weights.copy(), moments.copy(), np.arange(6))
    removed = remove_units([reader], 6, 1)
    (gone,) = np.flatnonzero(removed)
    assert gone in (0, 1, 5)
    fitted = np.linalg.lstsq(x[:, ~removed], x @ weights, rcond=None)[0]
    assert np.allclose(reader.weights[~removed], fitted, atol=0.1) and not reader.weights[removed].any()
    assert not reader.moments[gone].any()


def test_sparse_weights_are_refitted():
    rng = np.random.default_rng(0)
    # Twenty causes behind 64 inputs: what one of them loses the others can tell.
    x = rng.standard_normal((2000, 20)) @ rng.standard_normal((20, 64)) + rng.standard_normal((2000, 64))
    weights = rng.standard_normal((64, 8))
    sparse = sparsify(weights, x.T @ x / len(x), 0.5)
    magnitude = np.where(np.abs(weights) >= np.median(np.abs(weights)), weights, 0)
    assert (sparse == 0).sum() == 256
    wanted = x @ weights
    assert np.linalg.norm(x @ sparse - wanted) < 0.7 * np.linalg.norm(x @ magnitude - wanted)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "arguments, said",
    [
        ({"sparsity": 1.0}, "sparsity is 1.0"),
        ({"structured": {"rows": 0.5}}, "no units called 'rows'"),
        ({"structured": {"heads": -0.1}}, "heads is -0.1"),
        ({"sparsity": 0.5, "scope": "model"}, "no scope 'model'"),
        ({}, "nothing to prune"),
    ],
)
def test_plans_that_are_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        PrunePlan(**arguments)


def test_a_graph_without_heads_is_told_so():
    with pytest.raises(ModelError, match="no heads that could be removed"):
        prune(residual(), PrunePlan(structured={"heads": 0.5}))


def test_a_quantized_graph_is_refused():
    n = helper.make_node
    nodes = [n("QuantizeLinear", ["x", "s"], ["q"]), n("DequantizeLinear", ["q", "s"], ["y"])]
    model = network(nodes, {"s": np.float32(0.1)}, (3, 4, 4), (3, 4, 4))
    with pytest.raises(ModelError, match="quantized already"):
        prune(model, PrunePlan(sparsity=0.5))
