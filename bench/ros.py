"""Processes and nodes in a graph of the benchmark's own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from qeil_ros.cli.demo.isolation import PrivateGraph
from qeil_ros.rosless.launch import LaunchDescription, Launcher, ProcessSpec


class BenchError(RuntimeError):
    """A benchmark that could not be carried out."""


@contextmanager
def graph(commands: Mapping[str, Sequence[str]]) -> Iterator[Launcher]:
    """Runs these commands as processes in a graph that nobody else is in. Their output goes to stderr."""
    with PrivateGraph() as private:
        specs = [
            ProcessSpec(name, tuple(command), private.environ, output="screen")
            for name, command in commands.items()
        ]
        with Launcher(LaunchDescription(tuple(specs)), on_line=_print) as launcher:
            yield launcher


@contextmanager
def node(name: str) -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    """A node of this process, and an executor for the caller to spin."""
    with ExitStack() as stack:
        context = rclpy.Context()
        rclpy.init(args=[], context=context)
        stack.callback(context.try_shutdown)
        made = Node(name, context=context)
        stack.callback(made.destroy_node)
        executor = SingleThreadedExecutor(context=context)
        stack.callback(executor.shutdown)
        executor.add_node(made)
        yield made, executor


def spin_until(
    executor: SingleThreadedExecutor, condition: Callable[[], object], timeout_s: float, what: str
) -> None:
    """
    Raises:
        BenchError: `condition()` is not true within `timeout_s`.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise BenchError(f"{what} within {timeout_s:g} s")
        executor.spin_once(timeout_sec=0.1)


def script(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a script which lies beside the benchmarks."""
    return (sys.executable, str(Path(__file__).with_name(name)), *arguments)


def _print(label: str, stream: str, line: str) -> None:
    if stream == "stderr":
        print(f"[{label}] {line}", file=sys.stderr, flush=True)
