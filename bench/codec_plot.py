"""The curves of score against bytes, drawn from the record of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw"]

_COLUMNS = 3


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

    rows = -(-len(curves) // _COLUMNS)
    figure, panels = pyplot.subplots(
        rows,
        min(_COLUMNS, len(curves)),
        figsize=(6.5 * _COLUMNS, 5 * rows),
        layout="constrained",
        squeeze=False,
    )
    for axes, curve in zip(panels.flat, curves, strict=False):
        for kind, style in (("streams", {"marker": "o"}), ("pictures", {"marker": ".", "linestyle": "--"})):
            for line in curve[kind]:
                points = sorted(line["points"], key=lambda point: point["bytes"])
                axes.errorbar(
                    [p["bytes"] for p in points],
                    [p["score"] for p in points],
                    [p["standard_error"] for p in points],
                    label=line["name"],
                    capsize=2,
                    linewidth=1.2,
                    elinewidth=0.5,
                    **style,
                )
        axes.axhline(curve["wanted"], color="grey", linestyle=":")
        axes.set(xscale="log", xlabel="bytes a frame", ylabel=curve["score"], title=curve["name"])
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=7, loc="lower right")
    for axes in panels.flat[len(curves) :]:
        axes.remove()
    try:
        figure.savefig(file, dpi=110)
    finally:
        pyplot.close(figure)
