"""Places of this machine as devices of a placement problem, their speed measured with the network itself."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import Shapes
from qeil_ros.models.staged.place import Place
from qeil_ros.models.staged.profile import PlaceTimes, profile
from qeil_ros.models.stages import Block
from qeil_ros.planning.placement.problem import Device, Limits, Link, Problem

from .problem import layers

__all__ = ["Here", "available_bytes", "default_places", "measured"]

_PROVIDERS = {"CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "tensorrt"}


@dataclass(frozen=True)
class Here:
    """Attributes:
    problem: of this machine's places, with what each layer was measured to take on each.
    times: by place.
    watts_known: energies are joules; else the power of a core counts as 1 W, and they are core seconds.
    """

    problem: Problem
    times: tuple[PlaceTimes, ...]
    watts_known: bool


def default_places() -> list[Place]:
    """The devices that runtimes find here; where that is one processor only, its cores in two halves."""
    from qeil_ros.platform.devices import search

    found = [Place.parse("onnxruntime", "cpu")]
    for device in search().devices:
        for runtime in device.runtimes:
            library, _, name = runtime.partition(" ")
            if library == "onnxruntime" and name in _PROVIDERS:
                found.append(Place(f"{device.name}-{_PROVIDERS[name]}", "onnxruntime", _PROVIDERS[name]))
            elif library == "openvino" and device.kind != "cpu":
                found.append(Place(device.name, "openvino", name))
    cores = sorted(os.sched_getaffinity(0))
    if len(found) > 1:
        return [replace(found[0], threads=len(cores)), *found[1:]]
    if len(cores) < 2:
        return found
    half = len(cores) // 2
    return [Place("cores-a", cores=tuple(cores[:half])), Place("cores-b", cores=tuple(cores[half:]))]


def measured(
    graph: Graph,
    shapes: Shapes,
    chain: Sequence[Block],
    places: Sequence[Place],
    *,
    watts: Mapping[str, float] | None = None,
    memory_bytes: Mapping[str, float] | None = None,
    limits: Limits | None = None,
    trials: int = 15,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Here:
    """Times every block on every place, and makes the problem of it.

    Args:
        watts: while a place is busy, by its name. Unless all are given none counts.
        memory_bytes: of a place; else what the machine has available.

    Raises:
        ModelError: a place cannot run a block.
    """
    work = layers(chain)
    known = bool(watts) and all(place.name in (watts or {}) for place in places)
    devices, factors, times = [], {}, []
    for place in places:

        def step(done: int, total: int, name: str = place.name) -> None:
            progress(f"timing {name}", done, total)

        taken = profile(graph, shapes, chain, place, trials=trials, progress=step)
        # Peaks that its best block reaches; the factors say how far the others are from that.
        pairs = list(zip(work, taken.block_s, strict=True))
        device = Device(
            place.name,
            max(layer.flops[0] / seconds for layer, seconds in pairs) or 1.0,
            max(layer.moved_bytes[0] / seconds for layer, seconds in pairs),
            (watts or {})[place.name] if known else float(place.thread_count),
            (memory_bytes or {}).get(place.name, float(available_bytes())),
        )
        factors[place.name] = tuple(
            seconds / max(layer.flops[0] / device.flops_s, layer.moved_bytes[0] / device.bandwidth_bytes_s)
            for layer, seconds in pairs
        )
        devices.append(device)
        times.append(taken)
    hop_s = max(taken.hop_s for taken in times)
    problem = Problem(
        work,
        tuple(devices),
        (1.0,),
        Link(bytes_s=math.inf, start_s=hop_s),  # tensors lie in memory that processes share
        limits or Limits(),
        factors,
    )
    return Here(problem, tuple(times), known)


def available_bytes() -> int:
    """Memory that the machine can give now."""
    import psutil

    return int(psutil.virtual_memory().available)
