"""What an operator sets by hand: pins and raised limits."""

from __future__ import annotations

import math

import pytest

from qeil_ros.nodes.overrides import Overrides, Signature, pinned, raised
from qeil_ros.platform import TripPoints
from qeil_ros.safety.limits import Limit
from qeil_ros.safety.modes import Mode
from qeil_ros.safety.permit import OperatingPoint, Route
from qeil_ros.safety.strategies import Strategy

ZONE, OTHER = "temperature/cpu", "temperature/gpu"
LIMIT = Limit("temperature/*", 75.0, 80.0, 90.0, 3.0)
TRIPS = {ZONE: TripPoints(critical_c=95.0), OTHER: TripPoints()}


def signed(duration_s=0.0, now_s=0.0):
    return Signature.of("ann", "windy", duration_s, now_s)


def test_pins_are_set_released_and_described():
    overrides = Overrides()
    assert overrides.describe(0.0) == [] and overrides.mode_reason == ""
    overrides.pin("local", "", signed())
    overrides.pin("", "local_cheap", signed(10.0))
    assert overrides.mode is Mode.LOCAL and overrides.strategy is Strategy.LOCAL_CHEAP
    assert overrides.mode_reason == "by ann, windy"
    assert overrides.describe(4.0) == [
        "mode pinned to local by ann: windy",
        "strategy pinned to local_cheap by ann: windy, for another 6 s",
    ]
    overrides.pin("nominal", "auto", signed())
    assert overrides.mode is Mode.NOMINAL and overrides.strategy is None
    assert overrides.describe(0.0) == [] and overrides.mode_reason == ""


@pytest.mark.parametrize(
    ("mode", "strategy", "said"),
    [("fast", "", "'fast' is none of nominal"), ("", "hold", "none of auto"), ("", "", "neither a mode")],
)
def test_unknown_pins_are_refused_and_change_nothing(mode, strategy, said):
    overrides = Overrides()
    overrides.pin("hold", "", signed())
    with pytest.raises(ValueError, match=said):
        overrides.pin(mode, strategy, signed())
    assert overrides.mode is Mode.HOLD


@pytest.mark.parametrize("duration_s", [-1.0, math.nan, math.inf])
def test_durations_that_are_none_are_refused(duration_s):
    with pytest.raises(ValueError, match="duration_s"):
        signed(duration_s)


def test_what_a_stranger_writes_is_kept_short_and_on_its_line():
    signature = Signature.of("eve\n[ERROR] all is lost", "x" * 10_000, 0.0, 0.0)
    assert "\n" not in signature.text(0.0) and len(signature.text(0.0)) < 500
    assert Signature.of("", "", 0.0, 0.0).text(0.0) == "by nobody named"


def test_overrides_end_by_themselves():
    overrides = Overrides()
    overrides.pin("local", "co_inference", signed(5.0))
    overrides.raise_limit(ZONE, 2.0, [LIMIT], TRIPS, signed(7.0))
    assert overrides.expire(4.9) == []
    assert len(overrides.expire(5.0)) == 2
    assert overrides.mode is Mode.NOMINAL and overrides.strategy is None
    assert overrides.raised_c == {ZONE: 2.0}
    assert "raised by 2 K by ann" in overrides.expire(7.0)[0]
    assert overrides.raised_c == {} and overrides.expire(8.0) == []


def test_limit_is_raised_at_most_to_below_what_the_hardware_allows():
    overrides = Overrides()
    limit = overrides.raise_limit(ZONE, 3.0, [LIMIT], TRIPS, signed())
    assert limit.thresholds == (78.0, 83.0, 93.0)
    with pytest.raises(ValueError, match=r"by 3 K at most: .* 90 C now.* off at 95 C"):
        overrides.raise_limit(ZONE, 3.01, [LIMIT], TRIPS, signed())
    assert overrides.raised_c == {ZONE: 3.0}, "what was refused has changed nothing"
    assert overrides.raise_limit(ZONE, 0.0, [LIMIT], TRIPS, signed()).thresholds == LIMIT.thresholds
    assert overrides.raised_c == {}


@pytest.mark.parametrize(
    ("name", "by_c", "said"),
    [
        (OTHER, 1.0, "names no critical temperature"),
        ("temperature/none", 1.0, "no temperature limit on 'temperature/none'; there are temperature/cpu"),
        ("power/total", 1.0, "no temperature limit"),
        (ZONE, -1.0, "by_c is -1"),
        (ZONE, math.nan, "by_c is nan"),
    ],
)
def test_raises_that_cannot_be_are_refused(name, by_c, said):
    overrides = Overrides()
    with pytest.raises(ValueError, match=said):
        overrides.raise_limit(name, by_c, [LIMIT], TRIPS, signed())
    assert overrides.raised_c == {}


def test_limit_on_many_is_taken_apart_where_one_is_raised():
    power = Limit("power/total", 5.0, 6.0)
    assert raised([LIMIT, power], [ZONE, OTHER], {}) == [LIMIT, power]
    cpu, gpu, same = raised([LIMIT, power], [ZONE, OTHER], {ZONE: 2.0})
    assert (cpu.pattern, cpu.thresholds) == (ZONE, (77.0, 82.0, 92.0))
    assert (gpu.pattern, gpu.thresholds) == (OTHER, LIMIT.thresholds)
    assert same is power


OFFBOARD = OperatingPoint("vision", 4, rate_hz=10.0)
LOCAL = OperatingPoint("vision", rate_hz=5.0, route=Route.LOCAL)


def test_pinned_strategy_takes_the_best_point_that_fits():
    assert pinned([OFFBOARD, LOCAL], Strategy.CO_INFERENCE, "", 2.0) == OFFBOARD
    assert pinned([OFFBOARD, LOCAL], Strategy.LOCAL_FULL, "", 2.0) == LOCAL
    assert pinned([LOCAL, OFFBOARD], Strategy.CO_INFERENCE, "", 2.0) == OFFBOARD
    assert pinned([OFFBOARD, LOCAL], Strategy.LOCAL_CHEAP, "", 2.0).rate_hz == 2.0
    assert pinned([OFFBOARD], Strategy.LOCAL_FULL, "", 2.0).route == Route.LOCAL
    server = pinned([OFFBOARD, LOCAL], Strategy.ON_SERVER, "input", 2.0)
    assert (server.split, server.route) == ("input", Route.OFFBOARD)
