"""What a machine takes at rest and while it computes, by whatever it has to tell that."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from qeil_ros.planning.device import Power
from qeil_ros.platform import (
    Actuator,
    PowerModel,
    Quality,
    Reading,
    Sampler,
    discover,
    total_power,
)

__all__ = ["PowerMeter", "at_clock", "busy_w", "pick_clocks", "power_of"]

_PERIOD_S = 0.1


class PowerMeter:
    """Mean power of the machine over some seconds.

    Args:
        sysfs_root, procfs_root: where to look.
    """

    def __init__(self, sysfs_root: str = "/sys", procfs_root: str = "/proc") -> None:
        self._sampler = Sampler(discover(sysfs_root, procfs_root))

    def close(self) -> None:
        self._sampler.close()

    def mean(self, seconds: float, work: Callable[[], object] | None = None) -> Reading:
        """The reading "power/total" with the mean over that time, in which `work` is done over and over.

        What cannot be read is a NaN with the reason.
        """
        found: list[Reading] = []
        stop = threading.Event()

        def listen() -> None:
            while not stop.is_set():
                found.append(total_power(self._sampler.sample().readings))
                stop.wait(_PERIOD_S)

        self._sampler.sample()  # counters want two readings
        listener = threading.Thread(target=listen, name="power")
        time.sleep(_PERIOD_S)
        listener.start()
        try:
            end_s = time.monotonic() + seconds
            while (left_s := end_s - time.monotonic()) > 0:
                if work is None:
                    time.sleep(left_s)
                else:
                    work()
        finally:
            stop.set()
            listener.join()
        good = [reading for reading in found if reading.good]
        if not good:
            return found[-1]
        last = good[-1]
        mean = statistics.fmean(reading.value for reading in good)
        return Reading(last.name, mean, last.unit, last.source, last.quality, last.time_s)


def power_of(idle: Reading, stated: PowerModel | None) -> Power:
    """What a profile says of the machine's power: what was read, else what was stated."""
    if idle.good:
        measured = idle.quality is Quality.MEASURED
        return Power(idle.source, "measured" if measured else "modelled", idle_w=_tidy(idle.value))
    if stated is not None:
        source = f"stated: {stated.idle_w:g} W, and {stated.core_w:g} W for a busy core"
        return Power(source, "modelled", idle_w=stated.idle_w)
    return Power(f"not known: {idle.reason}", "none")


def busy_w(busy: Reading, idle: Reading, stated: PowerModel | None, threads: int) -> float:
    """What a busy machine takes above an idle one [W]; 0 where nothing tells it."""
    if busy.good and idle.good:
        return _tidy(max(busy.value - idle.value, 0.0))
    return stated.core_w * threads if stated is not None else 0.0


def pick_clocks(offered_hz: tuple[float, ...]) -> dict[str, float]:
    """low, medium and high of these clocks: those nearest to one and two thirds of the highest, and itself.

    Two ends stand for everything in between. Fewer where they coincide; none where there is no choice.
    """
    if len(offered_hz) < 2:
        return {}
    low, high = offered_hz[0], offered_hz[-1]
    wanted = {"low": high / 3, "medium": 2 * high / 3, "high": high}
    if len(offered_hz) == 2:
        chosen = {name: min(max(hz, low), high) for name, hz in wanted.items()}
    else:
        chosen = {name: _nearest(offered_hz, hz) for name, hz in wanted.items()}
    different = {hz: name for name, hz in chosen.items()}  # of equal ones the faster name stays
    return {name: hz for hz, name in different.items()}


@contextmanager
def at_clock(actuators: list[Actuator], hz: float) -> Iterator[None]:
    """All these clocks capped at that, or at their own highest below it, and put back afterwards.

    Raises:
        ActuatorError: not permitted, or refused by the driver.
    """
    with ExitStack() as put_back:
        for actuator in actuators:
            put_back.callback(actuator.close)
            actuator.set_hz(hz)
        time.sleep(_PERIOD_S)
        yield


def _nearest(offered_hz: tuple[float, ...], hz: float) -> float:
    return min(offered_hz, key=lambda offered: abs(offered - hz))


def _tidy(value: float) -> float:
    return float(f"{value:.4g}")
