"""What a launch file asks for, with every substitution done: plain data between the reader and the
launcher."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class LaunchError(ValueError):
    """A launch file that cannot be carried out; the message starts with `file:line:`."""

    def __init__(self, message: str, file: Path | str | None = None, line: int | None = None) -> None:
        where = "" if file is None else f"{file}: " if line is None else f"{file}:{line}: "
        super().__init__(where + message)


@dataclass(frozen=True)
class InlineFile:
    """A command-line argument that is the path of a file with this text; the launcher writes the file."""

    text: str
    suffix: str = ".yaml"


@dataclass(frozen=True)
class ProcessSpec:
    """One process to run.

    `output` is `screen` or `both` (everything is shown) or `log` (only stderr is shown, as `ros2 launch`
    does). `environ` is the whole environment. Times are in seconds; `respawn_max_retries` below 0 means no
    bound.
    """

    name: str
    command: tuple[str | InlineFile, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    output: str = "log"
    respawn: bool = False
    respawn_delay_s: float = 0.0
    respawn_max_retries: int = -1
    on_exit_shutdown: bool = False
    sigterm_timeout_s: float = 5.0
    sigkill_timeout_s: float = 5.0
    shell: bool = False
    emulate_tty: bool = False
    after_s: float = 0.0
    node: str | None = None
    """Fully qualified node name, where the launch file fixes both its name and its namespace."""

    def shown_command(self) -> str:
        """The command as a person would type it, for messages."""
        words = [word if isinstance(word, str) else "<parameters>" for word in self.command]
        return " ".join(words) if self.shell else shlex.join(words)


@dataclass(frozen=True)
class LogMessage:
    """A line for the user."""

    text: str
    after_s: float = 0.0


@dataclass(frozen=True)
class ShutdownRequest:
    """Ends the whole launch."""

    reason: str
    after_s: float = 0.0


@dataclass(frozen=True)
class LaunchDescription:
    """What to do, in the order of the file."""

    actions: tuple[ProcessSpec | LogMessage | ShutdownRequest, ...]

    @property
    def processes(self) -> list[ProcessSpec]:
        return [action for action in self.actions if isinstance(action, ProcessSpec)]
