"""Chains of blocks add up to the network, and its stages compute what it computes."""

from __future__ import annotations

import numpy as np
import pytest
import split_graphs
from split_graphs import onnx

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_cost import node_costs
from qeil_ros.models.graph_shapes import feeds_for, measure
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError
from qeil_ros.models.stages import blocks, stages


@pytest.fixture(scope="module")
def residual():
    graph = Graph(split_graphs.residual())
    return graph, measure(graph)


def run(model, feeds, outputs):
    return Runtime(model.SerializeToString(), name="part").run_all(feeds, outputs)


def through(found, image):
    value = image
    for stage in found[:-1]:
        (value,) = run(stage.model, {stage.input: value}, stage.outputs)
    return run(found[-1].model, {found[-1].input: value}, found[-1].outputs)


def test_blocks_add_up_to_the_network(residual):
    graph, shapes = residual
    chain, costs = blocks(graph, shapes), node_costs(graph, shapes)
    assert sum(block.nodes for block in chain) == len(graph.path)
    assert sum(block.flops for block in chain) == sum(cost.flops for cost in costs)
    assert sum(block.weight_bytes for block in chain) == sum(cost.weight_bytes for cost in costs)
    assert [block.end for block in chain[:-1]] == [cut.tensors[0] for cut in graph.cuts()]
    assert chain[-1].end == "" and chain[-1].output_bytes > 0
    for block in chain:
        assert block.moved_bytes >= block.weight_bytes + block.output_bytes
        assert block.intensity == pytest.approx(block.flops / block.moved_bytes)


def test_a_skip_connection_stays_inside_a_block(residual):
    graph, shapes = residual
    names = [block.end for block in blocks(graph, shapes)]
    assert "b" in names and "f" in names and not {"c", "d", "e"} & set(names)


def test_small_blocks_are_joined(residual):
    graph, shapes = residual
    fine, coarse = blocks(graph, shapes), blocks(graph, shapes, least_share=0.2)
    assert len(coarse) < len(fine)
    for name in ("nodes", "flops", "weight_bytes"):
        assert sum(getattr(b, name) for b in coarse) == sum(getattr(b, name) for b in fine)
    (whole,) = blocks(graph, shapes, least_share=1.1)
    assert whole.nodes == len(graph.path)


@pytest.mark.parametrize("ends", [[], ["b"], ["a", "g"], ["a", "b", "f", "g", "h", "i"]])
def test_stages_compute_the_whole(residual, ends):
    graph, shapes = residual
    image = np.random.default_rng(1).standard_normal(shapes.tensors[graph.image].shape).astype(np.float32)
    feeds = feeds_for(graph, image)
    found = stages(graph, shapes, ends)
    assert len(found) == len(ends) + 1
    (whole,) = run(graph.model, feeds, graph.outputs)
    np.testing.assert_allclose(through(found, image)[0], whole, rtol=1e-5, atol=1e-6)


def test_weights_are_in_the_stage_that_needs_them(residual):
    graph, shapes = residual
    total = len(graph.model.SerializeToString())
    sizes = [len(stage.model.SerializeToString()) for stage in stages(graph, shapes, ["b", "g"])]
    assert sum(sizes) < total + 3 * 400 and max(sizes) < total


@pytest.mark.parametrize("ends, said", [(["g", "b"], "in the graph's order"), (["c"], "is no cut")])
def test_what_is_no_chain_is_refused(residual, ends, said):
    with pytest.raises(ModelError, match=said):
        stages(*residual, ends)


@pytest.mark.parametrize("file", ["mobilenet_v2_1.0_224_quant.onnx", "squeezenet_v1.1.onnx"])
def test_published_networks_in_three_stages(data_dir, file):
    graph = Graph(onnx.load(str(data_dir / "weights" / file)))
    shapes = measure(graph)
    chain = blocks(graph, shapes, least_share=0.02)
    ends = [chain[len(chain) // 3].end, chain[2 * len(chain) // 3].end]
    image = np.zeros(shapes.tensors[graph.image].shape, shapes.tensors[graph.image].dtype)
    image += np.random.default_rng(0).integers(0, 255, image.shape).astype(image.dtype)
    (whole,) = run(graph.model, feeds_for(graph, image), graph.outputs)
    np.testing.assert_allclose(through(stages(graph, shapes, ends), image)[0], whole, rtol=1e-5, atol=1e-5)
