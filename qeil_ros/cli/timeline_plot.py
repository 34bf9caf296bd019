"""The picture of `qeil timeline`: one row each for mode, temperatures, power, link, point and answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from .errors import CliError
from .timeline_read import Track

__all__ = ["draw"]

# Distinguishable for colour-blind readers (Okabe and Ito).
_MODES = {"nominal": "#009E73", "constrained": "#F0E442", "local": "#E69F00", "hold": "#D55E00"}
_LINKS = {"unknown": "#999999", "up": "#009E73", "degraded": "#F0E442", "down": "#D55E00"}
_ANSWERS = {"offboard": "#0072B2", "local": "#E69F00", "none": "#D55E00"}
_FEWEST_S = 1.0
_LEAST_STEP_S, _MOST_STEPS = 1.0, 240
_GAP_S = 5.0


def draw(track: Track, path: Path) -> None:
    """Writes the picture; its format is the file name's. CliError where it cannot be written."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [(row, height) for row, height, there in _ROWS if any(map(there, track.statuses))]
    heights = [height for _, height in rows]
    size = (11, 1.5 * sum(heights) + 0.5)
    figure, panels = pyplot.subplots(
        len(rows), 1, figsize=size, sharex=True, height_ratios=heights, layout="constrained"
    )
    try:
        for (row, _), axes in zip(rows, panels, strict=True):
            row(axes, track)
            axes.grid(axis="x", alpha=0.3)
        panels[0].set_title(f"{track.topic}, {len(track.statuses)} statuses", fontsize=10)
        panels[-1].set_xlabel("time [s]")
        panels[-1].set_xlim(0, max(track.times_s[-1], _FEWEST_S))
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise CliError(f"cannot draw to {str(path)!r}: {error}") from error
    finally:
        pyplot.close(figure)


def _modes(axes: Any, track: Track) -> None:
    _bands(axes, track, lambda status: status["mode"], _MODES, 1.0)
    axes.set_yticks([])
    axes.set_ylabel("mode")
    for time_s, _ in track.notes:
        axes.axvline(time_s, color="black", linewidth=0.8, linestyle=":")


def _temperatures(axes: Any, track: Track) -> None:
    for name in _names(track, "temperature"):
        _line(axes, track, partial(_reading, name), name.partition("/")[2])
    _line(
        axes,
        track,
        lambda status: status["forecast"]["temperature_c"],
        "hottest, forecast",
        color="black",
        linestyle=":",
    )
    axes.set_ylabel("temperature [C]")
    _legend(axes)


def _power(axes: Any, track: Track) -> None:
    _line(axes, track, partial(_reading, "power/total"), "power")
    axes.set_ylabel("power [W]")
    axes.set_ylim(bottom=0)
    if any(status["energy_left_j"] is not None for status in track.statuses):
        right = axes.twinx()
        _line(right, track, lambda status: status["energy_left_j"], "energy left", color="#CC79A7")
        right.set_ylabel("energy left [J]")
        _legend(right, 0.6)
    _legend(axes)


def _link(axes: Any, track: Track) -> None:
    _bands(axes, track, lambda status: status["link"]["state"], _LINKS, 0.15)
    _line(axes, track, lambda status: _times(status["link"]["bytes_s"], 1e-3), "capacity", color="#0072B2")
    axes.set_ylabel("link [kB/s]")
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    _line(
        right,
        track,
        lambda status: _times(status["link"]["round_trip_s"], 1e3),
        "round trip",
        color="#CC79A7",
    )
    right.set_ylabel("round trip [ms]")
    right.set_ylim(bottom=0)
    _legend(axes)
    _legend(right, 0.6)


def _frame(axes: Any, track: Track) -> None:
    delay = {kind: partial(_delay_ms, kind) for kind in ("predicted", "measured")}
    _line(axes, track, delay["measured"], "delay, measured", color="#0072B2")
    _line(axes, track, delay["predicted"], "predicted", color="black", linestyle=":")
    axes.set_ylabel("a frame's delay [ms]")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _delay_ms(kind: str, status: Any) -> float | None:
    return _times(status["frame"]["delay_s"][kind], 1e3)


def _point(axes: Any, track: Track) -> None:
    _line(axes, track, lambda status: status["point"]["rate_hz"] or None, "rate asked", step=True)
    _line(axes, track, lambda status: status["answers"]["rate_hz"], "answers", color="#999999")
    axes.set_ylabel("rate [Hz]")
    axes.set_ylim(bottom=0)
    right = axes.twinx()
    _line(
        right,
        track,
        lambda status: status["point"]["feature_bits"] or None,
        "bits",
        step=True,
        color="#CC79A7",
    )
    right.set_ylabel("feature bits")
    right.set_ylim(0, 8.5)
    _legend(axes)
    _legend(right, 0.6)


def _answers(axes: Any, track: Track) -> None:
    """Answers a second by source, stacked, from the counters at even steps of time."""
    import numpy as np

    step_s = max(_LEAST_STEP_S, track.times_s[-1] / _MOST_STEPS)
    edges_s = np.arange(0.0, track.times_s[-1] + step_s, step_s)
    rates = []
    for name in _ANSWERS:
        counts = [status["answers"][name] for status in track.statuses]
        # A counter that falls began anew, with the fallback that keeps it.
        gains = [after - before if after >= before else after for before, after in pairwise(counts)]
        total = np.interp(edges_s, track.times_s, np.cumsum([0, *gains]))
        rates.append(np.diff(total, prepend=0.0) / step_s)
    axes.stackplot(edges_s, rates, labels=list(_ANSWERS), colors=list(_ANSWERS.values()), step="pre")
    axes.set_ylabel("answers [Hz]")
    _legend(axes)


# What is drawn, how high, and whether a status has something for it.
_ROWS: tuple[tuple[Callable[[Any, Track], None], float, Callable[[Any], bool]], ...] = (
    (_modes, 0.4, lambda status: True),
    (
        _temperatures,
        1.6,
        lambda status: any(each["name"].startswith("temperature/") for each in status["readings"]),
    ),
    (
        _power,
        1.2,
        lambda status: status["energy_left_j"] is not None or _reading("power/total", status) is not None,
    ),
    (_link, 1.2, lambda status: True),
    (_point, 1.2, lambda status: True),
    (_frame, 1.2, lambda status: status["frame"]["delay_s"]["measured"] is not None),
    (_answers, 1.2, lambda status: True),
)


def _bands(
    axes: Any, track: Track, name_of: Callable[[Any], str], colours: dict[str, str], alpha: float
) -> None:
    """A coloured band for as long as a name holds; only names that occur are in the legend."""
    named = list(zip(track.times_s, map(name_of, track.statuses), strict=True))
    ends = [*track.times_s[1:], track.times_s[-1] + _FEWEST_S]
    seen: set[str] = set()
    index = 0
    for name, group in groupby(named, key=lambda entry: entry[1]):
        count = len(list(group))
        label = name if name not in seen else None
        axes.axvspan(
            named[index][0],
            ends[index + count - 1],
            color=colours.get(name, "#999999"),
            alpha=alpha,
            label=label,
            linewidth=0,
        )
        seen.add(name)
        index += count
    _legend(axes)


def _line(
    axes: Any,
    track: Track,
    value_of: Callable[[Any], float | None],
    label: str,
    step: bool = False,
    **style: Any,
) -> None:
    """A line with gaps where nothing is known, and none at all where nothing ever was."""
    values = [math.nan if (value := value_of(status)) is None else value for status in track.statuses]
    if all(map(math.isnan, values)):
        return
    times_s = list(track.times_s)
    for index in range(len(times_s) - 1, 0, -1):
        if times_s[index] - times_s[index - 1] > _GAP_S:  # nobody was there: no line across
            times_s.insert(index, times_s[index - 1])
            values.insert(index, math.nan)
    axes.plot(
        times_s, values, label=label, linewidth=1.2, drawstyle="steps-post" if step else "default", **style
    )


def _names(track: Track, kind: str) -> Sequence[str]:
    found = {each["name"]: None for status in track.statuses for each in status["readings"]}
    return [name for name in found if name.startswith(f"{kind}/")]


def _reading(name: str, status: Any) -> float | None:
    return next((each["value"] for each in status["readings"] if each["name"] == name), None)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _legend(axes: Any, height: float = 1.0) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.09, height), fontsize=8, frameon=False)
