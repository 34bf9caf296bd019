"""What easy questions leave, hard ones may spend; a period's questions never spend more than its budget."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.planning.allowance import Allowance


def test_steady_questions_share_evenly():
    allowance = Allowance(100.0, 10.0)
    given_j = []
    for k in range(1000):  # 100 a second
        given_j.append(allowance.ask(k * 0.01))
        allowance.spend(given_j[-1])
    assert sum(given_j) <= 100.0 + 1e-9
    assert sum(given_j) == pytest.approx(100.0, rel=0.01)
    assert given_j[100] == pytest.approx(0.1, rel=0.02) == given_j[900]


def test_what_easy_questions_leave_is_for_hard_ones():
    allowance = Allowance(100.0, 10.0)
    for k in range(500):
        allowance.spend(allowance.ask(k * 0.01) / 4)
    assert allowance.ask(5.0) == pytest.approx(allowance.left_j / 500, rel=0.02)
    assert allowance.left_j == pytest.approx(100 * 0.5**0.25, rel=0.02)  # dleft/dt = -left / (4 time left)
    assert allowance.ask(5.01) == pytest.approx(0.168, rel=0.02), "more than the even share of 0.1 J"


def test_a_new_period_begins_anew_less_what_was_overdrawn():
    allowance = Allowance(10.0, 1.0)
    allowance.ask(0.0)
    allowance.spend(14.0)
    assert allowance.ask(0.5) == 0.0
    allowance.ask(1.5)
    assert allowance.left_j == 6.0
    allowance.ask(7.5)
    assert allowance.left_j == 10.0


def test_what_nothing_metered_counts_as_nothing():
    allowance = Allowance(10.0, 1.0)
    allowance.ask(0.0)
    allowance.spend(math.nan)
    assert allowance.left_j == 10.0


@given(
    st.lists(st.tuples(st.floats(0, 3.0), st.floats(0, 1.0)), min_size=1, max_size=60),
    st.floats(0.1, 100.0),
    st.floats(0.1, 5.0),
)
def test_who_keeps_to_it_never_overspends(questions, budget_j, period_s):
    allowance, now_s = Allowance(budget_j, period_s), 0.0
    for gap_s, share in questions:
        now_s += gap_s
        left_j = allowance.left_j
        allowed_j = allowance.ask(now_s)
        assert 0 <= allowed_j <= allowance.left_j <= budget_j
        assert allowance.left_j in (left_j, budget_j), "it changes when a period begins, and then is whole"
        allowance.spend(share * allowed_j)
        assert allowance.left_j >= -1e-12 * budget_j


@pytest.mark.parametrize("bad", [(0.0, 1.0), (1.0, 0.0), (math.nan, 1.0), (math.inf, 1.0)])
def test_budgets_make_sense(bad):
    with pytest.raises(ValueError, match="must be positive"):
        Allowance(*bad)
