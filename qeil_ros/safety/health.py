"""The health of devices: faults noticed, quarantine, and coming back by stages.

Safety layer of QEIL (arXiv 2602.06057 v2): a fault is detected within 100 ms, the work goes to healthy
devices, and a device that comes back returns at 50 % of its capacity. The quarantine, its doubling, and the
ramp from 50 % are ours: the paper does not give them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from qeil_ros.planning.placement.problem import Device

from .health_log import HealthLog
from .placement import Condition
from .recovery import Recovery

__all__ = ["DeviceState", "Health", "HealthConfig", "degraded_bound_s"]


class DeviceState(str, Enum):
    HEALTHY = "healthy"
    FAULTY = "faulty"
    """Nothing runs on it."""
    RECOVERING = "recovering"
    """It is back, at part of its capacity."""


@dataclass(frozen=True)
class HealthConfig:
    """
    Attributes:
        overdue_s: a piece of work that takes so much longer than expected is a fault [s].
        quarantine_s: how long a device stays out after a fault at least [s]; doubled with every further fault
            within `forget_s` of the one before, up to `longest_s`.
        recovery_share, recovery_stage_s, recovery_ramp_s: see `recovery.Recovery`.
    """

    overdue_s: float = 0.1
    quarantine_s: float = 1.0
    longest_s: float = 60.0
    forget_s: float = 60.0
    recovery_share: float = 0.5
    recovery_stage_s: float = 1.0
    recovery_ramp_s: float = 4.0

    def __post_init__(self) -> None:
        if not (self.overdue_s > 0 and 0 <= self.quarantine_s <= self.longest_s and self.forget_s >= 0):
            raise ValueError(f"times that make no sense: {self}")
        self.recovery()

    def recovery(self) -> Recovery:
        """ValueError for figures that make no sense."""
        return Recovery(self.recovery_share, self.recovery_stage_s, self.recovery_ramp_s)


@dataclass
class _Device:
    recovery: Recovery
    fault: str = ""
    faults: int = 0
    in_row: int = 0
    failed_s: float = -math.inf
    until_s: float = -math.inf
    due_s: float = math.inf
    condition: Condition = field(default_factory=Condition)


class Health:
    """What the devices of a placement have been through. Times must not run backwards. One thread at a time.

    Args:
        names: of the devices. KeyError everywhere for another one.
        log: where faults and returns are written.
    """

    def __init__(
        self, names: Iterable[str], config: HealthConfig | None = None, log: HealthLog | None = None
    ) -> None:
        self.config = config or HealthConfig()
        self.log = log or HealthLog()
        self._devices = {name: _Device(self.config.recovery()) for name in names}

    def began(self, name: str, expected_s: float, now_s: float) -> None:
        """A piece of work was given to a device."""
        self._devices[name].due_s = now_s + expected_s + self.config.overdue_s

    def ended(self, name: str) -> None:
        """It came back with a result."""
        self._devices[name].due_s = math.inf

    def next_s(self) -> float:
        """When the next piece of work will be overdue [s]; inf: none is under way."""
        return min((device.due_s for device in self._devices.values()), default=math.inf)

    def overdue(self, now_s: float) -> list[str]:
        """The devices whose work is overdue now; each is a fault, and told once."""
        late = [name for name, device in self._devices.items() if now_s >= device.due_s]
        for name in late:
            over_s = now_s - self._devices[name].due_s + self.config.overdue_s
            self.fault(name, f"no result {1e3 * over_s:.0f} ms after it was expected", now_s)
        return late

    def fault(self, name: str, reason: str, now_s: float) -> None:
        """A device failed: nothing may run on it until it is `back`."""
        device, config = self._devices[name], self.config
        device.due_s = math.inf
        if not device.fault:  # what a device that is out says of itself is no news
            device.faults += 1
            device.in_row = device.in_row + 1 if now_s - device.failed_s <= config.forget_s else 1
            stay_s = min(config.longest_s, config.quarantine_s * 2.0 ** min(64, device.in_row - 1))
            device.until_s = now_s + stay_s
            self.log.add(name, "fault", reason, now_s)
        device.fault, device.failed_s = reason or "failed", now_s

    def may_return(self, name: str, now_s: float) -> bool:
        """Whether it is time to try a device again."""
        device = self._devices[name]
        return bool(device.fault) and now_s >= device.until_s

    def back(self, name: str, now_s: float) -> bool:
        """A device answers again: it returns at part of its capacity. False: its quarantine is not over."""
        if not self.may_return(name, now_s):
            return False
        device = self._devices[name]
        device.fault = ""
        device.recovery.begin(now_s)
        self.log.add(name, "back", f"at {self.config.recovery_share:.0%} of its capacity", now_s)
        return True

    def observe(self, name: str, condition: Condition) -> None:
        """Temperature, memory and power budget of a device as measured; fault and share are kept here."""
        self._devices[name].condition = condition

    def state(self, name: str, now_s: float) -> DeviceState:
        device = self._devices[name]
        if device.fault:
            return DeviceState.FAULTY
        return DeviceState.HEALTHY if device.recovery.share(now_s) >= 1 else DeviceState.RECOVERING

    def share(self, name: str, now_s: float) -> float:
        """Of its capacity that a device may use now, 0 to 1."""
        device = self._devices[name]
        return 0.0 if device.fault else device.recovery.share(now_s)

    def faults(self, name: str) -> int:
        return self._devices[name].faults

    def conditions(self, now_s: float) -> dict[str, Condition]:
        """For `placement.permit_placement` and `placement.usable`."""
        found = {}
        for name, device in self._devices.items():
            seen = device.condition
            found[name] = Condition(
                device.fault or seen.fault,
                seen.temperature_c,
                seen.trips,
                seen.free_bytes,
                seen.budget_w,
                device.recovery.share(now_s),
            )
        return found


def degraded_bound_s(optimal_s: float, devices: Sequence[Device], healthy: Iterable[str]) -> float:
    """tau_optimal D / D_healthy: the latency that is promised with some devices out [s]; inf with all out.

    The paper (QEIL, arXiv 2602.06057 v2) counts devices; so does this. It is a promise about devices that
    are alike: a pipeline whose only GPU is out may need more, and a report then says so.
    """
    names = set(healthy)
    left = sum(device.name in names for device in devices)
    return optimal_s * len(devices) / left if left else math.inf
