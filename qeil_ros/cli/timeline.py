"""`qeil timeline`: a flight log, or any recording of a supervisor, as a picture and in figures."""

from __future__ import annotations

import json as json_module
import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from . import timeline_read
from .timeline_read import Track

__all__ = ["register", "summary"]


def register(app: typer.Typer) -> None:
    app.command("timeline")(timeline)


def timeline(
    log: Path = typer.Argument(  # noqa: B008 the way typer works
        ..., help="Flight log file, its folder, or a recording of a supervisor's status."
    ),
    topic: str = typer.Option("", "--topic", help="Whose, where there are several: /NAMESPACE/status."),
    plot: str = typer.Option("timeline.png", "--plot", help="Where to draw it (PNG, SVG, PDF)."),
    json: str = typer.Option("", "--json", help="Write the figures here too; '-' prints them instead."),
) -> None:
    """Draw modes, temperatures, power, link, operating point and answers over time.

    Example: qeil timeline ~/flight_log --plot flight.png
    """
    from .timeline_plot import draw

    track = timeline_read.read(log, topic)
    found = summary(track)
    draw(track, Path(plot))
    text = json_module.dumps(found, indent=2)
    if json == "-":
        print(text)
        return
    if json:
        Path(json).write_text(text + "\n", encoding="utf-8")
    Console().print(table(found))
    print(f"written: {plot}" + (f", {json}" if json else ""))


def summary(track: Track) -> dict[str, Any]:
    """Shares of time, extremes and counts of a track; times in seconds since its first status."""
    statuses, times_s = track.statuses, track.times_s
    readings = _series(statuses)
    return {
        "topic": track.topic,
        "files": [path.name for path in track.sources],
        "start_s": track.start_s,
        "duration_s": times_s[-1],
        "statuses": len(statuses),
        "modes": _shares(times_s, [status["mode"] for status in statuses]),
        "strategies": _shares(times_s, [status["strategy"]["name"] for status in statuses]),
        "links": _shares(times_s, [status["link"]["state"] for status in statuses]),
        "changes": [
            {"time_s": time_s, "from": before["mode"], "to": after["mode"], "reasons": after["reasons"]}
            for time_s, (before, after) in zip(times_s[1:], pairwise(statuses), strict=True)
            if before["mode"] != after["mode"]
        ],
        "highest": {name: max(values) for name, values in readings.items() if _kind(name) == "temperature"},
        "mean_power_w": _mean(readings.get("power/total", [])),
        "energy_left_j": statuses[-1]["energy_left_j"],
        "forecast_error_c": _last(status["forecast"]["error_c"] for status in statuses),
        "answers": {name: _gained(status["answers"][name] for status in statuses) for name in _SOURCES},
        "prediction_error": {name: _error(statuses, name) for name in statuses[0]["frame"]},
        "notes": [{"time_s": time_s, "text": text} for time_s, text in track.notes],
    }


def table(found: dict[str, Any]) -> Table:
    """The summary as a person reads it."""
    rows = Table(box=None, pad_edge=False, show_header=False)
    rows.add_column(style="dim")
    rows.add_column()
    rows.add_row("time", f"{found['duration_s']:.1f} s, {found['statuses']} statuses on {found['topic']}")
    for key in ("modes", "strategies", "links"):
        rows.add_row(key, ", ".join(f"{name} {share:.1%}" for name, share in found[key].items()))
    rows.add_row("changes", str(len(found["changes"])))
    for name, value in found["highest"].items():
        rows.add_row(name, f"{value:.1f} C at most")
    if found["mean_power_w"] is not None:
        rows.add_row("power", f"{found['mean_power_w']:.4g} W on average")
    rows.add_row("answers", ", ".join(f"{count} {name}" for name, count in found["answers"].items()))
    for name, error in found["prediction_error"].items():
        if error is not None:
            rows.add_row(f"{name} predicted", f"{error:.1%} off in the median")
    return rows


_SOURCES = ("offboard", "local", "none")


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _series(statuses: Iterable[dict[str, Any]]) -> dict[str, list[float]]:
    """The values of each reading, those that there are."""
    found: dict[str, list[float]] = {}
    for status in statuses:
        for reading in status["readings"]:
            if reading["value"] is not None:
                found.setdefault(reading["name"], []).append(reading["value"])
    return found


def _shares(times_s: list[float], names: list[str]) -> dict[str, float]:
    """What share of the time each name held: until the next status said otherwise."""
    spent: Counter[str] = Counter()
    for (began_s, ended_s), name in zip(pairwise(times_s), names, strict=False):
        spent[name] += ended_s - began_s  # type: ignore[assignment]  # counts of seconds
    whole_s = sum(spent.values())
    return {name: value / whole_s for name, value in spent.most_common()} if whole_s else {names[0]: 1.0}


def _gained(counts: Iterable[int]) -> int:
    """How far a counter rose; one that falls began anew, with the fallback that keeps it."""
    return sum(after - before if after >= before else after for before, after in pairwise(counts))


def _error(statuses: Iterable[dict[str, Any]], name: str) -> float | None:
    """The median of |measured / predicted - 1|; None where one of the two was never there."""
    pairs = [(status["frame"][name]["predicted"], status["frame"][name]["measured"]) for status in statuses]
    errors = [abs(measured / predicted - 1.0) for predicted, measured in pairs if predicted and measured]
    return median(errors) if errors else None


def _mean(values: list[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _last(values: Iterable[float | None]) -> float | None:
    return next((value for value in reversed(list(values)) if value is not None), None)
