"""The processes of the demonstration: router, the four nodes, the player. All of them end with it."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from pathlib import Path

import rclpy

from qeil_ros.cli.demo.options import DemoError
from qeil_ros.cli.packages import child_environ, packages
from qeil_ros.resources import share_dir
from qeil_ros.rosless.launch import LaunchDescription, Launcher, ProcessSpec, parse

NODES = ("encoder", "co_inference", "fallback", "supervisor")
OFFBOARD = "co_inference"
PLAYER = "player"
KEPT_LINES = 12
ROUTER_ATTEMPTS = 3

# Where ROS 2 is installed its own middleware connects the processes, as the user has set it up.
ROS_INSTALLED = not rclpy.__name__.startswith("qeil_ros")


class Router:
    """A Zenoh router on a free loopback port, so that nobody else's graph is met."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._listening = threading.Event()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self.endpoint = ""
        self._launcher: Launcher | None = None

    def start(self, timeout_s: float = 20.0) -> None:
        """
        Raises:
            DemoError: it does not listen within `timeout_s`.
        """
        for _ in range(ROUTER_ATTEMPTS):
            # Somebody may take the port before the router does: then another is tried.
            self.endpoint = f"tcp/127.0.0.1:{_free_port()}"
            command = (sys.executable, "-m", "qeil_ros.rosless.router", "--listen", self.endpoint)
            spec = ProcessSpec("router", command, self._environ, output="screen")
            self._launcher = Launcher(LaunchDescription((spec,)), on_line=self._on_line)
            self._launcher.start()
            deadline_s = time.monotonic() + timeout_s
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


class DemoGraph:
    """Starts everything on entry, ends everything on exit; its environment is set for this process too.

    Attributes:
        domain_id: a ROS domain drawn at random.
    """

    def __init__(self, launch_arguments: Mapping[str, str], player_arguments: list[str], log: Path) -> None:
        # Domains stay below 101: above it DDS implementations run into the ephemeral ports.
        self.domain_id = random.SystemRandom().randrange(1, 101)
        self._launch_arguments = launch_arguments
        self._player_arguments = player_arguments
        self._log = log
        self._environ = {**child_environ(), "ROS_DOMAIN_ID": str(self.domain_id)}
        self._router = None if ROS_INSTALLED else Router(self._environ)
        self._launcher: Launcher | None = None
        self._before: dict[str, str | None] = {}
        self._lines: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=KEPT_LINES))

    def __enter__(self) -> DemoGraph:
        try:
            if self._router is not None:
                self._router.start()
                self._environ["ZENOH_CONFIG_OVERRIDE"] = f'connect/endpoints=["{self._router.endpoint}"]'
            self._set_environ()
            self._launch()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._launcher is not None:
            self._launcher.shutdown()
        if self._router is not None:
            self._router.stop()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()

    def _set_environ(self) -> None:
        for name in ("ROS_DOMAIN_ID", "ZENOH_CONFIG_OVERRIDE"):
            if name in self._environ:
                self._before[name] = os.environ.get(name)
                os.environ[name] = self._environ[name]

    def _launch(self) -> None:
        file = share_dir() / "launch" / "replay.launch.xml"
        graph = parse(file, self._launch_arguments, self._environ, packages(self._environ))
        player = ProcessSpec(
            PLAYER,
            (sys.executable, "-m", "qeil_ros.cli.demo.player", *self._player_arguments),
            self._environ,
            output="screen",
        )
        self._launcher = Launcher(
            LaunchDescription((*graph.actions, player)), on_line=self._on_line, log_file=self._log
        )
        self._launcher.start()

    def _on_line(self, label: str, stream: str, line: str) -> None:
        self._lines[label].append(line)

    @property
    def launcher(self) -> Launcher:
        if self._launcher is None:
            raise RuntimeError("the graph has not been started")
        return self._launcher

    def last_words(self, name: str) -> str:
        """The last lines that a process printed."""
        lines = self._lines[self.launcher.processes[name].label]
        return "\n".join(f"[{name}] {line}" for line in lines) or f"[{name}] (no output)"

    def broken(self) -> str | None:
        """The name of a process that has died of itself since the start; None: all are well."""
        for name, process in self.launcher.processes.items():
            if process.respawns > 0 or (process.returncode not in (None, 0)):
                return name
        return None

    def kill_offboard(self) -> None:
        """SIGKILL: the process gets no chance to say goodbye."""
        self.launcher.kill(OFFBOARD)

    def restart_offboard(self) -> None:
        self.launcher.respawn(OFFBOARD)

    @property
    def playing(self) -> bool:
        """Whether the player still runs."""
        return self.launcher.processes[PLAYER].returncode is None

    @property
    def frames_played(self) -> int:
        """What the player counted; 0 until it has ended."""
        for line in self._lines[self.launcher.processes[PLAYER].label]:
            if line.startswith("played "):
                return int(line.removeprefix("played "))
        return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
