"""The sample loop never overspends, stops for the reason it gives, and buys coverage only by more samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from qeil_ros.planning.orchestrator import Budget, SampleLoop, Stop, affordable, certainty, run


def drawing(answers, energy_j=1.0, took_s=0.1):
    waiting = iter(answers)
    return lambda: (next(waiting), energy_j, took_s)


def test_all_samples_are_drawn_where_nothing_else_ends_it():
    outcome = run(SampleLoop(Budget(3)), drawing("aba"))
    assert (outcome.answer, outcome.answers, outcome.stop) == ("a", ("a", "b", "a"), Stop.SAMPLES)
    assert outcome.energy_j == pytest.approx(3.0) and outcome.latency_s == pytest.approx(0.3)


def test_the_budget_holds_with_prefill():
    outcome = run(SampleLoop(Budget(100, energy_j=5.5), prefill_j=2.0), drawing("a" * 100))
    assert len(outcome.answers) == 3 and outcome.energy_j == 5.0 and outcome.stop == Stop.ENERGY


def test_time_ends_it_too():
    outcome = run(SampleLoop(Budget(100, latency_s=0.35)), drawing("a" * 100))
    assert len(outcome.answers) == 3 and outcome.stop == Stop.TIME


def test_a_verifier_ends_it_with_its_answer():
    outcome = run(SampleLoop(Budget(10)), drawing("aab"), verify=lambda answer: answer == "b")
    assert (outcome.answer, outcome.stop, len(outcome.answers)) == ("b", Stop.ACCEPTED, 3)


def test_agreement_ends_it():
    outcome = run(SampleLoop(Budget(50, certainty=0.95)), drawing("a" * 50))
    assert outcome.stop == Stop.AGREED and len(outcome.answers) == 4  # 1 - 0.5^5 = 0.969
    torn = run(SampleLoop(Budget(50, certainty=0.95)), drawing("ab" * 25))
    assert torn.stop == Stop.SAMPLES


def test_one_sample_is_drawn_whatever_it_costs():
    outcome = run(SampleLoop(Budget(5, energy_j=0.1), prefill_j=3.0, expected_j=1.0), drawing("abc"))
    assert outcome.answers == ("a",) and outcome.stop == Stop.ENERGY


def test_there_is_no_outcome_before_the_end():
    loop = SampleLoop(Budget(2))
    with pytest.raises(ValueError, match="draw another"):
        loop.outcome()
    loop.drew("a", 1.0, 1.0)
    with pytest.raises(ValueError, match="draw another"):
        loop.outcome()


def test_what_nothing_meters_counts_as_expected():
    loop = SampleLoop(Budget(10, energy_j=3.5), expected_j=1.0)
    outcome = run(loop, drawing("a" * 10, energy_j=math.nan))
    assert len(outcome.answers) == 3 and outcome.energy_j == 3.0


@given(
    st.lists(st.floats(0.01, 2.0), min_size=60, max_size=60),
    st.floats(0.5, 20.0),
    st.integers(1, 50),
)
def test_a_budget_is_exceeded_by_less_than_one_samples_surprise(costs, energy_j, samples):
    waiting = iter(costs)
    outcome = run(SampleLoop(Budget(samples, energy_j=energy_j)), lambda: ("a", next(waiting), 0.0))
    drawn = costs[: len(outcome.answers)]
    assert outcome.energy_j == pytest.approx(sum(drawn))
    if len(drawn) > 1:  # each was begun only with room for the largest one before
        assert sum(drawn[:-1]) + max(drawn[:-1]) <= energy_j + 1e-9
    if outcome.stop == Stop.ENERGY:
        assert sum(drawn) + max(drawn) > energy_j


def test_samples_drawn_together_stay_within_the_budget():
    loop = SampleLoop(Budget(20, energy_j=5.5, latency_s=100.0))
    assert loop.room(8) == 1, "what one takes is not known"
    loop.drew("a", 1.0, 0.1)
    assert loop.room(8) == 4 and loop.room(3) == 3
    for _ in range(4):
        loop.drew("a", 1.0, 0.1)
    assert loop.room(8) == 0 and loop.stop() == Stop.ENERGY
    hurried = SampleLoop(Budget(20, latency_s=0.45))
    hurried.drew("a", 1.0, 0.1)
    assert hurried.room(8) == 3
    assert SampleLoop(Budget(2), expected_j=1.0).room(8) == 2
    few = SampleLoop(Budget(3))
    few.drew("a", math.nan, math.nan)
    assert few.room(8) == 2


def test_the_caller_can_end_it_but_for_the_first_sample():
    loop = SampleLoop(Budget(20))
    loop.end(Stop.OTHERS)
    assert loop.room(4) == 1
    loop.drew("a", 1.0, 1.0)
    assert loop.outcome().stop == Stop.OTHERS


@given(st.integers(0, 30), st.integers(0, 30))
def test_certainty_is_the_beta_distributions(first, second):
    answers = ["a"] * first + ["b"] * second
    high, low = max(first, second), min(first, second)
    assert certainty(answers) == pytest.approx(beta.sf(0.5, high + 1, low + 1), abs=1e-9)


def test_saved_joules_buy_coverage_and_nothing_else_does():
    rng = np.random.default_rng(1)

    def coverage(sample_j):
        samples = affordable(20.0, 2.0, sample_j, most=20)
        return np.mean([(rng.random(samples) < 0.1).any() for _ in range(4000)])

    standard, saving = coverage(3.0), coverage(1.5)
    assert affordable(20.0, 2.0, 3.0, 20) == 6 and affordable(20.0, 2.0, 1.5, 20) == 12
    assert standard == pytest.approx(1 - 0.9**6, abs=0.03)
    assert saving == pytest.approx(1 - 0.9**12, abs=0.03)
    with pytest.raises(ValueError, match="sample_j is 0"):
        affordable(1.0, 0.0, 0.0, 5)


@pytest.mark.parametrize(
    "bad, said",
    [
        ({"samples": 0}, "samples is 0"),
        ({"samples": 1, "energy_j": 0.0}, "must be positive"),
        ({"samples": 1, "certainty": 0.2}, "certainty is 0.2"),
    ],
)
def test_budgets_make_sense(bad, said):
    with pytest.raises(ValueError, match=said):
        Budget(**bad)
