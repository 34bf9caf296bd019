"""Processes that die: nodes of the robot, and the router that all of them meet at."""

from __future__ import annotations

import time

from system.faults.conftest import HOT, PLAIN, TIMED, Ground

from bench.fleet import SERVER, process
from bench.robot_log import LOCAL, OFFBOARD


def kill(ground: Ground, robot: str, node: str) -> float:
    """SIGKILL. When the process was gone [s]; the launch file lets it be started again a second later."""
    gone = ground.fleet.launcher.processes[process(robot, node)]
    first = gone.pid
    ground.fleet.kill(robot, node)
    ground.until(lambda: not gone.running or gone.pid != first, f"{node} of {robot} dead")
    return time.monotonic()


def test_nodes_of_the_robot_die_and_come_back(ground: Ground) -> None:
    """Failover needs no supervisor; an encoder and a fallback that are new find everything again."""
    since_s = ground.well()
    died_s = {
        PLAIN: kill(ground, PLAIN, "supervisor"),
        HOT: kill(ground, HOT, "encoder"),
        TIMED: kill(ground, TIMED, "fallback"),
    }
    kill(ground, PLAIN, SERVER)
    ground.until(lambda: ground.answers(PLAIN, LOCAL, died_s[PLAIN]) >= 3, "answers of the robot alone")
    ground.fleet.start(PLAIN)
    for name in (HOT, TIMED):
        ground.until(
            lambda name=name: ground.answers(name, OFFBOARD, died_s[name] + 0.5) >= 3, f"{name} back"
        )
    ground.well()
    ground.check(since_s, PLAIN, HOT)
    # What the old fallback had not answered nobody did; the new one answers none of it, and nothing twice.
    promised = ground.judge(since_s)[TIMED]
    assert promised.duplicates == promised.stale == promised.late == 0, promised
    ground.until(lambda: ground.mode(PLAIN) == 0, "the new supervisor content")


def test_the_router_dies_and_comes_back(ground: Ground) -> None:
    """The nodes of a robot know each other without it; the servers are cut off until it is back."""
    since_s = ground.well()
    router = ground.fleet.router
    router.kill("router")
    killed_s = time.monotonic()
    for name in ground.names:
        ground.until(lambda name=name: ground.answers(name, LOCAL, killed_s) >= 3, f"{name} alone")
    ground.until(lambda: not router.processes["router"].running, "the router dead")
    ground.fleet.restart_router()
    ground.well()
    ground.check(since_s)
