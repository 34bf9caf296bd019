"""The figures of QEIL's reproduction, drawn from its record alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import qeil_samples
from .panels import Data, panels_of

__all__ = ["DRAWN"]

_SOURCES = {"paper": "the paper", "as printed": "as printed", "corrected": "corrected"}
_COLORS = ("tab:grey", "tab:orange", "tab:blue")


def _simulation(pyplot: Any, data: Data) -> Any:
    columns = [column for name, column in data["columns"].items() if name != "pass_k"]
    figure, panels = panels_of(pyplot, 1, len(columns), 3.6, 4.0)
    models = data["models"]
    for axes, column in zip(panels.flat, columns, strict=True):
        for place, (key, label) in enumerate(_SOURCES.items()):
            at = [index + (place - 1) * 0.27 for index in range(len(models))]
            standard, aware = zip(*column[key], strict=True)
            axes.bar([x - 0.06 for x in at], standard, 0.12, color=_COLORS[place], alpha=0.4)
            axes.bar([x + 0.06 for x in at], aware, 0.12, color=_COLORS[place], label=label)
        axes.set_xticks(range(len(models)), models, rotation=60, fontsize=7)
        unit = f" [{column['unit']}]" if column["unit"] else ""
        axes.set(title=f"{column['title']}{unit}", yscale="log")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _constants(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, 2)
    for axes, factors in zip(panels.flat, (True, False), strict=True):
        mine = [c for c in data["choices"] if c["factors"] is factors and c["cpu_bandwidth"] == 100e9]
        for watts in dict.fromkeys(choice["npu_power_w"] for choice in mine):
            line = [choice for choice in mine if choice["npu_power_w"] == watts]
            axes.plot(
                [c["npu_bandwidth"] / 1e9 for c in line],
                [c["saving"] for c in line],
                "o-",
                label=f"NPU {watts:g} W",
            )
        axes.axhline(data["claimed"], color="black", linestyle="--", linewidth=0.8)
        axes.set(
            title=f"{'with' if factors else 'without'} efficiency factors",
            xlabel="NPU's bandwidth [GB/s]",
            ylim=(-3, 100),
        )
    panels.flat[0].set_ylabel("saving at most [%]")
    panels.flat[0].legend(fontsize=8)
    return figure


def _placement(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, 2)
    left, right = panels.flat
    excess = sorted(data["excess_percent"])
    left.plot([100 * (i + 1) / len(excess) for i in range(len(excess))], excess)
    left.set(xlabel="problems [%]", ylabel="greedy above the least energy [%]", yscale="symlog")
    sizes = [size for size, _ in data["front_sizes"]]
    right.plot(sizes, data["front_lacks_percent"], "o", markersize=4)
    right.axhline(2.0, color="black", linestyle="--", linewidth=0.8)
    right.set(xlabel="placements on the exact front", ylabel="hypervolume lacking [%]")
    return figure


def _formalisms(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, 1, 7.5, 4.2)
    axes = panels.flat[0]
    names = [f"{law}: {parameter}" for law, held in data["held"].items() for parameter in held]
    shares = [share for held in data["held"].values() for share in held.values()]
    axes.plot(shares, names, "o")
    axes.axvline(data["target"], color="black", linestyle="--", linewidth=0.8)
    axes.axvline(95, color="grey", linewidth=0.8)
    axes.set(xlabel=f"intervals that hold the truth [% of {data['seeds']}]")
    axes.invert_yaxis()
    return figure


def _measured_formalisms(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 2, len(data), 3.6, 3.2)
    for column, (name, fitted) in enumerate(data.items()):
        above, below = panels[:, column]
        shown = above.scatter(fitted["fitted"], fitted["measured"], c=fitted["at"], s=10, norm="log")
        figure.colorbar(shown, ax=above, label=fitted["by"])
        ends = [pick(fitted["fitted"] + fitted["measured"]) for pick in (min, max)]
        above.plot(ends, ends, color="grey", linewidth=0.8)
        above.set(title=name, xlabel="fitted", ylabel="measured")
        if name.partition(",")[0] != "coverage":
            above.set(xscale="log", yscale="log")
        below.plot(fitted["fitted"], fitted["residuals"], ".")
        below.axhline(0, color="grey", linewidth=0.8)
        below.set(xlabel="fitted", ylabel="residual", xscale="log")
    return figure


def _here(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, 2)
    titles = [row["title"] for row in data["rows"]]
    for axes, (what, unit, scale) in zip(panels.flat, (("s", "ms", 1e3), ("j", "mJ", 1e3)), strict=True):
        for offset, (kind, alpha) in zip((-0.2, 0.2), (("predicted", 0.4), ("measured", 1.0)), strict=True):
            values = [scale * row[f"{kind}_{what}"] for row in data["rows"]]
            axes.barh([i + offset for i in range(len(titles))], values, 0.38, alpha=alpha, label=kind)
        axes.set_yticks(range(len(titles)), titles, fontsize=7)
        axes.set_xlabel(f"{'latency' if what == 's' else 'energy'} of a frame [{unit}]")
        axes.invert_yaxis()
    panels.flat[0].legend(fontsize=8)
    return figure


DRAWN: dict[str, Callable[[Any, Data], Any]] = {
    "simulation": _simulation,
    "constants": _constants,
    "placement": _placement,
    "formalisms": _formalisms,
    "measured_formalisms": _measured_formalisms,
    "here": _here,
    "samples": qeil_samples.draw_figure,
}
"""By the name of a section."""
