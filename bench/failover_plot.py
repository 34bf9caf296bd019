"""The curves of the failover benchmark."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .harness import Report
from .robot_log import CutOutcome

__all__ = ["curves", "draw"]


def curves(outcomes: Sequence[CutOutcome]) -> dict[str, Any]:
    """Each cut in a line, by kind: its length, when it was noticed and when the server was back [s]; null:
    never.
    """
    kinds: defaultdict[str, list[list[float | None]]] = defaultdict(list)
    for outcome in outcomes:
        row = outcome.cut.carries_s - outcome.cut.start_s, outcome.noticed_s, outcome.back_s
        kinds[outcome.cut.kind].append([round(value, 4) if math.isfinite(value) else None for value in row])
    return dict(kinds)


def draw(report: Report, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    kinds = report.config["curves"]
    for axis, column, name, limit in (
        (axes[0], 1, "from the cut to its being noticed [ms]", 300.0),
        (axes[1], 2, "from the server heard again to its answer [ms]", 2000.0),
    ):
        for kind, rows in kinds.items():
            values = sorted(row[column] * 1e3 for row in rows if row[column] is not None)
            if values:
                shares = [(n + 1) / len(values) for n in range(len(values))]
                axis.step(values, shares, where="post", label=f"{kind} ({len(values)})")
        axis.axvline(limit, color="black", linestyle=":", linewidth=1)
        axis.set(xlabel=name, ylabel="share of the cuts", ylim=(0, 1.02), xlim=(0, 1.15 * limit))
        axis.grid(alpha=0.3)
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(fontsize=7)
    _weak_links(axes[2], report)
    fig.savefig(path, dpi=120)
    plt.close(fig)


def _weak_links(axis: Any, report: Report) -> None:
    """Answers in time by way of each link; the hatched part is the server's."""
    values = {result.name: result.value for result in report.results}
    links = list(report.config["weak_links"])
    found = [(link, way, f"{link}_{way}") for link in links for way in ("ours", "jpeg", "raw")]
    bars = [(link, way, name) for link, way, name in found if f"{name}_in_time" in values]
    for number, (_, way, name) in enumerate(bars):
        rate_hz = values[f"{name}_in_time"]
        axis.bar(number, rate_hz, color={"ours": "C0", "jpeg": "C1", "raw": "C2"}[way])
        axis.bar(number, values.get(f"{name}_by_server", rate_hz), fill=False, hatch="//")
    axis.axhline(29.0, color="black", linestyle=":", linewidth=1)
    short = {link: link.removeprefix("5mbit_").removesuffix("_5loss").replace("_", " ") for link in links}
    labels = [f"{way}\n{short[link]}" for link, way, _ in bars]
    axis.set_xticks(range(len(bars)), labels, fontsize=6)
    axis.set(ylabel="answers in time [Hz]", title="5 Mbit/s, 5 % loss; hatched: by the server")
