from __future__ import annotations

import pytest

from qeil_ros.safety.cost import Cost
from qeil_ros.safety.run_times import RunTimes


def warmed(times_s, **changes) -> tuple[RunTimes, float]:
    """Runs one after the other, and when the last one ended."""
    times, now_s = RunTimes(**changes), 100.0
    for took_s in times_s:
        now_s += took_s
        times.add(took_s, now_s)
    return times, now_s


def test_nothing_is_known_before_the_first_run() -> None:
    with pytest.raises(ValueError, match="no run"):
        RunTimes().cost(0.0)


def test_median_and_99th_percentile_of_warm_runs() -> None:
    times, now_s = warmed([0.5, *[0.01] * 98, 0.03, 0.02])
    assert times.cost(now_s + 0.1) == Cost(0.01, 0.02)


def test_run_after_a_pause_is_cold_and_told_apart() -> None:
    times, now_s = warmed([0.01] * 20, pause_s=0.5)
    for _ in range(3):
        now_s += 1.0
        times.add(0.04, now_s)
    assert times.cost(now_s + 0.1) == Cost(0.01, 0.01)
    assert times.cost(now_s + 0.6) == Cost(0.04, 0.04)


def test_cold_run_is_taken_to_be_no_quicker_than_a_warm_one() -> None:
    times, now_s = warmed([0.001, *[0.02] * 10])
    assert times.cost(now_s + 10.0) == Cost(0.02, 0.02)


def test_old_runs_are_forgotten_down_to_a_few() -> None:
    times, now_s = warmed([0.001, *[1.0] * 5, *[0.01] * 6], window_s=10.0, fewest=4, pause_s=100.0)
    assert times.cost(now_s).worst_s == 1.0
    times.add(0.01, now_s + 10.0)
    assert times.cost(now_s).worst_s == 0.01


def test_memory_is_bounded() -> None:
    times, now_s = warmed([0.001, 1.0, *[0.01] * 500], most=200, window_s=1e6)
    assert times.cost(now_s) == Cost(0.01, 0.01)
