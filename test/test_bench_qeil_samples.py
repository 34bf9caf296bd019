"""The study of samples at equal joules: its arithmetic on made-up draws, and a few scenes for real."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.reproduce import qeil_draws, qeil_samples
from bench.reproduce.qeil_draws import Draws, Method, Verdict
from bench.reproduce.qeil_samples import Study
from qeil_ros.models.scores.answers import pass_at_k
from qeil_ros.platform.energy import ProcessorTimeMeter

SAMPLES, SCENES = 20, 10_000
AWARE = Method("together", SAMPLES, 1)
POLICIES = [
    *(qeil_samples._fixed(n) for n in qeil_samples.FIXED),
    qeil_samples.AGREE,
    qeil_samples.CONFIDENT,
    qeil_samples.LIMITED,
    qeil_samples.VERIFIED,
]


def draws(rng, chance, sample_j):
    return Draws(rng.binomial(SAMPLES, chance), SAMPLES, np.full(4, sample_j))


def study(better=0.0, saving=0.5):
    """Scenes whose samples are right with a chance of their own; `better` where the second method's are."""
    rng = np.random.default_rng(0)
    chance = rng.beta(0.5, 0.8, SCENES)
    verdict = Verdict(rng.random(SCENES) < 0.5, rng.uniform(0.5, 1.0, SCENES), np.full(SCENES, 3))
    one, many = draws(rng, chance, 2.0), draws(rng, np.minimum(1, chance + better), 2.0 * (1 - saving))
    return Study(SCENES, one, many, many, dict.fromkeys(POLICIES, verdict), 1.0, "a meter")


def results(made):
    return {result.name.split(",")[0]: result for result in qeil_samples._section(made, AWARE).results}


def test_coverage_is_the_unbiased_estimate():
    found = Draws(np.array([0, 3, 20]), SAMPLES, np.ones(1))
    assert found.coverage(5) == pytest.approx([0.0, pass_at_k(20, 3, 5), 1.0])


def test_half_the_joules_buy_twice_the_samples_and_these_the_coverage():
    made = study()
    assert (made.base, made.bought) == (10, 20)
    found = results(made)
    assert found["difference of coverage at equal samples"].met
    gain = found["coverage gained at equal joules"].value
    alone = found["of which further samples alone bring"].value
    assert gain == pytest.approx(alone, abs=1.0) and gain > 2
    assert found["energy saved on each sample"].value == pytest.approx(50)
    assert results(study(saving=0.0))["coverage gained at equal joules"].value == pytest.approx(0, abs=1.0)


def test_a_method_whose_samples_are_better_is_not_taken_for_a_sample_budget():
    assert results(study(better=0.1))["difference of coverage at equal samples"].met is False


def test_a_budget_that_is_broken_is_seen():
    made = study()
    dear = Verdict(np.ones(SCENES, bool), np.full(SCENES, 5.0), np.full(SCENES, 3))
    found = results(replace(made, verdicts={**made.verdicts, qeil_samples.LIMITED: dear}))
    assert not found["energy of a question with a budget"].met
    assert not found["energy over a question's budget"].met


def test_a_few_scenes_for_real():
    what = qeil_draws.scenes(4, qeil_samples.BITS)
    meter = ProcessorTimeMeter(10.0)
    methods = [Method("one", 1, 1), Method("all", 3, 1)]
    one, many = qeil_draws.draw(what, methods, 3, 1.0, meter, lambda done, total: None)
    assert one.sample_j > 0 and many.sample_j > 0 and one.right.max() <= 3
    verdicts = {
        policy.title: qeil_draws.ask(what, policy, meter) for policy in qeil_samples._policies(3, 100.0)
    }
    assert all(verdict.samples.max() <= 3 for verdict in verdicts.values())
    right = {title: verdict.right.sum() for title, verdict in verdicts.items()}
    assert right[qeil_samples.VERIFIED] >= right[qeil_samples._fixed(1)], "the first answer is the same one"
