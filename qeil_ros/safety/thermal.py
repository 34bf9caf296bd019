"""A first-order thermal model of one zone, identified while the robot works.

tau dT/dt = ambient + gain * load - T: the usual lumped RC network with one resistance (`gain`, kelvin per
unit of load) and one capacitance (tau / gain). What the model cannot know (sun, wind, a heat sink that warms
slowly) appears as an ambient that moves, and is followed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["ThermalModel"]

Floats = NDArray[np.float64]

_TAUS_S: Floats = 4.0 * np.sqrt(2.0) ** np.arange(16)
"""Candidates for the time constant, 4 s (a die under its lid) to 12 minutes (a sealed case) [s]."""

_FILTERS_S: Floats = np.maximum(20.0, _TAUS_S / 2.0)
"""Long enough against noise, short enough against what the ambient does [s]."""

# What is believed before anything was measured: ambient, gain, and what is left of the initial state.
_PRIOR_C = np.array([25.0, 0.0, 0.0])
_PRIOR_SD = np.array([20.0, 50.0, 30.0])
_AMBIENT_WALK = 1.0 / 300.0
"""Variance that the ambient gains with time: 1 K in five minutes, 3.5 K in an hour [K^2/s]."""
_GAIN_WALK = 0.1**2 / 60.0
"""Relative variance that the gain gains with time (fans, dust), for a load that has just doubled [1/s]; with
the square of the load's change for others: what is not being learnt is not forgotten."""
_NOISE_C = 0.5
_CORRELATED_S = 10.0
"""Errors of the model last about so long; samples nearer to each other tell little new [s]."""
_STEP_S = 1.0
"""Samples are averaged over so long before they are learnt from: sensors have steps of up to 1 K [s]."""


class ThermalModel:
    """Ambient and gain by recursive least squares with forgetting, once for each candidate time constant; the
    candidate that has predicted best of late is taken.

    For a fixed time constant the exact solution for piecewise constant load is linear in the others:
    T = ambient + gain * x + initial * exp(-t / tau), x the load through a low-pass of that time constant. So
    the error of the output is minimised, which measurement noise does not bias, at any spacing of samples;
    tau > 0 holds by construction and gain >= 0 by projection. What is forgotten is what may have changed:
    parameters walk at random (RLS in the form of a Kalman filter), the ambient all the time, the gain only
    while the load changes, since a steady load tells nothing about it; no variance grows past the prior's.

    Args:
        memory_s: time constant with which the past predictions of the candidates are forgotten [s].
        most_gain_error: the standard deviation of the gain, as a share of it, up to which it counts as
            identified.
    """

    def __init__(self, memory_s: float = 900.0, most_gain_error: float = 0.25) -> None:
        self._memory_s, self._most_gain_error = memory_s, most_gain_error
        count = len(_TAUS_S)
        self._spread = np.repeat(np.diag(_PRIOR_SD**2)[None], count, axis=0)
        self._cost = np.zeros(count)
        self._regressor = np.ones((count, 3))
        self._estimate = np.repeat(_PRIOR_C[None], count, axis=0)
        self._best = 0
        self._gain_sd = math.inf
        self._last: tuple[float, float] | None = None  # time [s], temperature [C] of the last step
        self._sums = [0.0, 0.0, 0.0, 0.0]  # of time, temperature and load since then, and how many
        self._load = math.nan
        self._smooth_c = np.zeros(count)
        self._smooth_load = np.zeros(count)

    # --- what it knows

    @property
    def tau_s(self) -> float:
        return float(_TAUS_S[self._best])

    @property
    def gain(self) -> float:
        """Kelvin per unit of load, 0 or more."""
        return max(0.0, float(self._estimate[self._best, 1]))

    @property
    def identified(self) -> bool:
        """Whether the load has varied enough for the gain to be known."""
        return self._gain_sd < self._most_gain_error * self.gain

    def equilibrium_c(self, load: float | None = None) -> float:
        """Where the temperature is heading with a load, else with the present one."""
        if self._last is None:
            return math.nan
        # Everything through one low-pass: the equation holds for the filtered quantities exactly, and the
        # slope of a filtered quantity is its distance from the original over the filter's time constant.
        # What it leaves over is the ambient of late, whatever it consists of.
        best, tau_s = self._best, self.tau_s
        slope = (self._last[1] - self._smooth_c[best]) / _FILTERS_S[best]
        heading_c = self._smooth_c[best] + tau_s * slope
        load = self._load if load is None else load
        return float(heading_c + self.gain * (load - self._smooth_load[best]))

    def forecast_c(self, horizon_s: float, load: float | None = None) -> float:
        """The temperature `horizon_s` from now, with that load from now on."""
        if self._last is None:
            return math.nan
        equilibrium_c = self.equilibrium_c(load)
        return equilibrium_c + (self._last[1] - equilibrium_c) * math.exp(-horizon_s / self.tau_s)

    def most_load(self, target_c: float, horizon_s: float) -> float:
        """The load with which the temperature will be `target_c` at the horizon; may be below 0.

        Near the target this is the load whose steady state is the target. NaN while not identified.
        """
        if self._last is None or not self.identified:
            return math.nan
        decay = math.exp(-horizon_s / self.tau_s)
        equilibrium_c = (target_c - self._last[1] * decay) / (1.0 - decay)
        return (equilibrium_c - self.equilibrium_c(0.0)) / self.gain

    # --- how it learns

    def add(self, temperature_c: float, load: float, now_s: float) -> None:
        """A temperature at `now_s`, and the mean load since the last one; what is not finite is left out.

        Times must not run backwards.
        """
        if not (math.isfinite(temperature_c) and math.isfinite(load)):
            return
        if self._last is None:
            self._last, self._load = (now_s, temperature_c), load
            self._smooth_c[:], self._smooth_load[:] = temperature_c, load
            self._regressor[:, 1], self._regressor[:, 2] = load, 1.0
            return
        sums = self._sums
        for i, value in enumerate((now_s, temperature_c, load, 1.0)):
            sums[i] += value
        if now_s - self._last[0] >= _STEP_S:
            time_s, mean_c, mean_load = (total / sums[3] for total in sums[:3])
            self._sums = [0.0, 0.0, 0.0, 0.0]
            self._step(max(time_s, self._last[0] + 1e-3), mean_c, mean_load)

    def _step(self, now_s: float, temperature_c: float, load: float) -> None:
        assert self._last is not None
        passed_s = now_s - self._last[0]
        self._smooth(passed_s, temperature_c, load)
        self._last, self._load = (now_s, temperature_c), load
        decay = np.exp(-passed_s / _TAUS_S)
        self._regressor[:, 1] = load + (self._regressor[:, 1] - load) * decay
        self._regressor[:, 2] *= decay
        self._learn(temperature_c, passed_s)

    def _learn(self, temperature_c: float, passed_s: float) -> None:
        """One step of every candidate's filter, and the candidate that has predicted best."""
        row, spread = self._regressor, self._spread
        grown = np.einsum("ijj->ij", spread)
        grown[:, 0] += _AMBIENT_WALK * passed_s
        change = self._load / np.maximum(self._smooth_load, 1e-9) - 1.0
        grown[:, 1] += _GAIN_WALK * passed_s * np.square(np.minimum(change, 1.0) * self._estimate[:, 1])
        np.minimum(grown, _PRIOR_SD**2, out=grown)
        noise = _NOISE_C**2 * _CORRELATED_S / min(passed_s, _CORRELATED_S)
        across = np.einsum("ijk,ik->ij", spread, row)
        expected = np.einsum("ij,ij->i", row, across) + noise
        missed = temperature_c - np.einsum("ij,ij->i", row, self._estimate)
        self._estimate += across * (missed / expected)[:, None]
        spread -= across[:, :, None] * across[:, None, :] / expected[:, None, None]
        weight = min(passed_s, _CORRELATED_S) / _CORRELATED_S
        self._cost *= math.exp(-passed_s / self._memory_s)
        self._cost += weight * (missed**2 / expected + np.log(expected))
        np.maximum(self._estimate[:, 1], 0.0, out=self._estimate[:, 1])
        self._best = int(np.argmin(self._cost))
        self._gain_sd = math.sqrt(max(0.0, spread[self._best, 1, 1]))

    def _smooth(self, passed_s: float, temperature_c: float, load: float) -> None:
        """Low-passes: the temperature is a straight line between samples, the load a step."""
        assert self._last is not None
        decay = np.exp(-passed_s / _FILTERS_S)
        slope = (temperature_c - self._last[1]) / passed_s
        lag = slope * _FILTERS_S
        self._smooth_c = temperature_c - lag + (self._smooth_c - self._last[1] + lag) * decay
        self._smooth_load = load + (self._smooth_load - load) * decay
