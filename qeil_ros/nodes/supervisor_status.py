"""What the supervisor says: its status message, and its diagnostics by part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus

from qeil_ros.msg import FallbackStatus, OperatingPoint, SupervisorStatus
from qeil_ros.platform import Reading
from qeil_ros.safety.guard import Verdict
from qeil_ros.safety.link import Link
from qeil_ros.safety.modes import Mode
from qeil_ros.safety.permit import OperatingPoint as Point

from .diagnostics import Diagnostics, Part

if TYPE_CHECKING:  # the planner takes memory, which a supervisor without a plan does without
    from qeil_ros.planning.planner import Plan, Quantities

__all__ = ["View", "fill_conditions", "fill_parts", "point_message", "status_message"]

_PARTS = {"temperature": "temperatures", "power": "energy", "energy": "energy", "battery": "energy"}
_OTHERS = "sensors"


@dataclass(frozen=True)
class View:
    """All that one tick knows.

    Attributes:
        link, link_reason: as the fallback says.
        fallback: its last status; None where it is silent.
        plan: the newest; None without a plan file, or with one for another model.
        plan_problem: why no planned point is asked for; empty where there is one, or no plan file.
        predicted: of a frame at the point in force; None where nothing is.
        distortion: as the encoder measured it of late.
        overrides: what an operator has set.
        stuck: names of the sensors that block.
    """

    verdict: Verdict
    link: Link
    link_reason: str
    fallback: Any
    plan: Plan | None
    plan_problem: str
    predicted: Quantities | None
    distortion: float
    overrides: Sequence[str]
    stuck: Sequence[str]

    @property
    def key(self) -> tuple[Any, ...]:
        """What is worth a new status when it changes."""
        verdict = self.verdict
        infeasible = self.plan is not None and self.plan.point is None
        return (
            verdict.decision.mode,
            verdict.strategy,
            self.link,
            infeasible,
            len(self.overrides),
            # Its rate goes up and down by little steps; the operating point itself tells of them.
            replace(verdict.point, rate_hz=0.0, reason=""),
        )


def point_message(point: Point, sequence: int, valid_for_s: float, stamp: Any) -> Any:
    """The OperatingPoint message."""
    message = OperatingPoint(
        sequence=sequence,
        split=point.split,
        feature_bits=point.feature_bits,
        weight_bits=point.weight_bits,
        rate_hz=point.rate_hz,
        route=int(point.route),
        clock_hz=point.clock_hz,
        valid_for_s=valid_for_s,
        reason=point.reason,
    )
    message.header.stamp = stamp
    return message


def status_message(view: View, point: Any) -> Any:
    """The SupervisorStatus message.

    Args:
        point: the OperatingPoint in force, as last published.
    """
    verdict, predicted = view.verdict, _predicted(view)
    readings, forecast = verdict.readings, verdict.forecast
    answers = view.fallback or FallbackStatus(
        total_s=math.nan,
        energy_j=math.nan,
        bytes_sent=math.nan,
        link_bytes_s=math.nan,
        round_trip_s=math.nan,
        loss=math.nan,
    )
    return SupervisorStatus(
        header=point.header,
        mode=int(verdict.decision.mode),
        reasons=list(verdict.decision.reasons),
        overrides=list(view.overrides),
        link=int(view.link),
        operating_point=point,
        strategy=verdict.strategy.value,
        strategy_names=[each.name.value for each in verdict.strategies],
        strategy_available=[each.available for each in verdict.strategies],
        strategy_reasons=[each.reason for each in verdict.strategies],
        ramp=min(verdict.ramp, verdict.share),
        plan=view.plan_problem if view.plan is None else view.plan.reason,
        plan_feasible=view.plan is not None and view.plan.point is not None,
        reading_names=[reading.name for reading in readings],
        reading_values=[reading.value for reading in readings],
        reading_units=[reading.unit for reading in readings],
        reading_sources=[reading.source for reading in readings],
        reading_qualities=[int(reading.quality) for reading in readings],
        forecast_horizon_s=forecast.horizon_s,
        forecast_temperature_c=forecast.temperature_c,
        forecast_error_c=forecast.temperature_error_c,
        forecast_energy_j=forecast.energy_j,
        energy_left_j=forecast.energy_left_j,
        delay_predicted_s=predicted["delay_s"],
        delay_measured_s=answers.total_s,
        energy_predicted_j=predicted["robot_j"],
        energy_measured_j=answers.energy_j,
        bytes_predicted=predicted["payload_bytes"],
        bytes_measured=answers.bytes_sent,
        distortion_predicted=predicted["distortion"],
        distortion_measured=view.distortion,
        link_bytes_s=answers.link_bytes_s,
        round_trip_s=answers.round_trip_s,
        loss=answers.loss,
        answers_hz=answers.rate_hz,
        answers_offboard=answers.answers_offboard,
        answers_local=answers.answers_local,
        answers_none=answers.answers_none,
    )


def fill_conditions(say: Diagnostics, view: View) -> None:
    """What is wrong, in the node's own status: its level is the supervisor's judgement of the robot."""
    decision = view.verdict.decision
    level = DiagnosticStatus.ERROR if decision.mode == Mode.HOLD else DiagnosticStatus.WARN
    why = "; ".join(decision.reasons)
    say.condition("mode", f"{decision.mode.name.lower()}: {why}" if decision.mode else "", level)
    blind = ", ".join(view.verdict.blind)
    say.condition(
        "limits", f"limits that nothing readable stands for: {blind}" if blind else "", DiagnosticStatus.ERROR
    )
    stuck = ", ".join(view.stuck)
    say.condition("sensors", f"sensors that do not answer: {stuck}" if stuck else "")
    silent = "the fallback is silent: link and answers are unknown" if view.fallback is None else ""
    say.condition("fallback", silent)
    say.condition("overrides", "; ".join(view.overrides))
    say.condition("plan", f"plan: {view.plan_problem}" if view.plan_problem else "")


def fill_parts(say: Diagnostics, view: View) -> None:
    """Values, by part; a part's level tells whether its figures can be relied on."""
    verdict = view.verdict
    point = verdict.point
    for name, value in (
        ("mode", verdict.decision.mode.name.lower()),
        ("strategy", verdict.strategy.value),
        ("route", point.route.name.lower()),
        ("split", point.split or "the encoder's own"),
        ("rate_hz", point.rate_hz),
        ("feature_bits", point.feature_bits),
        ("weight_bits", point.weight_bits),
        ("clock_hz", point.clock_hz),
        ("ramp", min(verdict.ramp, verdict.share)),
    ):
        say.set(name, value)
    for reading in verdict.readings:
        _reading(say.part(_PARTS.get(reading.kind, _OTHERS)), reading)
    forecast = verdict.forecast
    heat, energy = say.part("temperatures"), say.part("energy")
    heat.set("forecast_c", forecast.temperature_c)
    heat.set("forecast_error_c", forecast.temperature_error_c)
    energy.set("forecast_j", forecast.energy_j)
    energy.set("left_j", forecast.energy_left_j)
    _link(say.part("link"), view)
    if view.plan is not None:
        _plan(say.part("plan"), view)


def _reading(part: Part, reading: Reading) -> None:
    unit = f" {reading.unit}" if reading.unit else ""
    part.set(reading.name, f"{reading.value:.5g}{unit}" if reading.good else reading.reason)
    # What a machine simply does not have (no power sensor) is not something to mend.
    missing = not reading.good and bool(reading.source)
    part.condition(reading.name, f"{reading.name}: {reading.reason}" if missing else "")


def _link(part: Part, view: View) -> None:
    part.set("state", view.link.name.lower())
    down = f"{view.link.name.lower()}: {view.link_reason}"
    part.condition("state", down if view.link >= Link.DEGRADED else "")
    if view.fallback is not None:
        for name in ("link_bytes_s", "round_trip_s", "round_trip_p99_s", "jitter_s", "loss", "server_load"):
            part.set(name, float(getattr(view.fallback, name)))
        part.set("server_restarts", view.fallback.server_restarts)
        for name in ("rate_hz", "total_s", "total_p99_s"):
            part.set(f"answers_{name}", float(getattr(view.fallback, name)))
        for name in ("answers_offboard", "answers_local", "answers_none", "offboard_missed"):
            part.set(name, getattr(view.fallback, name))


def _plan(part: Part, view: View) -> None:
    assert view.plan is not None
    part.set("reason", view.plan.reason)
    part.condition("feasible", "" if view.plan.point else view.plan.reason)
    for name, value in _predicted(view).items():
        part.set(f"{name}_predicted", value)
    measured = view.fallback
    for name, field in (("delay_s", "total_s"), ("robot_j", "energy_j"), ("payload_bytes", "bytes_sent")):
        part.set(f"{name}_measured", float(getattr(measured, field)) if measured else math.nan)
    part.set("distortion_measured", view.distortion)


def _predicted(view: View) -> dict[str, float]:
    names = ("delay_s", "robot_j", "payload_bytes", "distortion")
    return {name: math.nan if view.predicted is None else getattr(view.predicted, name) for name in names}
