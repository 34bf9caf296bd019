"""Robots of this machine, each with a server of its own behind a link that can be made bad.

All robots share one router, as on one site; each server is a Zenoh client that reaches the router through its
own link of the proxy only. Shared memory is off there: bytes shall cross the link.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from qeil_ros.cli.demo.isolation import ROS_INSTALLED
from qeil_ros.cli.packages import child_environ, packages
from qeil_ros.resources import share_dir
from qeil_ros.rosless.launch import LaunchDescription, Launcher, ProcessSpec, parse

from .impair import Impaired
from .ros import BenchError

__all__ = ["NODES", "Fleet", "Robot"]

NODES = ("encoder", "fallback", "supervisor")
SERVER = "co_inference"
START_TIMEOUT_S = 60.0
_KEPT_LINES = 400


@dataclass(frozen=True)
class Robot:
    """One robot and its server.

    Attributes:
        name: its namespace.
        parameters: by node (encoder, fallback, supervisor, co_inference), on top of the shipped ones.
        prefixes: words put before a node's command, by node.
        arguments: further ones of robot.launch.xml.
    """

    name: str
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prefixes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    arguments: Mapping[str, str] = field(default_factory=dict)


class Fleet:
    """Starts router, proxy and nodes on entry, and ends all of them on exit. This process's environment leads
    into their graph meanwhile.

    Args:
        beyond: further processes by name, each on the far side of a link of its own, which has that name.

    Attributes:
        network: the proxy; each robot's link has its name, and `up` is from the server to the robot.
        launcher: the nodes; their names are `process(robot, node)`.
    """

    def __init__(
        self,
        robots: Sequence[Robot],
        *,
        beyond: Mapping[str, Sequence[str]] | None = None,
        model: str = "tabletop",
        seed: int = 0,
    ) -> None:
        if ROS_INSTALLED:
            raise BenchError("links are cut between our own Zenoh sessions; run this without ROS 2")
        self.robots, self._model, self._seed = tuple(robots), model, seed
        self._beyond = dict(beyond or {})
        self.lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listening = threading.Event()

    def __enter__(self) -> Fleet:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qeil_fleet_")))
            port = _free_port()
            domain = str(random.SystemRandom().randrange(1, 101))
            self.environ = {
                **child_environ(),
                "ROS_DOMAIN_ID": domain,
                "ZENOH_CONFIG_OVERRIDE": f'connect/endpoints=["tcp/127.0.0.1:{port}"]',
            }
            self._port = port
            self.router = self._start_router(stack)
            self.network = stack.enter_context(Impaired())
            specs: list[ProcessSpec] = []
            for number, robot in enumerate(self.robots):
                link = self.network.open(robot.name, port, seed=self._seed + number)
                specs += self._processes(robot, link)
            for number, (name, words) in enumerate(self._beyond.items()):
                link = self.network.open(name, port, seed=self._seed + len(self.robots) + number)
                specs.append(ProcessSpec(name, tuple(words), self.link_environ(link), output="screen"))
            self.launcher = stack.enter_context(
                Launcher(LaunchDescription(tuple(specs)), on_line=self._on_line)
            )
            stack.enter_context(_environment(self.environ))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit.close()

    def _start_router(self, stack: ExitStack) -> Launcher:
        """A launch of its own: one whose only process has ended is over, and nothing starts there again."""
        endpoint = f"tcp/127.0.0.1:{self._port}"
        command = (sys.executable, "-m", "qeil_ros.rosless.router", "--listen", endpoint)
        self._listening.clear()
        spec = ProcessSpec("router", command, self.environ, output="screen")
        router = stack.enter_context(Launcher(LaunchDescription((spec,)), on_line=self._on_line))
        if not self._listening.wait(START_TIMEOUT_S):
            raise BenchError("the router did not start:\n" + self.last_words())
        return router

    def link_environ(self, port: int) -> dict[str, str]:
        """The environment of a process on the other side of a link that listens on `port`."""
        override = (
            f'mode="client";connect/endpoints=["tcp/127.0.0.1:{port}"];listen/endpoints=[];'
            "transport/shared_memory/enabled=false"
        )
        return {**self.environ, "ZENOH_CONFIG_OVERRIDE": override}

    def _processes(self, robot: Robot, link: int) -> Iterator[ProcessSpec]:
        launch = share_dir() / "launch"
        config = self._config(robot)
        mine = {"namespace": robot.name, "image_transport": "compressed", "model": self._model}
        theirs = {"robots": f"[{robot.name}]", "respawn": "false", "model": self._model}
        beyond = self.link_environ(link)
        files = (
            ("robot.launch.xml", {**mine, "config": str(config), **robot.arguments}, self.environ),
            ("offboard.launch.xml", {**theirs, "config": str(config)}, beyond),
        )
        for file, arguments, environ in files:
            for spec in parse(launch / file, arguments, environ, packages(environ)).processes:
                words = (*robot.prefixes.get(spec.name, ()), *spec.command)
                yield replace(spec, name=process(robot.name, spec.name), command=words)

    def _config(self, robot: Robot) -> Path:
        """The shipped configuration of both sides, with the robot's own parameters."""
        config: dict[str, Any] = {}
        for name in ("robot.yaml", "offboard.yaml"):
            config.update(yaml.safe_load((share_dir() / "config" / name).read_text()))
        for node, parameters in robot.parameters.items():
            config[f"/**/{node}"]["ros__parameters"].update(parameters)
        path = self._folder / f"{robot.name}.yaml"
        path.write_text(yaml.safe_dump(config))
        return path

    # ---- faults

    def kill(self, robot: str, node: str = SERVER) -> float:
        """SIGKILL. A server stays dead until `start`. Returns when [s]."""
        self.launcher.kill(process(robot, node), signal.SIGKILL)
        return time.monotonic()

    def start(self, robot: str, node: str = SERVER) -> None:
        """Starts a node that has been killed."""
        name = process(robot, node)
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while self.launcher.processes[name].running and time.monotonic() < deadline_s:
            time.sleep(0.01)  # the launcher has not seen its death yet
        self.launcher.respawn(name)

    def stop(self, robot: str, node: str = SERVER) -> float:
        """SIGSTOP: everything stays open, nothing moves. Returns when [s]."""
        self.launcher.kill(process(robot, node), signal.SIGSTOP)
        return time.monotonic()

    def go_on(self, robot: str, node: str = SERVER) -> float:
        """SIGCONT. Returns when [s]."""
        self.launcher.kill(process(robot, node), signal.SIGCONT)
        return time.monotonic()

    def restart_router(self) -> None:
        """Starts the router that has been killed, on its old port, and returns when it listens."""
        self.router = self._start_router(self._exit)

    def pid(self, robot: str, node: str) -> int:
        """Of a node that runs. BenchError: it does not."""
        pid = self.launcher.processes[process(robot, node)].pid
        if pid is None:
            raise BenchError(f"{node} of {robot} does not run:\n{self.last_words()}")
        return pid

    def last_words(self) -> str:
        """The last lines that the processes printed."""
        return "\n".join(list(self.lines)[-40:])

    def _on_line(self, label: str, stream: str, line: str) -> None:
        self.lines.append(f"[{label}] {line}")
        if label.startswith("router") and "listening" in line:
            self._listening.set()


def process(robot: str, node: str) -> str:
    """The name of a node's process."""
    return f"{node}_{robot}"


@contextmanager
def _environment(environ: Mapping[str, str]) -> Iterator[None]:
    """This process's environment leads into the graph."""
    names = ("ROS_DOMAIN_ID", "ZENOH_CONFIG_OVERRIDE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: environ[name] for name in names})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
