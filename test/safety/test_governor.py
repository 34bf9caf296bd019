from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.safety.governor import Governor


def settle(governor, idle, whole, most, until_s=60.0, step_s=0.2, lag_s=1.0):
    """A load of `idle + whole * share` that follows with a lag; the share at the end."""
    load = idle + whole * governor.share
    for i in range(int(until_s / step_s)):
        load += (idle + whole * governor.share - load) * -math.expm1(-step_s / lag_s)
        governor.measure(load, governor.share, i * step_s)
        governor.update(governor.share_for(most), step_s)
    return governor.share


@pytest.mark.parametrize(("idle", "whole", "most"), [(0.0, 10.0, 7.0), (4.0, 6.0, 7.0), (6.0, 4.0, 7.0)])
def test_it_settles_where_the_load_is_what_is_permitted(idle, whole, most):
    assert idle + whole * settle(Governor(), idle, whole, most) == pytest.approx(most, rel=0.05)


def test_it_goes_all_the_way_up_again():
    governor = Governor(rise_s=10.0)
    assert settle(governor, 0.0, 10.0, 3.0) < 0.35
    assert settle(governor, 0.0, 10.0, 20.0) == 1.0


def test_down_at_once_up_at_a_bounded_rate_and_small_changes_not_at_all():
    governor = Governor(rise_s=10.0)
    assert governor.update(0.2, 0.2) == 0.2
    assert governor.update(1.0, 0.02) == 0.2, "a hundredth of it is not worth a change"
    assert governor.update(1.0, 1.0) == pytest.approx(0.302)
    assert governor.update(0.299, 1.0) == pytest.approx(0.302)
    assert governor.update(-5.0, 1.0) == 0.0


def test_nothing_known_leaves_everything():
    governor = Governor()
    assert governor.share_for(5.0) == 1.0
    governor.measure(10.0, 1.0, 0.0)
    assert governor.share_for(math.nan) == 1.0 and governor.share_for(5.0) == pytest.approx(0.5)
    governor.measure(math.nan, 1.0, 1.0)
    assert governor.share_for(5.0) == 1.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-1.0, 3.0), st.floats(0.0, 5.0)), max_size=50))
def test_it_rises_no_faster_than_it_may(steps):
    governor, passed_s, lowest = Governor(rise_s=10.0), 0.0, 1.0
    for wanted, gap_s in steps:
        share = governor.update(wanted, gap_s)
        passed_s += gap_s
        assert 0.0 <= share <= 1.0
        if share < lowest:
            lowest, passed_s = share, 0.0
        assert share <= lowest + passed_s / 10.0 + 0.03


def test_share_that_something_else_held_down_is_not_taken_for_its_own():
    governor = Governor()
    for i in range(50):
        governor.measure(1.0, 0.1, 0.2 * i)
    assert governor.share_for(7.0) == pytest.approx(0.7, rel=0.1)


def test_lift_lasts_until_it_has_to_be_less():
    governor = Governor(rise_s=10.0)
    governor.update(0.1, 0.2)
    governor.lift(0.5)
    assert governor.update(1.0, 0.2) == pytest.approx(0.52)
    governor.lift(0.2)
    assert governor.update(0.3, 0.2) == pytest.approx(0.3)
