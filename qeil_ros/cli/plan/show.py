"""What `qeil plan` prints: the frontier, the point that was chosen, what binds, what is not certain."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qeil_ros.planning.frontier import thinned
from qeil_ros.planning.joint import Move
from qeil_ros.planning.plan_file import split_of
from qeil_ros.planning.planner import OperatingPoint

from .layers import show_layers
from .run import Found

__all__ = ["show"]


def show(found: Found, *, rows: int, explain: bool, output: Path | None) -> None:
    """Prints it."""
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(_table(found, rows))
    point = found.plan.point
    if point is None:
        console.print(f"[bold red]No point keeps the promise.[/] {escape(_binding(found))}")
    else:
        console.print(f"[bold]Chosen[/]: {escape(_sentence(found, point))}")
        console.print(escape(_binding(found)))
        if hint := _hint(found):
            console.print(escape(hint))
    if explain:
        _explain(console, found)
    if found.layers is not None:
        show_layers(console, found.layers, point.weight_bits if point is not None else 0)
    for note in found.notes:
        console.print(escape(note), style="yellow")
    if output is not None:
        written = f"Written to {output}." if point is not None else f"{output} was not written."
        console.print(escape(written))


def _table(found: Found, rows: int) -> Table:
    point, measure = found.plan.point, found.planned.measure
    rate_hz = point.rate_hz if point is not None else found.goals.rates_hz[-1]
    drawn = Table(
        title=f"{found.folder.name} on {found.agent.name}, served by {found.server.name}; at {rate_hz:g} Hz, "
        f"{found.link.rate_bytes_s * 8e-6:g} Mbit/s, {found.link.round_trip_s * 1e3:g} ms"
        + (f", {found.load.alike + 1} robots" if found.load.alike else ""),
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    several = len(found.machines.profiles) > 1
    headings = ["", "split", "answered by", "weights", "features", *(["clock"] if several else [])]
    for heading in headings:
        drawn.add_column(heading, no_wrap=True)
    numbers = [measure.score.replace("_", " "), "delay [ms]", "bytes"]
    for heading in [*numbers, *(["robot [mJ]", "all [mJ]"] if found.energy_known else [])]:
        drawn.add_column(escape(heading), justify="right", no_wrap=True)
    drawn.add_column("")
    for entry in thinned(found.frontier, rows, point):
        keeps = found.keeps(entry)
        cells = [
            "->" if entry == point else "",
            split_of(entry.split),
            "server" if entry.offboard else "robot",
            str(entry.weight_bits or "stored"),
            str(entry.feature_bits or ""),
            *([entry.profile] if several else []),
            f"{found.quality(entry):.3f}",
            f"{entry.predicted.delay_s * 1e3:.2f}",
            f"{entry.predicted.payload_bytes:.0f}",
        ]
        if found.energy_known:
            cells += [f"{entry.predicted.robot_j * 1e3:.3g}", f"{entry.energy_j * 1e3:.3g}"]
        style = "bold green" if entry == point else None if keeps else "dim"
        drawn.add_row(*cells, "" if keeps else "breaks " + " and ".join(_broken(found, entry)), style=style)
    return drawn


def _broken(found: Found, point: OperatingPoint) -> list[str]:
    goals = found.goals
    broken = {
        "T0": point.predicted.delay_s > goals.delay_s,
        "E0": point.energy_j > goals.energy_j,
        "the bandwidth": point.predicted.payload_bytes * point.rate_hz > goals.bytes_s,
    }
    return [name for name, breaks in broken.items() if breaks]


def _sentence(found: Found, point: OperatingPoint) -> str:
    taken, measure = point.predicted, found.planned.measure
    score = measure.score.replace("_", " ")
    parts = f"{taken.agent_s * 1e3:.2f} ms on the robot"
    if point.offboard:
        parts += f", {taken.link_s * 1e3:.2f} on the link, {taken.server_s * 1e3:.2f} on the server"
    energy = f"; {point.energy_j * 1e3:.3g} mJ a frame" if found.energy_known else "; energy not known"
    return (
        f"{_bits(point.split, point.weight_bits, point.feature_bits)}, at {point.rate_hz:g} Hz: {score} "
        f"{found.quality(point):.3f}, {taken.delay_s * 1e3:.2f} ms ({parts}){energy}."
    )


def _binding(found: Found) -> str:
    """What binds, and by how much it must move."""
    if found.moves:
        return f"What binds is the {_move(found, found.moves[0])}"
    if found.plan.point is None:
        reason = found.plan.reason
        return f"{reason[:1].upper()}{reason[1:]}."
    return "No limit alone costs any measured quality."


def _hint(found: Found) -> str:
    """That less would have done, where it would."""
    other = found.cheaper
    if other is None:
        return ""
    energy = f", {other.energy_j * 1e3:.3g} mJ" if found.energy_known else ""
    return (
        f"On these pictures {_bits(other.split, other.weight_bits, other.feature_bits)} scored the same "
        f"({other.predicted.delay_s * 1e3:.2f} ms{energy}); --tolerance takes the cheapest of equals."
    )


def _move(found: Found, move: Move) -> str:
    measure, best = found.planned.measure, found.plan.point
    instead = f" instead of {found.quality(best):.4f}" if best is not None else ""
    limit = move.resource
    score = measure.score.replace("_", " ")
    return (
        f"{limit.name}: with {move.needed:.4g} {limit.unit} instead of {limit.limit:.4g} "
        f"({_percent(move.factor)}) {_what(found, move)} would give {score} "
        f"{found.admitted(move):.4f}{instead}."
    )


def _what(found: Found, move: Move) -> str:
    """The point that a moved limit would admit."""
    then = move.point
    clock = f", clock {then.profile}," if len(found.machines.profiles) > 1 else ""
    return _bits(then.split, then.weight_bits, then.feature_bits) + clock


def _bits(split: str, weight_bits: int, feature_bits: int) -> str:
    weights = f"weights of {weight_bits} bits" if weight_bits else "weights as stored"
    how = f"features of {feature_bits} bits" if split == split_of(split) else "the robot alone"
    return f"{split_of(split)}, {weights}, {how}"


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):+.1f} %" if factor < 10 else f"{factor:.3g} times as much"


def _explain(console: Any, found: Found) -> None:
    plan, goals = found.plan, found.goals
    point = plan.point
    if point is not None:
        drawn = Table(title="The promise", title_justify="left", box=box.SIMPLE, pad_edge=False)
        for heading in ("limit", "promised", "taken", "used"):
            drawn.add_column(heading, justify="left" if heading == "limit" else "right")
        for name, unit, limit, value in (
            ("delay", "s", goals.delay_s, point.predicted.delay_s),
            ("energy", "J", goals.energy_j, point.energy_j),
            ("bytes", "B/s", goals.bytes_s, point.predicted.payload_bytes * point.rate_hz),
        ):
            free = not math.isfinite(limit)
            known = name != "energy" or found.energy_known
            drawn.add_row(
                name,
                "no limit" if free else f"{limit:.4g} {unit}",
                f"{value:.4g} {unit}" if known else "not known",
                "" if free else f"{100 * value / limit:.0f} %",
            )
        console.print(drawn)
    for move in found.moves[1:]:
        console.print(escape(f"Moved alone, the {_move(found, move)}"))
    for other in plan.alternatives:
        console.print(escape(f"Next best: {_sentence(found, other)}"))
