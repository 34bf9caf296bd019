"""Heat on recorded boards: how far forecasts miss, and what the guard makes of a limit against plain on/off.

The plants are fitted to the recordings; the guard is told nothing of them, it identifies what it controls
while it controls it. `unlike` is a plant that its model is not true of, in weather that it is not told of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qeil_ros.safety.forecast import ZoneForecast

from .data import data_dir
from .harness import Report, Result, against, at_least, at_most, figure, input_file, median, percentile
from .progress import stage
from .thermal_loop import Course, Scenario, guarded, on_off, simulate, uncontrolled
from .thermal_plant import Board, Recording, boards

DESCRIPTION = "temperature forecasts and proportional throttling on recorded boards, against on/off"

HORIZON_S = 10.0
LONGEST_GAP_S = 30.0
"""What came is interpolated between recorded rows no further apart than this."""
MOVING_C = 0.5
LIMIT_C, HOT_AMBIENT_C, HOT_FULL_C = 80.0, 40.0, 95.0
MARGIN_C = 1.0
SLOWEST_S = 600.0
"""A case with a longer time constant would not get hot within a run [s]."""
LEAST_DIE, DIE_S = 0.25, 12.0
"""What a die is above its case at least, against the case above the ambient, and its time constant [s]."""
SEED = 7


def run(quick: bool) -> Report:
    found, details = measure(quick)
    files = [input_file(path) for path in _files()]
    return Report("thermal", {"quick": quick, "seed": SEED, "limit_c": LIMIT_C, **details}, files, found)


def results(quick: bool) -> list[Result]:
    """The figures alone, for a benchmark that these are a part of."""
    return measure(quick)[0]


def measure(quick: bool) -> tuple[list[Result], dict[str, Any]]:
    """The figures, and what a plot of them needs."""
    with stage("fit the recorded boards"):
        found = boards(data_dir() / "traces" / "sbc_bench")
    figures = [*_fits(found), *_forecasts([board.recording for board in found])]
    details: dict[str, Any] = {"boards": [board.recording.name for board in found], "courses": []}
    chosen = found[:1] if quick else found
    duration_s = 600.0 if quick else 1800.0
    for name, scenario in _SCENARIOS.items():
        runs = []
        with stage(f"closed loop, {name}") as tell:
            for done, board in enumerate(chosen):
                runs.append(_run(scenario(board, duration_s)))
                tell(done + 1, len(chosen))
        figures += _compare(name, runs)
        details["courses"].append({"scenario": name, "board": chosen[0].recording.name, **_course(runs[0])})
    return figures, details


def draw(report: Report, file: Path) -> None:
    """Temperature and rate of the first board in each scenario."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    courses = report.config["courses"]
    size = (5.5 * len(courses), 6.5)
    plot, axes = pyplot.subplots(
        2, len(courses), figsize=size, sharex="col", squeeze=False, layout="constrained"
    )
    for column, course in enumerate(courses):
        upper, lower = axes[0][column], axes[1][column]
        for name, values in course["temperature_c"].items():
            upper.plot(course["time_s"], values, label=name, linewidth=1)
        for name, values in course["rate_hz"].items():
            lower.plot(course["time_s"], values, label=name, linewidth=1)
        upper.axhline(course["limit_c"], color="black", linestyle=":", linewidth=1)
        upper.set_title(f"{course['scenario']}: {course['board'].partition(': ')[2]}", fontsize=9)
        upper.set_ylabel("temperature [C]")
        lower.set(xlabel="time [s]", ylabel="frames a second permitted")
        upper.legend(fontsize=8)
    plot.savefig(file, dpi=110)
    pyplot.close(plot)


# --- open loop


def _fits(found: Sequence[Board]) -> list[Result]:
    figures = []
    for board in found:
        name = board.recording.name.partition(".")[0]
        figures += [
            figure(f"fit_{name}_rmse", board.first_rmse_c, "C"),
            figure(f"fit_{name}_rmse_two_nodes", board.second_rmse_c, "C"),
            figure(f"fit_{name}_r2", board.r2, ""),
        ]
    return figures


def open_loop(recordings: Sequence[Recording]) -> list[tuple[float, float, float]]:
    """(forecast, what came, what it was) at each row, from the rows up to it; NaN for no forecast [C]."""
    rows = []
    for recorded in recordings:
        zone = ZoneForecast(HORIZON_S)
        time_s, values = recorded.time_s, recorded.temperature_c
        for i, now_s in enumerate(time_s[:-1]):
            zone.add(values[i], recorded.load[i], "recorded", now_s)
            due_s = now_s + HORIZON_S
            if due_s <= time_s[-1] and time_s[i + 1] - now_s <= LONGEST_GAP_S:
                came_c = float(np.interp(due_s, time_s, values))
                rows.append((zone.forecast_c(HORIZON_S, now_s)[0], came_c, float(values[i])))
    return rows


def _forecasts(recordings: Sequence[Recording]) -> list[Result]:
    """Beside "it stays as it is"."""
    rows = open_loop(recordings)
    told = [row for row in rows if np.isfinite(row[0])]
    ours = [abs(ahead_c - came_c) for ahead_c, came_c, _ in told]
    still = [abs(was_c - came_c) for _, came_c, was_c in told]
    moving = [(a, b) for a, b in zip(ours, still, strict=True) if b > MOVING_C]
    peer = "no change"
    return [
        at_most("forecast_10s_error_median", median(ours), "C", 1.0),
        _beside("forecast_10s_error_median_beside", median(ours), median(still), peer),
        _beside("forecast_10s_error_p90", percentile(ours, 90), percentile(still, 90), peer),
        _beside(
            "forecast_10s_error_moving", median(a for a, _ in moving), median(b for _, b in moving), peer
        ),
        figure("forecast_10s_moving_rows", len(moving), "rows"),
        figure("forecast_10s_rows", len(ours), "rows"),
        figure("forecast_10s_coverage", len(ours) / len(rows), ""),
    ]


def _beside(name: str, value: float, peer_value: float, peer: str) -> Result:
    return against(name, value, "C", peer, peer_value, value / peer_value)


# --- closed loop


@dataclass(frozen=True, eq=False)
class Run:
    """One scenario under each controller; `careful`: on/off with the guard's margin."""

    free: Course
    plain: Course
    careful: Course
    guarded: Course


def _run(scenario: Scenario) -> Run:
    control, _ = guarded(scenario.limit_c)
    return Run(
        simulate(scenario, uncontrolled),
        simulate(scenario, on_off(scenario.limit_c)),
        simulate(scenario, on_off(scenario.limit_c - MARGIN_C)),
        simulate(scenario, control),
    )


def _compare(name: str, runs: Sequence[Run]) -> list[Result]:
    def kept(of: Callable[[Course], float], other: str) -> list[float]:
        return [of(each.guarded) / of(getattr(each, other)) for each in runs]

    frames = kept(lambda course: course.frames, "plain")
    fresh = kept(lambda course: course.fresh, "plain")
    return [
        figure(f"{name}_over_uncontrolled", sum(each.free.over for each in runs), "samples"),
        figure(f"{name}_over_on_off", sum(each.plain.over for each in runs), "samples"),
        at_most(f"{name}_over_guarded", sum(each.guarded.over for each in runs), "samples", 0),
        figure(f"{name}_nearest_guarded", max(each.guarded.worst_c for each in runs), "C over"),
        # With the same bits a frame, bytes are as frames.
        at_least(f"{name}_frames_and_bytes_kept", median(frames), "x on/off", 0.95),
        figure(f"{name}_frames_and_bytes_kept_least", min(frames), "x on/off"),
        figure(
            f"{name}_frames_kept_same_margin",
            median(kept(lambda course: course.frames, "careful")),
            "x on/off",
        ),
        at_least(f"{name}_score_kept", median(fresh), "x on/off", 1.0),
        figure(f"{name}_score_guarded", median(each.guarded.fresh for each in runs), ""),
        figure(f"{name}_score_on_off", median(each.plain.fresh for each in runs), ""),
        figure(f"{name}_stops_guarded", sum(each.guarded.stops for each in runs), ""),
        figure(f"{name}_stops_on_off", sum(each.plain.stops for each in runs), ""),
    ]


def _course(run: Run) -> dict[str, Any]:
    """What a plot needs, every ten seconds."""
    every = slice(None, None, 50)
    named = {"uncontrolled": run.free, "on/off": run.plain, "guard": run.guarded}

    def values(of: Callable[[Course], Any]) -> dict[str, list[float]]:
        return {name: np.round(of(course)[every], 2).tolist() for name, course in named.items()}

    return {
        "limit_c": run.free.limit_c,
        "time_s": run.free.time_s[every].tolist(),
        "temperature_c": values(lambda course: course.temperature_c),
        "rate_hz": values(lambda course: course.rate_hz),
    }


def _replay(board: Board, duration_s: float) -> Scenario:
    """The recorded load is asked for, on the plant fitted to it; four fifths of the rise are allowed."""
    recorded = board.recording
    low, high = float(recorded.temperature_c.min()), float(recorded.temperature_c.max())
    start_c = float(recorded.temperature_c[0])

    def demand(time_s: float) -> float:
        row = int(np.searchsorted(recorded.time_s, time_s, "left"))
        return float(recorded.load[min(row, len(recorded.load) - 1)])

    limit_c = max(low + 0.8 * (high - low), start_c + 0.5)
    return Scenario(board.first, demand, float(recorded.time_s[-1]), start_c, limit_c, seed=SEED)


def _hot(board: Board, duration_s: float) -> Scenario:
    """Everything the board can do, all the time, in a case at 40 C in which that would end at 95 C."""
    full = board.recording.full_load
    plant = replace(board.first, ambient_c=HOT_AMBIENT_C, gain=(HOT_FULL_C - HOT_AMBIENT_C) / full)
    return Scenario(plant, lambda time_s: full, duration_s, HOT_AMBIENT_C + 2.0, LIMIT_C, seed=SEED)


def _unlike(board: Board, duration_s: float) -> Scenario:
    """The same with the two time constants that fit better, noise of half a kelvin, a step of 5 K in the
    ambient, and sun that adds another 5 K."""
    full, fitted = board.recording.full_load, board.second
    if fitted.die_gain < LEAST_DIE * fitted.gain:  # a recording too coarse to show one
        fitted = replace(fitted, die_gain=LEAST_DIE * fitted.gain, die_tau_s=DIE_S)
    scale = (HOT_FULL_C - HOT_AMBIENT_C) / ((fitted.gain + fitted.die_gain) * full)
    plant = replace(
        fitted,
        ambient_c=HOT_AMBIENT_C,
        gain=fitted.gain * scale,
        tau_s=min(fitted.tau_s, SLOWEST_S),
        die_gain=fitted.die_gain * scale,
    )

    def weather(time_s: float) -> float:
        sun = (time_s - 2 / 3 * duration_s) / (0.1 * duration_s)
        return (5.0 if time_s > duration_s / 2 else 0.0) + 5.0 * min(1.0, max(0.0, sun))

    return Scenario(
        plant,
        lambda time_s: full,
        duration_s,
        HOT_AMBIENT_C + 2.0,
        LIMIT_C,
        ambient_c=weather,
        noise_c=0.5,
        seed=SEED,
    )


_SCENARIOS: dict[str, Callable[[Board, float], Scenario]] = {
    "replay": _replay,
    "hot": _hot,
    "unlike": _unlike,
}


def _files() -> list[Path]:
    return sorted((data_dir() / "traces" / "sbc_bench").glob("*.txt"))
