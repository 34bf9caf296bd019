"""A limit of bytes: never passed, nearly filled, and the best that it allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.codec import Encoder, Options, TemporalEncoder, decode, encode, peek
from qeil_ros.codec.rate import finest_step

X = np.random.default_rng(0).laplace(size=(17, 128)).astype(np.float32)


def error(x: np.ndarray, stream: bytes) -> float:
    return float(((decode(stream).astype(np.float64) - x) ** 2).mean())


@settings(max_examples=80, deadline=None)
@given(
    limit=st.integers(60, 3000),
    coder=st.sampled_from(["packed", "rans"]),
    seed=st.integers(0, 5),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
)
def test_the_limit_is_never_passed(limit: int, coder: str, seed: int, dtype: str) -> None:
    x = (np.random.default_rng(seed).laplace(size=(12, 50)) * 20).astype(np.int8).astype(dtype)
    assert len(encode(x, coder=coder, max_bytes=limit)) <= limit


def test_coded_streams_nearly_fill_the_limit_and_more_bytes_are_never_worse() -> None:
    errors = []
    for limit in (60, 100, 200, 400, 800, 1600):
        stream = encode(X, coder="rans", max_bytes=limit)
        assert 0.97 * limit <= len(stream) <= limit
        errors.append(error(X, stream))
    assert errors == sorted(errors, reverse=True)


def test_a_limit_that_does_not_bind_changes_nothing() -> None:
    for coder in ("packed", "rans"):
        assert encode(X, bits=5, coder=coder, max_bytes=10_000) == encode(X, bits=5, coder=coder)


def test_packed_streams_take_the_best_width_or_fewer_tokens() -> None:
    assert encode(X, max_bytes=1200) == encode(X, bits=4, quantizer="uniform", max_bytes=2000)
    # Rows that are nearly all alike: many bits for the few that differ beat one bit for all.
    x = np.full((64, 64), 0.25, np.float32)
    x[5:9] = np.random.default_rng(0).normal(size=(4, 64))
    stream = encode(x, max_bytes=600)
    info = peek(stream)
    assert info.mask is not None and info.mask.kept[5:9].all() and len(stream) <= 600
    assert error(x, stream) < 0.1 * error(x, encode(x, max_bytes=600, keep=list(range(64))))
    # Rows that were named stay.
    assert peek(encode(x, max_bytes=600, keep=[1, 2, 3])).mask.kept_rows == 3


def test_other_quantizers_take_the_widest_codes_that_fit() -> None:
    for coder in ("packed", "rans"):
        stream = encode(X, coder=coder, quantizer="laplacian", max_bytes=900, keep=list(range(17)))
        assert 2 <= peek(stream).bits <= 3 and len(stream) <= 900


def test_differences_and_lossless_tensors_keep_the_limit_too() -> None:
    encoder = TemporalEncoder(Options(coder="rans", max_bytes=150), chained=True)
    for scale in (1.0, 1.1, 0.9):
        assert len(encoder.encode(X * np.float32(scale))) <= 150
    assert not encoder.key
    bytes_ = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    assert len(encode(bytes_, coder="rans", max_bytes=700)) <= 700
    assert len(encode(bytes_, max_bytes=700)) <= 700


@pytest.mark.parametrize("coder", ["packed", "rans"])
def test_an_impossible_limit_is_refused_with_the_size_that_is_possible(coder: str) -> None:
    with pytest.raises(ValueError, match=r"max_bytes is 15; this tensor's coarsest stream has \d+ bytes"):
        encode(X, coder=coder, max_bytes=15, keep=list(range(17)))
    encoder = Encoder()
    with pytest.raises(ValueError, match="max_bytes"):
        encoder.encode(X, coder=coder, max_bytes=15)
    assert bytes(encoder.encode(X, bits=3)) == encode(X, bits=3)


def test_the_search_takes_few_passes() -> None:
    steps: list[float] = []

    def size_of(step: float) -> int:
        steps.append(step)
        return 20 + int(1000 * np.log2(1 + 64 / step))

    step = finest_step(size_of, 1.0, 8000, 2000)
    assert 2000 - 2000 // 128 <= size_of(step) <= 2000
    assert len(steps) <= 9
