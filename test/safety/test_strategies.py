from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.safety.limits import Level
from qeil_ros.safety.link import Link
from qeil_ros.safety.permit import OperatingPoint, Route
from qeil_ros.safety.strategies import (
    ReasonCode,
    Strategy,
    apply,
    asked_strategy,
    availability,
    choose,
)

ALL = tuple(Strategy)


@pytest.mark.parametrize(
    ("level", "link", "offered", "pinned", "expected"),
    [
        (Level.CLEAR, Link.UP, ALL, Route.OFFBOARD, ALL),
        (Level.CLEAR, Link.UP, (), Route.OFFBOARD, (Strategy.HOLD,)),
        (Level.CLEAR, Link.DEGRADED, ALL, Route.OFFBOARD, tuple(s for s in ALL if s != "on_server")),
        (Level.CLEAR, Link.DOWN, ALL, Route.OFFBOARD, ALL[2:]),
        (Level.THROTTLE, Link.UP, ALL, Route.OFFBOARD, tuple(s for s in ALL if s != "local_full")),
        (Level.CRITICAL, Link.UP, ALL, Route.OFFBOARD, (Strategy.HOLD,)),
        (Level.CLEAR, Link.UP, ALL, Route.LOCAL, ALL[2:]),
        (Level.CLEAR, Link.UP, ALL, Route.HOLD, (Strategy.HOLD,)),
    ],
)
def test_what_can_be_had(level, link, offered, pinned, expected):
    found = availability(level, link, offered, pinned)
    assert tuple(each.name for each in found) == ALL
    assert tuple(each.name for each in found if each.available) == expected
    for each in found:
        assert each.available == (each.reason_code is ReasonCode.AVAILABLE) == (each.reason == "")


def test_codes_say_why():
    codes = {each.name: each.reason_code for each in availability(Level.THROTTLE, Link.DOWN, ALL)}
    assert codes[Strategy.CO_INFERENCE] is ReasonCode.LINK_DOWN
    assert codes[Strategy.LOCAL_FULL] is ReasonCode.LIMIT_THROTTLE
    codes = {each.name: each.reason_code for each in availability(Level.CLEAR, Link.DEGRADED, ALL[1:])}
    assert codes[Strategy.CO_INFERENCE] is ReasonCode.NOT_OFFERED
    assert codes[Strategy.ON_SERVER] is ReasonCode.LINK_DEGRADED


def test_what_is_asked_for():
    assert asked_strategy(OperatingPoint(), "") is Strategy.CO_INFERENCE
    assert asked_strategy(OperatingPoint(split="input"), "input") is Strategy.ON_SERVER
    assert asked_strategy(OperatingPoint(route=Route.LOCAL), "input") is Strategy.LOCAL_FULL
    assert asked_strategy(OperatingPoint(route=Route.HOLD), "input") is Strategy.HOLD


def test_carried_out():
    point = OperatingPoint(split="input", rate_hz=30.0)
    assert apply(point, Strategy.ON_SERVER, "input", 2.0) == point
    assert apply(point, Strategy.CO_INFERENCE, "input", 2.0).split == ""
    assert apply(point, Strategy.LOCAL_FULL, "input", 2.0).route == Route.LOCAL
    assert apply(point, Strategy.LOCAL_CHEAP, "input", 2.0).rate_hz == 2.0
    assert apply(OperatingPoint(), Strategy.LOCAL_CHEAP, "", 2.0).rate_hz == 2.0
    assert apply(OperatingPoint(rate_hz=1.0), Strategy.LOCAL_CHEAP, "", 2.0).rate_hz == 1.0


@given(
    st.sampled_from(Strategy),
    st.sampled_from(Level),
    st.sampled_from(Link),
    st.sets(st.sampled_from(Strategy)),
    st.sampled_from(Route),
)
def test_something_is_always_chosen_and_never_a_freer_route(asked, level, link, offered, pinned):
    found = availability(level, link, offered, pinned)
    chosen = choose(asked, found)
    assert chosen.route >= asked.route and chosen.route >= pinned
    assert next(each for each in found if each.name is chosen).available
    if next(each for each in found if each.name is asked).available:
        assert chosen is asked
