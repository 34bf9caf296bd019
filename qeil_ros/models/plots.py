"""Curves of score against bytes and of score against bits, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluate import Row, Table
    from .image_baseline import Point

__all__ = ["coding_name", "plot_table"]


def plot_table(table: Table, file: Path, images: Sequence[Point] = ()) -> None:
    """Draws a table to a file whose name says the format (.png, .svg, .pdf).

    Left: the score against bytes a frame, a line for each cut, weight width and coding, with standard errors;
    the local part as a level; compressed images with the whole model behind them dashed, where given.
    Right: the features' distortion against their bits.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from .evaluate import main_score

    name = main_score(table.rows[0].scores)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for label, rows in _lines(table.rows).items():
        coded = sorted((row for row in rows if row.feature_bits), key=lambda row: row.bytes_mean)
        if not coded:
            continue
        x = [row.bytes_mean for row in coded]
        left.errorbar(x, *_values(coded, name), marker="o", capsize=2, label=label)
        right.semilogy(
            [r.feature_bits for r in coded], [max(r.distortion, 1e-6) for r in coded], "o", label=label
        )
    for row in table.rows:
        if row.source == "local" and name in row.scores:
            left.axhline(row.scores[name].value, linestyle=":", color="grey")
            left.annotate(
                f"local part{_width(row)}",
                (0.99, row.scores[name].value),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=8,
            )
    for label, points in _image_lines(images).items():
        left.errorbar(
            [p.bytes_mean for p in points], *_values(points, name), linestyle="--", marker=".", label=label
        )
    left.set(
        xscale="log",
        xlabel="bytes a frame",
        ylabel=name.replace("_", " "),
        title=f"{table.model}, {table.dataset}",
    )
    right.set(xlabel="bits a feature value", ylabel="distortion, mean |x - x^| / mean |x|")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    try:
        figure.savefig(file, dpi=120)
    finally:
        pyplot.close(figure)


def coding_name(coding: Mapping[str, Any]) -> str:
    """`granularity=channel, clip=mse`; empty for the encoder's own choice."""
    return ", ".join(f"{key}={value}" for key, value in coding.items())


def _lines(rows: Sequence[Row]) -> dict[str, list[Row]]:
    lines: dict[str, list[Row]] = {}
    for row in rows:
        if row.source == "offboard":
            words = [row.split + _width(row), coding_name(row.coding)]
            lines.setdefault(", ".join(filter(None, words)), []).append(row)
    return lines


def _width(row: Row) -> str:
    return f", {row.weight_bits}-bit weights" if row.weight_bits else ""


def _image_lines(points: Sequence[Point]) -> dict[str, list[Point]]:
    lines: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: point.bytes_mean):
        lines.setdefault(f"{point.coder}, {point.size}", []).append(point)
    return lines


def _values(rows: Sequence[Row] | Sequence[Point], name: str) -> tuple[list[float], list[float]]:
    found = [row.scores[name] for row in rows]
    return [score.value for score in found], [
        score.error if score.error == score.error else 0.0 for score in found
    ]
