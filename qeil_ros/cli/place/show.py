"""A placement shown: its sections with predicted and measured times, what else there would be."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from qeil_ros.models.stages import Block
from qeil_ros.planning.placement.pareto import Placed
from qeil_ros.planning.placement.problem import Assignment, Outcome, Problem

__all__ = ["Shown", "facts", "sections", "view"]


@dataclass(frozen=True)
class Row:
    """Consecutive blocks on one device. `measured_s`: of each run section; None: it was not run."""

    device: str
    first: str
    last: str
    blocks: int
    flops: float
    weight_bytes: int
    predicted_s: float
    measured_s: float | None = None


@dataclass(frozen=True)
class Shown:
    """Everything that is told of a placement.

    Attributes:
        watts_known: energies are joules; else core seconds.
        run: figures of a measured run; empty: there was none.
    """

    model: str
    method: str
    problem: Problem
    chain: Sequence[Block]
    assignment: Assignment
    watts_known: bool = True
    homogeneous: Mapping[str, Outcome] = field(default_factory=dict)
    front: Sequence[Placed] = ()
    measured_s: Sequence[float] = ()
    run: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def outcome(self) -> Outcome:
        return self.problem.outcome(self.assignment)

    @property
    def unit(self) -> str:
        return "J" if self.watts_known else "core s"


def sections(shown: Shown) -> list[Row]:
    """The placement's sections in the order in which they run."""
    times = shown.problem.tables.time_s[0]
    measured: list[float | None] = list(shown.measured_s)
    rows: list[Row] = []
    for place, group in itertools.groupby(enumerate(shown.assignment[0].tolist()), key=lambda pair: pair[1]):
        members = [index for index, _ in group]
        inside = [shown.chain[index] for index in members]
        rows.append(
            Row(
                shown.problem.devices[place].name,
                inside[0].name,
                inside[-1].name,
                len(inside),
                float(sum(block.flops for block in inside)),
                sum(block.weight_bytes for block in inside),
                float(times[members, place].sum()),
                measured[len(rows)] if measured else None,
            )
        )
    return rows


def view(shown: Shown) -> Group:
    """For people."""
    parts: list[RenderableType] = [_sections(shown)]
    if shown.homogeneous or shown.front:
        parts.append(_others(shown))
    if shown.run:
        parts.append(_run(shown))
    return Group(*parts, *(Text(note) for note in shown.notes))


def _sections(shown: Shown) -> Table:
    table = Table(
        title=f"{shown.model}: {len(shown.chain)} blocks, placed by {shown.method}",
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    table.add_column("device", no_wrap=True)
    table.add_column("blocks", no_wrap=True)
    for heading in ("MFLOP", "MB weights", "predicted ms", "measured ms"):
        table.add_column(heading, justify="right")
    for row in sections(shown):
        table.add_row(
            row.device,
            f"{row.first} to {row.last} ({row.blocks})" if row.blocks > 1 else row.first,
            f"{row.flops / 1e6:.1f}",
            f"{row.weight_bytes / 1e6:.2f}",
            f"{1e3 * row.predicted_s:.3g}",
            "" if row.measured_s is None else f"{1e3 * row.measured_s:.3g}",
        )
    outcome = shown.outcome
    whole = shown.run.get("latency_s")
    table.add_section()
    table.add_row(
        "a frame",
        f"{outcome.energy_j:.3g} {shown.unit}, {outcome.idle_share:.0%} of the devices' peak unused",
        "",
        "",
        f"{1e3 * outcome.latency_s:.3g}",
        "" if whole is None else f"{1e3 * whole:.3g}",
    )
    return table


def _others(shown: Shown) -> Table:
    table = Table(title="Beside it", title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("placement", no_wrap=True)
    for heading in ("latency ms", f"energy {shown.unit}", "unused"):
        table.add_column(heading, justify="right")
    rows = [(f"all on {name}", outcome) for name, outcome in shown.homogeneous.items()]
    rows += [(f"front: {_in_words(shown, placed.assignment)}", placed.outcome) for placed in shown.front]
    for name, outcome in rows:
        table.add_row(
            name, f"{1e3 * outcome.latency_s:.3g}", f"{outcome.energy_j:.3g}", f"{outcome.idle_share:.0%}"
        )
    return table


def _in_words(shown: Shown, assignment: Assignment) -> str:
    return " > ".join(
        f"{shown.problem.devices[place].name} {len(list(group))}"
        for place, group in itertools.groupby(assignment[0].tolist())
    )


def _run(shown: Shown) -> Text:
    run = shown.run
    lines = [
        f"Run {run['frames']} times on noise: {1e3 * run['latency_s']:.3g} ms (p99 "
        f"{1e3 * run['latency_p99_s']:.3g}), predicted {1e3 * shown.outcome.latency_s:.3g} ms; the uncut "
        f"network by onnxruntime {1e3 * run['whole_s']:.3g} ms.",
        f"Beside the uncut network: largest difference {run['difference']:.3g}, "
        f"{run['relative_difference']:.3g} of the largest value.",
    ]
    lines += [f"{fault['place']} failed: {fault['reason']}" for fault in run["faults"]]
    lines += [f"Changed to {change['assignment']}: {change['reason']}" for change in run["changes"]]
    return Text("\n".join(lines))


def facts(shown: Shown) -> dict[str, Any]:
    """For programs."""
    return {
        "model": shown.model,
        "method": shown.method,
        "energy_unit": shown.unit,
        "assignment": shown.assignment[0].tolist(),
        "devices": [device.name for device in shown.problem.devices],
        "sections": [vars(row) for row in sections(shown)],
        "predicted": _figures(shown.outcome),
        "homogeneous": {name: _figures(outcome) for name, outcome in shown.homogeneous.items()},
        "front": [
            {"assignment": placed.assignment[0].tolist(), **_figures(placed.outcome)}
            for placed in shown.front
        ],
        "run": dict(shown.run) or None,
        "notes": list(shown.notes),
    }


def _figures(outcome: Outcome) -> dict[str, Any]:
    return {
        "latency_s": outcome.latency_s,
        "energy": outcome.energy_j,
        "beat_s": outcome.beat_s,
        "idle_share": outcome.idle_share,
        "memory_bytes": np.asarray(outcome.memory_bytes).tolist(),
        "busy_s": np.asarray(outcome.busy_s).tolist(),
    }
