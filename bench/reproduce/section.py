"""What one experiment gives: checked figures, data to draw, and what it means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..harness import Result

__all__ = ["Grid", "Section"]


@dataclass(frozen=True)
class Grid:
    """A table: what stands above it, the columns' headings, and its rows. Numbers are rounded when shown."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Section:
    """One experiment.

    Attributes:
        name: of its data in the JSON, and of its figure's file.
        about: what was done, in a paragraph.
        results: figures; those with a target are checked.
        agrees, differs, not_given: sentences about the paper: what came out as it says, what did not, and
            what had to be assumed because it does not say.
        data: everything that the figure is drawn from, as JSON.
        figure: the caption of the figure; empty: there is none.
    """

    name: str
    title: str
    about: str
    results: Sequence[Result] = ()
    agrees: Sequence[str] = ()
    differs: Sequence[str] = ()
    not_given: Sequence[str] = ()
    tables: Sequence[Grid] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    figure: str = ""

    def to_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in ("title", "about", "agrees", "differs", "not_given")}
        return {**found, "data": _finite(self.data)}


def _finite(value: Any) -> Any:
    """The value as JSON can tell it: numpy's numbers as Python's, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
