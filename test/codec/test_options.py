"""Options: checked when they are made, and what they change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qeil_ros.codec import Encoder, Options, Percentile, decode, encode, peek

X = np.random.default_rng(0).laplace(size=(32, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bits": 0}, "bits is 0"),
        ({"bits": True}, "bits is True"),
        ({"quantizer": "log"}, "quantizer is 'log'; auto, uniform"),
        ({"coder": "zip"}, "coder is 'zip'; packed, rans"),
        ({"rounding": "up"}, "rounding is 'up'"),
        ({"fill": "mean"}, "fill is 'mean'"),
        ({"granularity": "group", "group_size": 4}, "group_size is 4"),
        ({"step": 0.0}, "step is 0"),
        ({"step": 1.0, "quantizer": "laplacian"}, "not evenly spaced"),
        ({"rounding": "stochastic", "quantizer": "gaussian"}, "evenly spaced"),
        ({"rounding": "stochastic", "coder": "rans"}, "evenly spaced"),
        ({"rdo": -1.0}, "rdo is -1"),
        ({"rdo": float("nan")}, "rdo is nan"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"max_bytes": 10, "step": 1.0}, "one of the two"),
        ({"clip": "median"}, "clip is 'median'"),
    ],
)
def test_what_is_not_possible_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Options(**wrong)
    with pytest.raises(ValueError, match=message):
        encode(X, **wrong)


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="bit: no such option"):
        encode(X, bit=3)


def test_an_encoder_has_options_of_its_own_that_a_call_may_change() -> None:
    encoder = Encoder(Options(bits=3, quantizer="laplacian"))
    assert bytes(encoder.encode(X)) == encode(X, bits=3, quantizer="laplacian")
    assert bytes(encoder.encode(X, bits=5)) == encode(X, bits=5, quantizer="laplacian")
    assert peek(encoder.encode(X)).bits == 3


def test_bits_of_coded_values_stand_for_a_step() -> None:
    """An 8th of 8 root mean squares at 3 bits, and no value is limited."""
    x = X.copy()
    x[0, 0] = 400
    stream = encode(x, bits=3, coder="rans", rdo=0.0)
    decoded = decode(stream)
    step = float(np.sqrt((x.astype(np.float64) ** 2).mean()))
    assert np.abs(decoded - x).max() <= 0.502 * step
    assert np.allclose(np.unique(np.diff(np.unique(decoded)).min()), step, rtol=2e-3)


def test_a_step_may_be_given() -> None:
    for coder in ("packed", "rans"):
        decoded = decode(encode(X, step=0.25, coder=coder, quantizer="symmetric", rdo=0.0))
        assert np.array_equal(decoded, np.round(decoded * 4) / 4)
        assert np.abs(decoded - X).max() <= 0.126


def test_rate_aware_rounding_saves_bytes_at_the_same_distortion() -> None:
    """Beside a coarser step that gives the same distortion."""
    x = (X * np.linspace(2.0, 0.05, 64, dtype=np.float32)).astype(np.float32)
    stream = encode(x, bits=3, coder="rans")
    wanted = float(((decode(stream) - x) ** 2).mean())
    sizes = []
    for step in np.geomspace(0.3, 3, 60):
        plain = encode(x, step=float(step), coder="rans", rdo=0.0)
        if ((decode(plain) - x) ** 2).mean() <= wanted:
            sizes.append(len(plain))
    assert len(stream) < 0.97 * min(sizes)


def test_stochastic_rounding_has_the_right_mean_and_a_seed() -> None:
    x = np.full((100, 100), 0.3, np.float32)
    x[0, :2] = (0, 1)
    how: dict[str, Any] = {"bits": 1, "clip": (0.0, 1.0), "rounding": "stochastic"}
    assert encode(x, seed=1, **how) == encode(x, seed=1, **how) != encode(x, seed=2, **how)
    assert abs(decode(encode(x, seed=3, **how)).mean() - 0.3) < 0.03


def test_every_quantizer_goes_with_every_coder_granularity_and_width() -> None:
    for coder in ("packed", "rans"):
        for quantizer in ("uniform", "symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian"):
            for granularity in ("tensor", "channel", "group"):
                worst = np.inf
                for bits in (2, 4, 7):
                    stream = encode(X, bits=bits, coder=coder, quantizer=quantizer, granularity=granularity)
                    info, error = peek(stream), float(((decode(stream) - X) ** 2).mean())
                    assert info.coder.name.lower() == coder and info.quantizer.name.lower() == quantizer
                    assert info.stream_bytes == len(stream)
                    assert error < 1.01 * worst
                    worst = error


def test_percentiles_may_be_chosen() -> None:
    x = X.copy()
    x[0, 0] = 1e4
    narrow, wide = (decode(encode(x, bits=6, clip=Percentile(percent))) for percent in (99.0, 100.0))
    assert narrow.max() < 100 < wide.max()


def test_coded_tensors_of_zeros_and_of_one_element_come_back() -> None:
    for x in (np.zeros((3, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.float16)):
        for bits in range(1, 9):
            assert np.abs(decode(encode(x, bits=bits, coder="rans")).astype(float) - x).max() <= 2.0
