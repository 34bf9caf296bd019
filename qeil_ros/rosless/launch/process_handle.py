"""One started process: its pid, its pipes, the lines it has begun."""

from __future__ import annotations

import errno
import os
import pty
import shlex
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from .description import ProcessSpec

_MAX_LINE_BYTES = 64 * 1024


class Process:
    """A process of a launch. `pid` and `returncode` are those of its latest run."""

    def __init__(self, spec: ProcessSpec, label: str) -> None:
        self.spec = spec
        self.label = label
        self.respawns = 0
        self.asked: signal.Signals | None = None
        self.returncode: int | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._streams: dict[int, tuple[str, bytearray]] = {}

    @property
    def pid(self) -> int | None:
        return None if self._popen is None else self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self.returncode is None

    def start(self, folder: Path, mark: str) -> dict[int, str]:
        """Starts it; gives its output's file descriptors and their names. OSError where that is not
        possible."""
        words = [
            word if isinstance(word, str) else _write(folder, word.text, word.suffix)
            for word in self.spec.command
        ]
        name, _, value = mark.partition("=")
        # Python and C programs alike hold output back when it is not a terminal; Python lets us say that it
        # should not.
        environ = {"PYTHONUNBUFFERED": "1", **self.spec.environ, name: value}
        if not self.spec.shell and shutil.which(words[0], path=environ.get("PATH")) is None:
            raise FileNotFoundError(errno.ENOENT, f"[{self.label}] no program {words[0]!r}", words[0])
        if self.spec.cwd is not None and not os.path.isdir(self.spec.cwd):
            raise NotADirectoryError(
                errno.ENOTDIR, f"[{self.label}] no folder {self.spec.cwd!r}", self.spec.cwd
            )
        reading, writing = [], []
        for _ in range(1 if self.spec.emulate_tty else 2):
            read_end, write_end = pty.openpty() if self.spec.emulate_tty else os.pipe()
            reading.append(read_end)
            writing.append(write_end)
        try:
            popen = subprocess.Popen(
                shlex.join(words)
                if self.spec.shell and len(words) > 1
                else words[0]
                if self.spec.shell
                else words,
                stdin=subprocess.DEVNULL,
                stdout=writing[0],
                stderr=writing[-1],
                cwd=self.spec.cwd,
                env=environ,
                shell=self.spec.shell,
                start_new_session=True,
            )
        except OSError:
            for fd in reading:
                os.close(fd)
            raise
        finally:
            for fd in writing:
                os.close(fd)
        self._popen, self.returncode, self.asked = popen, None, None
        for fd, name in zip(reading, ("stdout", "stderr"), strict=False):
            os.set_blocking(fd, False)
            self._streams[fd] = (name, bytearray())
        return {fd: self._streams[fd][0] for fd in reading}

    def read(self, fd: int) -> bytes:
        """What is there; nothing at the end. BlockingIOError where there is nothing yet."""
        try:
            return os.read(fd, 65536)
        except OSError as error:
            if error.errno == errno.EIO:  # how a pseudo-terminal says that the other side is gone
                return b""
            raise

    def lines(self, fd: int, data: bytes) -> list[str]:
        """Whole lines after more output; with no data, at the end, what is left. Very long lines are cut."""
        buffer = self._streams[fd][1]
        buffer += data
        if data:
            *whole, rest = bytes(buffer).split(b"\n")
            if len(rest) > _MAX_LINE_BYTES:
                whole, rest = [*whole, rest], b""
        else:
            whole, rest = ([bytes(buffer)] if buffer else []), b""
        buffer[:] = rest
        return [line.decode(errors="replace").rstrip("\r") for line in whole]

    def open_streams(self) -> list[tuple[int, str]]:
        return [(fd, name) for fd, (name, _) in self._streams.items()]

    def close(self, fd: int) -> None:
        del self._streams[fd]
        os.close(fd)

    def reap(self) -> bool:
        """Whether it has ended; sets `returncode`."""
        assert self._popen is not None
        self.returncode = self._popen.poll()
        return self.returncode is not None

    def signal(self, number: int) -> None:
        """Signals the process and the children in its session; nothing happens if it has ended."""
        if self.running and self.pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def end(self) -> None:
        """SIGKILL for it and its process group, if it still runs."""
        if self._popen is not None and self.running:
            self.signal(signal.SIGKILL)
            self.returncode = self._popen.wait()


def _write(folder: Path, text: str, suffix: str) -> str:
    with tempfile.NamedTemporaryFile(
        "w", dir=folder, prefix="launch_params_", suffix=suffix, delete=False
    ) as file:
        file.write(text)
    return file.name
