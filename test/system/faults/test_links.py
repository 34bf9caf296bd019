"""Links that are cut, slow, lossy or recorded, servers that die: every frame is answered once, in time."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from system.faults.conftest import HOT, PLAIN, TIMED, Ground

from bench.failover_cuts import Plan, cut_all
from bench.impair import Conditions
from bench.robot_log import LOCAL, OFFBOARD, outcomes

PLANS = {
    PLAIN: [Plan("silent", 0.7, 0.1), Plan("killed", 0.2, 0.3), Plan("silent-to-server", 0.5, 0.2)],
    HOT: [Plan("half-open", 0.6, 0.2), Plan("reset", 0.5, 0.1), Plan("silent-to-robot", 0.7, 0.3)],
    TIMED: [Plan("stopped", 0.7, 0.3), Plan("silent", 2.8, 0.2)],
}
"""The last one outlives the sessions' lease: both ends give the connection up and find each other again."""


def test_every_kind_of_cut(ground: Ground) -> None:
    since_s = ground.well()
    cutters = cut_all(ground.fleet, ground.watch, PLANS, lambda done, total: None)
    end_s = time.monotonic()
    judgement = ground.check(since_s)
    for cutter in cutters:
        assert {OFFBOARD, LOCAL} <= judgement[cutter.robot].by_source.keys(), judgement
        judged = outcomes(ground.watch.logs[cutter.robot], cutter.cuts, end_s)
        assert [outcome.cut.kind for outcome in judged] == [planned.kind for planned in PLANS[cutter.robot]]
        for outcome in judged:
            assert outcome.cut.carries_s >= outcome.cut.end_s
            if outcome.cut.deaf:  # 0.5 s and longer: too long for the heartbeat
                assert math.isfinite(outcome.noticed_s), outcome
            assert math.isfinite(outcome.back_s), outcome


@pytest.mark.parametrize(
    "conditions",
    [
        {
            PLAIN: Conditions(delay_s=0.05, jitter_s=0.02, loss=0.05),
            HOT: Conditions(rate_bit_s=1e6),
            TIMED: Conditions(rate_bit_s=5e6, delay_s=0.05, loss=0.05),
        }
    ],
    ids=["loss, delay, jitter, rate"],
)
def test_weak_networks(ground: Ground, conditions: dict[str, Conditions]) -> None:
    _through(ground, conditions, conditions)


def test_recorded_networks(ground: Ground, data_dir: Path) -> None:
    """A driving phone's LTE, its far worse EVDO with silences of seconds, and 5G round trips of a car."""
    traces = data_dir / "traces"
    lte, evdo = (traces / "mahimahi" / name for name in ("TMobile-LTE-short", "Verizon-EVDO-driving.up"))
    car = Conditions(delays=str(traces / "cicv5g" / "urban_n8_v30_run01.txt"))
    slow = Conditions(opportunities=str(evdo))
    up = {PLAIN: Conditions(opportunities=f"{lte}.down"), HOT: slow, TIMED: car}
    down = {PLAIN: Conditions(opportunities=f"{lte}.up"), HOT: slow, TIMED: car}
    _through(ground, up, down)


def _through(ground: Ground, up: dict[str, Conditions], down: dict[str, Conditions]) -> None:
    """Three seconds under these conditions, from the server and towards it, by robot."""
    since_s = ground.well()
    network = ground.fleet.network
    before = {name: network.count(name)["down_bytes"] for name in ground.names}
    for name in ground.names:
        network.set(name, up[name], "up")
        network.set(name, down[name], "down")
    try:
        time.sleep(3.0)
        for name, promised in ground.check(since_s).items():
            assert promised.frames >= 10, (name, promised)
            assert network.count(name)["down_bytes"] > before[name], name
    finally:
        for name in ground.names:
            network.set(name, Conditions())
    ground.well()
