"""The curves of score against bytes, drawn from the record of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw"]

_COLUMNS = 2
_SPAN = 0.5
"""How far below the wanted score a panel goes."""


def draw(curves: Sequence[Mapping[str, Any]], file: Path) -> None:
    """A panel for each cut, bytes on a logarithmic scale; streams solid, pictures dashed.

    Args:
        curves: as the record has them: `name`, `score`, `wanted`, `streams` and `pictures`, lists of lines.
        file: its name says the format (.png, .svg, .pdf).

    Raises:
        ValueError: a format that matplotlib does not know.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(_COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(9 * columns, 5.5 * rows), layout="constrained", squeeze=False
    )
    for axes, curve in zip(panels.flat, curves, strict=False):
        axes.set_prop_cycle(color=pyplot.get_cmap("tab20")(range(20)))
        for kind, style in (("streams", {"marker": "o"}), ("pictures", {"marker": ".", "linestyle": "--"})):
            for line in curve[kind]:
                if not line["name"].endswith(", stripped"):  # the scan alone bounds it from below
                    _draw_line(axes, line, style)
        axes.axhline(curve["wanted"], color="grey", linestyle=":")
        axes.set(xscale="log", xlabel="bytes a frame", ylabel=curve["score"], title=curve["name"])
        axes.set_ylim(max(0.0, curve["wanted"] - _SPAN), 1.02)
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))
    for axes in panels.flat[len(curves) :]:
        axes.remove()
    try:
        figure.savefig(file, dpi=110)
    finally:
        pyplot.close(figure)


def _draw_line(axes: Any, line: Mapping[str, Any], style: Mapping[str, Any]) -> None:
    points = sorted(line["points"], key=lambda point: point["bytes"])
    x, y, error = ([point[key] for point in points] for key in ("bytes", "score", "standard_error"))
    axes.errorbar(x, y, error, label=line["name"], capsize=2, linewidth=1.2, elinewidth=0.5, **style)
