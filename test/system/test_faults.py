"""Whole graphs under faults: what the robot's side must stand without help."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import wait_until

from qeil_ros.cli.demo.graph import NODES, DemoGraph
from qeil_ros.cli.demo.ledger import FrameRecord, Ledger
from qeil_ros.cli.demo.observer import Observer
from qeil_ros.cli.demo.options import Options, launch_arguments
from qeil_ros.cli.demo.player import arguments, make_source
from qeil_ros.models.folder import ModelFolder

Running = tuple[DemoGraph, Observer]


@pytest.fixture
def running(tmp_path: Path, robot_config: Path) -> Iterator[Running]:
    """The graph, with the recording's first image published four times a second, answered from offboard."""
    bag = ModelFolder.load("tabletop").path / "recording"
    source = make_source(bag, None, None, None)
    options = Options(launch={"robot_config": str(robot_config)})
    player = arguments(bag, None, None, None, 1.0)
    with ExitStack() as stack:
        made = DemoGraph(launch_arguments(options, source), player, tmp_path / "nodes.log")
        graph = stack.enter_context(made)
        observer = stack.enter_context(Observer(source, Ledger(source.first_stamp_ns)))
        for name in NODES:
            wait_until(lambda name=name: observer.state(name) == "active", 60, f"{name} active")
        wait_until(lambda: answered(observer, "offboard", 0.0), 60, "an answer from offboard")
        yield graph, observer


def frames(observer: Observer, since_s: float) -> list[FrameRecord]:
    """The frames whose image was seen after that time."""
    with observer.lock:
        return [f for f in observer.ledger.warm_up.values() if f.image_s is not None and f.image_s > since_s]


def answered(observer: Observer, source: str, since_s: float) -> int:
    return sum(1 for f in frames(observer, since_s) if f.answers and f.answers[0].source == source)


def kill(graph: DemoGraph, name: str) -> float:
    """SIGKILL, and no second life. When it was dead [s]."""
    process = graph.launcher.processes[name]
    process.spec = dataclasses.replace(process.spec, respawn=False)
    graph.launcher.kill(name)
    wait_until(lambda: not process.running, 10, f"{name} dead")
    return time.monotonic()


def test_failover_needs_no_supervisor(running: Running) -> None:
    """With the supervisor killed answers go on; with the server killed too, the robot answers alone."""
    graph, observer = running
    supervisor_died_s = kill(graph, "supervisor")
    wait_until(lambda: answered(observer, "offboard", supervisor_died_s + 2.0) >= 5, 60, "answers without it")
    server_died_s = kill(graph, "co_inference")
    wait_until(lambda: answered(observer, "local", server_died_s) >= 5, 60, "answers by the robot alone")
    seen = frames(observer, supervisor_died_s)
    assert all(len(f.answers) <= 1 for f in seen)
    last = max(f.stamp_ns for f in seen if f.answers)
    # Whatever became features before the last answered frame has been answered, and once.
    assert all(len(f.answers) == 1 for f in seen if f.features_s is not None and f.stamp_ns < last)


def test_a_robot_whose_own_nodes_die_is_back_by_itself(running: Running) -> None:
    """Encoder and fallback are respawned by the launch file and find the rest of the graph again."""
    graph, observer = running
    for name in ("encoder", "fallback"):
        process = graph.launcher.processes[name]
        first = process.pid
        graph.launcher.kill(name)
        wait_until(lambda p=process, pid=first: p.running and p.pid != pid, 30, f"{name} started again")
        back_s = time.monotonic()
        wait_until(lambda s=back_s: answered(observer, "offboard", s) >= 3, 60, f"answers after {name} died")
    with observer.lock:
        assert all(len(f.answers) <= 1 for f in observer.ledger.warm_up.values())
