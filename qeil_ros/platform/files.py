"""Reads small files of the kernel without trusting them: bounded, non-blocking, a fault is a SensorError."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .readings import SensorError

__all__ = ["entries", "number", "text"]

_MOST_BYTES = 8192
_MOST_ENTRIES = 1024
_NUMBER = re.compile(r"[+-]?\d{1,20}")


def text(path: Path | str, most_bytes: int = _MOST_BYTES) -> str:
    """The first `most_bytes` of a file as ASCII text, stripped.

    A pipe that somebody put in the file's place does not block. A driver that blocks in the kernel does: that
    is what `sampler.Sampler` guards against.

    Raises:
        SensorError: missing, unreadable, empty or not text.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            raw = os.read(descriptor, most_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SensorError(_why(error)) from error
    if not raw.strip():
        raise SensorError("is empty")
    try:
        return raw.decode("ascii").strip()
    except UnicodeDecodeError:
        raise SensorError(f"is not text: {raw[:16]!r}") from None


def number(path: Path | str) -> int:
    """The one integer that a file holds. Raises SensorError."""
    found = text(path, 64)
    if not _NUMBER.fullmatch(found):
        raise SensorError(f"is not a number: {found[:32]!r}")
    return int(found)


def entries(folder: Path, pattern: str) -> Iterator[Path]:
    """The entries of a folder that match, ordered by the numbers in their names; none where it is missing."""
    try:
        found = [folder / name for name in os.listdir(folder)[:_MOST_ENTRIES]]
    except OSError:
        return iter(())  # no such bus on this machine: that is an answer, not a fault
    return iter(sorted((path for path in found if path.match(pattern)), key=_natural))


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", path.name)]


def _why(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return "is not readable for this user; run as root, or give read permission to its group"
    if error.errno == errno.EAGAIN:
        return "has no value at present"
    return (error.strerror or str(error)).lower()
