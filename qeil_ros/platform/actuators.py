"""Caps on the clocks of processors, GPUs and memory: cpufreq policies and devfreq devices.

Layouts: the kernel's Documentation/admin-guide/pm/cpufreq.rst and ABI/testing/sysfs-class-devfreq. Only the
upper limit is ever written, and never above what it was when it was first touched: the governor stays in
charge below it, and so does whoever had lowered it before.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from pathlib import Path
from typing import Protocol

from . import files
from .readings import SensorError
from .undo import Undo, writable, write

__all__ = ["Actuator", "ActuatorError", "ClockCap", "clock_caps"]


class ActuatorError(Exception):
    """A machine that does not take what it was told; the message says why, for people."""


class Actuator(Protocol):
    """Something that takes a limit on its clock."""

    @property
    def name(self) -> str:
        """That of the reading of the clock that it limits, for example "clock/policy0"."""
        ...

    @property
    def problem(self) -> str:
        """Why its clock cannot be set by this process; empty where it can."""
        ...

    def clocks_hz(self) -> tuple[float, ...]:
        """The clocks that can be set [Hz], rising: all of them, or the lowest and the highest where the
        driver takes any in between; empty where the machine does not say.
        """
        ...

    def cap_hz(self) -> float:
        """The limit in force [Hz], whoever has set it. Raises ActuatorError."""
        ...

    def set_hz(self, hz: float | None) -> None:
        """Limits the clock to `hz`, rounded down to one that can be set but not below the lowest of them.

        Args:
            hz: [Hz]; None: the limit is again what it was before the first call.

        Raises:
            ActuatorError: not permitted, or refused by the driver; the limit is as before.
        """
        ...

    def lift(self) -> None:
        """Lifts the limit to the hardware's highest clock, whoever has set it, and leaves it there.

        Raises:
            ActuatorError: refused by the driver, or the machine does not say which clock that is.
        """
        ...

    def close(self) -> None:
        """Puts the limit back as it was before the first `set_hz`; may be called twice.

        Raises:
            ActuatorError: refused by the driver.
        """
        ...


class ClockCap:
    """The upper limit of one cpufreq policy or devfreq device.

    Args:
        name: of the actuator.
        folder: that holds the files.
        limit: file with the upper limit, which is written.
        floor: file with the lower limit, which is respected.
        bounds: files with the lowest and the highest clock of the hardware, where there are any.
        listed: file with all clocks that there are; many a driver has none and takes any in between.
        unit_hz: what one unit of these files is [Hz].
        undo: puts the limit back should this process die.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        limit: str,
        floor: str,
        bounds: tuple[str, ...],
        listed: str,
        unit_hz: float,
        undo: Undo,
    ) -> None:
        self._name = name
        self._folder = folder
        self._limit = folder / limit
        self._floor = folder / floor
        self._bounds = tuple(folder / bound for bound in bounds)
        self._listed = folder / listed
        self._unit_hz = unit_hz
        self._undo = undo
        self._before: int | None = None  # the limit before the first `set_hz`, in the file's unit

    @property
    def name(self) -> str:
        return self._name

    @property
    def source(self) -> str:
        """The file that is written."""
        return str(self._limit)

    @property
    def problem(self) -> str:
        try:
            files.number(self._limit)
        except SensorError as error:
            return f"{self._limit} {error}"
        return writable(self._limit)

    def clocks_hz(self) -> tuple[float, ...]:
        return tuple(clock * self._unit_hz for clock in self._clocks()[0])

    def cap_hz(self) -> float:
        return self._number(self._limit) * self._unit_hz

    def set_hz(self, hz: float | None) -> None:
        if hz is None:
            if self._before is not None:
                self._write(self._before)
            return
        if not (math.isfinite(hz) and hz > 0):
            raise ActuatorError(f"{self._name}: a clock of {hz} Hz; want one above 0")
        clocks, listed = self._clocks()
        if not clocks:
            raise ActuatorError(f"{self._name}: {self._folder} does not say which clocks there are")
        wanted = int(hz / self._unit_hz + 1e-6)
        if listed:
            wanted = clocks[max(0, bisect_right(clocks, wanted) - 1)]
        wanted = min(max(wanted, clocks[0]), clocks[-1])
        if self._before is None:
            before = self._number(self._limit)
            if reason := writable(self._limit):
                raise ActuatorError(f"{self._name}: {reason}")
            try:
                self._undo.keep(self._limit, before)
            except OSError as error:
                raise ActuatorError(
                    f"{self._name}: not capped, since nothing could undo it if this process died: {error}"
                ) from error
            self._before = before
        self._write(wanted)

    def lift(self) -> None:
        highest = files.optional(self._bounds[1]) if self._bounds else None
        highest = highest or max(self._all(), default=None)
        if highest is None:
            raise ActuatorError(f"{self._name}: {self._folder} does not say what its highest clock is")
        self._write(highest)

    def close(self) -> None:
        before, self._before = self._before, None
        if before is None:
            return
        try:
            self._write(before)
        finally:
            self._undo.forget(self._limit)

    def _clocks(self) -> tuple[list[int], bool]:
        """The clocks between the lower limit and the upper one as it was, and whether these are all."""
        bounds = [files.optional(bound) for bound in self._bounds] or [None, None]
        top = self._before if self._before is not None else files.optional(self._limit)
        low = max(filter(None, (bounds[0], files.optional(self._floor))), default=None)
        high = min(filter(None, (bounds[1], top)), default=None)
        if low is None or high is None or not 0 < low <= high:
            return [], False
        inside = [clock for clock in self._all() if low <= clock <= high]
        # The limit as it was can be had again, also where it is a boost clock that the list leaves out.
        return sorted({*(inside or [low]), high}), bool(inside)

    def _all(self) -> list[int]:
        """All clocks that the driver lists, rising."""
        try:
            pieces = files.text(self._listed).split()
        except SensorError:
            return []  # many a driver has no such file
        return sorted({int(piece) for piece in pieces if piece.isdigit() and int(piece) > 0})

    def _number(self, path: Path) -> int:
        try:
            return files.number(path)
        except SensorError as error:
            raise ActuatorError(f"{self._name}: {path} {error}") from error

    def _write(self, value: int) -> None:
        try:
            write(self._limit, value)
        except OSError as error:
            raise ActuatorError(
                f"{self._name}: {self._limit} does not take {value}: {files.why(error)}"
            ) from error


def clock_caps(root: Path | str = "/sys") -> list[ClockCap]:
    """One for each cpufreq policy and each devfreq device below a sysfs root; they share one `Undo`."""
    root, undo = Path(root), Undo()
    found = [
        ClockCap(
            f"clock/{policy.name}",
            policy,
            limit="scaling_max_freq",
            floor="scaling_min_freq",
            bounds=("cpuinfo_min_freq", "cpuinfo_max_freq"),
            listed="scaling_available_frequencies",
            unit_hz=1e3,
            undo=undo,
        )
        for policy in files.entries(root / "devices/system/cpu/cpufreq", "policy*")
    ]
    found += [
        ClockCap(
            f"clock/{device.name}",
            device,
            limit="max_freq",
            floor="min_freq",
            bounds=(),
            listed="available_frequencies",
            unit_hz=1.0,
            undo=undo,
        )
        for device in files.entries(root / "class/devfreq", "*")
    ]
    return found
