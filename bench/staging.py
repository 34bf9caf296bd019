"""What it costs to run a network in stages: the difference, the time it adds, how well it was predicted.

Published networks cut in the middle: both halves on one runtime in one process; on two runtimes in one
process; on two runtimes, each in a process on a core of its own, so that one can fail without the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.cli.place.here import Here, measured
from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import Shapes, measure
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.staged.chain import Chain
from qeil_ros.models.staged.place import Place
from qeil_ros.models.staged.program import cut
from qeil_ros.models.staged.staged import Staged
from qeil_ros.models.stages import Block, blocks

from .data import data_dir
from .harness import Report, Result, against, at_most, figure, input_file, median, percentile
from .wakeups import hand_over_s

DESCRIPTION = "a network in stages on two runtimes: difference, overhead, prediction"

FILES = {"SqueezeNet": "squeezenet_v1.1.onnx", "MobileNet v2, int8": "mobilenet_v2_1.0_224_quant.onnx"}
FILE = FILES["SqueezeNet"]
MOST_DIFFERENCE = 1e-4
"""Of the largest value: two runtimes sum in another order."""
MOST_OVERHEAD = 0.05


@dataclass(frozen=True)
class Network:
    """A network as a chain of blocks."""

    path: Path
    graph: Graph
    shapes: Shapes
    chain: Sequence[Block]

    @classmethod
    def load(cls, path: Path) -> Network:
        graph = Graph.load(path)
        shapes = measure(graph)
        return cls(path, graph, shapes, blocks(graph, shapes, least_share=0.02))

    def halves(self) -> list[int]:
        """The first blocks on place 0, the others on place 1: cut where the least has to be handed over, of
        the cuts that leave each between 30 and 70 % of all work."""
        done = np.cumsum([block.flops for block in self.chain])
        near = [i for i, work in enumerate(done[:-1]) if 0.3 <= work / done[-1] <= 0.7]
        end = min(near, key=lambda i: self.chain[i].output_bytes)
        return [0 if index <= end else 1 for index in range(len(self.chain))]

    def image(self, seed: int) -> NDArray[Any]:
        tensor = self.shapes.tensors[self.graph.image]
        return np.random.default_rng(seed).random(tensor.shape).astype(tensor.dtype)


def places(runtimes: Sequence[str] = ("onnxruntime", "openvino")) -> list[Place]:
    """One core each, where there are as many."""
    cores = sorted(os.sched_getaffinity(0))
    return [
        Place(name if len(set(runtimes)) > 1 else f"{name}-{i}", name, cores=(cores[i % len(cores)],))
        for i, name in enumerate(runtimes)
    ]


def run(quick: bool) -> Report:
    """Both halves of the study for each network; the files must be there."""
    images, rounds = (4, 60) if quick else (32, 1000)
    files = {name: data_dir() / "weights" / file for name, file in FILES.items()}
    results: list[Result] = []
    config = {"quick": quick, "rounds": rounds, "images": images, "places": [each.name for each in places()]}
    for name, path in files.items():
        network = Network.load(path)
        here = measured(network.graph, network.shapes, network.chain, places(), trials=15 if quick else 101)
        found = [
            *one_runtime(network, rounds),
            *two_runtimes(network, rounds),
            *two_processes(network, here, images, rounds),
        ]
        results += [replace(result, name=f"{name}, {result.name}") for result in found]
        config[f"{name}: blocks"] = len(network.chain)
    return Report("staging", config, [input_file(path) for path in files.values()], results)


def one_runtime(network: Network, rounds: int) -> list[Result]:
    """Both halves on onnxruntime, one thread, in one process, against the uncut network."""
    image = network.image(0)
    place = Place("onnxruntime", threads=1)
    whole = Runtime(network.path, threads=1)
    feeds = {network.graph.image: image}
    chain = Chain(cut(network.graph, network.shapes, network.chain, network.halves()), [place, place])
    expected = whole.run_all(feeds, network.graph.outputs)
    cut_s, whole_s = paired(
        [lambda: chain.run(image), lambda: whole.run_all(feeds, network.graph.outputs)], rounds
    )
    overhead = median(a / b for a, b in zip(cut_s, whole_s, strict=True)) - 1
    return [
        at_most("one runtime: largest difference", _worst(chain.run(image), expected), "", 1e-6),
        figure("one runtime: latency", 1e3 * median(cut_s), "ms"),
        figure("uncut: latency", 1e3 * median(whole_s), "ms"),
        at_most("one runtime: overhead over the uncut network", 100 * overhead, "%", 100 * MOST_OVERHEAD),
    ]


def two_runtimes(network: Network, rounds: int) -> list[Result]:
    """The halves on two runtimes in one process, one thread each, against each half by itself: there is no
    uncut network on two runtimes to compare with."""
    image = network.image(0)
    program = cut(network.graph, network.shapes, network.chain, network.halves())
    here = [replace(place, cores=(), threads=1) for place in places()]
    chain = Chain(program, here)
    value, alone = image, []
    for section in program.sections:
        runtime = here[section.place].open(section.model)
        given = runtime.run_all({section.input: value}, section.outputs)
        alone.append(runtime.bound({section.input: value}, dict(zip(section.outputs, given, strict=True))))
        value = given[0]
    both_s, *each_s = paired([lambda: chain.run(image), *alone], rounds)
    overhead = median(both / sum(each) - 1 for both, *each in zip(both_s, *each_s, strict=True))
    return [
        figure("two runtimes: latency", 1e3 * median(both_s), "ms"),
        at_most("two runtimes: overhead over their halves", 100 * overhead, "%", 100 * MOST_OVERHEAD),
    ]


def two_processes(network: Network, here: Here, images: int, rounds: int) -> list[Result]:
    """The halves on two runtimes, each in its process.

    The overhead is what a frame takes over what its sections take by themselves in the same frame. Writing
    the image where the first section reads it is no part of that: an uncut network's image has to be written,
    too. What is added lies beside what the same messages take between processes that do nothing else.
    """
    assignment = network.halves()
    predicted_s = here.problem.outcome([assignment]).latency_s
    whole = Runtime(network.path, threads=1)
    worst = largest = 0.0
    with Staged(network.graph, network.shapes, network.chain, places(), assignment) as staged:
        for seed in range(images):
            image = network.image(seed)
            expected = whole.run_all({network.graph.image: image}, network.graph.outputs)
            worst = max(worst, _worst(staged.run(image), expected))
            largest = max(largest, max(float(np.abs(array).max()) for array in expected))
        image, written_s = network.image(0), [0.0]

        def write(target: NDArray[Any]) -> None:
            np.copyto(target, image)
            written_s[0] = time.perf_counter()

        overheads: list[float] = []
        added: list[float] = []
        taken: list[float] = []
        for _ in range(rounds):
            start_s = time.perf_counter()
            staged.run(write)
            end_s = time.perf_counter()
            taken.append(end_s - start_s)
            alone_s = sum(seconds for _, seconds in staged.crew.latest)
            added.append(end_s - written_s[0] - alone_s)
            overheads.append(added[-1] / alone_s)
        faults = len(staged.faults)
    integers = all(np.issubdtype(array.dtype, np.integer) for array in expected)
    latency_s, cores = median(taken), [place.cores[0] for place in places()]
    bare_s = hand_over_s(cores, latency_s / 2, rounds)
    return [
        _alike("two processes", worst, largest, integers=integers),
        figure("two processes: overhead over their sections", 100 * median(overheads), "%"),
        figure("two processes: overhead, p99", 100 * percentile(overheads, 99), "%"),
        against(
            "two processes: added",
            1e6 * median(added),
            "us",
            "bare messages",
            1e6 * bare_s,
            median(added) / bare_s,
        ),
        against(
            "two processes: latency",
            1e3 * latency_s,
            "ms",
            "predicted",
            1e3 * predicted_s,
            latency_s / predicted_s,
        ),
        figure("two processes: latency, p99", 1e3 * percentile(taken, 99), "ms"),
        at_most("two processes: faults", faults, "", 0),
    ]


def _alike(name: str, worst: float, largest: float, *, integers: bool) -> Result:
    """Two runtimes sum in another order; an output that is itself quantized may then be the next step."""
    if integers:
        return at_most(f"{name}: largest difference from the uncut network", worst, "steps of its output", 1)
    return at_most(f"{name}: largest difference over the largest value", worst / largest, "", MOST_DIFFERENCE)


def paired(works: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Times of each in turn with the others, after some rounds for warmth [s]."""
    times: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 5):
        for work, found in zip(works, times, strict=True):
            start_s = time.perf_counter()
            work()
            if number >= 5:
                found.append(time.perf_counter() - start_s)
    return times


def _worst(given: Sequence[NDArray[Any]], expected: Sequence[NDArray[Any]]) -> float:
    return max(
        float(np.abs(np.subtract(a, b, dtype=np.float64)).max()) for a, b in zip(given, expected, strict=True)
    )
