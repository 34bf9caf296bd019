"""The planner's choices as the readings change, and what it learns."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.planning.corrections import Corrections
from qeil_ros.planning.cost import Cut, Side, WidthCurve
from qeil_ros.planning.link import Link, Load
from qeil_ros.planning.planner import Goals, Machines, Model, Planner, Quantities, Readings

BITS = (2, 4, 8)
GOOD = Link(5e6, 0.005, joules_per_bit=1e-8)


def model() -> Model:
    loss = np.add.outer(0.1 / np.array(BITS), 0.2 / np.array(BITS))
    return Model(
        (
            Cut("early", 2e8, 9e9, (20e3, 40e3, 80e3), loss),
            Cut("late", 2e9, 4e9, (2e3, 4e3, 8e3), loss + 0.01),
            Cut("local", 3e9, 0.0, (0.0, 0.0, 0.0), np.full((3, 3), 0.5) + 0.1 / np.array(BITS)[:, None]),
        ),
        BITS,
        BITS,
        WidthCurve((4, 8), (0.7, 1.0)),
    )


def machines() -> Machines:
    return Machines(
        ("low", "medium", "high"),
        Side((1 / 20e9, 1 / 40e9, 1 / 60e9), (2.0, 6.0, 15.0)),
        Side((1e-12,) * 3, (100.0,) * 3),
        thermal_c_per_w=5.0,
    )


def planner(**goals) -> Planner:
    return Planner(model(), machines(), Goals(**{"delay_s": 0.15, "rates_hz": (5.0,), **goals}))


def test_a_good_link_gives_the_best_quality_and_alternatives_for_each_split():
    plan = planner().plan(Readings(0.0, GOOD))
    assert (plan.point.split, plan.point.weight_bits, plan.point.feature_bits) == ("early", 8, 8)
    assert plan.point.profile == "low"  # the cheapest that will do
    assert [p.split for p in plan.alternatives] == ["late", "local"]
    assert plan.point.predicted.delay_s <= 0.15 and plan.point.offboard
    assert plan.reason == "at 5 Hz: no limit binds: nothing better is to be had"


def test_a_slow_link_moves_the_split_and_none_moves_it_to_the_robot():
    slow = planner().plan(Readings(0.0, Link(1e5, 0.02)))
    assert slow.point.split == "late"
    assert "what would be better is impossible" in slow.reason  # it cannot keep up
    assert "delay binds" in planner().plan(Readings(0.0, Link(6e5, 0.02))).reason
    none = planner().plan(Readings(0.0, None))
    assert none.point.split == "local" and not none.point.offboard and none.point.feature_bits == 0
    assert none.alternatives == ()


def test_loss_and_a_loaded_server_count():
    lossy = planner().plan(Readings(0.0, replace(GOOD, rate_bytes_s=1.2e6, loss=0.3, round_trip_s=0.03)))
    assert lossy.point.predicted.payload_bytes < 80e3
    crowded = planner().plan(Readings(0.0, GOOD, Load.robots(100, 5.0, 0.0021)))
    assert crowded.point.split == "local"


def test_battery_heat_and_clocks_bound_the_robot():
    p = planner()
    free = p.plan(Readings(0.0, GOOD)).point
    tight = p.plan(Readings(0.0, GOOD, energy_left_j=100.0, time_left_s=1000.0))
    assert tight.point.predicted.robot_j <= 100 / 1000 / 5 < free.predicted.robot_j
    assert "robot energy binds" in tight.reason
    warm = p.plan(Readings(0.0, GOOD, headroom_c=0.5, inference_w=0.0))
    assert warm.point.predicted.robot_j * 5 <= 0.5 / 5 * (1 + 1e-12)
    # the power that is there already does not count twice
    assert p.plan(Readings(0.0, GOOD, headroom_c=0.5, inference_w=1.0)).point == free
    hot = p.plan(Readings(0.0, GOOD, headroom_c=-3.0))
    assert hot.point is None and "no temperature headroom" in hot.reason
    only = p.plan(Readings(0.0, GOOD, profiles=("high",)))
    assert only.point.profile == "high"
    with pytest.raises(ValueError, match=r"no profile \['turbo'\]"):
        p.plan(Readings(0.0, GOOD, profiles=("turbo",)))


def test_an_infeasible_plan_says_which_limit_binds():
    plan = planner(delay_s=0.004).plan(Readings(0.0, GOOD))
    assert plan.point is None and plan.alternatives == ()
    assert plan.moves[0].resource.name == "delay" and plan.moves[0].needed > 0.004
    assert "infeasible: delay would have to be" in plan.reason
    fixed = planner(delay_s=plan.moves[0].needed).plan(Readings(0.0, GOOD))
    assert fixed.point is not None


def test_the_first_feasible_rate_is_taken():
    p = planner(rates_hz=(30.0, 10.0, 2.0), bytes_s=50e3)
    readings = Readings(0.0, GOOD, energy_left_j=2000.0, time_left_s=1000.0)
    plan = p.plan(readings)
    assert plan.point.rate_hz == 10.0
    assert plan.point.predicted.payload_bytes * 10 <= 50e3
    assert planner(rates_hz=(30.0,), bytes_s=50e3).plan(readings).point is None


@settings(max_examples=80, deadline=None)
@given(
    st.floats(3.5, 7.5), st.floats(0, 0.2), st.floats(0, 0.4), st.floats(0.01, 0.5), st.floats(0.05, 5),
    st.floats(4, 6), st.floats(1, 50), st.integers(0, 60),
)  # fmt: skip
def test_no_plan_breaks_a_limit(log_rate, trip_s, loss, delay_s, energy_j, log_bytes, left_j, others):
    p = Planner(model(), machines(), Goals(delay_s, energy_j, 10**log_bytes, (10.0, 1.0)))
    plan = p.plan(
        Readings(0.0, Link(10**log_rate, trip_s, loss), Load.robots(others, 5.0, 0.002), None, left_j, 100.0)
    )
    for point in filter(None, (plan.point, *plan.alternatives)):
        assert point.predicted.delay_s <= delay_s * (1 + 1e-9)
        assert point.energy_j <= energy_j
        assert point.predicted.payload_bytes * point.rate_hz <= 10**log_bytes
        assert point.predicted.robot_j * point.rate_hz * 100 <= left_j * (1 + 1e-9)
    if plan.point is None:
        assert plan.reason and not plan.alternatives


@settings(max_examples=60, deadline=None)
@given(st.floats(3.5, 7.5), st.floats(0.005, 0.5), st.floats(0.05, 5), st.floats(4, 6), st.integers(0, 80))
def test_the_plan_is_the_best_of_every_point_within_the_limits(log_rate, delay_s, energy_j, log_bytes, alike):
    p = Planner(model(), machines(), Goals(delay_s, energy_j, 10**log_bytes, (5.0,)))
    readings = Readings(0.0, Link(10**log_rate, 0.01), Load(alike=alike))
    every = p.every(readings, 5.0)
    kept = [
        q
        for q in every
        if q.predicted.delay_s <= delay_s
        and q.energy_j <= energy_j
        and q.predicted.payload_bytes * 5.0 <= 10**log_bytes
    ]
    plan = p.plan(readings)
    assert (plan.point is None) == (not kept)
    if plan.point is not None:
        assert plan.point in kept and plan.point.loss == min(q.loss for q in kept)


def test_a_loss_of_its_own_is_what_counts_and_is_corrected_above_its_floor():
    base = model().cuts[0]
    sharp = replace(base, name="sharp", loss=base.distortion * 0.1 + 0.3, floor=0.3)
    flat = replace(base, name="flat", loss=np.full((3, 3), 0.32), floor=0.32)
    two = replace(model(), cuts=(sharp, flat))
    p = Planner(two, machines(), Goals(0.5, rates_hz=(5.0,)))
    first = p.plan(Readings(0.0, GOOD)).point
    assert first.split == "sharp" and first.loss == pytest.approx(0.3 + 0.1 * (0.1 / 8 + 0.2 / 8))
    assert first.predicted.distortion == pytest.approx(0.1 / 8 + 0.2 / 8)  # not the loss
    for step in range(200):  # features turn out to be coded eight times as badly as on the sample pictures
        p.corrections.observe("distortion", "sharp", 1.0, 8.0, step * 0.1)
        p.corrections.observe("distortion", "flat", 1.0, 1.0, step * 0.1)
    factor = p.corrections.factor("distortion", "sharp")
    last = p.plan(Readings(20.0, GOOD))
    assert factor > 5.5 and last.point.split == "flat" and last.point.loss == pytest.approx(0.32)
    other = next(q for q in last.alternatives if q.split == "sharp")
    assert other.loss == pytest.approx(0.3 + factor * 0.1 * (0.1 / 8 + 0.2 / 8), rel=0.01)


# --- learning


def truth(point, **factors) -> Quantities:
    """What a world that differs from the model by these factors would measure at a point, payload aside."""
    return Quantities(
        **{
            name: getattr(point.modelled, name) * factors.get(name, 1.0)
            for name in ("agent_s", "link_s", "server_s", "robot_j", "payload_bytes", "distortion")
        }
    )


def test_predictions_approach_what_is_measured():
    p = planner(delay_s=0.5)
    wrong = {"agent_s": 2.0, "link_s": 1.5, "server_s": 3.0, "robot_j": 0.7, "distortion": 1.3}
    for step in range(80):
        point = p.plan(Readings(step * 0.2, GOOD)).point
        p.observe(point, truth(point, **wrong), step * 0.2)
    point = p.plan(Readings(16.0, GOOD)).point
    want = truth(point, **wrong)
    for name in ("agent_s", "link_s", "server_s", "robot_j", "distortion"):
        assert getattr(point.predicted, name) == pytest.approx(getattr(want, name), rel=0.05)
    assert p.errors()["delay_s"].deviation < 0.1
    assert p.errors()["agent_s"].count == 80


def test_a_slower_link_than_modelled_changes_the_choice():
    p = planner()
    readings = Readings(0.0, Link(1e6, 0.005))
    first = p.plan(readings).point
    assert first.split == "early"
    for step in range(40):
        point = p.plan(replace(readings, now_s=step * 0.2)).point
        p.observe(point, truth(point, link_s=4.0), step * 0.2)
    last = p.plan(replace(readings, now_s=8.0)).point
    assert last.predicted.payload_bytes < first.predicted.payload_bytes
    assert truth(last, link_s=4.0).delay_s <= 0.15
    # an hour later all is forgotten
    assert p.plan(replace(readings, now_s=3600.0)).point.split == "early"


def test_scatter_keeps_the_plan_clear_of_the_limit():
    rng = np.random.default_rng(3)
    broken = {}
    for caution in (0.0, 2.0):
        p = planner(delay_s=0.06, caution=caution)
        late = 0
        for step in range(300):
            point = p.plan(Readings(step * 0.2, Link(1e6, 0.005))).point
            seen = truth(point, **{n: rng.lognormal(0, 0.15) for n in ("agent_s", "link_s", "server_s")})
            late += step >= 50 and seen.delay_s > 0.06
            p.observe(point, seen, step * 0.2)
        broken[caution] = late
    assert broken[2.0] <= 0.06 * 250 and broken[2.0] < broken[0.0]


def test_what_is_not_measured_is_left_alone():
    p = planner()
    point = p.plan(Readings(0.0, GOOD)).point
    p.observe(point, Quantities(), 0.0)
    p.observe(point, Quantities(agent_s=math.inf, link_s=-1.0, distortion=0.0), 0.1)
    assert p.plan(Readings(0.1, GOOD)).point == point
    assert p.errors()["delay_s"].count == 0


def test_goals_and_machines_are_checked():
    with pytest.raises(ValueError, match="must be positive"):
        Goals(0.0)
    with pytest.raises(ValueError, match="want one or more positive rates"):
        Goals(1.0, rates_hz=())
    with pytest.raises(ValueError, match="do not agree"):
        replace(machines(), profiles=("one",))


# --- corrections by themselves


def learnt(steps: int, value: float, **options) -> Corrections:
    c = Corrections(["x"], ["a", "b"], **options)
    for step in range(steps):
        c.observe("x", "a", 1.0, value, step * 0.1)
    return c


def test_a_correction_converges_and_carries_over_to_other_cuts():
    c = learnt(100, 3.0)
    assert c.factor("x", "a") == pytest.approx(3.0, rel=0.03)
    assert 2.0 < c.factor("x", "b") < 2.8
    for step in range(400):  # the cuts really differ
        c.observe("x", "a", 1.0, 3.0, 10 + step * 0.1)
        c.observe("x", "b", 1.0, 1.0, 10 + step * 0.1)
    assert c.factor("x", "a") == pytest.approx(3.0, rel=0.1)
    assert c.factor("x", "b") == pytest.approx(1.0, rel=0.1)


def test_it_is_bounded_and_one_outlier_moves_it_little():
    assert learnt(1000, 1e6, bound=4.0).factor("x", "a") == pytest.approx(4.0)
    assert learnt(1000, 1e-6, bound=4.0).factor("x", "a") == pytest.approx(0.25)
    assert learnt(1, 1e6).factor("x", "a") < 1.16
    stuck = learnt(1000, 1e6, bound=4.0)
    for step in range(60):  # no more was wound up than the bound
        stuck.observe("x", "a", 1.0, 1.0, 100 + step * 0.1)
    assert stuck.factor("x", "a") < 1.3


def test_it_is_forgotten():
    c = learnt(200, 4.0, half_life_s=10.0)
    before = c.factor("x", "a")
    c.forget(19.9 + 10.0)
    assert math.log(c.factor("x", "a")) == pytest.approx(math.log(before) / 2, rel=0.01)
    c.forget(5.0)  # time does not run backwards
    assert math.log(c.factor("x", "a")) == pytest.approx(math.log(before) / 2, rel=0.01)
    c.forget(1e6)
    assert c.factor("x", "a") == pytest.approx(1.0)


@given(st.lists(st.tuples(st.floats(1e-9, 1e9), st.floats(0, 100)), max_size=40))
def test_whatever_is_measured_the_bound_holds(measurements):
    c = Corrections(["x"], ["a"], bound=5.0, gain=1.0)
    for value, now_s in measurements:
        assert c.observe("x", "a", 1.0, value, now_s)
        assert 0.2 * (1 - 1e-9) <= c.factor("x", "a") <= 5.0 * (1 + 1e-9)


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="out of range"):
        Corrections(["x"], ["a"], gain=0.0)
