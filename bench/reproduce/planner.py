"""The planner's call at full size, which the live system makes: `bench.planner`, with its targets."""

from __future__ import annotations

from dataclasses import replace

from .. import planner
from .section import Section

__all__ = ["run"]


def run(quick: bool) -> Section:
    """The benchmark's figures, named as this report's."""
    report = planner.run(quick=quick)
    return Section(
        "planner",
        "The time of a plan",
        "The extended problem (8 splits, 8 x 8 widths, 8 clock profiles; past the paper) by exact "
        "enumeration, beside the same enumeration in numpy. The paper gives no time for its algorithm.",
        results=[replace(result, name=f"planner_{result.name}") for result in report.results],
        not_given=["Run times of the algorithm."],
    )
