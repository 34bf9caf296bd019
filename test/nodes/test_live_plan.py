"""The planner at work on readings and traffic."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from qeil_ros.msg import FallbackStatus, InferenceResult
from supervisor_testing import sample_plan

from qeil_ros.nodes.live_plan import LivePlan
from qeil_ros.safety.guard import Budget
from qeil_ros.safety.permit import OperatingPoint, Route

OWN = OperatingPoint("own", rate_hz=30.0, reason="from the parameters")


def status(**changes):
    """A FallbackStatus of frames that ran as the sample plan's best point has it."""
    known = {"source": InferenceResult.SOURCE_OFFBOARD, "split": "early", "feature_bits": 8, "answers": 20}
    figures = {"encode_s": 0.01, "transfer_s": 0.02, "server_s": 0.01, "bytes_sent": 80e3, "rate_hz": 10.0}
    unknown = dict.fromkeys(("energy_j", "link_bytes_s", "round_trip_least_s", "server_load", "server_p50_s"))
    return FallbackStatus(**{**known, **figures, **dict.fromkeys(unknown, math.nan), **changes})


@pytest.fixture
def live():
    return LivePlan(sample_plan(), dwell_s=3.0)


def test_first_plan_is_the_files_own_point(live):
    assert live.asked(OWN) == [OWN] and live.predicted(OWN) is None
    live.update(None, True, Budget(), 0.0)
    asked = live.asked(OWN)[0]
    best = live.file.point
    assert (asked.split, asked.feature_bits, asked.weight_bits) == (
        "early",
        best.feature_bits,
        best.weight_bits,
    )
    assert asked.route == Route.OFFBOARD and asked.rate_hz == best.rate_hz
    assert asked.clock_hz == live.file.machines.clock_hz(best.profile) > 0
    assert asked.reason.startswith("at 5 Hz")
    assert live.predicted(asked) == live.point.predicted
    assert live.predicted(replace(asked, rate_hz=1.0, reason="held back")) == live.point.predicted
    assert live.predicted(replace(asked, feature_bits=2)) is None, "another point than the planned one"


def test_a_plan_for_another_model_is_not_followed(live):
    live.update(status(model_digest=live.file.model_digest), True, Budget(), 0.0)
    assert live.point is not None and not live.problem
    live.update(status(model_digest="0" * 64), True, Budget(), 1.0)
    assert live.asked(OWN) == [OWN] and live.predicted(OWN) is None
    assert "fallback runs 000000000000" in live.problem
    live.update(status(model_digest=live.file.model_digest), True, Budget(), 2.0)
    assert live.point is not None and not live.problem


def test_link_down_leaves_what_the_robot_does_alone(live):
    live.update(status(), False, Budget(), 0.0)
    asked = live.asked(OWN)[0]
    assert (asked.split, asked.route, asked.feature_bits) == ("early", Route.LOCAL, 0)


def test_slow_link_takes_bits_at_once_and_gives_them_back_after_the_dwell(live):
    live.update(None, True, Budget(), 0.0)
    wide = live.point.feature_bits
    live.update(status(link_bytes_s=6e5), True, Budget(), 1.0)
    narrow = live.point.feature_bits
    assert 0 < narrow < wide
    for now_s in (2.0, 3.0, 4.9):
        live.update(None, True, Budget(), now_s)
        assert live.point.feature_bits == narrow
    live.update(None, True, Budget(), 5.1)
    assert live.point.feature_bits == wide


def test_better_point_must_stay_the_best_for_the_whole_dwell(live):
    live.update(status(link_bytes_s=6e5), True, Budget(), 0.0)
    narrow = live.point.feature_bits
    for now_s in range(1, 20):
        link = {} if now_s % 2 else {"link_bytes_s": 6e5}
        live.update(status(**link), True, Budget(), float(now_s))
        assert live.point.feature_bits == narrow


def test_lower_bound_of_the_link_is_no_reason_to_plan_for_less(live):
    live.update(status(link_bytes_s=1e5, link_bytes_s_is_bound=True), True, Budget(), 0.0)
    assert live.point == live.file.planner().plan(live.file.readings(0.0)).point


def test_nothing_feasible_asks_for_the_lowest_rate_and_says_why(live):
    live.update(None, True, Budget(headroom_c=-5.0, c_per_w=2.0), 0.0)
    assert live.point is None and live.plan.point is None
    (asked,) = live.asked(OWN)
    assert (asked.split, asked.rate_hz) == ("own", min(live.file.goals.rates_hz))
    assert asked.reason == live.plan.reason != ""
    assert live.predicted(asked) is None


def test_predictions_follow_what_is_measured(live):
    live.update(None, True, Budget(), 0.0)
    before, point = live.point.predicted, live.asked(OWN)[0]
    measured = status(
        feature_bits=point.feature_bits,
        encode_s=1.2 * before.agent_s,
        transfer_s=0.8 * before.link_s,
        server_s=before.server_s,
        bytes_sent=0.8 * before.payload_bytes,
    )
    for now_s in np.arange(0.5, 20.0, 0.5):
        live.observe(measured, math.nan, float(now_s))
        live.update(None, True, Budget(), float(now_s))
    assert live.asked(OWN)[0] == replace(point, reason=live.plan.reason)
    after = live.point.predicted
    assert after.agent_s == pytest.approx(1.2 * before.agent_s, rel=0.05)
    assert after.payload_bytes == pytest.approx(0.8 * before.payload_bytes, rel=0.05)
    assert after.server_s == pytest.approx(before.server_s, rel=0.05)


def test_prediction_that_rises_is_told_at_once_while_the_point_stays(live):
    live.update(None, True, Budget(), 0.0)
    before = live.point
    longer = status(feature_bits=before.feature_bits, encode_s=1.5 * before.predicted.agent_s)
    live.observe(longer, math.nan, 0.5)
    live.update(None, True, Budget(), 0.6)
    assert live.point.feature_bits == before.feature_bits
    assert live.point.predicted.agent_s > before.predicted.agent_s


@pytest.mark.parametrize(
    "changes",
    [{"split": "late"}, {"feature_bits": 1}, {"source": InferenceResult.SOURCE_LOCAL}, {"answers": 2}],
)
def test_frames_of_another_point_teach_nothing(live, changes):
    live.update(None, True, Budget(), 0.0)
    wanted = status(feature_bits=live.point.feature_bits, encode_s=1.0)
    for name, value in changes.items():
        setattr(wanted, name, value)
    live.observe(wanted, math.nan, 1.0)
    assert all(spread.count == 0 for spread in live._planner.errors().values())


def test_load_of_others_is_what_the_server_says_less_our_own(live):
    load = live._load(status(server_load=0.5, server_p50_s=0.02, rate_hz=10.0))
    assert load.rate_hz == pytest.approx(15.0) and load.service_s == pytest.approx(0.02)
    assert live._load(status()) == live.file.load
