from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from qeil_ros.nodes.point import HOLD, LOCAL, OFFBOARD, Pacer, Point, PointFollower, problem

pytest.importorskip("hypothesis", reason="draws its cases with the Python package hypothesis")

from hypothesis import given, settings
from hypothesis import strategies as st

OWN = Point("own", 8, 0.0)
SAFE = Point("safe", 4, 5.0, origin="safe point")


def message(**changes):
    values = {
        "split": "cut",
        "feature_bits": 3,
        "weight_bits": 0,
        "rate_hz": 10.0,
        "route": OFFBOARD,
        "valid_for_s": 1.0,
    }
    return SimpleNamespace(**{**values, **changes})


def test_without_a_supervisor_the_own_point_holds():
    assert PointFollower().point(OWN, SAFE, now_s=1e9) == OWN


def test_a_message_holds_for_as_long_as_it_says():
    follower = PointFollower()
    follower.hear(message(route=LOCAL), now_s=100.0)
    expected = Point("cut", 3, 10.0, LOCAL, origin="supervisor")
    assert follower.point(OWN, SAFE, now_s=100.0) == expected
    assert follower.point(OWN, SAFE, now_s=101.0) == expected
    assert follower.point(OWN, SAFE, now_s=101.01) == SAFE
    follower.hear(message(), now_s=200.0)
    assert follower.point(OWN, SAFE, now_s=200.0).origin == "supervisor"


def test_what_a_message_leaves_open_comes_from_the_own_point():
    follower = PointFollower()
    follower.hear(message(split="", feature_bits=0, rate_hz=0.0), now_s=0.0)
    assert follower.point(OWN, SAFE, 0.0) == Point("own", 8, 0.0, OFFBOARD, origin="supervisor")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"split": "other"}, "split 'other'"),
        ({"feature_bits": 9}, "feature_bits 9"),
        ({"rate_hz": math.nan}, "rate_hz nan"),
        ({"rate_hz": -1.0}, "rate_hz -1.0"),
        ({"rate_hz": math.inf}, "rate_hz inf"),
        ({"route": 3}, "route 3"),
        ({"valid_for_s": 0.0}, "valid_for_s 0.0"),
        ({"valid_for_s": math.nan}, "valid_for_s nan"),
        ({"valid_for_s": math.inf}, "valid_for_s inf"),
    ],
)
def test_impossible_messages_are_named(changes, what):
    assert what in problem(message(**changes), ["cut"])


def test_possible_messages_have_no_problem():
    for changes in ({}, {"split": ""}, {"route": HOLD}, {"feature_bits": 0}, {"rate_hz": 0.0}):
        assert problem(message(**changes), ["cut"]) == ""


def admitted(pacer, rate_hz, times):
    return [now_s for now_s in times if pacer.admit(rate_hz, now_s)]


def test_a_third_of_the_frames_at_a_third_of_the_rate():
    times = [k / 30 for k in range(300)]
    assert abs(len(admitted(Pacer(), 10.0, times)) - 100) <= 1


@pytest.mark.parametrize("rate_hz", [7.0, 20.0, 29.0])
def test_the_mean_rate_is_kept_for_rates_that_do_not_divide(rate_hz):
    times = [k / 30 for k in range(3000)]
    assert len(admitted(Pacer(), rate_hz, times)) == pytest.approx(rate_hz * 100, abs=2)


def test_a_rate_of_zero_lets_everything_pass():
    assert len(admitted(Pacer(), 0.0, [0.0, 0.0, 0.1])) == 3


def test_there_is_no_catching_up_after_a_pause():
    pacer = Pacer()
    pacer.admit(10.0, 0.0)
    assert admitted(pacer, 10.0, [100.0, 100.01, 100.05, 100.1]) == [100.0, 100.1]


def test_a_raised_rate_counts_at_once():
    pacer = Pacer()
    pacer.admit(0.1, 0.0)
    assert not pacer.admit(0.1, 1.0)
    assert not pacer.admit(10.0, 1.0)
    assert pacer.admit(10.0, 1.11)


@settings(deadline=None)
@given(st.floats(0.5, 100), st.lists(st.floats(0, 0.5), max_size=200))
def test_the_rate_is_never_exceeded(rate_hz, gaps):
    now_s, times = 0.0, []
    for gap in gaps:
        now_s += gap
        times.append(now_s)
    passed = admitted(Pacer(), rate_hz, times)
    span_s = times[-1] if times else 0.0
    assert len(passed) <= span_s * rate_hz + 2
