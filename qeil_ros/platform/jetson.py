"""Jetson boards by the service of jetson-stats (package jtop, 4.2 or newer); without it, no sensors.

Thermal zones, rails and clocks of a Jetson are read from sysfs already. The service runs as root and knows
what sysfs does not show to everybody; so only kinds of readings that nothing else gives are taken from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from .readings import Quality, Reading, SensorError, unit_of, unread

__all__ = ["JetsonStats"]

_INTERVAL_S = 0.5
_STALE_S = 5 * _INTERVAL_S


class JetsonStats:
    """What the service told last, twice a second.

    Args:
        without: kinds of readings that others give already ("temperature", "power", "gpu").
        clock: monotonic [s].

    Raises:
        SensorError: the package is missing, or the service does not answer.
    """

    source = "jetson-stats"

    def __init__(self, without: Collection[str] = (), *, clock: Callable[[], float] = time.monotonic) -> None:
        try:
            from jtop import JtopException, jtop
        except ModuleNotFoundError:
            raise SensorError(
                "the package jetson-stats is not installed (pip install 'qeil-ros[jetson]')"
            ) from None
        self._clock = clock
        self._heard_s = clock()
        self._jtop: Any = jtop(interval=_INTERVAL_S)
        try:
            self._jtop.start()
        except (JtopException, OSError) as error:
            raise SensorError(f"its service: {' '.join(str(error).split())}") from error
        self._jtop.attach(self._heard)
        self._without = frozenset(without)
        self._names = tuple(name for name, _ in self._values())

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def read(self, now_s: float) -> Sequence[Reading]:
        silent_s = self._clock() - self._heard_s
        if silent_s > _STALE_S:
            values, reason = {}, f"its service has been silent for {silent_s:.0f} s"
        else:
            values, reason = dict(self._values()), "is not told any more"
        return [
            Reading(name, values[name], unit_of(name), self.source, Quality.MEASURED, now_s)
            if name in values
            else unread(name, unit_of(name), self.source, now_s, reason)
            for name in self._names
        ]

    def close(self) -> None:
        self._jtop.close()

    def _heard(self, _: Any) -> None:
        self._heard_s = self._clock()

    def _values(self) -> Iterator[tuple[str, float]]:
        if "temperature" not in self._without:
            for zone, state in self._jtop.temperature.items():
                if state.get("online", True):
                    yield f"temperature/{zone}", float(state["temp"])
        if "power" not in self._without:
            power = self._jtop.power
            for rail, state in power.get("rail", {}).items():
                yield f"power/jetson/{rail}", state["power"] * 1e-3
            if "tot" in power:
                yield "power/jetson/total", power["tot"]["power"] * 1e-3
        if "gpu" not in self._without:
            for name, state in self._jtop.gpu.items():
                if "load" in state.get("status", {}):
                    yield f"gpu/{name}", float(state["status"]["load"])
