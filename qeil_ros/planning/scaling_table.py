"""Measurements as a table (CSV), and every law fitted that its columns allow.

A row fills the columns that were measured with it and leaves the others empty, so that one table holds timed
questions, counted answers and timed passes.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .matching import fit_matching
from .pricing import fit_cost
from .scaling import Fit, fit_coverage, fit_energy, fit_latency

__all__ = ["LAWS", "Fitted", "LawColumns", "Table", "fit"]

Floats = NDArray[np.float64]
MOST_ROWS = 100_000
_CONDITION = re.compile(r"(\w+)\s*(>=|<=|=)\s*(.*)")
_EXACT = 1e-4
"""Residuals below so much are rounding errors of the table, not wild."""
WILD = 4.0
"""Residuals beyond so many scales are told one by one: of normal errors one in 16,000 is."""


@dataclass(frozen=True)
class LawColumns:
    """What a law is fitted to.

    Attributes:
        arguments: columns that its fit takes, in that order, the measured value's among them as the last.
        optional: column -> the fit's keyword for it, used where all rows have it.
        unit: of the measured value.
    """

    fit: Callable[..., Fit[Any]]
    arguments: tuple[str, ...]
    unit: str
    optional: Mapping[str, str]

    @property
    def value(self) -> str:
        return self.arguments[-1]


_SIZES = ("parameters", "samples", "tokens")
LAWS: Mapping[str, LawColumns] = {
    "coverage": LawColumns(fit_coverage, (*_SIZES, "coverage"), "", {"queries": "trials"}),
    "energy": LawColumns(fit_energy, (*_SIZES, "energy_j"), "J", {"factors": "factors"}),
    "latency": LawColumns(fit_latency, (*_SIZES, "prompt_tokens", "latency_s"), "s", {}),
    "matching": LawColumns(fit_matching, ("flops", "moved_bytes", "pass_s"), "s", {}),
    "cost": LawColumns(fit_cost, ("samples", "energy_j", "cost_usd"), "USD", {}),
}
"""By name, with the columns that each one wants."""


class Table:
    """Rows of text under headings. ValueError: see `from_csv`."""

    def __init__(self, headings: Sequence[str], rows: Sequence[Sequence[str]], lines: Sequence[int]) -> None:
        self.headings, self.rows, self.lines = tuple(headings), list(rows), list(lines)

    @classmethod
    def from_csv(cls, text: str) -> Table:
        """Reads CSV with a heading line; lines that begin with # are comments.

        Raises:
            ValueError: no headings, one twice, a row of another length, or too many rows.
        """
        kept = [(number, line) for number, line in enumerate(text.splitlines(), 1) if _counts(line)]
        if not kept:
            raise ValueError("the table is empty; want a line of headings and a line for each measurement")
        (headings, *rows) = csv.reader(line for _, line in kept)
        headings = [name.strip() for name in headings]
        if len(set(headings)) != len(headings):
            raise ValueError(f"a heading stands twice among {', '.join(headings)}")
        if len(rows) > MOST_ROWS:
            raise ValueError(f"{len(rows)} rows; {MOST_ROWS} at most are read")
        for (number, _), row in zip(kept[1:], rows, strict=True):
            if len(row) != len(headings):
                raise ValueError(f"line {number} has {len(row)} cells, the headings are {len(headings)}")
        return cls(headings, rows, [number for number, _ in kept[1:]])

    @classmethod
    def of(cls, records: Sequence[Mapping[str, object]]) -> Table:
        """A table of records; what a record lacks, and NaN, is an empty cell."""
        headings = list(dict.fromkeys(name for record in records for name in record))
        rows = [[_cell(record.get(name)) for name in headings] for record in records]
        return cls(headings, rows, range(2, len(rows) + 2))

    def to_csv(self, comments: Iterable[str] = ()) -> str:
        out = io.StringIO()
        out.writelines(f"# {line}\n" for line in comments)
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.headings)
        writer.writerows(self.rows)
        return out.getvalue()

    def __len__(self) -> int:
        return len(self.rows)

    def text(self, name: str) -> list[str]:
        """A column as it stands. KeyError: there is none of that name."""
        if name not in self.headings:
            raise KeyError(name)
        at = self.headings.index(name)
        return [row[at].strip() for row in self.rows]

    def numbers(self, name: str) -> Floats:
        """A column as numbers; empty cells, or the whole column where there is none, are NaN.

        Raises:
            ValueError: a cell is no number.
        """
        if name not in self.headings:
            return np.full(len(self), np.nan)
        found = np.full(len(self), np.nan)
        for index, cell in enumerate(self.text(name)):
            if not cell:
                continue
            try:
                found[index] = float(cell)
            except ValueError:
                line = self.lines[index]
                raise ValueError(f"line {line}: {name} is {cell!r}; want a number or nothing") from None
        return found

    def where(self, *conditions: str) -> Table:
        """The rows for which these hold: `row=answers`, `tokens=16`, `parameters>=1e6`, `samples<=8`.

        Numbers are compared as numbers; an empty cell holds for nothing.

        Raises:
            ValueError: no condition, no such column, or no row is left.
        """
        kept = list(range(len(self)))
        for condition in conditions:
            found = _CONDITION.fullmatch(condition.strip())
            if found is None:
                raise ValueError(f"{condition!r} is no condition; want COLUMN=VALUE, COLUMN>=VALUE or <=")
            name, relation, wanted = found.groups()
            if name not in self.headings:
                raise ValueError(f"no column {name!r}; there are {', '.join(self.headings)}")
            cells = self.text(name)
            kept = [i for i in kept if _holds(cells[i], relation, wanted)]
        if not kept:
            raise ValueError(f"no row has {', '.join(conditions)}")
        return Table(self.headings, [self.rows[i] for i in kept], [self.lines[i] for i in kept])


@dataclass(frozen=True, eq=False)
class Fitted:
    """A law and the rows that it was fitted to.

    Attributes:
        lines: of the table's text, [n]. arguments: by column, [n]; of the law alone, not the measured value.
        measured, fitted: the value, [n], in `unit`.
    """

    name: str
    fit: Fit[Any]
    lines: tuple[int, ...]
    arguments: Mapping[str, Floats]
    measured: Floats
    fitted: Floats

    @property
    def error(self) -> float:
        """Median of |fitted / measured - 1| where something was measured."""
        there = self.measured > 0
        return float(np.median(np.abs(self.fitted[there] / self.measured[there] - 1))) if there.any() else 0.0

    @property
    def wild(self) -> list[int]:
        """Indices of rows whose residual lies beyond `WILD` scales."""
        found = self.fit.regression
        return [int(i) for i in np.flatnonzero(np.abs(found.residuals) > WILD * max(found.scale, _EXACT))]


def fit(table: Table, laws: Sequence[str] = tuple(LAWS)) -> tuple[dict[str, Fitted], dict[str, str]]:
    """Every law that the table has rows for.

    Returns:
        the fits by name; and of the others the reason why there is none.

    Raises:
        ValueError: a cell is no number.
        KeyError: there is no such law.
    """
    found: dict[str, Fitted] = {}
    reasons: dict[str, str] = {}
    for name in laws:
        columns = LAWS[name]
        values = {column: table.numbers(column) for column in columns.arguments}
        there = np.logical_and.reduce([np.isfinite(column) for column in values.values()])
        if not there.any():
            missing = [column for column, numbers in values.items() if not np.isfinite(numbers).any()]
            reasons[name] = (
                f"nothing in {', '.join(missing)}"
                if missing
                else f"no row has all of {', '.join(columns.arguments)}"
            )
            continue
        try:
            found[name] = _fit(name, table, values, there)
        except ValueError as error:
            reasons[name] = str(error)
    return found, reasons


def _fit(name: str, table: Table, values: Mapping[str, Floats], there: NDArray[np.bool_]) -> Fitted:
    columns = LAWS[name]
    data = {column: numbers[there] for column, numbers in values.items()}
    extra = {}
    for column, keyword in columns.optional.items():
        numbers = table.numbers(column)[there]
        if np.isfinite(numbers).all():
            extra[keyword] = numbers
    made = columns.fit(*data.values(), **extra)
    arguments = {column: numbers for column, numbers in data.items() if column != columns.value}
    inputs = [*arguments.values(), *([extra["factors"]] if "factors" in extra else [])]
    predicted = np.asarray(made.law(*inputs))
    lines = tuple(line for line, kept in zip(table.lines, there, strict=True) if kept)
    return Fitted(name, made, lines, arguments, data[columns.value], predicted)


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _holds(cell: str, relation: str, wanted: str) -> bool:
    try:
        left, right = float(cell), float(wanted)
    except ValueError:
        return relation == "=" and bool(cell) and cell == wanted
    return {"=": left == right, ">=": left >= right, "<=": left <= right}[relation]
