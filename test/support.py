"""What several test modules need: `from support import wait_until`."""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import qeil_ros.rosless  # noqa: F401  serves rclpy where no ROS 2 is installed

REPO = Path(__file__).resolve().parent.parent

REAL_RCLPY = not importlib.import_module("rclpy").__name__.startswith("qeil_ros")


def rosless_only(reason: str) -> pytest.MarkDecorator:
    """Marks what rosless promises beyond rclpy, or where releases of rclpy differ; says in what."""
    return pytest.mark.skipif(REAL_RCLPY, reason=reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_router(port: int, environ: dict[str, str]) -> subprocess.Popen[str]:
    router = subprocess.Popen(
        [sys.executable, "-m", "qeil_ros.rosless.router", "--listen", f"tcp/127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ,
        cwd=REPO,
    )
    assert router.stdout is not None
    line = router.stdout.readline()
    if "listening" not in line:
        router.kill()
        raise RuntimeError(f"router did not start: {line}{router.stdout.read()}")
    return router


def wait_until(condition: Callable[[], object], timeout_s: float = 20.0, what: str = "the condition") -> None:
    """Polls until `condition()` is true.

    Discovery takes its time on a busy machine; no test may assume less.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout_s} s")
        time.sleep(0.01)
