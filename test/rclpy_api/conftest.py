"""What these tests share. They use rclpy's public API only, so that they run on a real rclpy too."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import qeil_ros.rosless  # noqa: F401  serves rclpy where no ROS 2 is installed

import rclpy  # isort: skip
from rclpy.executors import SingleThreadedExecutor  # isort: skip
from rclpy.node import Node  # isort: skip


@pytest.fixture
def ros(ros_graph: dict[str, str]) -> Iterator[None]:
    """An initialised default context in a graph of this test's own."""
    rclpy.init(args=[])
    yield
    rclpy.try_shutdown()


@pytest.fixture
def make_node(ros: None) -> Iterator[Callable[..., Any]]:
    """Makes nodes that are destroyed at the end."""
    nodes = []

    def make(name: str = "node", cls: Any = Node, **options: Any) -> Any:
        node = cls(name, **options)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.destroy_node()


@pytest.fixture
def node(make_node: Callable[..., Any]) -> Any:
    return make_node()


@pytest.fixture
def spin_until(ros: None) -> Iterator[Callable[..., None]]:
    """`spin_until(condition, *nodes)` runs callbacks in this thread until the condition is true."""
    executor = SingleThreadedExecutor()

    def spin(condition: Callable[[], object], *nodes: Any, timeout_s: float = 20.0) -> None:
        for node in nodes:
            executor.add_node(node)
        try:
            deadline = time.monotonic() + timeout_s
            while not condition():
                assert time.monotonic() < deadline, f"the condition did not come true within {timeout_s} s"
                executor.spin_once(timeout_sec=0.05)
        finally:
            for node in nodes:
                executor.remove_node(node)

    yield spin
    executor.shutdown()


class Program:
    """A Python program that runs in a process of its own."""

    def __init__(self, source: str, environ: dict[str, str], *args: str) -> None:
        source = "import qeil_ros.rosless\n" + textwrap.dedent(source)
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
        )

    def wait_for_line(self, wanted: str) -> None:
        """Reads the output up to this line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == wanted:
                return
        raise AssertionError(f"ended before it printed {wanted!r}: {self.process.communicate()[1]}")

    def signal(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def finish(self, timeout_s: float = 30.0) -> tuple[int, str, str]:
        """Return code, output and errors; fails if the program does not end by itself."""
        try:
            out, err = self.process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"did not end within {timeout_s} s: {out}{err}") from None
        return self.process.returncode, out, err


@pytest.fixture
def run(ros_graph: dict[str, str]) -> Iterator[Callable[..., Program]]:
    """Starts programs, and ends those that are left."""
    programs = []

    def start(source: str, *args: str, **environ: str) -> Program:
        programs.append(Program(source, {**ros_graph, **environ}, *args))
        return programs[-1]

    yield start
    for program in programs:
        if program.process.poll() is None:
            program.process.kill()
            program.process.communicate()
