"""The supervisor's parameters, and what they say to the guard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qeil_ros.platform import PowerModel, Sensor, trip_points
from qeil_ros.platform.discovery import SOURCES, unknown_sources
from qeil_ros.safety.guard import Guard, GuardConfig
from qeil_ros.safety.limits import (
    Limit,
    battery_limit,
    budget_limit,
    memory_limit,
    power_limit,
    temperature_limit,
)
from qeil_ros.safety.permit import Caps, OperatingPoint, Route
from qeil_ros.safety.strategies import Strategy

from .overrides import raised
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
    status_s: float = parameter(
        1.0,
        "time between two statuses while nothing but readings changes [s]; what else changes is told at once",
        low=0.02,
        high=10.0,
    )

    # The planner.
    plan: str = parameter(
        "",
        "plan file that `qeil plan --output` has written; the operating point is then planned live. Empty: "
        f"it is the one below; {_NEXT_ACTIVATE}",
    )
    plan_s: float = parameter(1.0, "time between plans [s]", low=0.1, high=60.0)
    plan_dwell_s: float = parameter(
        3.0,
        "how long a point that asks more of robot or link must have been the best before it is taken [s]",
        low=0.0,
        high=3600.0,
    )
    set_clock: bool = parameter(
        False,
        "cap the processor's clock at the operating point's clock_hz; needs permission to write cpufreq's "
        "files. What was there before comes back when the node is deactivated or dies",
    )

    # The operating point that is asked for where there is no plan.
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
    mission_s: float = parameter(
        0.0,
        "how long the energy of budget and battery must last, from activation on [s]: power is held to what "
        "lasts so long; 0: no end is known",
        low=0.0,
        high=1e7,
    )
    battery: bool = parameter(
        False, f"subscribe battery_state, a sensor_msgs/BatteryState; {_NEXT_CONFIGURE}"
    )
    battery_floor_percent: float = parameter(
        0.0,
        "charge that is left in the battery [%]: frames are slowed 10 points above it, further with 5, and "
        "stopped at it; 0: no limit",
        low=0.0,
        high=100.0,
    )
    battery_j: float = parameter(
        0.0, "energy of the full battery [J], for mission_s; 0: not known", low=0.0, high=1e12
    )
    lookahead_s: float = parameter(
        60.0,
        "a temperature may reach its limit in that time at the earliest [s]: the longer, the gentler frames "
        "are slowed ahead of it",
        low=1.0,
        high=3600.0,
    )
    margin_c: float = parameter(
        1.0, "how far below a limit temperatures are to stay at least [K]", low=0.0, high=50.0
    )
    warning_rate_hz: float = parameter(
        0.0,
        "frames encoded per second at most with a limit near [Hz]; 0: by as much less as is needed",
        low=0.0,
        high=1000.0,
    )
    throttle_rate_hz: float = parameter(
        2.0, "frames encoded per second at most with a limit reached [Hz]", low=0.01, high=1000.0
    )
    throttle_clock_hz: float = parameter(
        0.0,
        "processor clock at most with a limit reached [Hz]; 0: no cap. Needs set_clock",
        low=0.0,
        high=2e10,
    )
    full_rate_hz: float = parameter(
        30.0, "what 'every frame' amounts to [Hz]: shares of the rate are of this", low=0.01, high=1000.0
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

    recovery_share: float = parameter(
        0.5,
        "share of the rate with which a robot comes back from a limit that was reached",
        low=0.01,
        high=1.0,
    )
    recovery_stage_s: float = parameter(1.0, "how long that share holds [s]", low=0.0, high=3600.0)
    recovery_ramp_s: float = parameter(4.0, "time from there to the full rate [s]", low=0.0, high=3600.0)
    strategies: list[str] = parameter(  # noqa: RUF009 makes a field with a factory
        ["co_inference", "local_full", "local_cheap"],
        "ways to answer that this robot is set up for, of co_inference, on_server, local_full, local_cheap",
    )
    server_split: str = parameter(
        "", "cut at which a compressed image travels, for the strategy on_server; empty: none"
    )

    # The link.
    fallback_silence_s: float = parameter(
        2.0,
        "silence of the fallback after which the link counts as unknown [s]",
        low=0.1,
        high=60.0,
    )
    link_dwell_s: float = parameter(
        0.5, "how long the link must have been up before the mode follows [s]", low=0.0, high=3600.0
    )

    # The platform.
    sensor_sources: list[str] = parameter(  # noqa: RUF009 makes a field with a factory
        list(SOURCES),
        f"where to look for sensors, of {', '.join(SOURCES)}; replay:FILE plays a recording over and over; "
        f"{_NEXT_CONFIGURE}",
    )
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
    encoder: str = parameter(
        "encoder", "name of the encoder node, whose measured distortion a plan or a flight log asks for"
    )
    sysfs_root: str = parameter(
        "/sys", f"where to look for temperatures, power and clocks; {_NEXT_CONFIGURE}"
    )
    procfs_root: str = parameter("/proc", f"where to look for processor use and memory; {_NEXT_CONFIGURE}")

    # The flight log.
    flight_log: str = parameter(
        "",
        "folder for the flight log: readings, decisions and reasons as MCAP files; empty: none; "
        f"{_NEXT_CONFIGURE}",
    )
    flight_log_bytes: int = parameter(
        256 << 20,
        f"size of all its files together [bytes]: the oldest go first; {_NEXT_CONFIGURE}",
        low=1 << 20,
        high=1 << 50,
    )

    def __post_init__(self) -> None:
        if unknown := unknown_sources(name for name in self.sensor_sources if name):
            raise ValueError(f"sensor_sources has {unknown}; there are {', '.join(SOURCES)}, replay:FILE")
        Guard(self.guard_config([]))  # refuses what does not go together

    def caps(self) -> Caps:
        return Caps(
            self.warning_rate_hz, self.throttle_rate_hz, self.degraded_feature_bits, self.throttle_clock_hz
        )

    def offered(self) -> tuple[Strategy, ...]:
        """Raises ValueError for a name that is none."""
        known = {strategy.value: strategy for strategy in Strategy if strategy is not Strategy.HOLD}
        named = [name for name in self.strategies if name]
        if unknown := set(named) - set(known):
            raise ValueError(f"strategies has {sorted(unknown)}; there are {', '.join(known)}")
        return tuple(known[name] for name in named)

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

    def guard_config(
        self, sensors: Sequence[Sensor], raised_c: Mapping[str, float] | None = None
    ) -> GuardConfig:
        """What the guard goes by.

        Args:
            raised_c: by how much the limit of a temperature was raised by hand [K].
        """
        names = [name for sensor in sensors for name in sensor.names]
        limits = raised(self.temperature_limits(sensors), names, raised_c or {})
        if self.power_limit_w > 0:
            limits.append(power_limit(self.power_limit_w))
        if self.energy_budget_j > 0:
            limits.append(budget_limit(self.energy_budget_j))
        if self.memory_limit_percent > 0:
            limits.append(memory_limit(self.memory_limit_percent))
        if self.battery_floor_percent > 0:
            limits.append(battery_limit(self.battery_floor_percent))
        return GuardConfig(
            limits=tuple(limit for limit in limits if limit.set),
            caps=self.caps(),
            dwell_s=self.dwell_s,
            link_dwell_s=self.link_dwell_s,
            energy_budget_j=self.energy_budget_j,
            power_pattern=self.power_sensors,
            horizon_s=self.horizon_s,
            mission_s=self.mission_s,
            battery_floor_percent=self.battery_floor_percent,
            battery_j=self.battery_j,
            lookahead_s=self.lookahead_s,
            margin_c=self.margin_c,
            full_rate_hz=self.full_rate_hz,
            recovery_share=self.recovery_share,
            recovery_stage_s=self.recovery_stage_s,
            recovery_ramp_s=self.recovery_ramp_s,
            offered=self.offered(),
            server_split=self.server_split,
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
