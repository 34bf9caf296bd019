"""Measured quality against the delay limit and the energy limit: the proposed design and its baselines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from qeil_ros.planning import co_inference as co
from qeil_ros.planning.baselines import fixed, ppo, sampled

from ..harness import Result, at_least, figure
from .effort import Effort
from .quality import Subject
from .section import Grid, Section
from .workloads import (
    AGENT,
    MAX_BITS,
    SERVER,
    STORED_BITS,
    WORKLOADS,
    PaperModel,
    least_delay_s,
    least_energy_j,
    width_at,
)

__all__ = ["BASELINES", "Verdict", "compare", "run", "thresholds"]

PROPOSED = "proposed"
BASELINES = {
    "ppo": "PPO",
    "max_clock": "highest clocks",
    "max_agent_clock": "highest clock on the agent",
    "random": f"{sampled.COUNT} random feasible widths",
}
CONFIDENCE = 0.95
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)

Limits = tuple[float, float]
"""(delay [s], energy [J])"""
Widths = NDArray[np.int64]
"""What a method chose, [seeds, draws]; 0: nothing is feasible for it."""


@dataclass(frozen=True)
class Verdict:
    """The proposed design's score less a baseline's, paired by seed.

    Attributes:
        name: `better`, `tie` or `worse`; `alone` where the baseline has no design at all.
        mean, half: of the difference, with the half-width of its confidence interval over the seeds.
    """

    name: str
    mean: float
    half: float


def run(
    effort: Effort, subject: Subject, models: Sequence[PaperModel], tell: Callable[[int, int], None]
) -> Section:
    """Sweeps T0 at the paper's E0 and E0 at the paper's T0, for each workload and quantizer."""
    seeds = len(subject.exact)
    steps, done = len(models) * seeds, 0
    sweeps: list[dict[str, Any]] = []
    problems: list[str] = []
    for model in models:
        work = model.workload()
        axes = {"delay": thresholds(model, "delay", effort), "energy": thresholds(model, "energy", effort)}
        policies: list[ppo.Policy] = []
        for seed in range(seeds):
            try:
                policies.append(_policy(work, axes, effort, seed))
            except ModuleNotFoundError as error:
                problems = [str(error)]
            done += 1
            tell(done, steps)
        for axis, points in axes.items():
            chosen = [_choices(work, limits, policies, seeds) for limits in points]
            sweeps += [
                {
                    "workload": model.name,
                    "quantizer": curve.quantizer,
                    "axis": axis,
                    "points": [
                        _point(at, widths, curve.scores) for at, widths in zip(points, chosen, strict=True)
                    ],
                }
                for curve in subject.curves
            ]
    return Section(
        "sweeps",
        f"{subject.score} against T0 and E0",
        f"Costs are the paper's: its simulation constants and the FLOP of {_names(models)}. Quality is "
        f"measured: {subject.score} of {subject.model} on {subject.dataset}, its agent part's weights "
        f"quantized to the width that each method chooses; {seeds} seeds, each with "
        f"{subject.pictures // seeds} pictures, draws and a policy of its own. Intervals are Student's at "
        f"{CONFIDENCE:.0%} over the seeds, differences paired by seed. A method without a feasible design "
        "scores 0. Better or worse is said where the interval leaves 0 out, else it is a tie.",
        results=list(_results(sweeps, bool(problems))),
        **_findings(sweeps, subject, models, problems),
        tables=[_counts(sweeps), _assumptions(), *_tables(sweeps, subject.score)],
        data={"score": subject.score, "model": subject.model, "sweeps": sweeps},
        figure=f"{subject.score} of {subject.model} against the limits. Bars: {CONFIDENCE:.0%} intervals.",
    )


def thresholds(model: PaperModel, axis: str, effort: Effort) -> list[Limits]:
    """Limits spaced evenly in their logarithm, from where one bit is feasible to where the widest is, or the
    widest that the other limit allows; energies to twice the paper's. Its own point is among them."""
    work, middle = model.workload(), (model.delay_s, model.energy_j)
    least = [
        least_delay_s(work, bits, model.energy_j)
        if axis == "delay"
        else least_energy_j(work, bits, model.delay_s)
        for bits in range(1, MAX_BITS + 1)
    ]
    possible = [value for value in least if math.isfinite(value)]
    own = middle[0] if axis == "delay" else middle[1]
    most = max(1.3 * possible[-1], 2 * own if axis == "energy" else own)
    spaced = np.geomspace(1.02 * possible[0], most, effort.thresholds)
    values = sorted({*spaced.tolist(), own})
    return [(v, model.energy_j) if axis == "delay" else (model.delay_s, v) for v in values]


def compare(proposed: NDArray[np.float64], baseline: NDArray[np.float64], alone: bool = False) -> Verdict:
    """The verdict on paired scores [seeds]."""
    difference = proposed - baseline
    mean = float(difference.mean())
    half = _half(difference)
    if alone:
        return Verdict("alone", mean, half)
    if mean - half > 0:
        return Verdict("better", mean, half)
    return Verdict("worse" if mean + half < 0 else "tie", mean, half)


def _half(values: NDArray[np.float64]) -> float:
    n = len(values)
    if n < 2:
        return math.inf
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    return quantile * float(values.std(ddof=1)) / math.sqrt(n)


def _policy(work: co.Workload, axes: Mapping[str, list[Limits]], effort: Effort, seed: int) -> ppo.Policy:
    limits = np.array([point for points in axes.values() for point in points])
    low, high = limits.min(axis=0), limits.max(axis=0)
    ranges = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
    training = ppo.Training(steps=effort.ppo_steps)
    return ppo.train(work, AGENT, SERVER, *ranges, seed=seed, training=training)


def _choices(
    work: co.Workload, limits: Limits, policies: Sequence[ppo.Policy], seeds: int
) -> dict[str, Widths]:
    """The widths of every method, [seeds, draws]."""

    def one(solve: Callable[[], co.Design]) -> int:
        try:
            design = solve()
        except co.Infeasible:
            return 0
        if not (design.delay_s <= limits[0] and design.energy_j <= limits[1]):
            raise AssertionError(f"{design} breaks a limit of {limits}")
        return design.bits

    problem = (work, AGENT, SERVER, *limits)
    same = {
        PROPOSED: one(lambda: co.solve(*problem)),
        "max_clock": one(lambda: fixed.max_clock(*problem)),
        "max_agent_clock": one(lambda: fixed.max_agent_clock(*problem)),
    }
    found = {name: np.full((seeds, 1), bits) for name, bits in same.items()}
    if same[PROPOSED]:
        drawn = [[d.bits for d in sampled.random_feasible(*problem, seed=seed)] for seed in range(seeds)]
        found["random"] = np.array(drawn)
    else:
        found["random"] = np.zeros((seeds, 1), np.int64)
    if policies:
        found["ppo"] = np.array([[one(lambda policy=policy: policy.design(*limits))] for policy in policies])
    return found


def _point(limits: Limits, chosen: Mapping[str, Widths], scores: NDArray[np.float64]) -> dict[str, Any]:
    """A threshold's record: widths, scores with their intervals, verdicts. `scores` is [widths, seeds]."""
    padded = np.vstack([np.zeros(scores.shape[1]), scores])  # width 0: no design, no answer
    seeds = np.arange(scores.shape[1])[:, None]
    quality = {name: padded[widths, seeds].mean(axis=1) for name, widths in chosen.items()}
    verdicts = {
        name: compare(quality[PROPOSED], quality[name], alone=not chosen[name].any()) for name in BASELINES
        if name in chosen
    }  # fmt: skip
    return {
        "delay_s": limits[0],
        "energy_j": limits[1],
        "methods": {
            name: {
                "bits": float(chosen[name].mean()),
                "mean": float(values.mean()),
                "half": _half(values),
            }
            for name, values in quality.items()
        },
        "verdicts": {name: vars(verdict) for name, verdict in verdicts.items()},
    }


def _verdicts(sweeps: Sequence[Mapping[str, Any]], baseline: str) -> list[str]:
    return [
        point["verdicts"][baseline]["name"]
        for sweep in sweeps
        for point in sweep["points"]
        if baseline in point["verdicts"]
    ]


def _results(sweeps: Sequence[Mapping[str, Any]], without_ppo: bool) -> Iterator[Result]:
    total = sum(len(sweep["points"]) for sweep in sweeps)
    for name in BASELINES:
        said = _verdicts(sweeps, name)
        if name == "ppo" and without_ppo:
            yield at_least("sweeps_not_below_ppo", math.nan, "thresholds", total)
            continue
        yield at_least(f"sweeps_not_below_{name}", sum(v != "worse" for v in said), "thresholds", total)
        yield figure(f"sweeps_above_{name}", sum(v in ("better", "alone") for v in said), "thresholds")
        yield figure(f"sweeps_tied_with_{name}", said.count("tie"), "thresholds")


def _findings(
    sweeps: Sequence[Mapping[str, Any]],
    subject: Subject,
    models: Sequence[PaperModel],
    problems: Sequence[str],
) -> dict[str, list[str]]:
    said = {name: _verdicts(sweeps, name) for name in BASELINES}
    counts = "; ".join(
        f"{BASELINES[name]}: above {v.count('better') + v.count('alone')}, tie {v.count('tie')}, "
        f"below {v.count('worse')}"
        for name, v in said.items()
        if v
    )
    differs = [
        "A tie is no victory: the paper has the proposed design above every baseline at every threshold. "
        "Where a baseline finds the same width nothing lies between them, and little where both are wide: "
        f"{_saturation(subject)}.",
        f"The paper's fixed highest clocks have no design at {said['max_clock'].count('alone')} of "
        f"{len(said['max_clock'])} thresholds: at 10 GHz a server part of more than "
        f"{_most_server_flop(2.0) / 1e9:.1f} GFLOP takes over 2 J by itself (Eq 7). A reading under which "
        "only the agent's clock is fixed stands beside it.",
    ]
    for model in models:
        widths = sorted({width_at(model, b, share) for b in (8, 16, 32) for share in SHARES})
        differs.append(
            f"{model.name} at its sweeps' middle, {model.delay_s:g} s and {model.energy_j:g} J: the designed "
            f"width is {widths[0] or 'none'} to {widths[-1]} bits, by the split and the stored width that "
            "one assumes (table)."
        )
    not_given = [
        f"The stored width b (here {STORED_BITS}), B_max (here {MAX_BITS}), and how the 400 widths are drawn "
        "(here: uniformly among those that some clocks make feasible).",
        "States, rewards and training of PPO. Here an episode is one decision; a policy's infeasible choice "
        "is lowered in width until it is feasible.",
        *(
            f"The split of {model.name}: the agent part is taken to be the vision tower, "
            f"{model.agent_share:.1%} of the operations. By our own count {model.share}."
            for model in models
        ),
    ]
    agrees = [f"The proposed design against its baselines, by threshold. {counts}."]
    return {"agrees": agrees, "differs": [*differs, *problems], "not_given": not_given}


def _saturation(subject: Subject) -> str:
    """From which width on the score is tied with the widest one's."""
    said = []
    for curve in subject.curves:
        tied = [compare(curve.scores[-1], scores).name == "tie" for scores in curve.scores]
        first = max((at + 1 for at, same in enumerate(tied) if not same), default=0) + 1
        said.append(f"with {curve.quantizer} weights from {first} bits on the score is tied with 8 bits'")
    return ", ".join(said)


def _most_server_flop(energy_j: float) -> float:
    """The server part that takes this energy at the highest clock (Eq 7)."""
    return energy_j * SERVER.flop_per_cycle / (SERVER.joule_factor * SERVER.max_hz**2)


def _counts(sweeps: Sequence[Mapping[str, Any]]) -> Grid:
    rows = []
    for sweep in sweeps:
        cells = []
        for name in BASELINES:
            said = _verdicts([sweep], name)
            above = said.count("better") + said.count("alone")
            cells.append(f"{above} / {said.count('tie')} / {said.count('worse')}" if said else "not run")
        rows.append([sweep["workload"], sweep["quantizer"], f"{sweep['axis']} limit", *cells])
    headings = ["costs of", "quantizer", "sweep", *(f"against {title}" for title in BASELINES.values())]
    return Grid("Thresholds at which the proposed design is above / tied / below", headings, rows)


def _tables(sweeps: Sequence[Mapping[str, Any]], score: str) -> Iterator[Grid]:
    for sweep in sweeps:
        delay = sweep["axis"] == "delay"
        names = [name for name in (PROPOSED, *BASELINES) if name in sweep["points"][0]["methods"]]
        rows = []
        for point in sweep["points"]:
            cells = []
            for name in names:
                method = point["methods"][name]
                verdict = point["verdicts"].get(name, {"name": ""})["name"]
                note = {"alone": " (no design)", "tie": " (tie)", "worse": " (**above**)"}.get(verdict, "")
                cells.append(f"{method['mean']:.2f} +- {method['half']:.2f}, {method['bits']:.1f} bits{note}")
            rows.append([point["delay_s"] if delay else point["energy_j"], *cells])
        fixed_limit = sweep["points"][0]["energy_j" if delay else "delay_s"]
        caption = (
            f"{score}, costs of {sweep['workload']}, {sweep['quantizer']}: "
            + (f"T0 at E0 = {fixed_limit:g} J" if delay else f"E0 at T0 = {fixed_limit:g} s")
        )  # fmt: skip
        headings = ["T0 [s]" if delay else "E0 [J]", *(BASELINES.get(name, name) for name in names)]
        yield Grid(caption, headings, rows)


def _assumptions() -> Grid:
    """The designed width at the middle of the paper's sweeps, by what it does not give."""
    rows = [
        [model.name, b, *(width_at(model, b, share) or "none" for share in SHARES)]
        for model in WORKLOADS
        for b in (8, 16, 32)
    ]
    headings = ["model", "stored bits b", *(f"agent share {share:g}" for share in SHARES)]
    return Grid(f"Designed width, at most {MAX_BITS} bits, at the paper's T0 and E0", headings, rows)


def _names(models: Sequence[PaperModel]) -> str:
    return " and ".join(model.name for model in models)
