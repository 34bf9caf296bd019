"""What `qeil demo` was asked for, and what follows from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qeil_ros.cli.demo.sources import COMPRESSED, Source

RESTART_AFTER_S = 5.0
# Time after the restart in which the server comes back and answers again.
AFTER_RESTART_S = 7.0


class DemoError(RuntimeError):
    """The demonstration could not be carried out. `details`: further lines, such as last words."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True)
class Options:
    """What `qeil demo` was asked for.

    Attributes:
        seconds: length of the play [s]; None: the recording once, or as long as kill and restart need.
        kill_offboard_at: when to kill the offboard node, from the start of the play [s]; None: never.
        rate_hz: frames a second instead of the recorded times [Hz].
        launch: further arguments of replay.launch.xml.
    """

    bag: Path | None = None
    images: Path | None = None
    topic: str | None = None
    seconds: float | None = None
    kill_offboard_at: float | None = None
    model: str = "tabletop"
    rate_hz: float | None = None
    json_file: Path | None = None
    out: Path = Path("demo_out")
    plain: bool = False
    launch: Mapping[str, str] = field(default_factory=dict)


def play_length(options: Options, source: Source) -> float:
    """Seconds to play [s]."""
    if options.seconds is not None:
        return options.seconds
    if options.kill_offboard_at is None:
        return source.duration_s
    return max(source.duration_s, options.kill_offboard_at + RESTART_AFTER_S + AFTER_RESTART_S)


def check(options: Options) -> None:
    """
    Raises:
        DemoError: options that make no sense together.
    """
    if options.bag is not None and options.images is not None:
        raise DemoError("--bag and --images were both given; give one of them")
    for name, value in (("--seconds", options.seconds), ("--rate", options.rate_hz)):
        if value is not None and value <= 0:
            raise DemoError(f"{name} {value} is not above zero")
    kill_at, seconds = options.kill_offboard_at, options.seconds
    if kill_at is not None and kill_at < 0:
        raise DemoError(f"--kill-offboard-at {kill_at} is below zero")
    if kill_at is not None and seconds is not None and seconds <= kill_at:
        raise DemoError(f"--kill-offboard-at {kill_at} comes after the end at --seconds {seconds}")


def launch_arguments(options: Options, source: Source) -> dict[str, str]:
    """The arguments of replay.launch.xml; what the user gives wins."""
    compressed = source.type_name == COMPRESSED
    return {
        "image_topic": source.topic.removesuffix("/compressed") if compressed else source.topic,
        "image_transport": "compressed" if compressed else "raw",
        "model": options.model,
        "respawn_offboard": "false",
        **options.launch,
    }
