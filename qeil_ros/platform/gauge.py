"""The commonest sensor: one file that holds one whole number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .files import File
from .readings import Reading, SensorError, measure, unit_of

__all__ = ["Gauge", "within"]


class Gauge:
    """A file whose number, times `scale`, is the reading.

    Args:
        name: of the reading; decides its unit.
        path: of the file.
        scale: of the number to the unit.
        low: below this the chip is broken, or the driver speaks another unit.
        high: above this, likewise.
    """

    def __init__(self, name: str, path: Path, scale: float, low: float, high: float) -> None:
        self.name = name
        self._file = File(path)
        self._scale = scale
        self._low, self._high = low, high

    @property
    def names(self) -> Sequence[str]:
        return (self.name,)

    @property
    def source(self) -> str:
        return self._file.path

    def read(self, now_s: float) -> Sequence[Reading]:
        return (measure(self.name, self._file.path, now_s, self._value),)

    def close(self) -> None:
        self._file.close()

    def _value(self) -> float:
        return self._scaled(self._file.number())

    def _scaled(self, number: int) -> float:
        """The reading's value. Raises SensorError for a number that cannot be one."""
        return within(number * self._scale, self._low, self._high, self.name)


def within(value: float, low: float, high: float, name: str) -> float:
    """The value of the reading `name`, if it is between these two. Raises SensorError."""
    if not low <= value <= high:
        raise SensorError(f"{value:g} {unit_of(name)} is not possible")
    return value
