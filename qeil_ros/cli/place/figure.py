"""A placement drawn: time by block on each device, and where each block lies."""

from __future__ import annotations

from pathlib import Path

from .show import Shown, sections

__all__ = ["draw"]


def draw(shown: Shown, file: Path) -> None:
    """To a file whose name says the format (.png, .svg, .pdf)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(
        2, 1, figsize=(9, 6), layout="constrained", gridspec_kw={"height_ratios": [3, 1]}
    )
    times = 1e3 * shown.problem.tables.time_s[0]
    numbers = range(len(shown.chain))
    for index, device in enumerate(shown.problem.devices):
        line = above.step(numbers, times[:, index], where="mid", alpha=0.5, linewidth=1)[0]
        chosen = [i for i in numbers if shown.assignment[0, i] == index]
        above.plot(chosen, times[chosen, index], "o", markersize=4, color=line.get_color(), label=device.name)
    above.set(yscale="log", ylabel="predicted time [ms]", xlabel="block; dots: placed here")
    above.grid(alpha=0.3)
    above.legend(fontsize=8)
    names = [device.name for device in shown.problem.devices]
    at_ms = 0.0
    for row in sections(shown):
        width_ms = 1e3 * (row.predicted_s if row.measured_s is None else row.measured_s)
        below.barh(names.index(row.device), width_ms, left=at_ms, height=0.6)
        at_ms += width_ms
    below.set_yticks(range(len(names)), names)
    below.set(xlabel=f"a frame, {'measured' if shown.measured_s else 'predicted'} [ms]")
    figure.suptitle(f"{shown.model}, placed by {shown.method}")
    try:
        figure.savefig(file, dpi=120)
    finally:
        pyplot.close(figure)
