"""The heat benchmark: its plants, its loop, and the figure on the recordings that needs no loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.thermal import open_loop
from bench.thermal_loop import FULL_HZ, THROTTLED_HZ, Scenario, guarded, on_off, simulate, uncontrolled
from bench.thermal_plant import Plant, Recording, fit, recording
from qeil_ros.platform.replay import load_sbc_bench


def test_plant_does_what_its_equation_says():
    plant = Plant(ambient_c=30.0, gain=5.0, tau_s=100.0, die_gain=2.0, die_tau_s=5.0)
    assert sum(plant.steady(4.0)) == pytest.approx(58.0)
    case, die = plant.step((30.0, 0.0), 4.0, 100.0)
    assert case == pytest.approx(30.0 + 20.0 * (1 - math.exp(-1.0)))
    assert die == pytest.approx(8.0, abs=1e-6)
    whole = plant.run(np.array([0.0, 60.0]), np.array([4.0, 4.0]), 38.0)
    parts = plant.run(np.linspace(0.0, 60.0, 31), np.full(31, 4.0), 38.0)
    assert whole[-1] == pytest.approx(parts[-1]), "exact at any step"


def test_fit_finds_the_plant_that_made_a_recording():
    plant = Plant(ambient_c=35.0, gain=6.0, tau_s=90.0)
    time_s = np.arange(0.0, 1200.0, 15.0)
    load = np.where(time_s % 400 < 200, 4.0, 1.0)
    board = fit(Recording("made", time_s, plant.run(time_s, load, 40.0), load, 4.0))
    assert board.first.tau_s == pytest.approx(90.0, rel=0.02)
    assert board.first.gain == pytest.approx(6.0, rel=0.02)
    assert board.first_rmse_c < 0.05 and board.r2 > 0.999


def test_closed_loop():
    plant = Plant(ambient_c=40.0, gain=14.0, tau_s=40.0)
    scenario = Scenario(plant, lambda time_s: 4.0, 240.0, 42.0, 80.0)
    free, plain = simulate(scenario, uncontrolled), simulate(scenario, on_off(80.0))
    kept = simulate(scenario, guarded(80.0)[0])
    assert free.over > 500 and free.worst_c > 10.0 and free.frames == pytest.approx(240.0 * FULL_HZ)
    assert set(plain.rate_hz) == {FULL_HZ, THROTTLED_HZ} and plain.stops > 3
    assert kept.over == 0 and kept.worst_c > -5.0
    assert kept.frames > 0.95 * plain.frames and kept.fresh > plain.fresh
    assert plain.fresh < 0.9 < kept.fresh


def test_forecasts_on_the_recordings_are_within_a_kelvin(data_dir):
    folder = data_dir / "traces" / "sbc_bench"
    recordings = [recording(load_sbc_bench(path)) for path in sorted(folder.glob("*.txt"))]
    rows = open_loop(recordings)
    errors = sorted(abs(ahead_c - came_c) for ahead_c, came_c, _ in rows if math.isfinite(ahead_c))
    assert len(errors) > 0.8 * len(rows) > 100
    assert errors[len(errors) // 2] < 0.5
