"""A network as a chain: the blocks between its single-tensor cuts, and the network cut into stages of them.

A block is what a placement moves about: what lies between two neighbouring tensors that everything passes
through. Skip connections stay inside a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .graph import Cut, Graph
from .graph_cost import node_costs, tensor_bytes, weight_bytes, weight_users
from .graph_shapes import Shapes
from .schema import ModelError
from .split import split, why_not

__all__ = ["Block", "Stage", "blocks", "stages"]


@dataclass(frozen=True)
class Block:
    """Consecutive nodes of a network, for one image.

    Attributes:
        name: of its last tensor, short.
        end: the tensor that it gives to the next block; empty: it gives the outputs.
        moved_bytes: weights read, activations read and written, as if no two nodes were fused.
        output_bytes: of `end`, or of the outputs.
        activation_bytes: of its nodes' outputs together.
    """

    name: str
    end: str
    nodes: int
    flops: int
    weight_bytes: int
    moved_bytes: int
    output_bytes: int
    activation_bytes: int

    @property
    def intensity(self) -> float:
        """FLOP per byte moved; 0 where nothing is."""
        return self.flops / self.moved_bytes if self.moved_bytes else 0.0


@dataclass(frozen=True)
class Stage:
    """A part of the network that runs in one place: an onnx.ModelProto, its one input, its outputs."""

    model: Any
    input: str
    outputs: tuple[str, ...]


def blocks(graph: Graph, shapes: Shapes, *, least_share: float = 0.0) -> list[Block]:
    """The chain of blocks from the image to the outputs.

    A weight that several blocks use counts in each of them: each may be somewhere else.

    Args:
        least_share: blocks with less than this share of all FLOP and of all weights, 0 to 1, are joined to
            the next one.
    """
    cuts = [cut for cut in graph.cuts() if not why_not(graph, shapes, cut.tensors)]
    ends = [*cuts, Cut((), len(graph.path))]
    found, start = [], 0
    costs, users = node_costs(graph, shapes), weight_users(graph)
    flops = sum(cost.flops for cost in costs)
    weights = sum(weight_bytes(graph.initializers[name]) for name in users)
    for cut in ends:
        block = _block(graph, shapes, costs, users, start, cut)
        small = block.flops < least_share * flops and block.weight_bytes < least_share * weights
        if small and cut.tensors:
            continue  # what comes is counted from the same start
        found.append(block)
        start = cut.position
    return found


def _block(
    graph: Graph,
    shapes: Shapes,
    costs: Sequence[Any],
    users: dict[str, list[int]],
    start: int,
    cut: Cut,
) -> Block:
    inside = range(start, cut.position)
    size = sum(
        weight_bytes(graph.initializers[name])
        for name, nodes in users.items()
        if any(index in inside for index in nodes)
    )
    made = sum(costs[index].activation_bytes for index in inside)
    read = sum(tensor_bytes(shapes, name) for index in inside for name in graph.reads(graph.path[index]))
    outputs = cut.tensors or tuple(graph.outputs)
    return Block(
        name=graph.labels.get(outputs[0], outputs[0]),
        end=cut.tensors[0] if cut.tensors else "",
        nodes=len(inside),
        flops=sum(costs[index].flops for index in inside),
        weight_bytes=size,
        moved_bytes=size + made + read,
        output_bytes=sum(tensor_bytes(shapes, name) for name in outputs),
        activation_bytes=made,
    )


def stages(graph: Graph, shapes: Shapes, ends: Sequence[str]) -> list[Stage]:
    """The network cut at these tensors, in this order: one stage more than tensors.

    Run one after another, each on what the one before gave, they compute what the whole computes.

    Raises:
        ModelError: a tensor is no cut, or they are not in the order of the graph.
    """
    rest = graph
    found = []
    for tensor in ends:
        if tensor not in rest.content:
            raise ModelError(f"the network cannot be cut at {tensor!r} here; give cuts in the graph's order")
        halves = split(rest, shapes, [tensor])
        found.append(Stage(halves.agent, halves.image, (halves.sent,)))
        rest = Graph(halves.server, image=halves.received)  # its tensors keep their names and shapes
    found.append(Stage(rest.model, rest.image, tuple(rest.outputs)))
    return found
