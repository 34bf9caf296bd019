"""How long a local run takes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cost"]


@dataclass(frozen=True)
class Cost:
    """The median and the 99th percentile of a local run, from start to answer [s]."""

    typical_s: float
    worst_s: float
