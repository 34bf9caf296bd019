"""Reads small files of the kernel without trusting them: bounded, non-blocking, a fault is a SensorError."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from .readings import SensorError

__all__ = ["File", "entries", "number", "optional", "text", "why"]

_MOST_BYTES = 8192
_MOST_ENTRIES = 1024
_NUMBER = re.compile(rb"\s*[+-]?\d{1,20}\s*")


class File:
    """A small file that is read again and again: it is opened once, and from then on read from its beginning.

    The kernel makes the contents of a file below /sys or /proc anew whenever it is read from the beginning. A
    file that fails, or that somebody replaced, is opened again the next time. A pipe or a device in the
    file's place is refused, and does not block. A driver that blocks in the kernel does: that is what
    `sampler.Sampler` guards against.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        self._descriptor = -1

    def bytes(self, most_bytes: int = _MOST_BYTES) -> bytes:
        """The first `most_bytes` of the file.

        Raises:
            SensorError: missing, unreadable, empty or no file.
        """
        try:
            # A file that was replaced or removed has no name any more; below /sys reading it fails instead.
            if self._descriptor >= 0 and not os.fstat(self._descriptor).st_nlink:
                self.close()
            if self._descriptor < 0:
                self._descriptor = _opened(self.path)
            found = os.pread(self._descriptor, most_bytes, 0)
        except OSError as error:
            self.close()
            raise SensorError(why(error)) from error
        if not found or found.isspace():
            raise SensorError("is empty")
        return found

    def number(self) -> int:
        """The one integer that the file holds. Raises SensorError."""
        found = self.bytes(64)
        if not _NUMBER.fullmatch(found):
            _text(found)
            raise SensorError(f"is not a number: {_text(found)[:32]!r}")
        return int(found)

    def text(self, most_bytes: int = _MOST_BYTES) -> str:
        """The first `most_bytes` as ASCII text, stripped. Raises SensorError."""
        return _text(self.bytes(most_bytes))

    def close(self) -> None:
        """Closes the file; reading it opens it again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def text(path: Path | str, most_bytes: int = _MOST_BYTES) -> str:
    """`File.text` of a file that is read once."""
    file = File(path)
    try:
        return file.text(most_bytes)
    finally:
        file.close()


def number(path: Path | str) -> int:
    """`File.number` of a file that is read once."""
    file = File(path)
    try:
        return file.number()
    finally:
        file.close()


def optional(path: Path | str) -> int | None:
    """The number that a file holds; None where there is none."""
    try:
        return number(path)
    except SensorError:
        return None


def entries(folder: Path, pattern: str) -> Iterator[Path]:
    """The entries of a folder that match, ordered by the numbers in their names; none where it is missing."""
    try:
        found = [folder / name for name in os.listdir(folder)[:_MOST_ENTRIES]]
    except OSError:
        return iter(())  # no such bus on this machine: that is an answer, not a fault
    return iter(sorted((path for path in found if path.match(pattern)), key=_natural))


def why(error: OSError) -> str:
    """What an error of the kernel means, for people."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return "is not readable for this user; run as root, or give read permission to its group"
    if error.errno == errno.EAGAIN:
        return "has no value at present"
    return (error.strerror or str(error)).lower()


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SensorError("is not a regular file")
    return descriptor


def _text(raw: bytes) -> str:
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise SensorError(f"is not text: {raw[:16]!r}") from None


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", path.name)]
