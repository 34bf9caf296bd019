"""The frontier drawn: quality against delay, and against energy where that is known."""

from __future__ import annotations

import math
from pathlib import Path

from qeil_ros.planning.plan_file import split_of
from qeil_ros.planning.planner import OperatingPoint

from .run import Found

__all__ = ["draw"]


def draw(found: Found, file: Path) -> None:
    """To a file whose name says the format (.png, .svg, .pdf)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [("delay", "ms", 1e3 * found.goals.delay_s)]
    if found.energy_known:
        panels.append(("energy", "mJ", 1e3 * found.goals.energy_j))

    def value(point: OperatingPoint, name: str) -> float:
        return 1e3 * (point.predicted.delay_s if name == "delay" else point.energy_j)

    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(6 * len(panels), 4.5), layout="constrained", squeeze=False, sharey=True
    )
    score = found.planned.measure.score.replace("_", " ")
    groups: dict[str, list[OperatingPoint]] = {}
    for point in found.points:
        who = "server" if point.offboard else "robot alone"
        groups.setdefault(f"{split_of(point.split)}, {who}", []).append(point)
    for axis, (name, unit, limit) in zip(axes[0], panels, strict=True):
        for label, points in groups.items():
            axis.plot(
                [value(p, name) for p in points],
                [found.quality(p) for p in points],
                ".",
                alpha=0.4,
                markersize=4,
                label=label,
            )
        xs: list[float] = []
        ys: list[float] = []
        # The upper edge in this panel's two dimensions.
        for x, quality in sorted((value(p, name), found.quality(p)) for p in found.frontier):
            if not ys or quality > ys[-1]:
                xs.append(x)
                ys.append(quality)
        axis.step(xs, ys, where="post", color="black", linewidth=1, label="frontier")
        if math.isfinite(limit):
            axis.axvline(limit, color="red", linestyle=":", label="promised")
        if (chosen := found.plan.point) is not None:
            axis.plot(
                value(chosen, name), found.quality(chosen), "*", color="red", markersize=14, label="chosen"
            )
        axis.set(xlabel=f"{name} of a frame [{unit}]", xscale="log")
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel(score)
    axes[0][-1].legend(fontsize=8)
    figure.suptitle(f"{found.folder.name} on {found.agent.name}, served by {found.server.name}")
    try:
        figure.savefig(file, dpi=120)
    finally:
        pyplot.close(figure)
