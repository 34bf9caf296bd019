"""The points worth choosing from: quality against delay and energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .planner import OperatingPoint

__all__ = ["frontier", "thinned"]


def frontier(points: Sequence[OperatingPoint], resolution: float = 1e-9) -> list[OperatingPoint]:
    """The points that no other one beats: none is as good in loss, delay and energy and better in one.

    By delay, fastest first. Of points that are the same in all three the first one stays.

    Args:
        resolution: differences of the loss below this are none.
    """
    if not points:
        return []
    values = np.array([(round(p.loss / resolution), p.predicted.delay_s, p.energy_j, p.loss) for p in points])
    # In this order a point can be beaten only by one before it, and is by one that was kept.
    kept: list[int] = []
    for index in np.lexsort(values.T[::-1]).tolist():
        if not (values[kept, :3] <= values[index, :3]).all(axis=1).any():
            kept.append(index)
    return [points[index] for index in sorted(kept, key=lambda i: tuple(values[i, [1, 0, 2]]))]


def thinned(points: Sequence[OperatingPoint], most: int, keep: OperatingPoint | None) -> list[OperatingPoint]:
    """At most that many of them in their order, evenly by loss, both ends and `keep` among them."""
    if len(points) <= most:
        return list(points)
    losses = np.array([point.loss for point in points])
    wanted = np.linspace(losses.min(), losses.max(), max(most - 1, 2))
    chosen = {int(np.abs(losses - loss).argmin()) for loss in wanted}
    chosen |= {index for index, point in enumerate(points) if point == keep}
    for index in (0, len(points) - 1, *np.linspace(0, len(points) - 1, most).astype(int).tolist()):
        if len(chosen) < most:
            chosen.add(index)
    return [points[index] for index in sorted(chosen)]
