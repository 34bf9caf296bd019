"""Fits drawn: what was measured against what the law says, and what is left over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qeil_ros.planning.scaling_table import LAWS, Fitted

__all__ = ["draw", "panels"]


def draw(found: Mapping[str, Fitted], file: Path) -> None:
    """To a file whose name says the format (.png, .svg, .pdf)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, len(found), figsize=(4.6 * len(found), 7.2), layout="constrained", squeeze=False
    )
    for (above, below), fitted in zip(axes.T, found.values(), strict=True):
        panels(above, below, fitted)
    try:
        figure.savefig(file, dpi=110)
    finally:
        pyplot.close(figure)


def panels(above: Any, below: Any, fitted: Fitted) -> None:
    """Measured against fitted, with the diagonal; below the residuals over the law's first argument.

    Points are coloured by the first argument that takes few values.
    """
    unit = f" [{LAWS[fitted.name].unit}]" if LAWS[fitted.name].unit else ""
    first, values = next(iter(fitted.arguments.items()))
    residuals = fitted.fit.regression.residuals
    for level, colour in _levels(values):
        at = np.ones(len(values), bool) if level is None else values == level
        label = None if level is None else f"{first} {level:,.0f}"
        above.plot(fitted.fitted[at], fitted.measured[at], ".", color=colour, label=label)
        below.semilogx(values[at], residuals[at], ".", color=colour)
    ends = [
        min(fitted.fitted.min(), _least(fitted.measured)),
        max(fitted.fitted.max(), fitted.measured.max()),
    ]
    above.plot(ends, ends, color="grey", linewidth=0.8)
    if fitted.name != "coverage":
        above.set(xscale="log", yscale="log")
    above.set(title=fitted.name, xlabel=f"fitted{unit}", ylabel=f"measured{unit}")
    if above.get_legend_handles_labels()[0]:
        above.legend(fontsize=7)
    below.axhline(0, color="grey", linewidth=0.8)
    scale = fitted.fit.regression.scale
    below.axhspan(-2 * scale, 2 * scale, color="grey", alpha=0.12)
    below.set(xlabel=first, ylabel="residual, in the fit's space")
    for axes in (above, below):
        axes.grid(alpha=0.3)


def _levels(values: np.ndarray[Any, Any]) -> list[tuple[float | None, Any]]:
    """A colour for each value; one for all where there are many."""
    different = np.unique(values)
    if len(different) > 8:
        return [(None, "tab:blue")]
    return [(float(value), f"C{index}") for index, value in enumerate(different)]


def _least(values: np.ndarray[Any, Any]) -> float:
    positive = values[values > 0]
    return float(positive.min()) if len(positive) else 0.0
