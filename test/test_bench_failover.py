"""How the failover benchmark judges what it saw: by logs made up here, whose verdicts are known."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest

from bench import failover_plot
from bench.failover_cuts import KINDS, LEAST_CUT_S, MOST_CUT_S, PAUSE_S, plan, share_out
from bench.harness import Report, figure
from bench.robot_log import (
    DOWN,
    LOCAL,
    LOCAL_MODE,
    NONE,
    OFFBOARD,
    Answer,
    Cut,
    RobotLog,
    outcome,
    outcomes,
    promises,
)

DEADLINE_S = 0.2
UP = 1


def log(*sources: int | None, period_s: float = 0.1, took_s: float = 0.05) -> RobotLog:
    """A frame every period, answered by that source; None: not at all."""
    made = RobotLog("robot")
    for number, source in enumerate(sources):
        made.published(number, number * period_s)
        made.frames[number].features_s = number * period_s + 0.01
        if source is not None:
            made.answered(answer(number, number * period_s + took_s, source))
    return made


def answer(
    number: int, seen_s: float, source: int = OFFBOARD, reason: str = "", total_s: float = 0.05
) -> Answer:
    return Answer(seen_s, number, 1, number, source, reason, total_s)


def test_all_promises_kept() -> None:
    promised = promises(log(OFFBOARD, OFFBOARD, LOCAL, NONE), DEADLINE_S, 0.0, 1.0)
    assert promised.kept
    assert (promised.images, promised.frames) == (4, 4)
    assert promised.by_source == {OFFBOARD: 2, LOCAL: 1, NONE: 1}
    assert promised.slowest_s == pytest.approx(0.05)


def test_an_image_that_never_became_features_is_no_frame() -> None:
    made = log(OFFBOARD, None)
    made.frames[1].features_s = None
    promised = promises(made, DEADLINE_S, 0.0, 1.0)
    assert promised.kept and (promised.images, promised.frames) == (2, 1)


def test_nothing_seen_keeps_no_promise() -> None:
    assert not promises(log(), DEADLINE_S, 0.0, 1.0).kept


def test_each_broken_promise_is_counted() -> None:
    made = log(OFFBOARD, None, OFFBOARD, OFFBOARD)
    made.answered(answer(0, 0.4, LOCAL))  # twice
    made.answered(answer(77, 0.5))  # to nobody's image
    made.published(4, 0.4)
    made.answered(answer(4, 0.61, total_s=0.19))  # late for the observer alone
    made.published(5, 0.5)
    made.answered(answer(5, 0.71, total_s=0.21))  # late for both
    promised = promises(made, DEADLINE_S, 0.0, 1.0)
    assert promised.unanswered == 1 and promised.duplicates == 1 and promised.strangers == 1
    assert promised.late == 2 and promised.late_by_own_clock == 1
    assert promised.stale == 1  # frame 0 came again after frame 3
    assert not promised.kept
    assert promises(made, DEADLINE_S, 0.25, 0.35).kept  # the time of frame 3 alone


def test_an_answer_of_before_is_stale_but_no_answer_is_not() -> None:
    made = log(OFFBOARD, OFFBOARD)
    for number in (2, 3):
        made.published(number, 0.2)
    made.answered(answer(3, 0.25))
    made.answered(answer(2, 0.26, NONE))
    assert promises(made, DEADLINE_S, 0.0, 1.0).stale == 0
    made.published(4, 0.3)
    made.published(5, 0.3)
    made.answered(answer(5, 0.35))
    made.answered(answer(4, 0.36))
    assert promises(made, DEADLINE_S, 0.0, 1.0).stale == 1


def test_a_cut_is_noticed_by_the_first_sign() -> None:
    made = log(*[OFFBOARD] * 5, *[LOCAL] * 8, *[OFFBOARD] * 5)
    cut = Cut("silent", 0.5, 0.9, 1.0)
    assert outcome(made, cut, 2.0).noticed_s == math.inf  # a local answer alone may be a slow network's
    made.links.append((0.79, DOWN))
    assert outcome(made, cut, 2.0).noticed_s == pytest.approx(0.29)
    made.answered(answer(7, 0.77, LOCAL, "heartbeat lost: silent for more than 0.3 s"))
    assert outcome(made, cut, 2.0).noticed_s == pytest.approx(0.27)


def test_the_server_is_back_with_an_answer_to_a_later_image() -> None:
    made = log(*[OFFBOARD] * 5, *[LOCAL] * 8, *[OFFBOARD] * 5)
    judged = outcome(made, Cut("silent", 0.5, 0.9, 1.0), 2.0)
    assert judged.back_s == pytest.approx(0.35)  # frame 13, published at 1.3, seen at 1.35
    assert (judged.changes, judged.flaps) == (2, 0)
    assert outcome(made, Cut("silent", 0.5, 0.9, 1.9), 2.5).back_s == math.inf


def test_strays_are_changes_beyond_one_failover() -> None:
    made = log(*[OFFBOARD] * 3, LOCAL, OFFBOARD, LOCAL, NONE, LOCAL, OFFBOARD)
    judged = outcome(made, Cut("silent", 0.25, 0.3, 0.3), 2.0)
    assert (judged.changes, judged.strays, judged.flaps) == (4, 2, 0)


def test_a_flap_is_a_link_given_up_or_a_mode_left_twice_for_one_cut() -> None:
    made = log(OFFBOARD)
    cut = Cut("silent", 1.0, 1.3, 1.3)
    made.links += [(0.5, UP), (1.3, DOWN), (1.5, DOWN), (2.0, UP)]
    assert outcome(made, cut, 3.0).flaps == 0
    made.links += [(2.2, DOWN), (2.5, UP)]
    assert outcome(made, cut, 3.0).flaps == 1
    assert outcome(made, cut, 2.1).flaps == 0  # that belongs to the next cut
    made.modes += [(0.9, 0), (1.4, LOCAL_MODE), (1.6, 0), (1.7, LOCAL_MODE), (1.9, 1), (2.9, LOCAL_MODE)]
    assert outcome(made, cut, 3.0).flaps == 3


def test_every_cut_is_judged_until_the_next() -> None:
    made = log(*[OFFBOARD] * 3, *[LOCAL] * 3, *[OFFBOARD] * 3, *[LOCAL] * 3)
    cuts = [Cut("silent", 0.25, 0.5, 0.5), Cut("reset", 0.86, 1.0, 1.0)]
    first, second = outcomes(made, cuts, 1.2)
    assert first.changes == 2 and math.isfinite(first.back_s)
    assert second.changes == 1 and second.back_s == math.inf


def test_cuts_are_drawn_from_the_seed_in_their_shares() -> None:
    planned = plan(1000, 3)
    assert planned == plan(1000, 3) != plan(1000, 4)
    counts = Counter(one.kind for one in planned)
    assert counts == pytest.approx({kind: 1000 * share for kind, share in KINDS.items()}, abs=1)
    assert len({one.kind for one in plan(3, 3)}) == 3  # a few are not all of the commonest kind
    assert all(LEAST_CUT_S <= one.duration_s <= MOST_CUT_S for one in planned)
    assert all(PAUSE_S[0] <= one.pause_s <= PAUSE_S[1] for one in planned)
    short = sum(one.duration_s < math.sqrt(LEAST_CUT_S * MOST_CUT_S) for one in planned)
    assert short == pytest.approx(500, abs=60)


def test_cuts_are_shared_out_whole() -> None:
    shares = share_out(10, ["a", "b", "c"], 1)
    assert [len(planned) for planned in shares.values()] == [4, 3, 3]
    assert shares["b"] != shares["c"]


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    made = log(*[OFFBOARD] * 5, *[LOCAL] * 8, *[OFFBOARD] * 5)
    judged = outcomes(made, [Cut("silent", 0.5, 0.9, 1.0)], 2.0)
    curves = failover_plot.curves(judged)
    assert curves == {"silent": [[0.5, None, 0.35]]}
    config = {"curves": curves, "weak_links": {"slow": {}}}
    results = [figure("slow_ours_in_time", 30.0, "Hz"), figure("slow_ours_by_server", 20.0, "Hz")]
    failover_plot.draw(Report("failover", config, [], results), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
