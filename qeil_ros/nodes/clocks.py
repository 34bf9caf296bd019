"""Holds the processor's clock at what the operating point says, and gives it back."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from qeil_ros.platform import Actuator, ActuatorError

__all__ = ["Clocks"]

_PROCESSORS = "clock/policy"


class Clocks:
    """Caps the processors among the actuators; tells the kernel only of changes.

    Attributes:
        problem: why a clock is not as it should be; empty where it is.
        set_hz: the cap in force [Hz]; 0: none.
    """

    def __init__(self, actuators: Sequence[Actuator]) -> None:
        self._actuators = [each for each in actuators if each.name.startswith(_PROCESSORS)]
        self.problem = ""
        self.set_hz = 0.0

    def follow(self, clock_hz: float) -> bool:
        """Caps the clocks at `clock_hz` [Hz]; 0: as they were before. Returns whether that was a change.

        A cap that was refused is not tried again before another one is asked for.
        """
        if math.isclose(clock_hz, self.set_hz):
            return False
        self.set_hz = clock_hz
        if self._actuators:
            self.problem = _each(self._actuators, lambda actuator: actuator.set_hz(clock_hz or None))
        else:
            self.problem = "this machine has no clock that could be set"
        return True

    def close(self) -> None:
        """Gives all clocks back."""
        self.problem = _each(self._actuators, lambda actuator: actuator.close())
        self.set_hz = 0.0


def _each(actuators: Sequence[Actuator], act: Callable[[Actuator], None]) -> str:
    """Has every actuator do something, whatever becomes of the others; what went wrong."""
    return "; ".join(filter(None, (_problem(act, actuator) for actuator in actuators)))


def _problem(act: Callable[[Actuator], None], actuator: Actuator) -> str:
    try:
        act(actuator)
    except ActuatorError as error:
        return str(error)
    return ""
