"""The chains that image preparation is measured against make its tensor; else the figures mean nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import preparation
from bench.preparation_peers import CV2_CHAINS, DECODERS, pillow_numpy
from qeil_ros.models.preprocess import Preprocessor

SPEC = replace(preparation.BILINEAR, width=40, height=30)
WIDTH, HEIGHT = preparation.SIZES["vga"]


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """On the scale of 0 to 255."""
    return float((np.abs(a.astype(np.float64) - b) * np.array(SPEC.std)[:, None, None]).max()) * 255


@pytest.mark.parametrize("encoding", DECODERS)
@pytest.mark.parametrize("name", CV2_CHAINS)
def test_every_chain_of_opencv_makes_our_tensor(name: str, encoding: str) -> None:
    frame = preparation._frames("vga", encoding)[0]
    ours = Preprocessor(SPEC)(frame, WIDTH, HEIGHT, frame.strides[0], encoding)[0]
    assert apart(ours, CV2_CHAINS[name](SPEC, encoding)(frame)) < 1


def test_pillow_and_numpy_make_our_tensor() -> None:
    spec = replace(SPEC, interpolation="bicubic", antialias=True)
    frame = preparation._frames("vga", "rgb8")[0]
    ours = Preprocessor(spec)(frame, WIDTH, HEIGHT, frame.strides[0], "rgb8")[0]
    assert apart(ours, pillow_numpy(spec)(frame)) < 1.01


def test_every_figure_says_what_it_is_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(preparation, "QUICK_ROUNDS", 2)
    monkeypatch.setattr(preparation, "SIZES", {"vga": preparation.SIZES["vga"]})
    results = preparation.results(quick=True)
    assert len({(result.name, result.peer) for result in results}) == len(results)
    distances = [result for result in results if result.name.endswith("_distance")]
    assert len(distances) == len(DECODERS) + 1 and all(result.met for result in distances)
    assert sum(result.ratio is not None for result in results) == len(DECODERS) + 2 + 2
