"""What saved joules buy: more samples, and by them coverage. Measured on the shipped captioner.

QEIL's table has energy-aware runs with 7 to 10 points more pass@k. Where a network runs cannot make its
answers better; a sample that takes fewer joules leaves some for further samples, and those can.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.nodes.co_inference_parameters import CoInferenceParameters
from qeil_ros.planning.orchestrator import affordable
from qeil_ros.platform.energy import energy_meter

from ..harness import Result, at_least, at_most, figure, percentile
from ..progress import Tell
from .panels import Data, panels_of
from .qeil_draws import Draws, Method, Policy, Verdict, ask, draw, scenes
from .section import Grid, Section

__all__ = ["draw_figure", "run"]

CORE_W = 10.0
"""Of a busy core, where the machine has no counters: the joules are then modelled, their ratios are not."""
BITS = 2
"""Of the robot's weights: a model that is often wrong, as the paper's are."""
TEMPERATURE = 1.0
FIXED = (1, 2, 4, 8, 16)
PAPER_EXPONENT = 0.7

AGREE, CONFIDENT, LIMITED, VERIFIED = (
    "until they agree",
    "until they agree or one is confident",
    "until they agree, within 6 samples' joules",
    "until a verifier that knows accepts",
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Study:
    """What was drawn by both methods, by the second one with the weights as trained, and by each policy."""

    scenes: int
    standard: Draws
    aware: Draws
    plain: Draws
    verdicts: Mapping[str, Verdict]
    limit_j: float
    source: str

    @property
    def base(self) -> int:
        """The most standard samples whose joules still buy no more than the other method's samples."""
        for base in range(self.standard.samples, 1, -1):
            if base * self.standard.sample_j < (self.aware.samples + 1) * self.aware.sample_j:
                return base
        return 1

    @property
    def bought(self) -> int:
        """Samples of the other method for the same joules."""
        joules = self.base * self.standard.sample_j
        return affordable(joules, 0.0, self.aware.sample_j, self.aware.samples)


STANDARD = Method("one sample a run, two threads", 1, 2)


def run(quick: bool, tell: Tell = lambda done, total: None) -> Section:
    """The study; a quarter of a minute where `quick`, else about three minutes on two cores."""
    count, samples = (30, 10) if quick else (200, 20)
    meter = energy_meter(CORE_W)
    assert meter is not None  # a core's power is given
    aware = Method("a question's samples in one run, one thread", samples, 1)
    try:
        hard, whole = scenes(count, BITS), scenes(count, None)
        one, many = draw(hard, (STANDARD, aware), samples, TEMPERATURE, meter, tell)
        (plain,) = draw(whole, (aware,), samples, TEMPERATURE, meter, tell)
        limit_j = 6 * many.sample_j
        policies = _policies(samples, limit_j)
        verdicts = {}
        for done, policy in enumerate(policies):
            tell(done, len(policies))
            verdicts[policy.title] = ask(hard, policy, meter)
        source = f"{meter.source} ({meter.quality.name.lower()})"
        study = Study(count, one, many, plain, verdicts, limit_j, source)
        return _section(study, aware)
    finally:
        meter.close()


def _policies(samples: int, limit_j: float) -> list[Policy]:
    def policy(title: str, verified: bool = False, **changes: Any) -> Policy:
        given = {"samples": samples, "sampling_temperature": TEMPERATURE, "sampling_certainty": 1.0}
        return Policy(title, CoInferenceParameters(**{**given, **changes}), verified)

    return [
        *(policy(_fixed(n), samples=n) for n in FIXED if n <= samples),
        policy(AGREE, sampling_certainty=0.95),
        policy(CONFIDENT, sampling_certainty=0.95, sampling_accept=0.95),
        policy(LIMITED, sampling_certainty=0.95, sampling_energy_j=limit_j),
        policy(VERIFIED, verified=True),
    ]


def _fixed(samples: int) -> str:
    return f"always {samples}"


def _section(study: Study, aware: Method) -> Section:
    one, many, base, bought = study.standard, study.aware, study.base, study.bought
    saved = 100 * (1 - many.sample_j / one.sample_j)
    gain = _points(many.coverage(bought)) - _points(one.coverage(base))
    by_samples = _points(many.coverage(bought)) - _points(many.coverage(base))
    rest, error = _difference(many.coverage(base), one.coverage(base))
    exponent = _exponent(many)
    limited = study.verdicts[LIMITED].energy_j
    over = percentile((limited - study.limit_j) / many.sample_j, 99)
    results: list[Result] = [
        figure("joules of a sample, standard", one.sample_j, "J"),
        figure("joules of a sample, energy-aware", many.sample_j, "J"),
        figure("energy saved on each sample", saved, "%"),
        at_most("difference of coverage at equal samples", abs(rest / error), "standard errors", 3),
        at_least(f"coverage gained at equal joules, by {bought} samples for {base}", gain, "points", 0),
        figure("of which further samples alone bring", by_samples, "points"),
        figure("exponent of S in Eq 1, fitted", exponent, ""),
        at_most("energy of a question with a budget, mean", _mean(limited) / study.limit_j, "of it", 1),
        at_most("energy over a question's budget, 99th percentile", max(0.0, over), "samples", 1),
    ]
    most = max(n for n in FIXED if n <= one.samples)
    return Section(
        name="samples",
        title="Samples at equal joules",
        about=_about(study, aware),
        results=results,
        agrees=[
            f"An energy-aware run has more coverage than a standard one at equal joules: {gain:.1f} points, "
            f"with {saved:.0f} % less energy a sample. The paper's means: 8.9 points and 48.8 %."
        ]
        if gain > 0
        else [],
        differs=[
            "The gain is the sample budget's. At equal samples the coverage of the two methods differs by "
            f"{rest:+.1f} points (standard error {error:.1f}); the same joules pay for {bought} samples in "
            f"place of {base}, and those alone bring {by_samples:.1f} points. The paper names placement as "
            "the cause.",
            f"Coverage grows as S^{exponent:.2f} inside the exponential of Eq 1; the paper prints "
            f"S^{PAPER_EXPONENT}. Most of what samples can bring, the first ones have brought.",
            f"Coverage is not answers: the most frequent of {most} samples is right in "
            f"{_exact(study, _fixed(most)):.1f} %, the likeliest answer alone in "
            f"{_exact(study, _fixed(1)):.1f} %. What coverage promises wants a verifier: "
            f"{_exact(study, VERIFIED):.1f} % with one that knows.",
        ],
        not_given=["How samples were drawn, verified and stopped: the paper's table has pass@k alone."],
        tables=[
            Grid(
                "Coverage (pass@k), unbiased",
                ["k", STANDARD.title, aware.title, "the same, weights as trained"],
                list(_coverages(study)),
            ),
            Grid(
                "Policies of the offboard node: the answer given, and what it took (standard error of exact "
                f"answers up to {50 / np.sqrt(study.scenes):.1f} points)",
                ["samples drawn", "exact answers [%]", "samples", "joules a question", "99 %"],
                list(_answers(study)),
            ),
        ],
        data=_data(study),
        figure="Left: coverage by samples, where both methods are one curve. Middle: the same by joules, "
        "where they are two. Right: exact answers among those given in the end, by joules a question.",
    )


def _about(study: Study, aware: Method) -> str:
    return (
        f"{study.scenes} frozen scenes, {study.aware.samples} captions drawn of each at temperature "
        f"{TEMPERATURE:g} by the shipped captioner, whose robot's part has its weights in {BITS} bits, so "
        "that it is often wrong; a caption is right if it is the true one to the letter. Standard: "
        f"{STANDARD.title}. Energy-aware: {aware.title}. Both run the same graph in the same precision, in "
        f"turns: they differ in how, not in what. Joules: {study.source}. The policies are the offboard "
        "node's own, question by question; the first answer is the likeliest one, the others are drawn."
    )


def _points(coverage: Floats) -> float:
    return 100 * _mean(coverage)


def _mean(values: Any) -> float:
    return float(np.mean(values))


def _exact(study: Study, policy: str) -> float:
    return 100 * _mean(study.verdicts[policy].right)


def _difference(one: Floats, other: Floats) -> tuple[float, float]:
    """The mean of paired differences and its standard error, in points."""
    apart = 100 * (one - other)
    return _mean(apart), float(np.std(apart, ddof=1) / np.sqrt(len(apart)))


def _exponent(draws: Draws) -> float:
    """b of C(S) = 1 - exp(-a S^b) by least squares over S, in log(-log(1 - C))."""
    k = np.arange(1, draws.samples + 1)
    share = np.array([np.mean(draws.coverage(int(each))) for each in k])
    inside = share < 1
    slope, _ = np.polyfit(np.log(k[inside]), np.log(-np.log1p(-share[inside])), 1)
    return float(slope)


def _coverages(study: Study) -> Iterator[Sequence[Any]]:
    for k in (1, 2, 5, 10, 20):
        if k <= study.aware.samples:
            yield [k, *(_mean(d.coverage(k)) for d in (study.standard, study.aware, study.plain))]


def _answers(study: Study) -> Iterator[Sequence[Any]]:
    for title, verdict in study.verdicts.items():
        yield [
            title,
            _exact(study, title),
            _mean(verdict.samples),
            _mean(verdict.energy_j),
            percentile(verdict.energy_j, 99),
        ]


def _data(study: Study) -> Mapping[str, Any]:
    named = (("standard", study.standard), ("energy-aware", study.aware), ("as trained", study.plain))
    return {
        "methods": {
            name: {
                "sample_j": draws.sample_j,
                "coverage": [_mean(draws.coverage(k)) for k in range(1, draws.samples + 1)],
            }
            for name, draws in named
        },
        "policies": {
            title: {
                "right": _mean(verdict.right),
                "energy_j": _mean(verdict.energy_j),
                "samples": _mean(verdict.samples),
            }
            for title, verdict in study.verdicts.items()
        },
    }


def draw_figure(pyplot: Any, data: Data) -> Any:
    """The section's figure, from its record."""
    drawn, panels = panels_of(pyplot, 1, 3)
    left, middle, right = panels.flat
    for name, color in (("standard", "tab:grey"), ("energy-aware", "tab:blue")):
        method = data["methods"][name]
        k = range(1, len(method["coverage"]) + 1)
        left.plot(k, method["coverage"], "o-", color=color, markersize=3, label=name)
        middle.plot(
            [each * method["sample_j"] for each in k], method["coverage"], "o-", color=color, markersize=3
        )
    left.set(xlabel="samples", ylabel="coverage (pass@k)")
    left.legend()
    middle.set(xlabel="joules a question")
    fixed = [policy for title, policy in data["policies"].items() if title.startswith("always")]
    joules, exact = ([policy[key] for policy in fixed] for key in ("energy_j", "right"))
    right.plot(joules, exact, "o-", color="tab:grey", label="always as many")
    for title, policy in data["policies"].items():
        if policy not in fixed:
            right.plot(policy["energy_j"], policy["right"], "s", label=title)
    right.set(xlabel="joules a question", ylabel="exact answers")
    right.legend(fontsize=7)
    return drawn
