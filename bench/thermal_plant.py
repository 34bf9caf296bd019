"""Boards as thermal plants: RC networks with one and with two nodes, fitted to recorded heat traces."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from qeil_ros.platform.replay import Trace, load_sbc_bench

__all__ = ["Board", "Plant", "Recording", "boards", "recording"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recording:
    """Rows of a board's trace; `load`: busy cores times the share of the full clock, since the row before."""

    name: str
    time_s: Floats
    temperature_c: Floats
    load: Floats
    full_load: float


def recording(trace: Trace) -> Recording:
    """What a trace says about heat.

    The first row of each of sbc-bench's tables states the load of an instant, not of the time since the row
    before; the load of that row is taken instead.
    """
    clock = next(trace.columns[name] for name in ("clock/cpu", "clock/big") if name in trace.columns)
    cores = trace.columns["cpu/busy_cores"].copy()
    labels = np.array(trace.labels)
    rows = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    cores[rows] = cores[rows - 1]
    full = float(np.max(trace.columns["cpu/busy_cores"] / np.maximum(trace.columns["cpu/use"], 1e-9) * 100))
    full_hz = np.percentile(clock, 90)
    load = cores * np.minimum(1.0, clock / full_hz)
    return Recording(trace.source, trace.time_s, trace.columns["temperature/cpu"], load, full)


@dataclass(frozen=True)
class Plant:
    """Two nodes in a row: a die over a case over the ambient; `die_gain` 0 makes it one.

    Attributes:
        ambient_c, gain, tau_s: of the case: where it is without load, kelvin per unit of load, seconds.
        die_gain, die_tau_s: what the die is above the case per unit of load, and how fast.
    """

    ambient_c: float
    gain: float
    tau_s: float
    die_gain: float = 0.0
    die_tau_s: float = 1.0

    def steady(self, load: float) -> tuple[float, float]:
        """Case and die above it, with that load for ever."""
        return self.ambient_c + self.gain * load, self.die_gain * load

    def step(self, state: tuple[float, float], load: float, passed_s: float) -> tuple[float, float]:
        """Exact for a load that is constant over the step."""
        case, die = state
        case_end, die_end = self.steady(load)
        return (
            case_end + (case - case_end) * float(np.exp(-passed_s / self.tau_s)),
            die_end + (die - die_end) * float(np.exp(-passed_s / self.die_tau_s)),
        )

    def run(self, time_s: Floats, load: Floats, start_c: float) -> Floats:
        """The temperature at each time; `load[i]` holds from `time_s[i - 1]` to `time_s[i]`."""
        die = self.die_gain * load[0]
        state, found = (start_c - die, die), [start_c]
        for passed_s, value in zip(np.diff(time_s), load[1:], strict=True):
            state = self.step(state, value, passed_s)
            found.append(sum(state))
        return np.array(found)


@dataclass(frozen=True, eq=False)
class Board:
    """A recorded board and the plants fitted to it.

    Attributes:
        first, second: with one and with two time constants.
        first_rmse_c, second_rmse_c: root mean square of what they miss the recording by [K].
        r2: share of the recording's variance that `first` explains.
    """

    recording: Recording
    first: Plant
    second: Plant
    first_rmse_c: float
    second_rmse_c: float
    r2: float


def fit(recorded: Recording) -> Board:
    """Least squares of the whole simulated course against the recorded one, its start free as well.

    A recording of half an hour bounds a time constant of more than that from below only: such a fit says
    that the case was still warming when it ended.
    """
    first, first_rmse_c = _fit(recorded, nodes=1)
    second, second_rmse_c = _fit(recorded, nodes=2)
    variance = float(np.var(recorded.temperature_c))
    return Board(recorded, first, second, first_rmse_c, second_rmse_c, 1.0 - first_rmse_c**2 / variance)


def _fit(recorded: Recording, nodes: int) -> tuple[Plant, float]:
    temperatures = recorded.temperature_c
    span_c = float(np.ptp(temperatures))

    def plant(p: Floats) -> Plant:
        made = Plant(float(p[0]), float(p[1] / recorded.full_load), float(np.exp(p[2])))
        if nodes == 2:
            made = replace(made, die_gain=float(p[4] / recorded.full_load), die_tau_s=float(np.exp(p[5])))
        return made

    def residuals(p: Floats) -> Floats:
        return plant(p).run(recorded.time_s, recorded.load, p[3]) - temperatures

    low = [0.0, 0.1, np.log(3.0), -20.0, 0.0, np.log(0.5)]
    high = [float(temperatures.max()), 150.0, np.log(3000.0), 150.0, 100.0, np.log(40.0)]
    best = None
    for tau_s in (15.0, 60.0, 250.0, 800.0):
        start = [
            float(temperatures.min()),
            span_c,
            np.log(tau_s),
            temperatures[0],
            0.5 * span_c,
            np.log(12.0),
        ]
        start = list(np.clip(start, np.array(low) + 1e-3, np.array(high) - 1e-3))
        count = 4 if nodes == 1 else 6
        found = least_squares(residuals, start[:count], bounds=(low[:count], high[:count]), max_nfev=200)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return plant(best.x), float(np.sqrt(np.mean(best.fun**2)))


def boards(folder: Path) -> list[Board]:
    """Every board in a folder of sbc-bench reports, hottest first."""
    found = [fit(recording(load_sbc_bench(path))) for path in sorted(folder.glob("*.txt"))]
    return sorted(found, key=lambda board: -board.recording.temperature_c.max())
