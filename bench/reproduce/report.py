"""The record of a reproduction and its report in Markdown."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..harness import Report, Result
from . import figures
from .section import Grid, Section

__all__ = ["Reproduction", "markdown"]


@dataclass(frozen=True)
class Reproduction(Report):
    """All results, and the sections that they come from."""

    title: str = ""
    command: str = ""
    sections: Sequence[Section] = ()

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "sections": {s.name: s.to_json() for s in self.sections}}

    def save(self, record: Path, report: Path, pictures: Path) -> list[Path]:
        """Writes the record (JSON), the report (Markdown) and a figure for each section that has one.

        Args:
            pictures: the figures' path without the section's name: `results/reproduce` gives
                `results/reproduce_bounds.png`.
        """
        for path in (record, report, pictures):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.write(record)
        drawn = {}
        for section in self.sections:
            if section.figure:
                file = pictures.with_name(f"{pictures.name}_{section.name}.png")
                figures.draw(section.name, section.to_json()["data"], file)
                drawn[section.name] = Path(os.path.relpath(file, report.parent)).as_posix()
        report.write_text(markdown(self, drawn), encoding="utf-8")
        return [record, report, *(pictures.parent / Path(name).name for name in drawn.values())]


def markdown(made: Reproduction, drawn: Mapping[str, str]) -> str:
    """The report. `drawn` maps names of sections to their figures, relative to the report."""
    return "\n".join(_lines(made, drawn)) + "\n"


def _lines(made: Reproduction, drawn: Mapping[str, str]) -> Iterator[str]:
    checked = [r for r in made.results if r.met is not None]
    record = made.to_json()
    machine = record["machine"]
    yield f"# {made.title}"
    yield ""
    yield f"Written by `{made.command}`; its figures come from that run, or from the paper where it is named."
    yield (
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average_1min']:.1f}, "
        f"Python {machine['python']}; settings: "
        + ", ".join(f"{name} {value}" for name, value in made.config.items())
        + "."
    )
    yield ""
    yield f"Targets: {len(checked) - len(made.missed)} of {len(checked)} met."
    yield ""
    yield from _table(["checked", "value", "target", ""], [_check(r) for r in checked])
    for heading, key in (
        ("What agrees with the paper", "agrees"),
        ("What differs", "differs"),
        ("What the paper does not give", "not_given"),
    ):
        said = [sentence for section in made.sections for sentence in getattr(section, key)]
        if said:
            yield f"## {heading}"
            yield ""
            yield from (f"* {sentence}" for sentence in said)
            yield ""
    for section in made.sections:
        yield f"## {section.title}"
        yield ""
        yield section.about
        yield ""
        if section.name in drawn:
            yield f"![{section.title}]({drawn[section.name]})"
            yield ""
            yield section.figure
            yield ""
        plain = [r for r in section.results if r.met is None]
        if plain:
            yield from _table(["figure", "value"], [[r.name, f"{r.value:.4g} {r.unit}"] for r in plain])
        for grid in section.tables:
            yield from _grid(grid)
    if made.inputs:
        yield "## Inputs"
        yield ""
        yield from _table(["file", "sha256"], [[i["name"], f"`{i['sha256'][:16]}...`"] for i in made.inputs])


def _check(result: Result) -> list[str]:
    verdict = "met" if result.met else "**missed**"
    return [result.name, f"{result.value:.6g} {result.unit}", result.target or "", verdict]


def _grid(grid: Grid) -> Iterator[str]:
    yield f"{grid.caption}:"
    yield ""
    yield from _table(grid.headings, grid.rows)


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")
