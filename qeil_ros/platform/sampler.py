"""Reads all sensors in one go, and lives through a sensor whose driver blocks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .doubt import Doubt
from .model import PowerModel
from .readings import Reading, Sensor, unit_of, unread

__all__ = ["Sample", "Sampler"]

_EARLY_S = 0.05
"""A sensor's time is over a little early, so that it is not put off by a whole round for a millisecond."""


@dataclass(frozen=True)
class Sample:
    """All readings of one round, each sensor's always at the same place.

    `took_s`: what the round took; `stuck`: the names of sensors that block at present.
    """

    time_s: float
    readings: tuple[Reading, ...]
    took_s: float
    stuck: tuple[str, ...] = ()


class Sampler:
    """Samples sensors on demand; `sample` returns within `timeout_s`, whatever a driver does. A sensor with
    `every_s` is read again after that time only, and gives what it gave in between.

    The reading is done by a helper thread. When a read does not come back in time, the thread is left to
    it, the sensor reads as NaN, and the others go on with a new thread from the next round on; when the
    read does come back, the sensor takes part again. So there is one idle thread, plus one per sensor that
    blocks.

    Args:
        sensors: what to read, in this order.
        doubt: sorts out readings that cannot be believed.
        power_model: gives the reading "power/model" from each round's processor use, where set.
        timeout_s: how long a round may take [s].
    """

    def __init__(
        self,
        sensors: Sequence[Sensor],
        *,
        doubt: Doubt | None = None,
        power_model: PowerModel | None = None,
        timeout_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sensors = list(sensors)
        self.power_model = power_model
        self._doubt = doubt or Doubt()
        self.timeout_s = timeout_s
        self._clock = clock
        self._every_s = [float(getattr(sensor, "every_s", 0.0)) for sensor in self.sensors]
        self._kept: dict[int, tuple[float, Sequence[Reading]]] = {}  # and when it was read, of such sensors
        self._away: dict[int, _Reader] = {}  # sensors by index whose reader has not come back
        self._reader: _Reader | None = None
        self._closed = False

    def sample(self) -> Sample:
        """One round. Not for several threads at once.

        Raises:
            RuntimeError: the sampler is closed.
        """
        if self._closed:
            raise RuntimeError("this sampler is closed")
        started_s = self._clock()
        self._away = {index: reader for index, reader in self._away.items() if reader.busy_with(index)}
        kept = {
            index: readings
            for index, (read_s, readings) in self._kept.items()
            if 0 <= started_s - read_s < self._every_s[index] - _EARLY_S
        }
        due = [index for index in range(len(self.sensors)) if index not in self._away and index not in kept]
        if self._reader is None:
            self._reader = _Reader(self.sensors)
        reader = self._reader
        found, finished = reader.round(due, started_s, self.timeout_s)
        if not finished:
            stuck = reader.leave()
            self._reader = None
            if stuck is not None:
                self._away[stuck] = reader
        for index, fresh in found.items():
            if self._every_s[index]:
                self._kept[index] = started_s, fresh
        found |= kept
        readings: list[Reading] = []
        for index, sensor in enumerate(self.sensors):
            if index in found:
                readings += found[index]
                continue
            reason = "does not answer" if index in self._away else "not reached in time in this round"
            readings += [unread(name, unit_of(name), "", started_s, reason) for name in sensor.names]
        readings = self._doubt.check(readings, started_s)
        if self.power_model is not None:
            readings.append(self.power_model.read(readings, started_s))
        names = tuple(name for index in self._away for name in self.sensors[index].names)
        return Sample(started_s, tuple(readings), self._clock() - started_s, names)

    def close(self) -> None:
        """Ends the helper thread and closes the sensors; one that is stuck in a driver when that lets go."""
        if self._closed:
            return
        self._closed = True
        if self._reader is not None:
            self._reader.leave()
            self._reader = None
        for index, sensor in enumerate(self.sensors):
            if index not in self._away and (close := getattr(sensor, "close", None)) is not None:
                close()


class _Reader:
    """A thread that reads sensors, round by round, until it is left.

    Bare locks say when to begin and when all is read: both threads wake up cold several times a second, and a
    `Condition` is many calls.
    """

    def __init__(self, sensors: list[Sensor]) -> None:
        self._sensors = sensors
        self._begin, self._end = threading.Lock(), threading.Lock()
        self._begin.acquire()
        self._end.acquire()
        self._round: tuple[list[int], float, dict[int, Sequence[Reading]]] = [], 0.0, {}
        self._left = False
        self._current: int | None = None
        # A daemon: a driver that never lets go must not keep the process from ending.
        threading.Thread(target=self._run, name="sensor-reader", daemon=True).start()

    def round(
        self, due: list[int], now_s: float, timeout_s: float
    ) -> tuple[dict[int, Sequence[Reading]], bool]:
        """What was read in time, by sensor, and whether that is all; if not, it was the last round."""
        found: dict[int, Sequence[Reading]] = {}
        self._round = due, now_s, found
        self._begin.release()
        finished = self._end.acquire(timeout=timeout_s)
        return (found if finished else dict(found)), finished

    def leave(self) -> int | None:
        """Tells the thread to end; returns the sensor that it is busy with, if any."""
        self._left = True
        if self._begin.locked():
            self._begin.release()
        return self._current

    def busy_with(self, index: int) -> bool:
        return self._current == index

    def _run(self) -> None:
        while True:
            self._begin.acquire()
            due, now_s, found = self._round
            for index in due:
                if self._left:
                    return
                self._current = index
                readings = self._read(index, now_s)
                self._current = None
                found[index] = readings
            if self._left:
                return
            self._end.release()

    def _read(self, index: int, now_s: float) -> Sequence[Reading]:
        sensor = self._sensors[index]
        try:
            return sensor.read(now_s)
        except Exception as error:  # a sensor with a bug is a sensor that cannot be read; the others go on
            return [unread(name, unit_of(name), "", now_s, f"failed: {error!r}") for name in sensor.names]
