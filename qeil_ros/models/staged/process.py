"""The crew's end of a device's process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..schema import ModelError
from .memory import Region, Spec
from .place import Place
from .program import Section
from .wire import End, Message

__all__ = ["DeviceProcess", "Loaded", "Lost", "StageError"]

_START_S = 60.0
"""Loading compiles for some devices, which takes long."""


class Lost(Exception):
    """The device's process is dead, silent or late; it is killed. The text says which."""


class StageError(ModelError):
    """A runtime refused or failed to run a section; its process lives on."""


class Loaded:
    """What a process says of a section that it has loaded.

    Attributes:
        outputs: of the section. run_s: how long it took when it was loaded, the middle of a few runs [s].
        typical_s: what it takes lately [s].
    """

    def __init__(self, reply: dict[str, Any]) -> None:
        self.outputs = specs(reply["specs"])
        self.run_s = self.typical_s = float(reply["run_s"])
        self.device = str(reply["device"])

    def took(self, passed_s: float) -> None:
        """Follows what runs take, in some ten of them; no single one, however long, moves it far."""
        self.typical_s += 0.1 * (min(passed_s, 2 * self.typical_s) - self.typical_s)


def specs(listed: Iterable[Any]) -> tuple[Spec, ...]:
    return tuple(Spec(tuple(shape), dtype) for shape, dtype in listed)


@contextmanager
def _on(cores: Iterable[int]) -> Iterator[None]:
    """This thread on these cores: a process started meanwhile stays there, and disturbs no other place's
    cores even while it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores) or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class DeviceProcess:
    """A process that serves one place. One request at a time: callers hold `lock`.

    Attributes:
        generation: of the regions that it knows.
        exit_fd: readable once the process has ended; -1: this kernel cannot tell so.

    Raises:
        OSError: no process can be started.
        ModelError: it wants cores that are not here.
    """

    def __init__(self, place: Place) -> None:
        if wrong := set(place.cores) - os.sched_getaffinity(0):
            raise ModelError(f"place {place.name!r}: no core {min(wrong)} that this process may use")
        self.place = place
        self.lock = threading.Lock()
        self.loaded: dict[int, Loaded] = {}
        self._beat = Region.create(64)
        self._counters = self._beat.counters()
        self._opened: dict[int, Region] = {}
        self.generation = -1
        self._reason = ""
        self._end, theirs = End.pair()
        root = str(Path(__file__).resolve().parents[3])
        paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        fds = (theirs.fileno(), self._beat.fd)
        command = [sys.executable, "-m", "qeil_ros.models.staged.worker", *map(str, fds)]
        try:
            with _on(place.cores):
                self._process = subprocess.Popen(
                    command,
                    pass_fds=fds,
                    stdin=subprocess.DEVNULL,
                    stdout=2,
                    env={**os.environ, "PYTHONPATH": paths},
                )
        finally:
            theirs.close()
        facts = {
            "name": place.name,
            "runtime": place.runtime,
            "device": place.device,
            "threads": place.thread_count,
        }
        self._end.send(facts)
        try:
            self.exit_fd = os.pidfd_open(self._process.pid)
        except (OSError, AttributeError):
            self.exit_fd = -1

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def beats(self) -> int:
        """Grows while the process lives."""
        return int(self._counters[0])

    def wants_processor(self) -> bool:
        """Whether the thread that gives the signs of life waits for a processor: then the machine is busy,
        and nothing is known against the process. False where the kernel does not tell."""
        try:
            stat = Path(f"/proc/{self.pid}/task/{int(self._counters[1])}/stat").read_bytes()
        except OSError:
            return False
        return stat.rpartition(b")")[2].split()[0] == b"R"

    def ended(self) -> str:
        """How the process ended; empty: it has not."""
        code = self._process.poll()
        if code is None:
            return ""
        return (
            f"its process was killed by signal {-code}" if code < 0 else f"its process ended with code {code}"
        )

    def ping(self) -> None:
        """Waits for a word from it. Raises Lost."""
        self._ask({"do": "ping"}, _START_S)

    def load(self, number: int, section: Section, inputs: Spec, trials: int = 5) -> Loaded:
        """Has a section loaded and tried. Raises Lost, StageError."""
        file = Region.create(len(section.model), "model")
        os.ftruncate(file.fd, len(section.model))
        with os.fdopen(os.dup(file.fd), "wb") as target:
            target.write(section.model)
        message = {
            "do": "load",
            "section": number,
            "input": section.input,
            "shape": inputs.shape,
            "dtype": inputs.dtype,
            "outputs": section.outputs,
            "fixed": section.fixed,
            "trials": trials,
        }
        self.loaded[number] = found = Loaded(self._ask(message, _START_S, [file.fd]))
        return found

    def run(
        self, number: int, source: tuple[int, Region], target: tuple[int, Region], within_s: float
    ) -> tuple[float, tuple[Spec, ...]]:
        """Runs a section from one region into another; what it took [s], and its outputs. Raises Lost,
        StageError."""
        for name, region in (source, target):
            if name not in self._opened:
                self._tell({"do": "open", "region": name, "size": region.size}, [region.fd])
                self._opened[name] = region
        try:
            self._end.send_run(number, source[0], target[0])
        except OSError:
            raise self._lost() from None
        reply = self._answer(within_s)
        if isinstance(reply, float):
            return reply, self.loaded[number].outputs
        return float(reply["s"]), specs(reply["specs"])

    def keep_only(self, alive: Iterable[int], generation: int) -> None:
        """Has regions closed that are none of these; they are so until the next generation. Raises Lost."""
        for name in self._opened.keys() - set(alive):
            self._tell({"do": "close", "region": name})
            del self._opened[name]
        self.generation = generation

    def kill(self, reason: str) -> None:
        """Whoever waits for its answer gets Lost with the first reason given. From any thread."""
        self._reason = self._reason or reason
        with suppress(OSError):  # it is shut already
            self._end.shutdown()
        self._process.kill()

    def close(self) -> None:
        """Ends it; waits a moment for that. A process that no signal reaches is left to the kernel."""
        self.kill("closed")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        self._end.close()
        if self.exit_fd >= 0:
            os.close(self.exit_fd)
            self.exit_fd = -1

    def _tell(self, message: dict[str, Any], fds: Iterable[int] = ()) -> None:
        try:
            self._end.send(message, list(fds))
        except OSError:
            raise self._lost() from None

    def _ask(self, message: dict[str, Any], within_s: float, fds: Iterable[int] = ()) -> Message:
        self._tell(message, fds)
        reply = self._answer(within_s)
        assert isinstance(reply, dict)  # seconds alone are what `run` is answered
        return reply

    def _answer(self, within_s: float) -> float | Message:
        try:
            self._end.wait_at_most(within_s)
            found = self._end.receive()
        except TimeoutError:
            self.kill(f"no answer within {1e3 * within_s:.0f} ms")
            raise self._lost() from None
        except OSError:
            found = None
        if found is None:
            raise self._lost()
        reply: float | Message = found[0]
        if isinstance(reply, float):
            return reply
        if "error" in reply:
            raise StageError(f"{self.place.name}: {reply['error']}")
        return reply

    def _lost(self) -> Lost:
        if not self._reason:
            # The socket closes a moment before the process can be waited for.
            until_s = time.monotonic() + 0.005
            while not (ended := self.ended()) and time.monotonic() < until_s:
                time.sleep(0.0005)
            self.kill(ended or "its process closed the connection")
        return Lost(self._reason)
