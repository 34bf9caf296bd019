"""The processor's clock follows the operating point, and comes back."""

from __future__ import annotations

import pytest

from qeil_ros.nodes.clocks import Clocks
from qeil_ros.platform import ActuatorError


class Clock:
    def __init__(self, name: str, problem: str = "") -> None:
        self.name, self.problem = name, problem
        self.calls: list[float | None] = []
        self.closed = 0

    def set_hz(self, hz: float | None) -> None:
        self.calls.append(hz)
        if self.problem:
            raise ActuatorError(self.problem)

    def close(self) -> None:
        self.closed += 1
        if self.problem:
            raise ActuatorError(self.problem)


def test_processors_are_capped_once_and_other_devices_never():
    big, little, gpu = Clock("clock/policy4"), Clock("clock/policy0"), Clock("clock/gpu")
    clocks = Clocks([big, little, gpu])
    assert not clocks.follow(0.0), "nothing is asked for and nothing was set"
    assert clocks.follow(1.2e9) and not clocks.follow(1.2e9)
    assert clocks.follow(0.0)
    assert big.calls == little.calls == [1.2e9, None] and gpu.calls == []
    clocks.close()
    assert (big.closed, little.closed) == (1, 1) and clocks.problem == ""


def test_clock_that_refuses_is_reported_and_not_asked_again_for_the_same():
    stubborn, good = Clock("clock/policy0", "not permitted"), Clock("clock/policy1")
    clocks = Clocks([stubborn, good])
    assert clocks.follow(1e9) and clocks.problem == "not permitted"
    assert not clocks.follow(1e9) and len(stubborn.calls) == 1
    assert good.calls == [1e9], "the others are set all the same"
    clocks.close()
    assert "not permitted" in clocks.problem and good.closed == 1


@pytest.mark.parametrize("actuators", [[], [Clock("clock/gpu")]])
def test_machine_without_a_clock_to_set_says_so_once_it_is_asked(actuators):
    clocks = Clocks(actuators)
    assert clocks.problem == ""
    clocks.follow(1e9)
    assert "no clock that could be set" in clocks.problem
