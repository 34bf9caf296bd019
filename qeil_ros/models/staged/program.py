"""A network cut to a placement: neighbouring blocks on one place become one section."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ..graph import Graph
from ..graph_shapes import Shapes
from ..schema import ModelError
from ..stages import Block, stages

__all__ = ["Program", "Section", "cut"]

_DATA_DEPENDENT = {"NonZero", "NonMaxSuppression", "Unique", "Compress", "Loop", "If", "StringSplit"}
"""Operators whose outputs are as large as their inputs' values make them."""


@dataclass(frozen=True)
class Section:
    """Consecutive blocks that run as one graph.

    Attributes:
        model: the serialized ONNX graph.
        place: index of where it belongs.
        blocks: indices of its blocks, in order.
        input, outputs: names of its tensors.
        fixed: its outputs have the same shapes for every image, so that they can be written in place.
    """

    model: bytes
    place: int
    blocks: range
    input: str
    outputs: tuple[str, ...]
    fixed: bool


@dataclass(frozen=True)
class Program:
    """The sections of a network, in the order in which they run.

    Attributes:
        input_shape, input_dtype: of the first one's input.
    """

    sections: tuple[Section, ...]
    input_shape: tuple[int, ...]
    input_dtype: str

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.sections[-1].outputs


def cut(graph: Graph, shapes: Shapes, chain: Sequence[Block], assignment: Sequence[int]) -> Program:
    """The network cut where the place changes.

    Args:
        chain: its blocks, as `stages.blocks` gives them.
        assignment: for each block the index of its place.

    Raises:
        ModelError: the assignment is of another length, or the network has inputs beside the
            image, or is cut behind an operator whose outputs have no fixed size.
    """
    if len(assignment) != len(chain):
        raise ModelError(f"an assignment of {len(assignment)} blocks; the network has {len(chain)}")
    if others := [name for name in graph.inputs if name != graph.image]:
        raise ModelError(f"the network has inputs beside {graph.image!r}: {', '.join(others)}")
    runs = [
        (place, [index for index, _ in group])
        for place, group in itertools.groupby(enumerate(assignment), key=lambda pair: pair[1])
    ]
    ends = [chain[members[-1]].end for _, members in runs[:-1]]
    sections = []
    start = 0
    for (place, members), stage in zip(runs, stages(graph, shapes, ends), strict=True):
        nodes = {node.op_type for node in stage.model.graph.node}
        sections.append(
            Section(
                stage.model.SerializeToString(),
                int(place),
                range(start, start + len(members)),
                stage.input,
                tuple(stage.outputs),
                not nodes & _DATA_DEPENDENT,
            )
        )
        start += len(members)
    for section in sections[:-1]:
        if not section.fixed:
            raise ModelError(
                f"the network cannot be cut after {chain[section.blocks[-1]].name}: how large the tensors "
                "before it are depends on the image"
            )
    image = shapes.tensors[graph.image]
    return Program(tuple(sections), tuple(image.shape), image.dtype)
