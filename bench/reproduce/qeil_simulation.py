"""The paper's platform and models simulated: standard against energy-aware, beside the paper's table."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qeil_ros.planning import metrics
from qeil_ros.planning.orchestrator import affordable
from qeil_ros.planning.placement.exact import free
from qeil_ros.planning.placement.greedy import greedy, printed
from qeil_ros.planning.placement.problem import Assignment, Layer, Outcome, Problem
from qeil_ros.planning.placement.transformer import Transformer

from ..harness import Result, against, at_least, figure
from . import qeil_paper as paper
from .qeil_paper import COLUMNS, MODELS, Column, Model, Platform
from .section import Grid, Section

__all__ = ["AS_PRINTED", "CORRECTED", "METHODS", "Accounting", "Run", "least_energy_j", "run", "simulate"]

METHODS = ("standard", "text", "printed", "greedy", "exact")
SAID = {
    "standard": "standard: all on the GPU",
    "text": "the paper's text: prefill GPU, decode NPU, ends CPU",
    "printed": "algorithm 1 as printed",
    "greedy": "algorithm 1 corrected",
    "exact": "exact optimum",
}
MOST_SAMPLES = 100_000


@dataclass(frozen=True)
class Accounting:
    """How a placement's cost is counted, and which algorithm belongs to it.

    Attributes:
        method: what stands for "energy-aware" in the table.
    """

    name: str
    platform: Callable[[], Platform]
    layers: Callable[[Transformer], tuple[Layer, ...]]
    method: str

    def problem(
        self, model: Model, samples: int = paper.SAMPLES, platform: Platform | None = None
    ) -> Problem:
        """A query of that many samples, drawn one after another, on the paper's platform or another one."""
        platform = platform or self.platform()
        return Problem(self.layers(model.made), platform.devices, model.made.passes(samples), platform.link)


AS_PRINTED = Accounting("as printed", paper.platform_as_printed, Transformer.printed, "printed")
"""Eq 19 to 22 and 26 to 28, C = 2 f n, no efficiency factors; algorithm 1 as printed."""
CORRECTED = Accounting("corrected", paper.platform, Transformer.counted, "greedy")
"""Every weight counted, peaks of half precision, efficiency factors of Eq 2; algorithm 1 corrected."""


@dataclass(frozen=True)
class Run:
    """One model, one accounting, one way to place it: a query of 20 samples.

    Attributes:
        power_w: on average, the sum of P_i tau_i over tau (Eq 24), which has no efficiency factors.
        sample_j: of one sample more.
    """

    model: Model
    placed: Assignment
    outcome: Outcome
    power_w: float
    sample_j: float
    prefill_j: float

    def samples_for(self, energy_j: float) -> int:
        """How many samples that energy pays for."""
        return affordable(energy_j, self.prefill_j, self.sample_j, MOST_SAMPLES)


def simulate(accounting: Accounting, model: Model, platform: Platform | None = None) -> dict[str, Run]:
    """Every method, by its name."""
    platform = platform or accounting.platform()
    problem = accounting.problem(model, platform=platform)
    one = accounting.problem(model, 1, platform)
    placements = {
        "standard": np.full(problem.shape, platform.index("gpu")),
        "text": _by_the_text(problem, platform),
        "printed": printed(problem),
        "greedy": greedy(problem),
        "exact": free(problem),
    }
    return {name: _run(model, problem, one, placed) for name, placed in placements.items()}


def least_energy_j(problem: Problem) -> float:
    """A bound that no placement goes below: every layer of every phase on the device that takes least for it,
    memory and transfers left out."""
    return float(problem.tables.energy_j.min(axis=2).sum())


def coverage(model: Model, samples: float) -> float:
    """pass@k, 0 to 1, by Eq 1 with the paper's exponent of S through the standard's figure at 20 samples."""
    hazard = -math.log1p(-model.table["pass_k"].standard / 100)
    return -math.expm1(-hazard * (samples / paper.SAMPLES) ** paper.EXPONENT_S)


def run() -> Section:
    """All models, both accountings."""
    found = {a.name: {m.name: simulate(a, m) for m in MODELS} for a in (AS_PRINTED, CORRECTED)}
    tables = {a.name: _Table(found[a.name], a.method) for a in (AS_PRINTED, CORRECTED)}
    corrected = found[CORRECTED.name]
    savings = {name: [_saving(runs, name) for runs in corrected.values()] for name in METHODS}
    bounds = [
        100
        * (1 - least_energy_j(CORRECTED.problem(model)) / corrected[model.name]["standard"].outcome.energy_j)
        for model in MODELS
    ]
    claimed = paper.CLAIMED_SAVING_PERCENT
    settled = sum(
        saved >= claimed or bound < claimed for saved, bound in zip(savings["exact"], bounds, strict=True)
    )
    equal = [coverage(m, corrected[m.name]["exact"].samples_for(_standard_j(corrected, m))) for m in MODELS]
    gains = [100 * c - m.table["pass_k"].standard for c, m in zip(equal, MODELS, strict=True)]
    printed_saving = _mean(_saving(runs, "printed") for runs in found[AS_PRINTED.name].values())
    paper_saving = -_mean(model.table["energy_kj"].change_percent for model in MODELS)
    return Section(
        "simulation",
        "The paper's platform, simulated",
        f"Five models on the paper's CPU, GPU and NPU ({paper.preset_file().name} has each figure's source). "
        f"A query: {paper.PROMPT} tokens of prompt, {paper.SAMPLES} samples of {paper.TOKENS} tokens, one "
        "after another; memory, bandwidth and power as in that file. Two accountings. As printed: Eq 19 to "
        "22 and 26 to 28, C = 2 f n, no efficiency factors, algorithm 1 as printed. Corrected: every weight "
        "and every key and value counted, peaks of half precision, Eq 2's efficiency factors on the power, "
        "algorithm 1 that decrements memory, bounds its index, counts transfers and places prefill and "
        "decode apart. The paper's standard is taken to be the GPU alone: only that could draw its powers. "
        "How many queries its energy is of, what its latency is the time of, and PPP's unit are not given: "
        "each of these three columns is multiplied by one factor for all models, fitted on the standard "
        "half, so that the energy-aware half is a prediction.",
        results=[
            at_least("simulation_saving_reached_or_proved_impossible", settled, "models", len(MODELS)),
            _beside("simulation_saving_greedy_mean", _mean(savings["greedy"]), "%", paper_saving),
            _beside("simulation_saving_exact_mean", _mean(savings["exact"]), "%", paper_saving),
            _beside("simulation_saving_bound_mean", _mean(bounds), "%", paper_saving),
            figure("simulation_saving_bound_best", max(bounds), "%"),
            _beside("simulation_saving_text_mean", _mean(savings["text"]), "%", paper_saving),
            _beside("simulation_saving_printed_mean", printed_saving, "%", paper_saving),
            at_least("simulation_coverage_change_at_equal_joules_least", min(gains), "points", 0.0),
        ],
        agrees=list(_agrees(corrected)),
        differs=list(_differs(found, savings, bounds, printed_saving)),
        not_given=[
            "Lengths of prompt and samples, the number of queries behind the energies, what the latency is "
            "the time of, the cost in PPP, the bandwidth of the GPU, and what the standard execution is.",
        ],
        tables=[
            _methods(found),
            *(_column(column, tables) for column in COLUMNS),
            _changes(tables),
            _equal_joules(corrected),
        ],
        data={
            "models": [model.name for model in MODELS],
            "columns": {
                column.name: {
                    "title": column.title,
                    "unit": column.unit,
                    "paper": [[m.table[column.name].standard, m.table[column.name].aware] for m in MODELS],
                    **{name: table.columns[column.name] for name, table in tables.items()},
                }
                for column in COLUMNS
            },
            "savings_percent": {
                a: {name: [_saving(runs, name) for runs in by.values()] for name in METHODS}
                for a, by in found.items()
            },
            "bound_percent": bounds,
        },
        figure="Standard (pale) and energy-aware: the paper's table, and both accountings.",
    )


class _Table:
    """The columns of the paper's table from a simulation.

    Attributes:
        columns: by name, [models][standard, aware]. scales: the fitted factor of a column.
    """

    def __init__(self, found: Mapping[str, Mapping[str, Run]], method: str) -> None:
        raw = {
            model.name: [_figures(model, found[model.name][name]) for name in ("standard", method)]
            for model in MODELS
        }
        self.columns: dict[str, list[list[float]]] = {}
        self.scales: dict[str, float] = {}
        for column in COLUMNS:
            values = [[each[column.name] for each in raw[model.name]] for model in MODELS]
            scale = 1.0
            if column.name in ("energy_kj", "ppp", "latency_ms"):
                scale = _scale(values, column)
            self.scales[column.name] = scale
            self.columns[column.name] = [[scale * v for v in row] for row in values]


def _figures(model: Model, run: Run) -> dict[str, float]:
    share = coverage(model, paper.SAMPLES)
    energy_j, latency_s = run.outcome.energy_j, run.outcome.latency_s
    usd = metrics.cost_per_query(energy_j, paper.USD_PER_KWH)
    return {
        "ipw": metrics.ipw_of_table(run.power_w),
        "pass_k": 100 * share,
        "energy_kj": energy_j / 1000,
        "ppp": metrics.ppp(1 / latency_s, share, run.power_w, usd),
        "power_w": run.power_w,
        "latency_ms": 1000 * latency_s,
    }


def _scale(values: Sequence[Sequence[float]], column: Column) -> float:
    """The factor that brings the standard's figures nearest to the paper's, by their logarithms."""
    return math.exp(
        _mean(
            math.log(model.table[column.name].standard / row[0])
            for model, row in zip(MODELS, values, strict=True)
        )
    )


def _run(model: Model, problem: Problem, one: Problem, placed: Assignment) -> Run:
    outcome = problem.check(placed)
    first_j = one.outcome(placed).energy_j
    sample_j = (outcome.energy_j - first_j) / (paper.SAMPLES - 1)
    busy_j = sum(device.power_w * float(s) for device, s in zip(problem.devices, outcome.busy_s, strict=True))
    return Run(model, placed, outcome, busy_j / outcome.latency_s, sample_j, first_j - sample_j)


def _by_the_text(problem: Problem, platform: Platform) -> Assignment:
    placed = np.empty(problem.shape, np.intp)
    placed[0], placed[1] = platform.index("gpu"), platform.index("npu")
    placed[:, [0, -1]] = platform.index("cpu")
    return placed


def _standard_j(found: Mapping[str, Mapping[str, Run]], model: Model) -> float:
    return found[model.name]["standard"].outcome.energy_j


def _saving(runs: Mapping[str, Run], method: str) -> float:
    return 100 * (1 - runs[method].outcome.energy_j / runs["standard"].outcome.energy_j)


def _mean(values: Iterator[float] | Sequence[float]) -> float:
    return float(np.mean(list(values)))


def _beside(name: str, value: float, unit: str, published: float) -> Result:
    return against(name, value, unit, "the paper", published, value / published)


# ---------------------------------------------------------------- what it means


def _agrees(found: Mapping[str, Mapping[str, Run]]) -> Iterator[str]:
    powers = [run["greedy"].power_w / run["standard"].power_w for run in found.values()]
    if max(powers) < 1:
        yield (
            f"Energy-aware placement draws less power on average: {_range(powers, '.0%')} of "
            "the standard's (the paper: 18 % to 48 %)."
        )
    prefill = [run["greedy"].placed[0, 1:-1] for run in found.values()]
    decode = [run["greedy"].placed[1, 1:-1] for run in found.values()]
    platform = paper.platform()
    apart = all((p == platform.index("gpu")).all() for p in prefill) and all(
        (d == platform.index("npu")).all() for d in decode
    )
    if apart:
        yield "Corrected, algorithm 1 prefills on the GPU and decodes on the NPU, as the paper's text says."


def _differs(
    found: Mapping[str, Mapping[str, Mapping[str, Run]]],
    savings: Mapping[str, Sequence[float]],
    bounds: Sequence[float],
    printed_saving: float,
) -> Iterator[str]:
    corrected, as_printed = found[CORRECTED.name], found[AS_PRINTED.name]
    slower = [r["greedy"].outcome.latency_s / r["standard"].outcome.latency_s for r in corrected.values()]
    yield (
        f"Energy: at most {max(bounds):.1f} % can be saved against the GPU alone by any placement with the "
        f"preset's constants; algorithm 1 corrected saves {_mean(savings['greedy']):.1f} %, the optimum "
        f"{_mean(savings['exact']):.1f} % on average; the paper has 48.8 %. The next section shows why, and "
        "with which other ones of the paper's constants it could."
    )
    text = [_saving(runs, "text") for runs in as_printed.values()]
    yield (
        f"By the paper's own equations algorithm 1 as printed saves {printed_saving:.1f} % (below 0: it "
        "takes more), since by C = 2 f n the NPU has most FLOP per joule and so gets all layers, while a "
        "byte from its memory costs more than one from the GPU's; the text's own placement, in this "
        f"accounting, saves {_mean(text):.1f} %."
    )
    yield (
        f"Latency: where decoding moves to the NPU it takes {_range(slower, '.3g')} times as "
        "long, since the NPU's memory is that much slower; the table has it shorter by 16 %. No placement "
        "by Eq 4 or the roofline gives both."
    )
    yield (
        "Coverage: at equal samples and numerics it is the same wherever layers run. What the table shows "
        "as +7 to +10.5 points is what more samples would give: the last table says how many."
    )


def _range(values: Sequence[float], form: str) -> str:
    """The least and the most, or the one where they read the same."""
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (min(values), max(values))))


def _methods(found: Mapping[str, Mapping[str, Mapping[str, Run]]]) -> Grid:
    rows = []
    for accounting, by in found.items():
        for name in METHODS:
            runs = [each[name] for each in by.values()]
            standard = [each["standard"] for each in by.values()]
            pairs = list(zip(runs, standard, strict=True))
            rows.append(
                [
                    accounting,
                    SAID[name],
                    *(round(_saving(each, name), 1) for each in by.values()),
                    round(100 * _mean(r.power_w / s.power_w - 1 for r, s in pairs), 1),
                    round(100 * _mean(r.outcome.latency_s / s.outcome.latency_s - 1 for r, s in pairs), 1),
                ]
            )
    return Grid(
        "Energy saved against the standard, by model, and mean change of power and latency, in percent",
        ["accounting", "placement", *(model.name for model in MODELS), "power", "latency"],
        rows,
    )


def _column(column: Column, tables: Mapping[str, _Table]) -> Grid:
    headings = ["model"]
    for half in ("standard", "energy-aware"):
        headings.append(f"{half}: the paper")
        for name in tables:
            headings += [name, "%"]
    rows = []
    for index, model in enumerate(MODELS):
        row: list[object] = [model.name]
        for at, published in enumerate((model.table[column.name].standard, model.table[column.name].aware)):
            row.append(published)
            for table in tables.values():
                value = table.columns[column.name][index][at]
                row += [value, f"{100 * (value / published - 1):+.1f}"]
        rows.append(row)
    factors = ", ".join(f"{name} {table.scales[column.name]:.4g}" for name, table in tables.items())
    fitted = "" if {t.scales[column.name] for t in tables.values()} == {1.0} else f"; factors: {factors}"
    by = {"ipw": " (60 / P, the table's variant)", "pass_k": " (at equal samples)"}.get(column.name, "")
    unit = f" [{column.unit}]" if column.unit else ""
    return Grid(f"{column.title}{by}{unit}, beside its difference from the paper{fitted}", headings, rows)


def _changes(tables: Mapping[str, _Table]) -> Grid:
    rows = []
    for column in COLUMNS:
        own = _mean(column.change(model.table[column.name]) for model in MODELS)
        changes = [
            _mean(column.change(paper.Pair(*pair)) for pair in table.columns[column.name])
            for table in tables.values()
        ]
        unit = "points" if column.points else "%"
        values = (column.printed_change, own, *changes)
        rows.append([column.title, *(f"{value:+.1f} {unit}" for value in values)])
    return Grid(
        "Mean change from standard to energy-aware",
        ["column", "printed in the paper", "from the paper's own columns", *tables],
        rows,
    )


def _equal_joules(found: Mapping[str, Mapping[str, Run]]) -> Grid:
    rows = []
    for model in MODELS:
        pair = model.table["pass_k"]
        samples = found[model.name]["exact"].samples_for(_standard_j(found, model))
        hazards = [-math.log1p(-share / 100) for share in (pair.standard, pair.aware)]
        wanted = paper.SAMPLES * (hazards[1] / hazards[0]) ** (1 / paper.EXPONENT_S)
        power = _figures(model, found[model.name]["exact"])["power_w"]
        share = coverage(model, samples)
        rows.append(
            [
                model.name,
                pair.standard,
                samples,
                f"{100 * share:.1f}",
                pair.aware,
                f"{wanted:.1f}",
                f"{metrics.ipw(coverage(model, paper.SAMPLES), power):.4f}",
                f"{metrics.ece(share, _standard_j(found, model)):.4g}",
            ]
        )
    return Grid(
        f"What the joules of the standard's {paper.SAMPLES} samples buy with the exact placement (corrected "
        f"accounting; Eq 1 with exponent {paper.EXPONENT_S:g} of S), how many samples the paper's gain would "
        "take, and IPW and ECE by definition",
        [
            "model",
            "standard, %",
            "samples",
            "pass@k, %",
            "paper, %",
            "samples for that",
            "IPW, 1/W",
            "ECE, 1/kJ",
        ],
        rows,
    )
