from __future__ import annotations

import math

import pytest

from qeil_ros.nodes.recent import BusyMeter, Recent


def test_quantiles_are_of_the_recent_past():
    recent = Recent(window_s=10.0)
    assert all(math.isnan(value) for value in recent.quantiles(0.5, 0.99, now_s=0.0))
    for k in range(100):
        recent.add(float(k), now_s=0.0)
    assert recent.quantiles(0.5, 0.99, 0.0, 1.0, now_s=10.0) == [49.0, 98.0, 0.0, 99.0]
    recent.add(7.0, now_s=15.0)
    assert recent.quantiles(0.5, now_s=15.0) == [7.0]
    assert math.isnan(recent.quantiles(0.5, now_s=26.0)[0])


def test_only_so_many_values_are_kept():
    recent = Recent(window_s=10.0, most=3)
    for k in range(5):
        recent.add(float(k), now_s=0.0)
    assert recent.quantiles(0.0, 1.0, now_s=0.0) == [2.0, 4.0]


def test_load_is_the_busy_part_of_the_time():
    meter = BusyMeter(now_s=0.0)
    meter.begin(1.0)
    meter.end(1.5)
    assert meter.read(2.0) == pytest.approx(0.25)
    assert meter.read(3.0) == 0.0


def test_work_in_progress_counts_on_both_sides_of_a_reading():
    meter = BusyMeter(now_s=0.0)
    meter.begin(0.5)
    assert meter.read(1.0) == pytest.approx(0.5)
    assert meter.read(2.0) == pytest.approx(1.0)
    meter.end(2.25)
    assert meter.read(3.0) == pytest.approx(0.25)
    assert meter.read(3.0) == 0.0, "no time, no load"
