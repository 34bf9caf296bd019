"""Fits told: to people as tables, to scripts as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qeil_ros.planning import qeil_paper
from qeil_ros.planning.regression import Estimate
from qeil_ros.planning.scaling_table import LAWS, Fitted

__all__ = ["Prediction", "goodness", "predictions", "show", "to_json"]

_WILD_SHOWN = 3
_SCATTER = 2.0
"""From so many times the scatter of counts on, a law does not describe them."""


@dataclass(frozen=True)
class Prediction:
    """What a law says of a point: its value, or NaN with the reason; and why not to trust it."""

    value: float
    warnings: tuple[str, ...]


def predictions(found: Mapping[str, Fitted], point: Mapping[str, float]) -> dict[str, Prediction]:
    """Of every law that the point has anything for."""
    said = {}
    for name, fitted in found.items():
        wanted = list(fitted.arguments)
        if not any(argument in point for argument in wanted):
            continue
        if missing := [argument for argument in wanted if argument not in point]:
            said[name] = Prediction(math.nan, (f"wants {', '.join(missing)} too",))
            continue
        values = {argument: point[argument] for argument in wanted}
        said[name] = Prediction(float(fitted.fit.law(*values.values())), tuple(fitted.fit.warnings(**values)))
    return said


def goodness(fitted: Fitted) -> str:
    """How well a law describes its data, in a line."""
    found = fitted.fit.regression
    kind = "McFadden's R2" if "counts" in fitted.fit.note else "R2"
    line = (
        f"{kind} {found.r_squared:.4f}, {len(fitted.measured)} rows, {found.freedom} degrees of freedom, "
        f"median error {fitted.error:.1%}"
    )
    if "counts" in fitted.fit.note:
        return f"{line}, scatter {found.scale:.2f} x that of counts"
    return f"{line}, residuals {found.scale:.3g} (robust), {found.outliers} clipped"


def warnings(fitted: Fitted) -> list[str]:
    """What stands against a fit."""
    found, said = fitted.fit.regression, []
    if "counts" in fitted.fit.note and found.scale >= _SCATTER:
        said.append(
            f"the data scatter {found.scale:.1f} times as much as counts do by chance: the law's form does "
            "not describe them, and its intervals are widened accordingly"
        )
    if found.unidentified:
        said.append(f"not told by these data: {', '.join(found.unidentified)}; set to 0")
    wild = sorted(fitted.wild, key=lambda i: -abs(found.residuals[i]))
    for index in wild[:_WILD_SHOWN]:
        at = ", ".join(f"{name} {values[index]:g}" for name, values in fitted.arguments.items())
        said.append(
            f"line {fitted.lines[index]} is far off ({at}): measured {fitted.measured[index]:.4g}, "
            f"fitted {fitted.fitted[index]:.4g}"
        )
    if len(wild) > _WILD_SHOWN:
        said.append(f"and {len(wild) - _WILD_SHOWN} further rows are far off")
    return said


def show(found: Mapping[str, Fitted], reasons: Mapping[str, str], said: Mapping[str, Prediction]) -> None:
    """Tables on stdout."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    for name, fitted in found.items():
        console.print(f"[bold]{name}[/], {fitted.fit.note}")
        drawn = Table(box=box.SIMPLE, pad_edge=False)
        drawn.add_column("")
        for heading in ("estimate", "95 % interval", "paper"):
            drawn.add_column(heading, justify="right")
        for key, estimate in fitted.fit.regression.estimates.items():
            drawn.add_row(
                key, f"{estimate.value:.4g}", f"{estimate.low:.4g} to {estimate.high:.4g}", _paper(name, key)
            )
        console.print(drawn)
        console.print(goodness(fitted))
        for line in warnings(fitted):
            console.print(f"! {line}", style="yellow")
        console.print()
    if said:
        for name, prediction in said.items():
            unit = LAWS[name].unit
            value = "" if math.isnan(prediction.value) else f" {prediction.value:.4g} {unit}".rstrip()
            console.print(f"predicted {name}:{value}")
            for line in prediction.warnings:
                console.print(f"! {line}", style="yellow")
    for name, reason in reasons.items():
        console.print(f"{name} is not fitted: {reason}", style="dim")


def to_json(
    found: Mapping[str, Fitted], reasons: Mapping[str, str], said: Mapping[str, Prediction]
) -> dict[str, Any]:
    """Everything; what is not finite is null."""
    return {
        "laws": {name: _law(name, fitted) for name, fitted in found.items()},
        "not_fitted": dict(reasons),
        "predictions": {
            name: {"value": _number(p.value), "unit": LAWS[name].unit, "warnings": list(p.warnings)}
            for name, p in said.items()
        },
    }


def _law(name: str, fitted: Fitted) -> dict[str, Any]:
    found = fitted.fit.regression
    return {
        "parameters": {key: _number(value) for key, value in vars(fitted.fit.law).items()},
        "estimates": {key: _estimate(name, key, value) for key, value in found.estimates.items()},
        "unidentified": list(found.unidentified),
        "note": fitted.fit.note,
        "r_squared": _number(found.r_squared),
        "residual_scale": _number(found.scale),
        "median_error": fitted.error,
        "clipped": found.outliers,
        "warnings": warnings(fitted),
        "ranges": {key: list(span) for key, span in fitted.fit.ranges.items()},
        "rows": [
            {"line": line, "measured": float(m), "fitted": float(f), "residual": float(r)}
            for line, m, f, r in zip(
                fitted.lines, fitted.measured, fitted.fitted, found.residuals, strict=True
            )
        ],
    }


def _estimate(law: str, name: str, estimate: Estimate) -> dict[str, Any]:
    record: dict[str, Any] = {key: _number(value) for key, value in vars(estimate).items()}
    printed = qeil_paper.EXPONENTS.get(law, {}).get(name)
    return record | ({"paper": list(printed)} if printed else {})


def _paper(law: str, name: str) -> str:
    printed = qeil_paper.EXPONENTS.get(law, {}).get(name)
    if printed is None:
        return ""
    low, high = printed
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
