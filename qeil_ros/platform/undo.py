"""Puts files of the kernel back as they were when this process ends, however it ends.

A helper process (`/bin/sh`, a few hundred kilobytes) holds the reading end of a pipe and is told, before a
file is written for the first time, what was in it. When the pipe ends, since it was closed or since this
process was killed, the helper writes everything back and ends. It ignores the signals that end a whole
terminal or service. What it cannot outlive is being killed together with its process (a container that is
stopped the hard way); a limit that stays behind then holds until the next boot at the latest, or until
`qeil sensors --uncap`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .files import why

__all__ = ["Undo", "writable", "write"]

_SCRIPT = """
trap '' HUP INT QUIT TERM
kept=
while read -r value path; do
    kept="$kept$value $path
"
done
printf %s "$kept" | while read -r value path; do
    [ -f "$path" ] && echo "$value" > "$path"
done
"""
_PATIENCE_S = 2.0


class Undo:
    """The files that are to be put back. Not for several threads at once.

    A child that was forked without exec inherits the pipe: the helper then waits for its end, too.
    """

    def __init__(self) -> None:
        self._kept: dict[Path, int] = {}
        self._helper: subprocess.Popen[bytes] | None = None

    def keep(self, path: Path, value: int) -> None:
        """Remembers that `value` was in the file. Raises OSError where the helper cannot be told."""
        if "\n" in str(path):
            raise OSError(f"no file of the kernel: {str(path)!r}")
        self._kept[path] = value
        try:
            if self._helper is None or self._helper.poll() is not None:
                self._start()
            else:
                self._tell(path, value)
        except OSError:
            del self._kept[path]
            raise

    def forget(self, path: Path) -> None:
        """The file is as it was. With the last one the helper ends."""
        self._kept.pop(path, None)
        if self._kept or self._helper is None:
            return
        helper, self._helper = self._helper, None
        assert helper.stdin is not None
        try:
            helper.stdin.close()
            helper.wait(_PATIENCE_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            return  # it was killed, or a driver does not let it go: either way there is nothing to undo

    def _start(self) -> None:
        self._helper = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "qeil-undo"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        for path, value in self._kept.items():
            self._tell(path, value)

    def _tell(self, path: Path, value: int) -> None:
        assert self._helper is not None and self._helper.stdin is not None
        self._helper.stdin.write(f"{value} {path.absolute()}\n".encode())
        self._helper.stdin.flush()


def write(path: Path, value: int) -> None:
    """Writes a number to a file of the kernel; does not create it. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        os.write(descriptor, f"{value}\n".encode())
    finally:
        os.close(descriptor)


def writable(path: Path) -> str:
    """Why this process may not write the file; empty where it may."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except PermissionError:
        return f"{path} cannot be written by this user; run as root, or give write permission to its group"
    except OSError as error:
        return f"{path} cannot be written: {why(error)}"
    os.close(descriptor)
    return ""
