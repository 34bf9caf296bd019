"""Packing an agent part: which weights are found, what calibration does, what ends up in a model folder."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import weight_models
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.quantize import WeightPlan, quantize_graph
from qeil_ros.models.quantize_folder import quantize_folder
from qeil_ros.models.quantize_graph import WeightGraph
from qeil_ros.models.quantize_observe import observe
from qeil_ros.models.quantize_rounding import Curvature
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError
from qeil_ros.models.weights import PackedModel

onnx = pytest.importorskip("onnx", reason="builds its models with the Python package onnx")


@pytest.fixture
def network(tmp_path):
    return weight_models.network(tmp_path / "net.onnx", conv=True)


# ---------------------------------------------------------------- rounding


def candidates(weights, step):
    near = np.rint(weights / step) * step
    return near.astype(np.float32), (near + np.where(weights >= near, step, -step)).astype(np.float32)


@given(st.integers(0, 2**32 - 1))
def test_inputs_that_do_not_go_together_are_rounded_to_the_nearest(seed):
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal((5, 30)).astype(np.float32)
    near, other = candidates(weights, 0.5)
    diagonal = np.diag(generator.uniform(0.1, 9, 30)).astype(np.float32)
    assert not Curvature(diagonal).choose(weights, near, other).any()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_rounding_is_close_to_the_best_of_all_choices(seed):
    """Against every one of the 2^9 ways to round, and always at least as good as the nearest levels."""
    generator = np.random.default_rng(seed)
    inputs = generator.standard_normal((40, 9)) @ generator.standard_normal((9, 9))
    curvature = Curvature((inputs.T @ inputs).astype(np.float32), damping=1e-4)
    weights = generator.standard_normal((1, 9)).astype(np.float32)
    near, other = candidates(weights, 0.7)
    chosen = np.where(curvature.choose(weights, near, other), other, near)
    ways = (np.where(way, other, near) for way in itertools.product([False, True], repeat=9))
    best = min(np.linalg.norm(inputs @ (way - weights)[0]) for way in ways)
    ours = np.linalg.norm(inputs @ (chosen - weights)[0])
    assert best <= ours * 1.0001
    nearest = np.linalg.norm(inputs @ (near - weights)[0])
    assert ours <= max(1.05 * nearest, 4 * best)


def test_rounding_for_outputs_pays_where_inputs_go_together():
    generator = np.random.default_rng(2)
    strengths = np.geomspace(1, 0.01, 200)
    inputs = (generator.standard_normal((2000, 200)) * strengths) @ generator.standard_normal((200, 200))
    curvature = Curvature((inputs.T @ inputs).astype(np.float32))
    weights = generator.standard_normal((32, 200)).astype(np.float32)
    near, other = candidates(weights, 0.6)
    chosen = np.where(curvature.choose(weights, near, other), other, near)
    assert curvature.error(weights, chosen) < 0.6 * curvature.error(weights, near)
    exact = np.linalg.norm(inputs @ (near - weights).T) / np.linalg.norm(inputs @ weights.T)
    assert curvature.error(weights, near) == pytest.approx(exact, rel=1e-3)


def test_blocks_change_nothing_and_silent_inputs_do_no_harm(monkeypatch):
    generator = np.random.default_rng(3)
    inputs = generator.standard_normal((300, 150)) @ generator.standard_normal((150, 150))
    inputs[:, 7] = 0
    hessian = (inputs.T @ inputs).astype(np.float32)
    weights = generator.standard_normal((6, 150)).astype(np.float32)
    near, other = candidates(weights, 0.5)
    found = Curvature(hessian).choose(weights, near, other)
    monkeypatch.setattr("qeil_ros.models.quantize_rounding._BLOCK", 1000)
    np.testing.assert_array_equal(Curvature(hessian).choose(weights, near, other), found)
    assert not Curvature(np.zeros((150, 150), np.float32)).choose(weights, near, other).any()


# ---------------------------------------------------------------- the graph


def test_the_weights_of_products_and_filters_are_found(network):
    graph = WeightGraph(network)
    assert [(layer.name, layer.op, layer.axis, layer.product) for layer in graph.layers] == [
        ("filter", "Conv", 0, False),
        ("first", "MatMul", 1, True),
        ("second", "Gemm", 0, True),
    ]
    assert [graph.matrix(layer).shape for layer in graph.layers] == [(3, 108), (64, 192), (16, 64)]
    assert {kept.name for kept in graph.kept} == {"first.bias"}, "the others are too small to leave the graph"


def test_a_weight_with_two_roles_stays_as_it_is(tmp_path):
    model = onnx.load(weight_models.network(tmp_path / "net.onnx"))
    model.graph.node.append(onnx.helper.make_node("ReduceSum", ["second"], ["sum"]))
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    assert [layer.name for layer in WeightGraph(tmp_path / "two.onnx").layers] == ["first"]


def test_constants_are_weights_too(tmp_path, network):
    model = onnx.load(network)
    (tensor,) = [t for t in model.graph.initializer if t.name == "first"]
    model.graph.initializer.remove(tensor)
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["first"], value=tensor))
    (tmp_path / "constant.onnx").write_bytes(model.SerializeToString())
    quantize_graph(tmp_path / "constant.onnx", tmp_path / "a.qwt", WeightPlan((4,)))
    quantize_graph(network, tmp_path / "b.qwt", WeightPlan((4,)))
    for form in ("float", "int8"):
        models = [PackedModel(tmp_path / f"{name}.qwt").onnx(4, form) for name in "ab"]
        (image,) = weight_models.images(1)
        answers = [Runtime(model, name="m").run({"image": image}, "features") for model in models]
        np.testing.assert_array_equal(*answers)


def test_a_quantized_graph_is_refused(data_dir, tmp_path):
    with pytest.raises(ModelError, match="give the graph as it was before quantization"):
        WeightGraph(data_dir / "weights/mobilenet_v1_1.0_224_quant_embedding_extractor.onnx")


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"\xff\xff no graph")
    with pytest.raises(ModelError, match=r"no\.onnx: cannot be read as an ONNX model"):
        WeightGraph(tmp_path / "no.onnx")


def test_an_old_graph_has_the_forms_that_its_operators_allow(tmp_path):
    for opset, forms in ((9, {"float"}), (11, {"float", "int8"}), (13, {"float", "int8", "qdq"})):
        path = weight_models.network(tmp_path / f"{opset}.onnx", opset=opset, ir_version=8)
        quantize_graph(path, tmp_path / "net.qwt", WeightPlan((8,)))
        packed = PackedModel(tmp_path / "net.qwt")
        assert set(packed.forms) == forms
        Runtime(packed.onnx(8, "float"), name="m")


def test_what_reaches_a_layer_is_what_the_graph_computes(network):
    images = weight_models.images(7)
    found = dict(observe(WeightGraph(network), images))
    assert set(found) == {"row", "active"}
    model = onnx.load(network)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("active"))
    runtime = Runtime(model.SerializeToString(), name="m")
    rows = np.concatenate([runtime.run({"image": image}, "active") for image in images])
    np.testing.assert_allclose(found["active"].hessian, rows.T @ rows, rtol=1e-4, atol=1e-3)
    assert (found["active"].low, found["active"].high) == (rows.min(), rows.max())


def test_sums_that_do_not_fit_at_once_are_taken_in_turn(network, monkeypatch):
    images = weight_models.images(5)
    whole = dict(observe(WeightGraph(network), images))
    monkeypatch.setattr("qeil_ros.models.quantize_observe._SUMS_BYTES", 1)
    told = []
    in_turn = dict(observe(WeightGraph(network), images, tell=lambda *done: told.append(done)))
    assert told == [(number, 10) for number in range(1, 11)]
    for name, seen in whole.items():
        np.testing.assert_array_equal(in_turn[name].hessian, seen.hessian)


# ---------------------------------------------------------------- files and folders


def features(path, bits, images):
    runtime = Runtime(PackedModel(path).onnx(bits), name=path)
    return np.concatenate([runtime.run({"image": image}, "features") for image in images])


def test_calibration_pays_on_images_it_has_not_seen(network, tmp_path):
    plain = quantize_graph(network, tmp_path / "plain.qwt", WeightPlan((8, 3, 2)))
    tuned = quantize_graph(
        network, tmp_path / "tuned.qwt", WeightPlan((8, 3, 2)), images=weight_models.images(200)
    )
    assert plain.calibrated == 0 and tuned.calibrated == 200
    fresh = weight_models.images(40, seed=5)
    exact = np.concatenate([Runtime(network).run({"image": image}, "features") for image in fresh])
    for bits in (3, 2):
        errors = [
            np.linalg.norm(features(tmp_path / f"{n}.qwt", bits, fresh) - exact) for n in ("plain", "tuned")
        ]
        assert errors[1] < 0.85 * errors[0], bits
    by_name = {layer.name: layer.errors for layer in tuned.layers}
    assert by_name["first"][2][1] < by_name["first"][2][0], "the output's error is the smaller one"
    assert by_name["filter"][2][1] is None, "filters are not calibrated"


def test_the_report_tells_sizes_and_errors(network, tmp_path):
    report = quantize_graph(network, tmp_path / "net.qwt", WeightPlan((8, 4, 2)))
    weights = 3 * 108 + 64 * 192 + 16 * 64
    scales = 2 * (3 + 64 + 16)
    for bits, size in report.sizes.items():
        assert size == pytest.approx(weights * bits / 8 + scales + 3 * 2**bits, abs=3)
    assert report.packed_bytes == (tmp_path / "net.qwt").stat().st_size
    assert report.packed_bytes < 0.45 * report.source_bytes
    assert [layer.name for layer in report.layers] == ["filter", "first", "second"]
    for layer in report.layers:
        errors = [layer.errors[bits][0] for bits in (8, 4, 2)]
        assert errors[0] < 0.02 < errors[1] < 0.2 < errors[2] < 0.7
    assert report.to_json()["layers"][0]["errors"]["4"]["outputs"] is None


def test_single_weights_may_have_bits_of_their_own(network, tmp_path):
    plan = WeightPlan((8, 4), per_layer={4: {"first": 2, "filter": 6}})
    quantize_graph(network, tmp_path / "net.qwt", plan)
    packed = PackedModel(tmp_path / "net.qwt")
    assert packed.allotment(4) == {"filter": 6, "first": 2, "second": 4}
    assert packed.allotment(8) == {"filter": 8, "first": 8, "second": 8}
    assert packed.onnx(4) == packed.onnx({"filter": 6, "first": 2, "second": 4})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": ()}, "whole numbers from 1 to 8"),
        ({"widths": (9,)}, "widths .9.; whole numbers from 1 to 8"),
        ({"widths": (4,), "per_layer": {4: {"first": 0}}}, "whole numbers from 1 to 8"),
        ({"widths": (4,), "per_layer": {5: {"first": 3}}}, "at width 5, which is not among"),
        ({"quantizer": "best"}, "no quantizer 'best'; there are nested, uniform"),
        ({"granularity": "row"}, "no granularity 'row'"),
    ],
)
def test_a_plan_that_is_not_possible_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        WeightPlan(**changes)


def test_a_plan_that_does_not_fit_the_graph_is_refused(network, tmp_path):
    with pytest.raises(ValueError, match=r"no weight 'third' in .* there are filter, first, second"):
        quantize_graph(network, tmp_path / "x.qwt", WeightPlan((4,), per_layer={4: {"third": 3}}))
    with pytest.raises(ValueError, match="weights 'filter': power_of_two needs 2 bits or more"):
        quantize_graph(network, tmp_path / "x.qwt", WeightPlan((1,), "power_of_two"))


def test_a_model_folder_with_packed_weights(tmp_path):
    folder = ModelFolder.load(weight_models.folder(tmp_path / "model"))
    (tmp_path / "model" / "notes").mkdir()
    (tmp_path / "model" / "notes" / "a.txt").write_text("kept")
    quantize_folder(folder, tmp_path / "packed", WeightPlan((8, 2)))
    made = ModelFolder.load(tmp_path / "packed")
    assert made.split().agent.file == "agent.qwt" and made.split().agent.kind == "packed"
    assert not (tmp_path / "packed" / "agent.onnx").exists()
    assert (tmp_path / "packed" / "notes" / "a.txt").read_text() == "kept"
    assert made.digest != folder.digest
    assert "scores" not in yaml.safe_load((tmp_path / "packed" / "model.yaml").read_text())
    (image,) = weight_models.images(1)
    error = np.abs(made.agent().run(image) - folder.agent().run(image)).max()
    assert 0 < error < 0.1
    with pytest.raises(ModelError, match="its weights are packed already; name the graph in float32"):
        quantize_folder(made, tmp_path / "again")
    quantize_folder(made, tmp_path / "again", WeightPlan((4,)), agent=tmp_path / "model" / "agent.onnx")
    assert ModelFolder.load(tmp_path / "again").agent().bits == 4


def test_what_is_in_the_way_is_left_alone(tmp_path):
    folder = ModelFolder.load(weight_models.folder(tmp_path / "model"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years")
    for overwrite in (False, True):
        with pytest.raises(ModelError, match="is there already and is no model folder"):
            quantize_folder(folder, tmp_path / "home", overwrite=overwrite)
    quantize_folder(folder, tmp_path / "out", WeightPlan((8,)))
    with pytest.raises(ModelError, match="is there already; overwrite it if it may go"):
        quantize_folder(folder, tmp_path / "out", WeightPlan((8,)))
    quantize_folder(folder, tmp_path / "out", WeightPlan((4,)), overwrite=True)
    assert ModelFolder.load(tmp_path / "out").agent().widths == (4,)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["home", "model", "out"]
