"""The flight log: what the supervisor read, decided and said, as MCAP files that outlive whatever happens.

Serialized messages are handed over; a thread writes them out every two seconds, each time as a file that is
whole (`mcap_file`). A disk that is full, gone or slow costs messages, which are counted, and nothing else.
"""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from .mcap_file import Channel, McapFile, repair

__all__ = ["Channel", "FlightLog", "files"]

_MOST_PENDING_BYTES = 4 << 20
_FEWEST_FILES = 4
_LEAST_FILE_BYTES = 64 << 10
_PATIENCE_S = 2.0


class FlightLog:
    """Writes to numbered files `NAME_000001_DATE.mcap` in a folder, newest number last.

    Args:
        folder: created where it is not there.
        name: begins the files' names; no other process may use the same one in that folder.
        most_bytes: all files with that name together; the oldest are deleted to make room for the newest.
        flush_s: how often is written: what a crash can cost [s].
    """

    def __init__(self, folder: Path, name: str, *, most_bytes: int, flush_s: float = 2.0) -> None:
        self.folder, self.name = folder, name
        self.most_bytes = most_bytes
        self.written = 0
        """Messages on the disk."""
        self.lost = 0
        """Messages that could not be written."""
        self.problem = ""
        """Why the last attempt to write failed; empty where it did not."""
        self._flush_s = flush_s
        self._lock = threading.Lock()
        self._pending: list[tuple[Channel, bytes, int]] = []
        self._pending_bytes = 0
        self._file: McapFile | None = None
        self._epoch_ns = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flight-log", daemon=True)
        self._thread.start()

    def add(self, channel: Channel, message: bytes) -> None:
        """Takes a serialized message; never blocks, never raises. From any thread."""
        now_ns = time.monotonic_ns()
        with self._lock:
            if self._pending_bytes + len(message) > _MOST_PENDING_BYTES:
                self.lost += 1
                return
            self._pending.append((channel, message, now_ns))
            self._pending_bytes += len(message)

    def close(self) -> None:
        """Writes what is left and ends; a disk that does not answer is left to itself."""
        self._ending.set()
        self._thread.join(_PATIENCE_S)

    @property
    def path(self) -> Path | None:
        """The file that is being written; None while there is none."""
        file = self._file
        return None if file is None else file.path

    # --- on the thread

    def _run(self) -> None:
        self._mend()
        ending = False
        while not ending:
            ending = self._ending.wait(self._flush_s)
            with self._lock:
                batch, self._pending, self._pending_bytes = self._pending, [], 0
            try:
                self._write(batch)
                if ending and self._file is not None:
                    self._close()
            except OSError as error:
                self._fail(error, len(batch))

    def _mend(self) -> None:
        """Gives the last file of the run before, which was perhaps cut off, its end."""
        newest = files(self.folder, self.name)[-1:]
        try:
            for path in newest:
                repair(path)
        except (OSError, ValueError) as error:
            self.problem = f"{newest[0].name} of an earlier run cannot be mended: {error}"

    def _write(self, batch: list[tuple[Channel, bytes, int]]) -> None:
        if not batch:
            return
        if self._file is None:
            self._file = self._open()
        file = self._file
        for channel, message, time_ns in batch:
            file.add(channel, message, self._epoch_ns + time_ns)
        file.flush()
        self.written += len(batch)
        self.problem = ""
        if file.size_bytes >= max(_LEAST_FILE_BYTES, self.most_bytes // _FEWEST_FILES):
            self._close()
        self._make_room()

    def _fail(self, error: OSError, count: int) -> None:
        self.problem = f"{self.folder} cannot be written: {error.strerror or error}"
        self.lost += count
        if self._file is not None:
            self._file.drop()

    def _open(self) -> McapFile:
        # The wall clock is looked at once a file: between its messages it may be set, and time goes on.
        self._epoch_ns = time.time_ns() - time.monotonic_ns()
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((number for _, number, _ in _found(self.folder, self.name)), default=0)
        stamp = time.strftime("%Y%m%dT%H%M%S")
        return McapFile(self.folder / f"{self.name}_{number:06d}_{stamp}.mcap")

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _make_room(self) -> None:
        found = files(self.folder, self.name)
        sizes = {path: path.stat().st_size for path in found}
        for path in found[:-1]:
            if sum(sizes.values()) <= self.most_bytes:
                return
            path.unlink()
            del sizes[path]


def files(folder: Path, name: str = "") -> list[Path]:
    """The flight log's files in a folder in the order of their writing; of all nodes where no name is given.

    A robot's clock may have been set in between: their numbers count, not their dates.
    """
    return [path for _, _, path in _found(folder, name)]


_PATTERN = re.compile(r"(.+)_(\d{6,})_\d{8}T\d{6}\.mcap")


def _found(folder: Path, name: str) -> list[tuple[str, int, Path]]:
    matches = [(_PATTERN.fullmatch(path.name), path) for path in folder.glob("*.mcap")]
    found = [(match[1], int(match[2]), path) for match, path in matches if match]
    return sorted(entry for entry in found if not name or entry[0] == name)
