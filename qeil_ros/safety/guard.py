"""From one sample of readings to one verdict: forecasts, limits, mode, strategy, permitted point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from qeil_ros.platform.power import total_power
from qeil_ros.platform.readings import Reading

from .energy import EnergyMeter, Mission, battery_percent
from .forecast import Method, PastError, ZoneForecast
from .governor import Governor
from .headroom import Budget, Load, Lookahead, allowances, budget, load_of
from .limits import Level, Limit, LimitWatch
from .link import Link
from .modes import Decision, Mode, ModeMachine, restrict
from .permit import Caps, OperatingPoint, Route, at_most, permit
from .recovery import Recovery
from .strategies import Availability, Strategy, apply, asked_strategy, availability, choose

__all__ = ["Budget", "Forecast", "Guard", "GuardConfig", "Verdict"]


@dataclass(frozen=True)
class GuardConfig:
    """
    Attributes:
        limits: on readings, and on "power/total", "energy/spent" and "energy/left", which the guard adds.
        caps: what each level permits.
        dwell_s: how long a limit must have been clear before its level falls by one [s].
        link_dwell_s: how long the link must have been better before the mode follows [s].
        energy_budget_j: energy that may be spent from the beginning [J]; 0: no budget.
        power_pattern: readings that add up to the machine's power; empty: the best known.
        horizon_s: how far the forecasts that are reported look ahead [s].
        mission_s: how long the energy must last, from the beginning [s]; 0: no end is known.
        battery_floor_percent: charge that must be left in the battery [%].
        battery_j: energy of the full battery [J]; 0: not known.
        grace_s: a sensor silent for so long counts as at its limit [s].
        blind_s: a limit for which nothing was readable for so long from the beginning counts as reached [s].
        lookahead_s, margin_c: see `headroom.Lookahead`.
        full_rate_hz: what "every frame" amounts to [Hz]; shares of the rate are of this.
        recovery_share, recovery_stage_s, recovery_ramp_s: see `recovery.Recovery`.
        offered: strategies that this robot is set up for.
        server_split: the cut at which a compressed image travels, for the strategy on_server.
    """

    limits: tuple[Limit, ...] = ()
    caps: Caps = field(default_factory=Caps)
    dwell_s: float = 5.0
    link_dwell_s: float = 0.5
    energy_budget_j: float = 0.0
    power_pattern: str = ""
    horizon_s: float = 10.0
    mission_s: float = 0.0
    battery_floor_percent: float = 0.0
    battery_j: float = 0.0
    grace_s: float = 1.0
    blind_s: float = 5.0
    lookahead_s: float = 60.0
    margin_c: float = 1.0
    full_rate_hz: float = 30.0
    recovery_share: float = 0.5
    recovery_stage_s: float = 1.0
    recovery_ramp_s: float = 4.0
    offered: tuple[Strategy, ...] = (Strategy.CO_INFERENCE, Strategy.LOCAL_FULL, Strategy.LOCAL_CHEAP)
    server_split: str = ""

    @property
    def mission(self) -> Mission:
        """Raises ValueError for figures that make no sense."""
        return Mission(self.energy_budget_j, self.mission_s, self.battery_floor_percent, self.battery_j)

    @property
    def ahead(self) -> Lookahead:
        return Lookahead(self.lookahead_s, self.horizon_s, self.margin_c)


@dataclass(frozen=True)
class Forecast:
    """What is ahead at `horizon_s`; NaN where nothing can be said.

    Attributes:
        temperature_c: of the zone that will be hottest.
        energy_j: spent from now until then at the present power.
        energy_left_j: of budget and battery, now.
        zone: the name of that zone's reading.
        method: what its forecast rests on.
        temperature_error_c: the median error of its past forecasts, against what came [K].
        energy_error_j: the same of the energy [J].
        equilibrium_c: where that zone is heading in the end with the load as it is.
        mission_left_j: what will be left when the mission ends, at the present power; below 0: it will not
            last [J].
    """

    horizon_s: float
    temperature_c: float = math.nan
    energy_j: float = math.nan
    energy_left_j: float = math.nan
    zone: str = ""
    method: Method = Method.NONE
    temperature_error_c: float = math.nan
    energy_error_j: float = math.nan
    equilibrium_c: float = math.nan
    mission_left_j: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """The answer to one sample.

    Attributes:
        point: the operating point that holds.
        readings: those it rests on, the guard's own among them.
        blind: patterns of limits that nobody can watch.
        strategy, strategies: the one taken; all of them, best first, with their reasons.
        share: of the full frame rate that the limits leave, 0 to 1.
        ramp: of the capacity that recovery leaves, 0 to 1.
        budget: what a planner may use next.
    """

    decision: Decision
    point: OperatingPoint
    readings: tuple[Reading, ...]
    forecast: Forecast
    blind: tuple[str, ...]
    strategy: Strategy
    strategies: tuple[Availability, ...]
    share: float
    ramp: float
    budget: Budget


class Guard:
    """Keeps what must be remembered between samples. Times must not run backwards."""

    def __init__(self, config: GuardConfig) -> None:
        self._energy = EnergyMeter()
        self._energy_error = PastError()
        self._zones: dict[str, ZoneForecast] = {}
        self._governor = Governor()
        self._applied = 1.0  # share of the full rate that the last point left
        self._watch = LimitWatch(config.limits)
        self._modes = ModeMachine(config.dwell_s, config.link_dwell_s)
        self._limits_back, self._link_back = Recovery(), Recovery()
        self._before: tuple[float, Decision] | None = None  # time [s] and decision of the last step
        self.configure(config)

    def configure(self, config: GuardConfig) -> None:
        """Another configuration from now on; what was spent and learnt, and levels in force, stay.

        Raises ValueError for one that makes no sense, and then keeps the one before.
        """
        if not config.full_rate_hz > 0:
            raise ValueError(f"full_rate_hz is {config.full_rate_hz:g}; want above 0")
        mission = config.mission
        for recovery in (self._limits_back, self._link_back):
            recovery.configure(config.recovery_share, config.recovery_stage_s, config.recovery_ramp_s)
        self._config, self._mission = config, mission
        self._watch.set_limits(config.limits)
        self._watch.grace_s, self._watch.blind_s = config.grace_s, config.blind_s
        self._modes.set_dwell(config.dwell_s, config.link_dwell_s)

    def reset_energy(self) -> None:
        """The budget and the mission begin anew."""
        self._energy, self._energy_error = EnergyMeter(), PastError()

    def pin(self, mode: Mode, reason: str = "") -> None:
        """At least as restricted as this mode from the next step on; NOMINAL lifts it.

        CONSTRAINED stands for the first stage of a recovery. Limits stay in force whatever is pinned.
        """
        self._modes.pin(mode, reason)

    def step(
        self,
        asked: OperatingPoint,
        sample: Sequence[Reading],
        link: Link,
        link_reason: str,
        now_s: float,
        model_bits: int = 0,
    ) -> Verdict:
        """The point that is permitted instead of the one `asked` for, given a sample taken at `now_s`.

        Args:
            model_bits: what 0 bits per feature value come to with the model that runs; 0: not known.
        """
        config = self._config
        caps = config.caps
        if not asked.feature_bits and model_bits:  # a cap is no reason to send more than the model wants
            caps = replace(caps, degraded_feature_bits=min(caps.degraded_feature_bits, model_bits))
        passed_s = 0.0 if self._before is None else now_s - self._before[0]
        power = total_power(sample, config.power_pattern)
        self._energy.add(power)
        charge = battery_percent(sample)
        readings = (*sample, power, *self._energy.readings(self._mission, charge, now_s))
        load = load_of(readings)
        self._learn(readings, load, now_s)
        full_hz = asked.rate_hz or config.full_rate_hz
        held = allowances(config.limits, readings, self._zones, self._governor, config.ahead, load, now_s)
        least = min((each.share for each in held), default=1.0)
        share = self._governor.update(max(least, min(1.0, config.caps.throttle_rate_hz / full_hz)), passed_s)
        ahead = [each.finding for each in held if each.finding is not None]
        found = sorted([*self._watch.update(readings, now_s), *ahead], key=lambda finding: -finding.level)
        decision = self._modes.update(found, link, link_reason, now_s)
        ramp, link_ramp = self._recover(decision, now_s)
        self._before = (now_s, decision)
        strategies = availability(decision.level, decision.link, config.offered, decision.least_route)
        strategy = choose(asked_strategy(asked, config.server_split), strategies)
        wanted = apply(asked, strategy, config.server_split, config.caps.throttle_rate_hz)
        wanted = restrict(wanted, decision, caps)
        wanted = _scaled(wanted, min(share, ramp), full_hz, link_ramp)
        point, reasons = permit(wanted, readings, config.limits, config.caps)
        self._applied = 0.0 if point.route == Route.HOLD else min(1.0, (point.rate_hz or full_hz) / full_hz)
        time_left_s = self._energy.time_left_s(self._mission, now_s)
        return Verdict(
            decision,
            _explained(point, asked, (*decision.reasons, *reasons)),
            readings,
            self._forecast(readings, power, now_s),
            tuple(self._watch.blind),
            strategy,
            strategies,
            share,
            ramp,
            budget(config.limits, readings, self._zones, config.ahead, load, time_left_s),
        )

    def _learn(self, readings: Sequence[Reading], load: Load, now_s: float) -> None:
        self._governor.measure(load.value, self._applied, now_s)
        for reading in readings:
            if reading.kind == "temperature":
                zone = self._zones.get(reading.name)
                if zone is None:
                    zone = self._zones[reading.name] = ZoneForecast(self._config.horizon_s)
                zone.horizon_s = self._config.horizon_s
                zone.add(reading.value, load.value, load.name, now_s)

    def _recover(self, decision: Decision, now_s: float) -> tuple[float, float]:
        """The shares of rate and of bits that recovery leaves."""
        if self._before is not None:
            before = self._before[1]
            if before.level >= Level.THROTTLE > decision.level:
                self._limits_back.begin(now_s)
                self._governor.lift(self._config.recovery_share)
            if before.link == Link.DOWN > decision.link:
                self._link_back.begin(now_s)
        ramp = self._limits_back.share(now_s)
        if decision.pinned == Mode.CONSTRAINED:
            ramp = min(ramp, self._config.recovery_share)
        return ramp, self._link_back.share(now_s)

    def _forecast(self, readings: Sequence[Reading], power: Reading, now_s: float) -> Forecast:
        horizon_s, energy = self._config.horizon_s, self._energy
        energy_j = (power.value if math.isnan(energy.mean_w) else energy.mean_w) * horizon_s
        self._energy_error.came(energy.spent_j, now_s)
        self._energy_error.keep(energy.spent_j + energy_j, horizon_s, now_s)
        left_j = next((r.value for r in readings if r.name == "energy/left"), math.nan)
        time_left_s = energy.time_left_s(self._mission, now_s)
        forecast = Forecast(
            horizon_s,
            energy_j=energy_j,
            energy_left_j=left_j,
            energy_error_j=self._energy_error.typical,
            mission_left_j=left_j - energy.mean_w * time_left_s if time_left_s < math.inf else math.nan,
        )
        present = [reading.name for reading in readings if reading.name in self._zones]
        ahead = {name: self._zones[name].forecast_c(horizon_s, now_s) for name in present}
        known = {name: found for name, found in ahead.items() if not math.isnan(found[0])}
        if not known:
            return forecast
        hottest = max(known, key=lambda name: known[name][0])
        zone = self._zones[hottest]
        temperature_c, method = known[hottest]
        return replace(
            forecast,
            temperature_c=temperature_c,
            zone=hottest,
            method=method,
            temperature_error_c=zone.error_c,
            equilibrium_c=zone.model.equilibrium_c() if method is Method.MODEL else math.nan,
        )


def _scaled(point: OperatingPoint, share: float, full_hz: float, bits_share: float) -> OperatingPoint:
    """The point with at most a share of the full rate, and of its bits where it goes over the link.

    Bits that are the model's own (0) stay: how many these are is not known here, and fewer cost answers.
    """
    if share < 1.0:
        point = replace(point, rate_hz=at_most(point.rate_hz, share * full_hz))
    if bits_share < 1.0 and point.route == Route.OFFBOARD and point.feature_bits:
        bits = max(1, math.floor(bits_share * point.feature_bits))
        point = replace(point, feature_bits=bits)
    return point


def _explained(point: OperatingPoint, asked: OperatingPoint, reasons: Sequence[str]) -> OperatingPoint:
    """The point with a reason for people: what was asked for, or why it is less."""
    if point == asked or not reasons:
        return point
    return replace(point, reason="; ".join(dict.fromkeys(reasons)))
