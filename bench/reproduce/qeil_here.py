"""The same on this machine: a network on each of its devices alone, and placed by each method, measured."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.cli.place.problem import solver
from qeil_ros.cli.place.work import Placing, difference, noise, prepare
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.staged.chain import Chain
from qeil_ros.models.staged.program import cut
from qeil_ros.planning.placement.exact import ENERGY, Objective
from qeil_ros.planning.placement.problem import Assignment, Limits
from qeil_ros.platform.energy import energy_meter

from ..data import data_dir
from ..harness import Result, at_most, figure, input_file, median
from ..progress import Tell
from ..ros import BenchError
from .qeil_effort import Effort
from .section import Grid, Section

__all__ = ["inputs", "run"]

NETWORK = "weights/squeezenet_v1.1.onnx"
SHIPPED = "tabletop"
CORE_W = 10.0
"""Of a busy core, where nothing measures energy: joules are then modelled, their ratios are not."""
TOLERANCE = 1e-3
"""Of the largest value, between runtimes."""
METHODS: Mapping[str, Objective] = {"printed": ENERGY, "greedy": ENERGY, "exact": ENERGY, "pareto": ENERGY}
TITLES = {
    "printed": "algorithm 1 as printed",
    "greedy": "algorithm 1 corrected",
    "exact": "best pipeline, by energy",
    "pareto": "least energy on the Pareto front",
}


@dataclass
class _Row:
    """A placement: what was predicted and what was measured of a frame."""

    title: str
    placed: Assignment
    predicted_s: float
    predicted_j: float
    times_s: list[float]
    energy_j: float = 0.0

    @property
    def latency_s(self) -> float:
        return median(self.times_s)

    @property
    def mean_j(self) -> float:
        return self.energy_j / len(self.times_s)

    @property
    def error_percent(self) -> float:
        return 100 * (self.predicted_s / self.latency_s - 1)


def inputs() -> list[dict[str, str]]:
    """The network that is run, where it is a recorded one."""
    file = _recorded()
    return [input_file(file)] if file is not None else []


def run(effort: Effort, tell: Tell) -> Section:
    """Placements take turns, so that what drifts drifts for all."""
    rounds, frames = (6, 5) if effort.quick else (25, 10)
    recorded = _recorded()
    # Two runtimes stand for two devices where the machine has one; a thread each, so that joules compare.
    # OpenVINO does not take the shipped network in pieces.
    second = "openvino" if recorded is not None and find_spec("openvino") else "onnxruntime"
    places = ["first=onnxruntime", f"second={second}"]
    watts = {entry.partition("=")[0]: CORE_W for entry in places}
    placing = prepare(
        str(recorded or SHIPPED),
        "agent",
        places,
        watts,
        {},
        "fp32",
        Limits(),
        0.02,
        lambda what, done, total: None,
    )
    rows = _rows(placing)
    image = noise(placing.shapes, placing.graph)
    chains = [
        Chain(cut(placing.graph, placing.shapes, placing.chain, row.placed[0].tolist()), placing.places)
        for row in rows
    ]
    whole = Runtime(bytes(placing.graph.model.SerializeToString()), name=placing.model, threads=1)
    expected = whole.run_all({placing.graph.image: image}, placing.graph.outputs)
    apart = []
    for chain in chains:
        worst, largest = difference(chain.run(image), expected)
        apart.append(worst / largest if largest else 0.0)
    meter = energy_meter(CORE_W)
    assert meter is not None  # a core's power is given
    try:
        for turn in range(rounds):
            for row, chain in zip(rows, chains, strict=True):
                before_j = meter.read()
                row.times_s += _times(chain, image, frames)
                row.energy_j += meter.read() - before_j
            tell(turn + 1, rounds)
    finally:
        meter.close()
    return _section(placing, rows, apart, f"{meter.source}, {meter.quality.name.lower()}")


def _recorded() -> Path | None:
    try:
        file = data_dir() / NETWORK
    except BenchError:
        return None
    return file if file.is_file() else None


def _rows(placing: Placing) -> list[_Row]:
    problem = placing.problem
    alone = {
        f"all on {device.name}": np.full(problem.shape, index) for index, device in enumerate(problem.devices)
    }
    placed = {TITLES[name]: solver(name, objective)(problem) for name, objective in METHODS.items()}
    rows = []
    for title, assignment in {**alone, **placed}.items():
        outcome = problem.outcome(assignment)
        rows.append(_Row(title, assignment, outcome.latency_s, outcome.energy_j, []))
    return rows


def _times(chain: Chain, image: NDArray[Any], count: int) -> list[float]:
    found = []
    for _ in range(count):
        start_s = time.perf_counter()
        chain.run(image)
        found.append(time.perf_counter() - start_s)
    return found


def _section(placing: Placing, rows: Sequence[_Row], apart: Sequence[float], energy: str) -> Section:
    problem = placing.problem
    alone, found = rows[: len(problem.devices)], rows[len(problem.devices) :]
    standard = alone[0]
    best = min(alone, key=lambda row: row.mean_j)
    exact = next(row for row in found if row.title == TITLES["exact"])
    errors = [abs(row.error_percent) for row in rows]
    saving = 100 * (1 - exact.mean_j / standard.mean_j)
    predicted = 100 * (1 - exact.predicted_j / standard.predicted_j)
    said = (
        f"Measured here, the best pipeline by measured times saves {saving:.1f} % of the energy of all on "
        f"{standard.title.removeprefix('all on ')} ({predicted:.1f} % predicted; below 0: it takes more), "
        f"and {100 * (1 - exact.mean_j / best.mean_j):.1f} % of that of the better device alone."
    )
    names = " and ".join(f"{place.name} ({place.runtime})" for place in placing.places)
    results: list[Result] = [
        figure("here_saving_exact", saving, "%"),
        figure("here_saving_exact_predicted", predicted, "%"),
        figure("here_saving_exact_against_best_device", 100 * (1 - exact.mean_j / best.mean_j), "%"),
        figure("here_prediction_error_median", median(errors), "%"),
        figure("here_prediction_error_worst", max(errors), "%"),
        at_most("here_placed_equals_whole", max(apart), "of the largest value", TOLERANCE),
    ]
    return Section(
        "here",
        "Standard against energy-aware on this machine, measured",
        f"{placing.model}, {len(placing.chain)} blocks, on {names}: each one thread of the same processor, "
        "so the two differ by how fast their kernels are. Every block was timed by itself on each of them; "
        f"the placements follow from that, and then take turns, {len(standard.times_s)} frames each. Energy: "
        f"{energy}.",
        results=results,
        agrees=[said] if saving > 0 else [],
        differs=[] if saving > 0 else [said],
        tables=[
            Grid(
                "A frame",
                [
                    "placement", "sections", "latency, predicted [ms]", "measured [ms]", "%",
                    "energy, predicted [J]", "measured [J]", "difference from the whole",
                ],
                [_cells(row, each) for row, each in zip(rows, apart, strict=True)],
            )
        ],
        data={
            "rows": [
                {
                    "title": row.title,
                    "placed": row.placed[0].tolist(),
                    "predicted_s": row.predicted_s,
                    "measured_s": row.latency_s,
                    "predicted_j": row.predicted_j,
                    "measured_j": row.mean_j,
                }
                for row in rows
            ]
        },
        figure="Latency and energy of a frame: predicted (pale) and measured.",
    )  # fmt: skip


def _cells(row: _Row, apart: float) -> list[object]:
    sections = sum(1 for _ in itertools.groupby(row.placed[0]))
    return [
        row.title,
        sections,
        1000 * row.predicted_s,
        1000 * row.latency_s,
        f"{row.error_percent:+.1f}",
        row.predicted_j,
        row.mean_j,
        f"{apart:.1e}",
    ]
