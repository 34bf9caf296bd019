"""Runs the processes of a launch description, and ends every one of them whatever happens.

One thread owns everything: it starts processes, reads their output, sees them die, respawns them and, at
the end, escalates from SIGINT over SIGTERM to SIGKILL. Other threads only leave it messages. Each process
leads a session of its own, so that a signal reaches its children, and Ctrl-C in a terminal reaches the
launcher alone, which passes it on. A guardian process ends what is left should the launcher itself be killed.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TextIO

from . import guardian
from .description import LaunchDescription, LogMessage, ShutdownRequest
from .process_handle import Process

LineCallback = Callable[[str, str, str], None]
"""Called with (label, stream, line); stream is `stdout`, `stderr` or `launch` for the launcher's own
words."""

_POLL_S = 0.05  # how often deaths are looked for; output wakes the loop at once


def print_line(label: str, stream: str, line: str) -> None:
    """The default `on_line`: what `ros2 launch` prints."""
    target: TextIO = sys.stderr if stream == "stderr" else sys.stdout
    target.write(f"{line}\n" if stream == "launch" else f"[{label}] {line}\n")
    target.flush()


class Launcher:
    """Runs a `LaunchDescription`.

    `processes` maps names to processes: the executable's name, or its label (`name-2`) where several share
    a name. `on_line(label, stream, line)` gets every line that is to be shown, on the launcher's thread.

    Use it as a context manager, or call `shutdown()`; both return only when every process has ended.
    """

    def __init__(
        self, description: LaunchDescription, on_line: LineCallback = print_line, log_file: Path | None = None
    ) -> None:
        self.description = description
        self.on_line = on_line
        self._log = None if log_file is None else log_file.open("a", encoding="utf-8")
        specs = description.processes
        names = [spec.name for spec in specs]
        self.processes: dict[str, Process] = {}
        for number, spec in enumerate(specs, 1):
            label = f"{spec.name}-{number}"
            self.processes[spec.name if names.count(spec.name) == 1 else label] = Process(spec, label)
        self._mark = f"QEIL_LAUNCH_ID={uuid.uuid4().hex}"
        self._files = tempfile.TemporaryDirectory(prefix="qeil_launch_")
        self._selector = selectors.DefaultSelector()
        self._messages: deque[Callable[[], None]] = deque()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        self._order = itertools.count()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._pending = 0  # timers that will start something: the launch is not over before they have fired
        self._stopping = False
        self._grace_s: float | None = None
        self._failed = False
        self._error: BaseException | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="launcher", daemon=True)
        self._guardian: subprocess.Popen[bytes] | None = None

    # ---- for the caller ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts everything that has no delay, and returns. OSError where a program cannot be started."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until every process has ended; True if they have."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def shutdown(self, timeout_s: float | None = None, reason: str = "") -> None:
        """Ends every process and waits for it. `timeout_s` shortens the pauses between SIGINT, SIGTERM and
        SIGKILL to a half each of it."""
        if self._thread.is_alive():
            self._post(lambda: None if self._stopping else self._stop(reason, timeout_s))
            self._thread.join()

    def interrupt(self, reason: str = "") -> None:
        """As `shutdown` but without waiting, so that a signal handler may call it. Again: the next harder
        signal."""
        self._post(lambda: self._stop(reason, None))

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Sends a signal to a process and its children. KeyError for an unknown name."""
        self.processes[name].signal(number)

    def respawn(self, name: str) -> None:
        """Starts a process that has ended once more. RuntimeError if it still runs or the launch is over."""
        process = self.processes[name]
        if process.running or not self._thread.is_alive():
            state = "still runs" if process.running else "belongs to a launch that is over"
            raise RuntimeError(f"process {process.label!r} {state}")
        done = threading.Event()
        failures: list[BaseException] = []

        def again() -> None:
            try:
                self._spawn(process)
            except OSError as error:
                failures.append(error)
            done.set()

        self._post(again)
        while not done.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError(f"process {process.label!r} belongs to a launch that is over")
        if failures:
            raise failures[0]

    def poll(self) -> Mapping[str, int | None]:
        """Name to exit code (negative: the signal that ended it); None for a process that runs or has not
        started."""
        return {name: process.returncode for name, process in self.processes.items()}

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def error(self) -> BaseException | None:
        """What broke the launcher itself, such as an error raised by `on_line`."""
        return self._error

    @property
    def failed(self) -> bool:
        """Whether a process ended with an error before it was asked to end."""
        return self._failed

    def __enter__(self) -> Launcher:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    # ---- the launcher's own thread -------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._start_guardian()
            self._begin()
            self._started.set()
            while self._busy():
                self._step()
        except BaseException as error:
            self._error = error
            self._failed = True
        finally:
            self._clean_up()
            self._started.set()

    def _begin(self) -> None:
        processes = iter(self.processes.values())
        for action in self.description.actions:
            if isinstance(action, LogMessage):
                self._later(action.after_s, partial(self._say, "INFO", "launch.user", action.text))
            elif isinstance(action, ShutdownRequest):
                self._later(action.after_s, partial(self._stop, action.reason, None))
            else:
                self._later(action.after_s, partial(self._spawn, next(processes)))

    def _later(self, after_s: float, action: Callable[[], None]) -> None:
        """Runs now, or after a while; the launch goes on at least until then."""
        if after_s <= 0.0:
            if not self._stopping:
                action()
            return
        self._pending += 1

        def fire() -> None:
            self._pending -= 1
            if not self._stopping:
                action()

        self._at(after_s, fire)

    def _at(self, after_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + after_s, next(self._order), action))

    def _busy(self) -> bool:
        alive = any(process.running for process in self.processes.values())
        return alive or (self._pending > 0 and not self._stopping)

    def _step(self) -> None:
        now = time.monotonic()
        wait_s = min(_POLL_S, max(0.0, self._timers[0][0] - now)) if self._timers else _POLL_S
        for key, _ in self._selector.select(wait_s):
            if key.fileobj == self._wake_read:
                with suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            else:
                process, stream = key.data
                self._read(process, key.fd, stream)
        while self._messages:
            self._messages.popleft()()
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        for process in self.processes.values():
            if process.running and process.reap():
                self._ended(process)

    def _post(self, message: Callable[[], None]) -> None:
        self._messages.append(message)
        # Full: it is awake already. Broken: the launch ended a moment ago, and nobody is left to wake.
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._wake_write, b"\0")

    def _spawn(self, process: Process) -> None:
        for fd, stream in process.start(Path(self._files.name), self._mark).items():
            self._selector.register(fd, selectors.EVENT_READ, (process, stream))
        self._say("INFO", process.label, f"process started with pid [{process.pid}]")

    def _read(self, process: Process, fd: int, stream: str) -> None:
        data = process.read(fd)
        for line in process.lines(fd, data):
            self._show(process, stream, line)
        if not data:
            self._selector.unregister(fd)
            process.close(fd)

    def _show(self, process: Process, stream: str, line: str) -> None:
        self._record(process.label, line)
        if stream == "stderr" or process.spec.output != "log":
            self.on_line(process.label, stream, line)

    def _record(self, label: str, line: str) -> None:
        if self._log is not None:
            self._log.write(f"{time.time():.6f} [{label}] {line}\n")
            self._log.flush()

    def _ended(self, process: Process) -> None:
        for fd, stream in process.open_streams():
            self._drain(process, fd, stream)
        code = process.returncode
        assert code is not None
        if code == 0 or (self._stopping and -code in (signal.SIGINT, signal.SIGTERM)):
            self._say("INFO", process.label, f"process has finished cleanly [pid {process.pid}]")
        else:
            command = process.spec.shown_command()
            self._failed = self._failed or not self._stopping
            about = f"[pid {process.pid}, exit code {code}, cmd '{command}']"
            self._say("ERROR", process.label, f"process has died {about}.")
        retries = process.spec.respawn_max_retries
        if process.spec.respawn and not self._stopping and (retries < 0 or process.respawns < retries):
            process.respawns += 1
            self._later(process.spec.respawn_delay_s, partial(self._respawn_if_ended, process))
        elif process.spec.on_exit_shutdown and not self._stopping:
            self._stop(f"{process.label} has ended", None)

    def _respawn_if_ended(self, process: Process) -> None:
        if process.running:
            return  # somebody called respawn() during the delay
        try:
            self._spawn(process)
        except OSError as error:
            self._failed = True
            self._say("ERROR", process.label, f"cannot be respawned: {error}")

    def _drain(self, process: Process, fd: int, stream: str) -> None:
        """What a process wrote before it died; without waiting for children of it that hold the pipe open."""
        while True:
            try:
                data = process.read(fd)
            except BlockingIOError:
                break
            for line in process.lines(fd, data):
                self._show(process, stream, line)
            if not data:
                break
        for line in process.lines(fd, b""):
            self._show(process, stream, line)
        self._selector.unregister(fd)
        process.close(fd)

    def _stop(self, reason: str, grace_s: float | None) -> None:
        if self._stopping:
            self._escalate()
            return
        self._stopping = True
        self._grace_s = grace_s
        if reason:
            self._say("INFO", "launch", f"shutting down: {reason}")
        for process in self.processes.values():
            if process.running:
                self._ask(process, signal.SIGINT)

    def _ask(self, process: Process, number: signal.Signals) -> None:
        """Sends a signal, and the next harder one if that does not end the process."""
        process.asked = number
        process.signal(number)
        harder = {signal.SIGINT: signal.SIGTERM, signal.SIGTERM: signal.SIGKILL}.get(number)
        if harder is None:
            return
        spec = process.spec
        pause_s = spec.sigterm_timeout_s if number == signal.SIGINT else spec.sigkill_timeout_s
        if self._grace_s is not None:
            pause_s = min(pause_s, self._grace_s / 2)

        def insist() -> None:
            if process.running and process.asked == number:
                about = f"did not end {pause_s:g} s after {number.name}, sending {harder.name}"
                self._say("WARNING", process.label, about)
                self._ask(process, harder)

        self._at(pause_s, insist)

    def _escalate(self) -> None:
        for process in self.processes.values():
            if process.running:
                harder = signal.SIGTERM if process.asked == signal.SIGINT else signal.SIGKILL
                self._ask(process, harder)

    def _say(self, level: str, label: str, text: str) -> None:
        line = f"[{level}] [{label}]: {text}"
        self._record("launch", line)
        self.on_line(label, "launch", line)

    def _start_guardian(self) -> None:
        command = [sys.executable, "-I", "-S", guardian.__file__, self._mark]
        self._guardian = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _clean_up(self) -> None:
        """Nothing that this launch started may live on, children of children included."""
        for process in self.processes.values():
            process.end()
            for fd, _ in process.open_streams():
                process.close(fd)
        self._selector.close()
        os.close(self._wake_read)
        self._files.cleanup()
        if self._log is not None:
            self._log.close()
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            self._guardian.wait()
