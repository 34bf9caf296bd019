"""Messages that nobody should trust, and a clock that jumps."""

from __future__ import annotations

import time

from rosgraph_msgs.msg import Clock
from system.faults.conftest import PLAIN, TIMED, Ground
from system.faults.hostile import Attacker

from bench.fleet import NODES, SERVER, process
from bench.robot_log import OFFBOARD


def test_hostile_repeated_and_reordered_messages(ground: Ground) -> None:
    """Every frame keeps its one answer, no forgery becomes one, nobody dies, and afterwards all is as before.

    A forged heartbeat may make the robot distrust its server meanwhile: then it answers alone.
    """
    since_s = ground.well()
    pids = {node: ground.fleet.pid(PLAIN, node) for node in (*NODES, SERVER)}
    attacker = Attacker(ground.watch.node, PLAIN, seed=11)
    try:
        attacker.active.set()
        ground.until(lambda: attacker.sent > 200, "an attack worth the name")
    finally:
        attacker.active.clear()
    ground.well()
    ground.check(since_s, forged=PLAIN)
    assert {node: ground.fleet.pid(PLAIN, node) for node in pids} == pids, ground.fleet.last_words()


def test_the_clock_jumps(ground: Ground) -> None:
    """Simulated time stamps messages and nothing else: forwards by years, back, and to a standstill."""
    since_s = ground.well()
    publisher = ground.watch.node.create_publisher(Clock, "/clock", 10)
    try:
        for seconds in (100, 101, 2_000_000_000, 5, 0, 1_000_000, 1_000_000):
            message = Clock()
            message.clock.sec = seconds
            publisher.publish(message)
            time.sleep(0.3)
    finally:
        ground.watch.node.destroy_publisher(publisher)
    promised = ground.check(since_s)[TIMED]
    assert promised.by_source.get(OFFBOARD), promised
    running = [ground.fleet.launcher.processes[process(TIMED, node)].running for node in NODES]
    assert all(running), ground.fleet.last_words()
