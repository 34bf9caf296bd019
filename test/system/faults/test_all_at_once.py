"""A very bad day: links cut and weak, servers killed, heat, hostile messages, a dead supervisor, one time."""

from __future__ import annotations

import threading

from system.faults.board import CRITICAL_C
from system.faults.conftest import HOT, PLAIN, TIMED, Ground
from system.faults.hostile import Attacker

from bench.failover_cuts import Plan, cut_all
from bench.impair import Conditions
from bench.robot_log import OFFBOARD

PLANS = {
    PLAIN: [Plan("silent", 0.3, 0.2), Plan("half-open", 0.5, 0.3)],
    HOT: [Plan("killed", 0.1, 0.4)],
    TIMED: [Plan("stopped", 0.5, 0.1), Plan("reset", 0.2, 0.3)],
}


def test_all_at_once(ground: Ground) -> None:
    since_s = ground.well()
    network = ground.fleet.network
    attacker = Attacker(ground.watch.node, TIMED, seed=4)
    cool = threading.Timer(3.0, lambda: setattr(ground.board, "temperature_c", 45.0))
    try:
        for name in ground.names:
            network.set(name, Conditions(delay_s=0.03, jitter_s=0.02, rate_bit_s=5e6, loss=0.02))
        ground.board.temperature_c = CRITICAL_C + 2
        cool.start()
        attacker.active.set()
        ground.fleet.kill(PLAIN, "supervisor")
        cut_all(ground.fleet, ground.watch, PLANS, lambda done, total: None)
    finally:
        cool.cancel()
        ground.board.temperature_c = 45.0
        attacker.active.clear()
        for name in ground.names:
            network.set(name, Conditions())
    ground.well()
    for name, promised in ground.check(since_s, forged=TIMED).items():
        assert promised.by_source.get(OFFBOARD), (name, promised)
