"""What every figure begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Data", "panels_of"]

Data = Mapping[str, Any]
"""A section's data, from its record."""


def panels_of(
    pyplot: Any, rows: int, columns: int, width: float = 5.5, height: float = 4.2
) -> tuple[Any, Any]:
    """A figure and its axes [rows, columns]; sizes in inches, of one of them."""
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False
    )
    for axes in panels.flat:
        axes.grid(alpha=0.3)
    return figure, panels
