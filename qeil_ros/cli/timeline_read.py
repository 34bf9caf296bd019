"""What a recording says about a supervisor: its statuses over time, and what was noted beside them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qeil_ros.nodes.flight_log import files
from qeil_ros.nodes.mcap_file import repair

from .bag.storage import message_class, open_bag
from .errors import CliError
from .status_facts import facts

__all__ = ["Track", "read"]

_STATUS = "qeil_ros/msg/SupervisorStatus"
_LOG = "rcl_interfaces/msg/Log"
_SUFFIXES = (".mcap", ".db3")


@dataclass
class Track:
    """One supervisor's statuses.

    Attributes:
        topic: where it spoke.
        times_s: of each status, since the first [s]. start_s: of the first, since the epoch [s].
        statuses: as `status_facts.facts`.
        notes: (time [s], text) of what it logged beside them: overrides, changes of parameters.
        sources: the files that were read.
    """

    topic: str = ""
    start_s: float = 0.0
    times_s: list[float] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    sources: list[Path] = field(default_factory=list)


def read(path: Path, topic: str = "") -> Track:
    """The supervisor in a flight log (a file or its folder) or in any recording of its topic.

    Args:
        topic: where it speaks; empty: the only one in there.

    Raises:
        CliError: nothing readable, no supervisor, or several.
    """
    track = Track(sources=_sources(path))
    found: list[tuple[int, dict[str, Any]]] = []
    notes: list[tuple[int, str]] = []
    topics: set[str] = set()
    for source in track.sources:
        for connection, stamp_ns, data in _messages(source):
            if connection.msgtype == _LOG:
                notes.append((stamp_ns, _deserialized(connection, data).msg))
                continue
            topics.add(connection.topic)
            if topic in ("", connection.topic):
                found.append((stamp_ns, facts(_deserialized(connection, data))))
    if not found:
        there = f"; there are {', '.join(sorted(topics))}" if topics else ""
        raise CliError(f"no supervisor status{f' on {topic}' if topic else ''} in {str(path)!r}{there}", 1)
    if not topic and len(topics) > 1:
        raise CliError(
            f"several supervisors in {str(path)!r}: choose one of {', '.join(sorted(topics))} by --topic"
        )
    track.topic = topic or topics.pop()
    first_ns = found[0][0]
    track.start_s = first_ns * 1e-9
    track.times_s = [(stamp_ns - first_ns) * 1e-9 for stamp_ns, _ in found]
    track.statuses = [status for _, status in found]
    track.notes = [((stamp_ns - first_ns) * 1e-9, text) for stamp_ns, text in notes]
    return track


def _sources(path: Path) -> list[Path]:
    if not path.is_dir() or (path / "metadata.yaml").is_file():
        return [path]
    found = files(path) or sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if not found:
        raise CliError(f"no recording in {str(path)!r}")
    return found


def _messages(source: Path) -> Iterator[tuple[Any, int, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        reader = _opened(source, Path(folder))
        try:
            wanted = [each for each in reader.connections if each.msgtype in (_STATUS, _LOG)]
            # With none wanted a reader gives all.
            yield from reader.messages(wanted) if wanted else ()
        finally:
            reader.close()


def _opened(source: Path, folder: Path) -> Any:
    try:
        return open_bag(source)
    except CliError:
        if source.suffix != ".mcap" or not source.is_file():
            raise
        # Perhaps its writer was killed while it wrote: what is whole is read, and the original left alone.
        copy = folder / source.name
        shutil.copyfile(source, copy)
        try:
            mended = repair(copy)
        except ValueError:
            mended = False
        if not mended:
            raise
        return open_bag(copy)


def _deserialized(connection: Any, data: bytes) -> Any:
    from rclpy.serialization import deserialize_message

    try:
        return deserialize_message(data, message_class(connection))
    except ValueError as error:
        raise CliError(f"a message on {connection.topic} cannot be read: {error}", 1) from error
