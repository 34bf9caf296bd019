"""The attacks of the screen's benchmark are attacks, and its counts count."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bench.screen import Source, _alarms
from bench.screen_attack import Classifier, flat_places
from qeil_ros.models.preprocess import InputSpec


def scene(rng: np.random.Generator) -> np.ndarray:
    picture = np.full((96, 96, 3), 90.0)
    picture[48:] = 160.0
    picture[10:40, 10:60] = rng.uniform(20, 60, (30, 50, 1))
    return np.clip(picture + rng.normal(0, 0.5, picture.shape), 0, 255).astype(np.uint8)


def test_alarms_are_counted_per_image():
    rng, spec, kinds = np.random.default_rng(0), InputSpec(96, 96, dtype="uint8"), Counter()
    images = [scene(rng), np.zeros((96, 96, 3), np.uint8), scene(rng)]
    assert _alarms(Source("photos", lambda: iter(images), stream=False), spec, 1, kinds) == (1, 3)
    assert kinds == {"blank": 1}
    assert _alarms(Source("stream", lambda: iter(images)), spec, 2, kinds) == (0, 2)


def test_an_attacker_who_knows_leaves_flat_places_alone():
    image = scene(np.random.default_rng(0)).astype(np.float32).transpose(2, 0, 1)[None]
    where = flat_places(image)
    assert where.shape == (96, 96) and where[70:, 70:].max() == 0 and where[15:35, 15:55].min() == 1


def test_an_attack_stays_within_its_bounds_and_fools_the_classifier(data_dir):
    pytest.importorskip("torch")
    model = Classifier(data_dir / "weights" / "squeezenet_v1.1.onnx", (104.0, 117.0, 123.0))
    rng = np.random.default_rng(1)
    pixels = np.kron(rng.uniform(0, 255, (1, 3, 12, 12)), np.ones((20, 20)))[..., : model.side, : model.side]
    pixels = np.rint(pixels).astype(np.float32)
    attacked = model.attacked(pixels, 4.0, rng)
    assert np.abs(attacked - pixels).max() <= 4.0 and (attacked == np.rint(attacked)).all()
    assert attacked.min() >= 0 and attacked.max() <= 255
    assert model.classes(attacked)[0] != model.classes(pixels)[0]
    left = flat_places(pixels)
    known = model.attacked(pixels, 4.0, rng, left)
    assert (known == pixels)[0][:, left == 0].all() and (known != pixels).any()
