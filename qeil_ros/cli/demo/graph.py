"""The processes of the demonstration: the four nodes and the player. All of them end with it."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from qeil_ros.cli.demo.isolation import PrivateGraph
from qeil_ros.cli.demo.options import DemoError
from qeil_ros.cli.packages import packages
from qeil_ros.resources import share_dir
from qeil_ros.rosless.launch import LaunchDescription, Launcher, LaunchError, ProcessSpec, parse

NODES = ("encoder", "co_inference", "fallback", "supervisor")
OFFBOARD = "co_inference"
PLAYER = "player"
KEPT_LINES = 12


class DemoGraph:
    """Starts the nodes in a graph of their own on entry, and ends everything on exit."""

    def __init__(self, launch_arguments: Mapping[str, str], player_arguments: list[str], log: Path) -> None:
        self._launch_arguments = launch_arguments
        self._player_arguments = player_arguments
        self._log = log
        self._private = PrivateGraph()
        self._launcher: Launcher | None = None
        self._lines: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=KEPT_LINES))

    def __enter__(self) -> DemoGraph:
        with ExitStack() as stack:
            stack.enter_context(self._private)
            self._launcher = self._make_launcher(self._private.environ)
            stack.callback(self._launcher.shutdown)
            self._launcher.start()
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit.close()

    def _make_launcher(self, environ: dict[str, str]) -> Launcher:
        file = share_dir() / "launch" / "replay.launch.xml"
        try:
            graph = parse(file, self._launch_arguments, environ, packages(environ))
        except LaunchError as error:
            raise DemoError(str(error)) from error
        command = (sys.executable, "-m", "qeil_ros.cli.demo.player", *self._player_arguments)
        player = ProcessSpec(PLAYER, command, environ, output="screen")
        description = LaunchDescription((*graph.actions, player))
        return Launcher(description, on_line=self._on_line, log_file=self._log)

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
        return self.launcher.alive and self.launcher.processes[PLAYER].returncode is None

    @property
    def frames_played(self) -> int:
        """What the player counted; 0 until it has ended."""
        for line in self._lines[self.launcher.processes[PLAYER].label]:
            if line.startswith("played "):
                return int(line.removeprefix("played "))
        return 0
