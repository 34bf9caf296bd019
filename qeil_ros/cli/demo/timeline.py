"""The run as a picture: who answered each frame, how long it took, and what was done meanwhile."""

from __future__ import annotations

import math
from pathlib import Path

from qeil_ros.cli.demo.ledger import FrameRecord, Ledger

# Distinguishable for colour-blind readers (Okabe and Ito).
COLOURS = {"offboard": "#0072B2", "local": "#E69F00", "none": "#D55E00", "no answer": "#000000"}
MARK_LABELS = {"kill": "offboard killed", "restart": "offboard restarted"}


def outcome(frame: FrameRecord) -> str:
    """Who answered the frame: a source's name, or "no answer"."""
    return frame.answers[0].source if frame.answers else "no answer"


def draw_timeline(ledger: Ledger, path: Path, *, start_s: float, deadline_s: float, title: str) -> None:
    """Writes the timeline as PNG.

    Args:
        start_s: beginning of the time axis, on the ledger's clock [s].
        deadline_s: drawn as a line [s].
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    frames = [f for f in ledger.in_order() if f.image_s is not None]
    figure, (latency, who) = pyplot.subplots(
        2, 1, figsize=(11, 5), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    for row, (name, colour) in enumerate(COLOURS.items()):
        group = [f for f in frames if outcome(f) == name]
        if not group:
            continue
        times = [f.image_s - start_s for f in group if f.image_s is not None]
        latencies_ms = [math.nan if f.latency_s is None else f.latency_s * 1e3 for f in group]
        who.scatter(times, [row] * len(group), s=14, marker="|", color=colour)
        latency.scatter(times, latencies_ms, s=10, color=colour, label=f"{name} ({len(group)})")
    latency.axhline(deadline_s * 1e3, color="black", linewidth=1, linestyle="--", label="deadline")
    for mark in ledger.marks:
        for axes in (latency, who):
            axes.axvline(mark.at_s - start_s, color="grey", linewidth=1)
        label = MARK_LABELS.get(mark.name, mark.name)
        latency.annotate(
            label,
            (mark.at_s - start_s, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -10),
            textcoords="offset points",
            fontsize=8,
        )
    latency.set_ylabel("image to answer [ms]")
    # Room for the marks' labels above the deadline.
    latency.set_ylim(0, max(latency.get_ylim()[1], 1.2e3 * deadline_s))
    latency.set_title(title, fontsize=10)
    latency.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False)
    who.set_yticks(range(len(COLOURS)), list(COLOURS))
    who.set_ylim(len(COLOURS) - 0.5, -0.5)
    who.set_ylabel("answered by")
    who.set_xlabel("time of the image [s]")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
