"""A network and devices as a placement problem: the blocks of the graph as layers, one pass a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from qeil_ros.models.graph import Graph
from qeil_ros.models.stages import Block
from qeil_ros.planning.placement import exact, greedy, pareto
from qeil_ros.planning.placement.exact import Objective
from qeil_ros.planning.placement.problem import Assignment, Layer, Problem

__all__ = ["METHODS", "best", "layers", "load_graph", "solver"]

METHODS = ("greedy", "printed", "exact", "free", "pareto")
PARTS = ("agent", "server", "local")


def layers(chain: Sequence[Block]) -> tuple[Layer, ...]:
    """One phase: a network that sees a frame has no decode. Memory is its weights and activations."""
    return tuple(
        Layer(
            block.name,
            float(block.weight_bytes + block.activation_bytes),
            (float(block.flops),),
            (float(block.moved_bytes),),
            (float(block.output_bytes),),
        )
        for block in chain
    )


def solver(method: str, objective: Objective, seed: int = 0) -> Callable[[Problem], Assignment]:
    """What finds a placement by one of METHODS. Greedy ones go by energy whatever the objective."""

    return {
        "greedy": greedy.greedy,
        "printed": greedy.printed,
        "exact": lambda problem: exact.contiguous(problem, objective),
        "free": lambda problem: exact.free(problem, objective),
        "pareto": lambda problem: best(pareto.search(problem, seed=seed), objective),
    }[method]


def best(front: Sequence[pareto.Placed], objective: Objective) -> Assignment:
    """The one of a front that the objective asks for."""

    def cost(placed: pareto.Placed) -> float:
        seconds, joules = placed.outcome.latency_s, placed.outcome.energy_j
        return float(objective.of(np.float64(seconds), np.float64(joules)))

    return min(front, key=cost).assignment


def load_graph(model: str, part: str) -> tuple[Graph, str]:
    """The graph of an ONNX file, or of a part of a model folder, and what it is called. Raises ModelError."""
    from qeil_ros.models.folder import ModelFolder, resolve
    from qeil_ros.models.schema import ModelError

    path = Path(model)
    if path.suffix == ".onnx":
        return Graph.load(path), path.name
    folder = ModelFolder.load(resolve(model))
    chosen = getattr(folder.split(), part)
    if chosen is None:
        raise ModelError(f"{folder.name} has no {part} part")
    file = folder.path / chosen.file
    name = f"{folder.name}, {part} part"
    if chosen.kind == "onnx":
        return Graph.load(file), name
    if chosen.kind == "packed":
        import onnx

        from qeil_ros.models.weights import PackedModel

        packed = PackedModel(file)
        return Graph(onnx.load_from_string(packed.onnx(packed.widths[0], "float"))), name
    raise ModelError(f"the {part} part of {folder.name} is no graph but served by {chosen.kind}")
