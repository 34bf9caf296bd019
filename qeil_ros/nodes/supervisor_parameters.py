"""The supervisor's parameters, and what they say to the guard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qeil_ros.platform import PowerModel, Sensor, trip_points
from qeil_ros.safety.guard import GuardConfig
from qeil_ros.safety.limits import Limit, temperature_limit
from qeil_ros.safety.permit import Caps, OperatingPoint, Route

from .parameters import NodeParameters, parameter

__all__ = ["Parameters"]

_NEXT_CONFIGURE = "takes effect when the node is configured next"
_NEXT_ACTIVATE = "takes effect when the node is activated next"
_ROUTES = {"offboard": Route.OFFBOARD, "local": Route.LOCAL, "hold": Route.HOLD}


@dataclass
class Parameters(NodeParameters):
    period_s: float = parameter(
        0.2, f"time between samples, and between operating points [s]; {_NEXT_ACTIVATE}", low=0.02, high=0.2
    )
    valid_for_s: float = parameter(
        1.0, "how long an operating point holds after its arrival [s]", low=0.1, high=60.0
    )

    # The operating point that is asked for.
    split: str = parameter("", "cut of the model; empty: the encoder's own")
    feature_bits: int = parameter(0, "bits per feature value; 0: the encoder's own", low=0, high=8)
    weight_bits: int = parameter(0, "bits of the agent part's weights; 0: as stored", low=0, high=8)
    rate_hz: float = parameter(
        0.0, "frames encoded per second at most [Hz]; 0: every frame", low=0.0, high=1000.0
    )
    route: str = parameter("offboard", "who answers", choices=tuple(_ROUTES))
    clock_hz: float = parameter(0.0, "processor clock [Hz]; 0: leave it alone", low=0.0, high=2e10)

    # Limits. 0: none.
    trip_points: bool = parameter(
        True, "take temperature limits from the machine's own trip points where none is set here"
    )
    temperature_sensors: str = parameter(
        "temperature/*", "readings that the temperature limits below are for, as a shell pattern"
    )
    temperature_warning_c: float = parameter(
        0.0, "frames are slowed from here [degrees Celsius]; 0: no limit", low=0.0, high=200.0
    )
    temperature_throttle_c: float = parameter(
        0.0, "frames are slowed further from here [degrees Celsius]; 0: no limit", low=0.0, high=200.0
    )
    temperature_critical_c: float = parameter(
        0.0, "no frame is encoded from here [degrees Celsius]; 0: no limit", low=0.0, high=200.0
    )
    temperature_release_c: float = parameter(
        3.0, "how far below a limit it must be to be clear of it [K]", low=0.0, high=50.0
    )
    power_limit_w: float = parameter(
        0.0, "power of the machine from which frames are slowed [W]; 0: no limit", low=0.0, high=10000.0
    )
    energy_budget_j: float = parameter(
        0.0,
        "energy for the machine from activation on [J]: frames are slowed with a fifth of it left, further "
        "with a tenth, and stopped when it is spent; 0: no budget",
        low=0.0,
        high=1e12,
    )
    memory_limit_percent: float = parameter(
        0.0, "memory in use from which frames are slowed [%]; 0: no limit", low=0.0, high=100.0
    )
    warning_rate_hz: float = parameter(
        10.0, "frames encoded per second at most with a limit near [Hz]; 0: no cap", low=0.0, high=1000.0
    )
    throttle_rate_hz: float = parameter(
        2.0, "frames encoded per second at most with a limit reached [Hz]", low=0.01, high=1000.0
    )
    degraded_feature_bits: int = parameter(
        4, "bits per feature value at most over a degraded link; 0: no cap", low=0, high=8
    )
    dwell_s: float = parameter(
        5.0,
        "how long a limit must be clear before the mode improves by a step [s]",
        low=0.0,
        high=3600.0,
    )

    # The link.
    heartbeat_timeout_s: float = parameter(
        0.3,
        "silence after which the offboard computer counts as lost [s]; three of its periods if that is less; "
        f"{_NEXT_ACTIVATE}",
        low=0.02,
        high=30.0,
    )
    recover_s: float = parameter(
        0.5, f"how long the link must have been well to count as up [s]; {_NEXT_ACTIVATE}", low=0.0, high=60.0
    )
    link_dwell_s: float = parameter(
        0.5, "how long the link must have been up before the mode follows [s]", low=0.0, high=3600.0
    )

    # The platform.
    power_sensors: str = parameter(
        "", "readings that add up to the machine's power, as a shell pattern; empty: the best known"
    )
    idle_w: float = parameter(
        0.0,
        "power of the idle machine, for the power model [W]; without a power sensor, and with both figures "
        "0, power and energy are unknown",
        low=0.0,
        high=10000.0,
    )
    active_core_w: float = parameter(
        0.0, "power that one busy core adds, for the power model [W]", low=0.0, high=1000.0
    )
    horizon_s: float = parameter(10.0, "how far forecasts look ahead [s]", low=0.1, high=3600.0)
    encoder: str = parameter("encoder", "name of the encoder node, whose measured distortion is reported")
    sysfs_root: str = parameter(
        "/sys", f"where to look for temperatures, power and clocks; {_NEXT_CONFIGURE}"
    )
    procfs_root: str = parameter("/proc", f"where to look for processor use and memory; {_NEXT_CONFIGURE}")

    def __post_init__(self) -> None:
        self.caps()
        self.temperature_limits([])

    def caps(self) -> Caps:
        return Caps(self.warning_rate_hz, self.throttle_rate_hz, self.degraded_feature_bits)

    def temperature_limits(self, sensors: Sequence[Sensor]) -> list[Limit]:
        """Those of the parameters, else of the sensors' trip points. Raises ValueError for a wrong order."""
        given = (self.temperature_warning_c, self.temperature_throttle_c, self.temperature_critical_c)
        if any(given):
            warning, throttle, critical = (value if value > 0 else math.nan for value in given)
            return [Limit(self.temperature_sensors, warning, throttle, critical, self.temperature_release_c)]
        if not self.trip_points:
            return []
        return [
            temperature_limit(name, trips, self.temperature_release_c)
            for name, trips in trip_points(sensors).items()
        ]

    def guard_config(self, sensors: Sequence[Sensor]) -> GuardConfig:
        limits = self.temperature_limits(sensors)
        if (power_w := self.power_limit_w) > 0:
            limits.append(Limit("power/total", 0.9 * power_w, power_w, release=0.05 * power_w))
        if (budget_j := self.energy_budget_j) > 0:
            limits.append(Limit("energy/left", 0.2 * budget_j, 0.1 * budget_j, 0.0, falling=True))
        if (percent := self.memory_limit_percent) > 0:
            limits.append(Limit("memory/used", max(0.0, percent - 5.0), percent, release=2.0))
        return GuardConfig(
            limits=tuple(limit for limit in limits if limit.set),
            caps=self.caps(),
            dwell_s=self.dwell_s,
            link_dwell_s=self.link_dwell_s,
            energy_budget_j=budget_j,
            power_pattern=self.power_sensors,
            horizon_s=self.horizon_s,
        )

    def asked(self) -> OperatingPoint:
        return OperatingPoint(
            split=self.split,
            feature_bits=self.feature_bits,
            weight_bits=self.weight_bits,
            rate_hz=self.rate_hz,
            route=_ROUTES[self.route],
            clock_hz=self.clock_hz,
            reason="from the parameters",
        )

    def power_model(self) -> PowerModel | None:
        return PowerModel(self.idle_w, self.active_core_w) if self.idle_w or self.active_core_w else None
