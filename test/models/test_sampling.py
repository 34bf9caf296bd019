"""Drawn answers follow the model's own distribution, are the seed's alone, and differ from row to row."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_models
from scipy.stats import chisquare

from qeil_ros.models.engine import OnnxEngine
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.sampling import SampleEngine, Sampling, draw_tokens
from qeil_ros.models.schema import ModelError
from qeil_ros.models.tasks import softmax

BLUISH = np.array([0.0, 0.0, 0.25], np.float32)
"""Logits of the three colours: 0, 0, 2.25."""


@pytest.fixture(scope="module")
def captioner(tmp_path_factory):
    return ModelFolder.load(tiny_models.captioner(tmp_path_factory.mktemp("models") / "captions"))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_tokens_are_drawn_in_proportion(temperature):
    logits = np.array([1.0, -0.5, 0.0, 2.0], np.float32)
    drawn = draw_tokens(np.tile(logits, (20_000, 1)), temperature, np.random.default_rng(1))
    expected = softmax(logits[None] / temperature)[0].astype(float)
    assert chisquare(np.bincount(drawn, minlength=4), 20_000 * expected / expected.sum()).pvalue > 1e-3


def test_captions_are_drawn(captioner):
    part = captioner.server()
    assert part.can_sample
    rows = np.tile(BLUISH, (2000, 1))
    answers = part.sample(rows, Sampling(1.0, seed=5))
    texts = [answer.text for answer in answers]
    assert set(texts) == {"red thing", "green", "blue thing thing"}
    share = np.exp(2.25) / (2 + np.exp(2.25))
    assert texts.count("blue thing thing") / 2000 == pytest.approx(share, abs=0.04)
    (greedy,) = part.run(BLUISH[None])
    blue = next(answer for answer in answers if answer.text == greedy.text)
    assert blue.confidence == pytest.approx(greedy.confidence, abs=1e-6)
    assert texts == [answer.text for answer in part.sample(rows, Sampling(1.0, seed=5))]
    assert texts != [answer.text for answer in part.sample(rows, Sampling(1.0, seed=6))]


def test_cold_draws_are_the_likeliest_answer(captioner):
    answers = captioner.server().sample(np.tile(BLUISH, (200, 1)), Sampling(0.02, seed=1))
    assert {answer.text for answer in answers} == {"blue thing thing"}


def test_an_engine_says_whether_it_can_sample(captioner, tmp_path):
    engine = OnnxEngine(captioner)
    try:
        assert isinstance(engine, SampleEngine) and engine.can_sample
        (answer,) = engine.sample("mean", BLUISH[None], Sampling(0.02, seed=0)).result(10)
        assert answer.text == "blue thing thing"
    finally:
        engine.close()
    classes = ModelFolder.load(tiny_models.classifier(tmp_path / "classes"))
    assert not OnnxEngine(classes).can_sample
    with pytest.raises(ModelError, match="cannot be drawn"):
        classes.server().sample(BLUISH[None], Sampling(1.0, seed=0))


@pytest.mark.parametrize(("temperature", "seed"), [(0.0, 0), (float("nan"), 0), (101.0, 0), (1.0, -1)])
def test_impossible_settings_are_refused(temperature, seed):
    with pytest.raises(ValueError, match="want"):
        Sampling(temperature, seed)
