"""The figures of the reproductions, drawn from their records alone; here those of co-inference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import qeil_figures
from .panels import Data, panels_of

__all__ = ["DRAWN", "draw"]

_METHODS = {
    "proposed": ("proposed", "o-", "tab:blue"),
    "ppo": ("PPO", "s--", "tab:orange"),
    "max_clock": ("highest clocks", "v:", "tab:red"),
    "max_agent_clock": ("highest clock on the agent", "^--", "tab:purple"),
    "random": ("random feasible", "x--", "tab:grey"),
}
_QUANTIZERS = {"uniform": ("uniform", "tab:blue"), "power_of_two": ("powers of two", "tab:orange")}


def draw(name: str, data: Data, file: Path) -> None:
    """Draws the section of that name. Raises ValueError for a file type that matplotlib does not know."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure = (DRAWN | qeil_figures.DRAWN)[name](pyplot, data)
    try:
        figure.savefig(file, dpi=110)
    finally:
        pyplot.close(figure)


def _fits(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, len(data), 3.2, 3.4)
    for axes, (name, record) in zip(panels.flat, data.items(), strict=True):
        fitted, seen = record["qq"]["exponential"], record["qq"]["weights"]
        most = max(fitted[-1], seen[-1])
        axes.plot([0, most], [0, most], color="grey", linewidth=0.8)
        axes.plot(fitted, seen, ".", markersize=3)
        axes.set(title=f"{name}, KS {record['whole']['ks']:.3f}", xlabel="exponential")
    panels.flat[0].set_ylabel("weights")
    return figure


def _bounds(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, 2)
    left, right = panels.flat
    sources = {"exponential, lambda = 1": data["exponential"], data["real"]["of"]: data["real"]["points"]}
    for axes, (title, points) in zip((left, right), sources.items(), strict=True):
        rates = [p["rate_bits"] for p in points]
        axes.semilogy(rates, [p["upper"] for p in points], "--", color="tab:red", label="D_U (26)")
        axes.semilogy(rates, [p["distortion"] for p in points], "k.-", label="D(R), Blahut-Arimoto")
        axes.semilogy(rates, [p["lower"] for p in points], "--", color="tab:green", label="D_L (24)")
        axes.set(title=title, xlabel="R [bits]", ylabel="mean absolute error")
    for name, (label, color) in _QUANTIZERS.items():
        points = [q for q in data["quantizers"] if q["quantizer"] == name]
        at = [q["rate_bits"] for q in points], [q["distortion"] for q in points]
        left.semilogy(*at, "o", color=color, markersize=4, label=f"{label}, R = b - 1")
    left.legend(fontsize=8)
    return figure


def _distortion(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, 2)
    curves = {
        name: [[r[key] for r in data["fcdnn16"] if r["quantizer"] == name] for key in ("parameter", "output")]
        for name in _QUANTIZERS
    }
    models = {"fcdnn16": curves, data["subject"]["model"]: data["subject"]["curves"]}
    for axes, (model, lines) in zip(panels.flat, models.items(), strict=True):
        for name, (label, color) in _QUANTIZERS.items():
            axes.loglog(*lines[name], "o-", color=color, label=label)
        axes.set(title=model, xlabel="mean error of a weight", ylabel="||f - f^||_1 of the output")
    panels.flat[0].legend(fontsize=8)
    return figure


def _sweeps(pyplot: Any, data: Data) -> Any:
    sweeps = data["sweeps"]
    rows = list(dict.fromkeys((s["workload"], s["quantizer"]) for s in sweeps))
    figure, panels = panels_of(pyplot, len(rows), 2, 6, 3.6)
    for sweep in sweeps:
        column = ("delay", "energy").index(sweep["axis"])
        axes = panels[rows.index((sweep["workload"], sweep["quantizer"])), column]
        key = "delay_s" if sweep["axis"] == "delay" else "energy_j"
        for name, (label, style, color) in _METHODS.items():
            points = [p for p in sweep["points"] if name in p["methods"]]
            found = [p["methods"][name] for p in points]
            axes.errorbar(
                [p[key] for p in points],
                [m["mean"] for m in found],
                [m["half"] or 0.0 for m in found],
                fmt=style,
                color=color,
                label=label,
                capsize=2,
                markersize=4,
                linewidth=1,
                zorder=3 if name == "proposed" else 2,
            )
        axes.set(
            xscale="log",
            xlabel="T0 [s]" if sweep["axis"] == "delay" else "E0 [J]",
            ylabel=data["score"],
            title=f"{sweep['workload']}, {_QUANTIZERS[sweep['quantizer']][0]}",
        )
    panels[0, 0].legend(fontsize=7)
    return figure


def _testbed(pyplot: Any, data: Data) -> Any:
    rows = data["rows"]
    keys = list(dict.fromkeys((r["workload"], r["axis"]) for r in rows))
    figure, panels = panels_of(pyplot, 1, len(keys), 3.8, 3.4)
    for axes, key in zip(panels.flat, keys, strict=True):
        mine = [r for r in rows if (r["workload"], r["axis"]) == key]
        for index, name in enumerate(("low", "medium", "high")):
            means = [sum(r["scores"][name]) / len(r["scores"][name]) for r in mine]
            axes.bar([at + (index - 1) * 0.27 for at in range(len(mine))], means, 0.25, label=name)
        unit = "s" if key[1] == "delay" else "J"
        axes.set_xticks(range(len(mine)), [f"{r['limit']:.3g} {unit}" for r in mine])
        axes.set_title(f"{key[0]}, {key[1]} limit")
    panels.flat[0].legend(fontsize=8)
    return figure


def _solvers(pyplot: Any, data: Data) -> Any:
    figure, panels = panels_of(pyplot, 1, 2)
    left, right = panels.flat
    left.plot(data["optimum_bits"], data["relaxed_bits"], ".", markersize=3, alpha=0.5)
    left.set(xlabel="relaxed optimum [bits]", ylabel="the paper's algorithm [bits]")
    fraction = [bits % 1 for bits in data["relaxed_bits"]]
    right.plot(fraction, [100 * share for share in data["overrun"]], ".", markersize=3, alpha=0.5)
    right.axhline(0, color="grey", linewidth=0.8)
    right.set(xlabel="fraction of a bit that is rounded", ylabel="nearest width over the limit [%]")
    return figure


DRAWN: dict[str, Callable[[Any, Data], Any]] = {
    "fits": _fits,
    "bounds": _bounds,
    "distortion": _distortion,
    "sweeps": _sweeps,
    "testbed": _testbed,
    "solvers": _solvers,
}
"""By the name of a section."""
