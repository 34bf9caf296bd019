"""A small network with a skip connection, as a chain of blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import split_graphs

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.stages import blocks


class Network(NamedTuple):
    graph: object
    shapes: object
    chain: list
    image: np.ndarray
    expected: np.ndarray

    def halves(self) -> list[int]:
        half = len(self.chain) // 2
        return [0] * half + [1] * (len(self.chain) - half)

    def right(self, outputs) -> bool:
        return len(outputs) == 1 and np.allclose(outputs[0], self.expected, rtol=1e-5, atol=1e-6)


def network_of(model, seed: int = 1) -> Network:
    graph = Graph(model)
    shapes = measure(graph)
    image = np.random.default_rng(seed).standard_normal(shapes.tensors[graph.image].shape).astype(np.float32)
    whole = Runtime(graph.model.SerializeToString(), name="whole")
    (expected,) = whole.run_all({graph.image: image}, graph.outputs)
    return Network(graph, shapes, blocks(graph, shapes), image, expected)


@pytest.fixture(scope="package")
def network() -> Network:
    return network_of(split_graphs.residual())


@pytest.fixture(scope="package")
def open_batch() -> Network:
    return network_of(split_graphs.tokens())
