"""A ROS graph that nobody else is in: a random domain and, where no ROS 2 is installed, its own router."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping

import rclpy

from qeil_ros.cli.demo.options import DemoError
from qeil_ros.cli.packages import child_environ
from qeil_ros.rosless.launch import LaunchDescription, Launcher, ProcessSpec

ROUTER_ATTEMPTS = 3
ROUTER_TIMEOUT_S = 20.0

# Where ROS 2 is installed its own middleware connects the processes, as the user has set it up.
ROS_INSTALLED = not rclpy.__name__.startswith("qeil_ros")


class Router:
    """A Zenoh router on a free loopback port."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._listening = threading.Event()
        self._lines: deque[str] = deque(maxlen=12)
        self._launcher: Launcher | None = None
        self.endpoint = ""

    def start(self) -> None:
        """
        Raises:
            DemoError: it does not listen in time.
        """
        for _ in range(ROUTER_ATTEMPTS):
            # Somebody may take the port before the router does: then another is tried.
            self.endpoint = f"tcp/127.0.0.1:{_free_port()}"
            command = (sys.executable, "-m", "qeil_ros.rosless.router", "--listen", self.endpoint)
            spec = ProcessSpec("router", command, self._environ, output="screen")
            self._launcher = Launcher(LaunchDescription((spec,)), on_line=self._on_line)
            self._launcher.start()
            deadline_s = time.monotonic() + ROUTER_TIMEOUT_S
            while self._launcher.alive and time.monotonic() < deadline_s:
                if self._listening.wait(0.05):
                    return
            self._launcher.shutdown(2.0)
        raise DemoError("the router did not start; its last lines are above", "\n".join(self._lines))

    def stop(self) -> None:
        if self._launcher is not None:
            self._launcher.shutdown(4.0)

    def _on_line(self, label: str, stream: str, line: str) -> None:
        self._lines.append(line)
        if "listening" in line:
            self._listening.set()


class PrivateGraph:
    """Nobody else's nodes are met in here. While it is entered, this process's environment leads into it too.

    Attributes:
        environ: the environment for child processes.
    """

    def __init__(self) -> None:
        # Domains stay below 101: above it DDS implementations run into the ephemeral ports.
        domain_id = random.SystemRandom().randrange(1, 101)
        self.environ = {**child_environ(), "ROS_DOMAIN_ID": str(domain_id)}
        self._router = None if ROS_INSTALLED else Router(self.environ)
        self._before: dict[str, str | None] = {}

    def __enter__(self) -> PrivateGraph:
        try:
            if self._router is not None:
                self._router.start()
                self.environ["ZENOH_CONFIG_OVERRIDE"] = f'connect/endpoints=["{self._router.endpoint}"]'
        except BaseException:
            self.__exit__()
            raise
        for name in ("ROS_DOMAIN_ID", "ZENOH_CONFIG_OVERRIDE"):
            if name in self.environ:
                self._before[name] = os.environ.get(name)
                os.environ[name] = self.environ[name]
        return self

    def __exit__(self, *exception: object) -> None:
        if self._router is not None:
            self._router.stop()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
