"""A SupervisorStatus as plain facts, for JSON, tables and pictures."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["LINKS", "MODES", "ROUTES", "facts"]

MODES = ("nominal", "constrained", "local", "hold")
LINKS = ("unknown", "up", "degraded", "down")
ROUTES = ("offboard", "local", "hold")
_QUALITIES = ("none", "measured", "modelled", "replayed")


def facts(status: Any) -> dict[str, Any]:
    """What `qeil status --json` prints: values in SI units, null where nothing is known."""
    point = status.operating_point
    return {
        "stamp_s": status.header.stamp.sec + status.header.stamp.nanosec * 1e-9,
        "mode": _named(MODES, status.mode),
        "reasons": list(status.reasons),
        "overrides": list(status.overrides),
        "strategy": {
            "name": status.strategy,
            "ranked": [
                {"name": name, "available": bool(available), "reason": reason}
                for name, available, reason in zip(
                    status.strategy_names, status.strategy_available, status.strategy_reasons, strict=False
                )
            ],
        },
        "point": {
            "route": _named(ROUTES, point.route),
            "split": point.split,
            "feature_bits": point.feature_bits,
            "weight_bits": point.weight_bits,
            "rate_hz": _known(point.rate_hz),
            "clock_hz": point.clock_hz,
            "reason": point.reason,
        },
        "ramp": _known(status.ramp),
        "plan": {"reason": status.plan, "feasible": bool(status.plan_feasible)} if status.plan else None,
        "frame": {
            name: {"predicted": _known(predicted), "measured": _known(measured)}
            for name, predicted, measured in (
                ("delay_s", status.delay_predicted_s, status.delay_measured_s),
                ("energy_j", status.energy_predicted_j, status.energy_measured_j),
                ("bytes", status.bytes_predicted, status.bytes_measured),
                ("distortion", status.distortion_predicted, status.distortion_measured),
            )
        },
        "link": {
            "state": _named(LINKS, status.link),
            "bytes_s": _known(status.link_bytes_s),
            "round_trip_s": _known(status.round_trip_s),
            "loss": _known(status.loss),
        },
        "answers": {
            "rate_hz": _known(status.answers_hz),
            "offboard": status.answers_offboard,
            "local": status.answers_local,
            "none": status.answers_none,
        },
        "forecast": {
            "horizon_s": _known(status.forecast_horizon_s),
            "temperature_c": _known(status.forecast_temperature_c),
            "error_c": _known(status.forecast_error_c),
            "energy_j": _known(status.forecast_energy_j),
        },
        "energy_left_j": _known(status.energy_left_j),
        "readings": [
            {"name": name, "value": _known(value), "unit": unit, "source": source, "quality": quality}
            for name, value, unit, source, quality in zip(
                status.reading_names,
                status.reading_values,
                status.reading_units,
                status.reading_sources,
                (_named(_QUALITIES, quality) for quality in status.reading_qualities),
                strict=False,
            )
        ],
    }


def _named(names: tuple[str, ...], number: int) -> str:
    return names[number] if 0 <= number < len(names) else f"unknown ({number})"


def _known(value: float) -> float | None:
    """JSON has no NaN. Seven digits: more, a float32 does not hold."""
    return float(f"{value:.7g}") if math.isfinite(value) else None
