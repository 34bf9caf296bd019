"""How long each block of a network takes on a place: every block by itself, then scaled to the whole."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..graph import Graph
from ..graph_shapes import Shapes
from ..schema import ModelError
from ..stages import Block
from .memory import Spec
from .place import Place
from .process import DeviceProcess, Lost
from .program import Program, cut

__all__ = ["PlaceTimes", "profile"]

_PINGS = 50


@dataclass(frozen=True)
class PlaceTimes:
    """
    Attributes:
        whole_s: of the uncut network. block_s: of each block, adding up to that: runtimes fuse across the
            borders of blocks, so what blocks take by themselves adds up to more.
        apart: that sum over `whole_s`.
        hop_s: to hand a section over: a message to the place's process and back.
        device: what runs it, in words.
    """

    whole_s: float
    block_s: tuple[float, ...]
    apart: float
    hop_s: float
    device: str


def profile(
    graph: Graph,
    shapes: Shapes,
    chain: Sequence[Block],
    place: Place,
    *,
    trials: int = 15,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PlaceTimes:
    """Times the network's blocks in a process on a place.

    Raises:
        ModelError: a block cannot be run there.
    """
    whole = cut(graph, shapes, chain, [0] * len(chain))
    blocks = cut(graph, shapes, chain, [index % 2 for index in range(len(chain))])
    process = DeviceProcess(place)
    try:
        found = _sections(process, whole, trials, lambda done: None)
        times = _sections(process, blocks, trials, lambda done: progress(done, len(chain)))
        hops = []
        for _ in range(_PINGS):
            start_s = time.perf_counter()
            process.ping()
            hops.append(time.perf_counter() - start_s)
        device = process.loaded[0].device
    except Lost as lost:
        raise ModelError(f"{place.name}: failed while the network was timed: {lost}") from lost
    finally:
        process.close()
    apart = sum(times) / found[0]
    return PlaceTimes(
        found[0], tuple(taken_s / apart for taken_s in times), apart, statistics.median(hops), device
    )


def _sections(
    process: DeviceProcess, program: Program, trials: int, done: Callable[[int], None]
) -> list[float]:
    inputs = Spec(program.input_shape, program.input_dtype)
    found = []
    for number, section in enumerate(program.sections):
        loaded = process.load(0, section, inputs, trials=trials)  # one at a time: the next takes its place
        inputs = loaded.outputs[0]
        found.append(loaded.run_s)
        done(number + 1)
    return found
