"""QEIL (arXiv 2602.06057): its table, its platform simulated, its algorithms; the same on this machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from ..harness import input_file
from ..progress import Tell, stage
from . import (
    qeil_constants,
    qeil_fits,
    qeil_here,
    qeil_paper,
    qeil_placement,
    qeil_samples,
    qeil_simulation,
    qeil_staging,
    qeil_table,
    qeil_vetoes,
)
from .qeil_effort import Effort
from .report import Reproduction
from .section import Section

__all__ = ["DESCRIPTION", "Effort", "run"]

DESCRIPTION = "table, simulated platform, placements, fits and samples of QEIL (arXiv 2602.06057)"
TITLE = "Reproduction of QEIL (arXiv 2602.06057)"

Made = TypeVar("Made")


def run(effort: Effort, *, command: str = "qeil reproduce qeil") -> Reproduction:
    """All experiments."""
    sections = [*on_paper(effort), *on_this_machine(effort)]
    return Reproduction(
        "qeil",
        dataclasses.asdict(effort),
        [input_file(qeil_paper.preset_file()), *qeil_here.inputs()],
        [result for section in sections for result in section.results],
        TITLE,
        command,
        sections,
    )


def on_paper(effort: Effort) -> list[Section]:
    """What needs nothing but the paper's figures and the algorithms."""
    return [
        _staged("the paper's table", lambda tell: qeil_table.run()),
        _staged("simulation", lambda tell: qeil_simulation.run()),
        _staged("constants", lambda tell: qeil_constants.run()),
        _staged("placements", lambda tell: qeil_placement.run(effort, tell)),
        _staged("vetoes", lambda tell: qeil_vetoes.run(effort, tell)),
    ]


def on_this_machine(effort: Effort) -> list[Section]:
    """What is measured here."""
    return [
        *_staged("formalisms", lambda tell: qeil_fits.run(effort.quick, tell)),
        _staged("samples", lambda tell: qeil_samples.run(effort.quick, tell)),
        _staged("this machine", lambda tell: qeil_here.run(effort, tell)),
        _staged("stages", lambda tell: qeil_staging.staged(effort.quick)),
        _staged("faults", lambda tell: qeil_staging.faults(effort.quick, tell)),
    ]


def _staged(name: str, work: Callable[[Tell], Made]) -> Made:
    with stage(name) as tell:
        return work(tell)
