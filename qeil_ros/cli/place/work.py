"""What `qeil place` does: the problem made, solved, permitted, and run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import Shapes, measure
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError
from qeil_ros.models.staged.chain import Chain
from qeil_ros.models.staged.place import RUNTIMES, Place
from qeil_ros.models.staged.program import cut
from qeil_ros.models.staged.staged import Staged
from qeil_ros.models.stages import Block, blocks
from qeil_ros.planning.placement import pareto
from qeil_ros.planning.placement.devices import as_devices
from qeil_ros.planning.placement.exact import Objective
from qeil_ros.planning.placement.greedy import homogeneous
from qeil_ros.planning.placement.live import Reallocator
from qeil_ros.planning.placement.problem import Limits, Link, Problem
from qeil_ros.safety.health import Health
from qeil_ros.safety.placement import permit_placement

from ..plan.run import find_device
from .here import default_places, measured
from .keeper import Keeper, Sensed, SharedHealth
from .problem import best, layers, load_graph, solver
from .show import Shown

__all__ = ["Placing", "noise", "prepare"]

Step = Callable[[str, int, int], None]
_LOOK_S = 0.5
_OBJECTIVES = {"energy": Objective(1.0, 0.0), "latency": Objective(0.0, 1.0)}


@dataclass(frozen=True)
class Placing:
    """A network and the devices to place it on. `places`: empty where the devices are not here."""

    model: str
    graph: Graph
    shapes: Shapes
    chain: Sequence[Block]
    problem: Problem
    places: tuple[Place, ...] = ()
    watts_known: bool = True
    notes: tuple[str, ...] = ()

    def shown(self, method: str, minimise: str, with_homogeneous: bool) -> Shown:
        """The placement found. Raises Refused: none is within the limits."""
        objective = _OBJECTIVES[minimise]
        front = pareto.search(self.problem) if method == "pareto" else []
        assignment = best(front, objective) if front else solver(method, objective)(self.problem)
        self.problem.check(assignment)
        return Shown(
            self.model,
            method,
            self.problem,
            self.chain,
            assignment,
            self.watts_known,
            homogeneous(self.problem) if with_homogeneous else {},
            front,
            notes=self.notes,
        )

    def run(self, shown: Shown, minimise: str, frames: int, in_process: bool, step: Step) -> Shown:
        """The same with what a run measured.

        Raises:
            ModelError: the devices are not here, a section cannot be loaded, or safety does not permit it.
        """
        if not self.places:
            raise ModelError("--run: these devices are not here; give --devices as RUNTIME[:DEVICE][@CORES]")
        health = SharedHealth(Health([place.name for place in self.places]))
        sense = Sensed(self.places)
        limits = self.problem.limits
        permission = permit_placement(
            self.problem, shown.assignment, limits, health.conditions(sense(), time.monotonic())
        )
        if not permission:
            raise ModelError(f"safety does not permit this placement: {permission.reason}")
        image = noise(self.shapes, self.graph)
        assignment = shown.assignment[0].tolist()
        whole = Runtime(_serialized(self.graph), name=self.model, threads=self._threads(assignment))
        expected = whole.run_all({self.graph.image: image}, self.graph.outputs)
        if in_process:
            chain = Chain(cut(self.graph, self.shapes, self.chain, assignment), self.places)
            given = chain.run(image)
            taken = _times(lambda: chain.run(image), frames, step)
            run = {"permitted": True, "faults": [], "changes": []}
            sections = chain.section_s
        else:
            with Staged(
                self.graph, self.shapes, self.chain, self.places, assignment, health=health
            ) as staged:
                given = staged.run(image)
                keeper = Keeper(
                    staged,
                    self.problem,
                    limits,
                    health,
                    Reallocator(solver(shown.method, _OBJECTIVES[minimise]), _OBJECTIVES[minimise]),
                    sense,
                )
                taken = _kept(keeper, lambda: staged.run(image), frames, step)
                sections = staged.crew.section_s
                run = {
                    "permitted": bool(keeper.permission),
                    "veto": keeper.permission.reason,
                    "faults": [vars(fault) for fault in staged.faults],
                    "changes": [
                        {"assignment": change.assignment[0].tolist(), "reason": change.reason}
                        for change in keeper.changes
                    ],
                }
                shown = replace(shown, assignment=np.array([staged.assignment], np.intp))
        whole_s = _times(
            lambda: whole.run_all({self.graph.image: image}, self.graph.outputs), min(frames, 50), step
        )
        worst, largest = difference(given, expected)
        run |= {
            "frames": len(taken),
            "latency_s": float(np.median(taken)),
            "latency_p99_s": float(np.percentile(taken, 99)),
            "whole_s": float(np.median(whole_s)),
            "difference": worst,
            "relative_difference": worst / largest if largest else 0.0,
        }
        return replace(shown, run=run, measured_s=sections)

    def _threads(self, assignment: Sequence[int]) -> int:
        return max(self.places[index].thread_count for index in set(assignment))


def prepare(
    model: str,
    part: str,
    devices: Sequence[str],
    watts: Mapping[str, float],
    memory_bytes: Mapping[str, float],
    precision: str,
    limits: Limits,
    least_share: float,
    step: Step,
) -> Placing:
    """The network read and the devices known, those that are here timed.

    Raises:
        ModelError: the network cannot be read, cut or run on a place. FileError: no such machine.
        ValueError: devices that do not go together, or a record without a figure that it takes.
    """
    step("reading the network", 0, 1)
    graph, name = load_graph(model, part)
    shapes = measure(graph)
    chain = blocks(graph, shapes, least_share=least_share)
    here = [entry for entry in devices if _is_place(entry)]
    if here and len(here) < len(devices):
        other = next(entry for entry in devices if not _is_place(entry))
        raise ValueError(f"--devices {other}: machines of a file and places of this one do not mix")
    if devices and not here:
        if len(devices) > 1:
            raise ValueError(f"--devices {', '.join(devices)}: give one machine at a time")
        return _elsewhere(name, graph, shapes, chain, devices[0], precision, limits, watts, memory_bytes)
    places = [_place(entry) for entry in here] or default_places()
    names = [place.name for place in places]
    if len(set(names)) != len(names):
        raise ValueError(f"--devices {', '.join(names)}: want different names, as in a=onnxruntime@0")
    _known(names, watts, memory_bytes)
    found = measured(
        graph,
        shapes,
        chain,
        places,
        watts=watts,
        memory_bytes=memory_bytes,
        limits=limits,
        progress=step,
    )
    notes = [] if found.watts_known else ["No --power: energy counts a busy core as 1 W (core seconds)."]
    return Placing(name, graph, shapes, chain, found.problem, tuple(places), found.watts_known, tuple(notes))


def noise(shapes: Shapes, graph: Graph, seed: int = 0) -> NDArray[Any]:
    """An image of noise as the network takes it."""
    tensor = shapes.tensors[graph.image]
    rng = np.random.default_rng(seed)
    if np.issubdtype(np.dtype(tensor.dtype), np.integer):
        return rng.integers(0, 128, tensor.shape).astype(tensor.dtype)
    return rng.random(tensor.shape).astype(tensor.dtype)


def difference(given: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> tuple[float, float]:
    """The largest difference of any output, and the largest value. ModelError: shapes differ."""
    for mine, theirs in zip(given, expected, strict=True):
        if mine.shape != theirs.shape:
            raise ModelError(f"the placed network gives {mine.shape}, the uncut one {theirs.shape}")
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(given, expected, strict=True)]
    worst = max(float(np.abs(a - b).max(initial=0.0)) for a, b in pairs)
    return worst, max(float(np.abs(b).max(initial=0.0)) for _, b in pairs)


def _elsewhere(
    name: str,
    graph: Graph,
    shapes: Shapes,
    chain: Sequence[Block],
    machine: str,
    precision: str,
    limits: Limits,
    watts: Mapping[str, float],
    memory_bytes: Mapping[str, float],
) -> Placing:
    found = find_device(machine)
    if not found.devices:
        raise ValueError(f"--devices {machine}: {found.name} lists no devices for placements")
    fitting = [r for r in found.devices if precision in r.flops_s or r.peak(precision) is not None]  # type: ignore[arg-type]
    if not fitting:
        raise ValueError(f"--precision {precision}: no device of {found.name} says how fast it is in that")
    known = as_devices(fitting, precision)  # type: ignore[arg-type]
    _known([device.name for device in known], watts, memory_bytes)
    placed = tuple(
        replace(
            device,
            power_w=watts.get(device.name, device.power_w),
            memory_bytes=memory_bytes.get(device.name, device.memory_bytes),
        )
        for device in known
    )
    left = [record.name for record in found.devices if record not in fitting]
    notes = [f"Predicted by the roofline of the records of {found.name}, in {precision}."]
    notes += [f"Left out, no speed in {precision}: {', '.join(left)}."] if left else []
    link = found.wire.link() if found.wire else Link()
    problem = Problem(layers(chain), placed, (1.0,), link, limits)
    return Placing(name, graph, shapes, chain, problem, notes=tuple(notes))


def _known(names: Sequence[str], *figures: Mapping[str, float]) -> None:
    if wrong := [name for given in figures for name in given if name not in names]:
        raise ValueError(f"no device {wrong[0]!r}; there are {', '.join(names)}")


def _is_place(entry: str) -> bool:
    return entry.rpartition("=")[2].replace("@", ":").partition(":")[0] in RUNTIMES


def _place(entry: str) -> Place:
    name, _, text = entry.rpartition("=")
    return Place.parse(text, name)


def _serialized(graph: Graph) -> bytes:
    return bytes(graph.model.SerializeToString())


def _times(work: Callable[[], object], count: int, step: Step) -> list[float]:
    found = []
    for number in range(count):
        start_s = time.perf_counter()
        work()
        found.append(time.perf_counter() - start_s)
        step("running", number + 1, count)
    return found


def _kept(keeper: Keeper, work: Callable[[], object], count: int, step: Step) -> list[float]:
    """The same while a keeper looks every half second; ends early where it does not permit to go on."""
    found: list[float] = []
    looked_s = time.monotonic()
    while len(found) < count and keeper.permission:
        start_s = time.perf_counter()
        work()
        found.append(time.perf_counter() - start_s)
        step("running", len(found), count)
        if time.monotonic() - looked_s >= _LOOK_S:
            looked_s = time.monotonic()
            keeper.look(looked_s)
    if not found:
        raise ModelError(f"safety does not permit this placement to run: {keeper.permission.reason}")
    return found
