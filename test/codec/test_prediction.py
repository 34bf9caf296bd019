"""The kernels of prediction and of rounding by cost against numpy, and what they refuse."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros import _kernels
from qeil_ros.codec.reference import filters
from qeil_ros.codec.reference.filters import Filter

RANDOM = np.random.default_rng(0)


def values(n: int, scale: float = 1.0) -> np.ndarray:
    return (RANDOM.laplace(size=n) * scale).astype(np.float32)


def runs(size: int, vector: bool) -> list[tuple[int, int]]:
    if vector:
        return [(0, size)]
    ends = [0, 4, 8, 16, 32, *range(64, size + 64, 64)]
    return [(low, min(high, size)) for low, high in itertools.pairwise(ends) if low < size]


@settings(max_examples=100, deadline=None)
@given(
    outer=st.integers(1, 4),
    size=st.integers(1, 200),
    inner=st.integers(1, 5),
    step=st.sampled_from([0.01, 0.7, 3.0, 1e3]),
    rate=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
)
def test_rounding_is_as_specified(outer: int, size: int, inner: int, step: float, rate: float) -> None:
    x = values(outer * size * inner) * np.linspace(3, 0.1, outer * size * inner, dtype=np.float32)
    codes = np.empty(x.size, np.int16)
    inverse = np.float32(1 / step)
    error = _kernels.round_by_cost(x, outer, size, inner, inverse, rate, codes)
    shaped, rounded = x.reshape(outer, size, inner), codes.reshape(outer, size, inner)
    total = 0.0
    for low, high in runs(size, outer == inner == 1):
        part = shaped[:, low:high]
        mean = float(np.abs(part).astype(np.float64).mean()) * float(inverse)
        offset = np.float32(max(0.0, 0.5 - rate / (12 * mean)))
        scaled = np.abs(part) * inverse
        expected = np.trunc(np.minimum(scaled + offset, 32767)) * np.sign(part)
        # The sums' order differs: a value on the very edge may fall to either side.
        edge = np.abs((scaled + offset) % 1 - 0.5) > 0.5 - 1e-5
        assert (np.abs(rounded[:, low:high] - expected) <= edge).all()
        total += float(((scaled - np.abs(rounded[:, low:high])).astype(np.float64) ** 2).sum())
    assert error == pytest.approx(total, rel=1e-6)


def test_a_rate_of_zero_rounds_to_the_nearest_and_large_values_saturate() -> None:
    x = np.array([0.49, 0.51, -0.49, -0.51, 3.2, 1e30, -1e30, 0.0], np.float32)
    codes = np.empty(8, np.int16)
    _kernels.round_by_cost(x, 1, 8, 1, 1.0, 0.0, codes)
    assert codes.tolist() == [0, 1, 0, -1, 3, 32767, -32767, 0]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 1000])
def test_sums_and_differences(n: int) -> None:
    x, p = values(n), values(n)
    wide, other = x.astype(np.float64), p.astype(np.float64)
    for found, expected in zip(
        _kernels.products(x, p), (wide @ wide, wide @ other, other @ other), strict=True
    ):
        assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)
    out = np.empty(n, np.float32)
    _kernels.difference(x, p, 0.3125, out)
    assert np.array_equal(out, x - np.float32(0.3125) * p)
    expected = out + np.float32(0.3125) * p
    _kernels.add_prediction(out, p, 0.3125)
    assert np.array_equal(out, expected)


def test_sums_saturate() -> None:
    out = np.array([3e38, -3e38], np.float32)
    _kernels.add_prediction(out, out.copy(), 1.0)
    assert out.tolist() == [np.finfo(np.float32).max, np.finfo(np.float32).min]


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 300), threshold=st.sampled_from([0.0, 0.3, 100.0]))
def test_parts_come_together_again(n: int, threshold: float) -> None:
    x, p = values(n), values(n)
    parted, threshold = np.empty(n, np.float32), np.float32(threshold)
    quiet = _kernels.part(x, p, threshold, parted)
    small = np.abs(p) <= threshold
    assert quiet == small.sum() == _kernels.count_quiet(p, threshold)
    assert np.array_equal(parted, np.concatenate([x[small], x[~small]]))
    codes = np.arange(n, dtype=np.int16)
    joined = np.empty(n, np.int16)
    _kernels.join(np.concatenate([codes[small], codes[~small]]), p, threshold, joined)
    assert np.array_equal(joined, codes)


def test_sizes_that_do_not_fit_are_refused() -> None:
    x, codes = values(6), np.empty(6, np.int16)
    with pytest.raises(ValueError, match="6 and 5"):
        _kernels.products(x, x[:5])
    with pytest.raises(ValueError, match="6 and 12"):
        _kernels.round_by_cost(x, 2, 3, 2, 1.0, 0.0, codes)
    with pytest.raises(ValueError, match="6 and 5"):
        _kernels.join(codes, x, 0.5, codes[:5].copy())
    with pytest.raises(ValueError, match="at least one"):
        _kernels.products(x[:0], x[:0])


# ---------------------------------------------------------------- filters

GRIDS = st.tuples(st.integers(1, 20), st.integers(2, 9), st.integers(2, 9), st.integers(1, 4))


def near_far(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, p, q = (values(math.prod(shape)) for _ in range(3))
    return x, p, q


@settings(max_examples=60, deadline=None)
@given(shape=GRIDS, second=st.booleans())
def test_filters_are_as_specified(shape: tuple[int, int, int, int], second: bool) -> None:
    _, p, q = near_far(shape)
    given = Filter(2, (3, -4, 5, 60, -128, 127, 1, 0, -2), 0, 7 if second else None, -33)
    weights = [weight / 64 for weight in (*given.weights, *[given.second_weight] * second)]
    out = np.empty_like(p)
    _kernels.Grid(*shape).filter(p, q if second else None, weights, out)
    assert np.array_equal(out, filters.predict(given, p, q if second else None, shape))
    _kernels.Grid(p.size, 1, 1, 1, 1).filter(p, None, weights[:1], out)
    assert np.array_equal(out, np.float32(weights[0]) * p)


@settings(max_examples=60, deadline=None)
@given(shape=GRIDS, spatial=st.integers(0, 64), step=st.sampled_from([0.05, 0.7, 30.0]))
def test_codes_that_follow_their_neighbours_are_restored(
    shape: tuple[int, int, int, int], spatial: int, step: float
) -> None:
    x, _, _ = near_far(shape)
    grid, unit = _kernels.Grid(*shape), np.float32(step)
    offsets, codes = np.full(x.size, 0.5, np.float32), np.empty(x.size, np.int16)
    restored = np.empty_like(x)
    error = grid.follow(x, offsets, spatial / 128, np.float32(1 / step), unit, restored, codes)
    values = codes.astype(np.float32) * unit
    expected = filters.restore(Filter(2, (), spatial, None, 0), values, shape)
    grid.restore(values, spatial / 128)
    assert np.array_equal(values, expected) and np.array_equal(values, restored)
    assert np.abs(restored - x).max() <= 0.5001 * step
    assert error == pytest.approx(float(np.square((restored - x) / step, dtype=np.float64).sum()), rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(shape=GRIDS)
def test_left_and_up(shape: tuple[int, int, int, int]) -> None:
    x, _, _ = near_far(shape)
    out, planes = np.empty_like(x), x.reshape(shape)
    _kernels.Grid(*shape).left_up(x, out)
    around = np.pad(planes, ((0, 0), (1, 0), (1, 0), (0, 0)))
    assert np.array_equal(out.reshape(shape), around[:, 1:, :-1] + around[:, :-1, 1:])


@pytest.mark.parametrize("second", [False, True])
def test_a_fit_finds_the_weights_that_made_a_tensor(second: bool) -> None:
    shape = (7, 13, 11, 3)
    grid, (_, p, q) = _kernels.Grid(*shape), near_far(shape)
    weights = [0.25, 0, -0.5, 0.125, 0.75, 0, 0.0625, 0, 0.25, *[-0.375] * second]
    x = np.empty_like(p)
    grid.filter(p, q if second else None, weights, x)
    assert grid.fit(x, p, q if second else None) == pytest.approx(weights, abs=1e-4)
    assert grid.fit(x, np.zeros_like(p), None) is None


def test_offsets_are_those_that_rounding_takes() -> None:
    x, p, _ = near_far((3, 50, 4))
    offsets, codes, parted = np.empty_like(x), np.empty(x.size, np.int16), np.empty_like(x)
    _kernels.round_by_cost(x, 3, 50, 4, 2.0, 1.0, codes)
    _kernels.run_offsets(x, 3, 50, 4, 2.0, 1.0, offsets)
    assert np.array_equal(codes, np.trunc(np.abs(x) * np.float32(2) + offsets) * np.sign(x))
    quiet = _kernels.part(x, p, 0.4, parted)
    _kernels.part_offsets(parted, quiet, p, 0.4, 2.0, 1.0, offsets)
    for part, small in ((parted[:quiet], True), (parted[quiet:], False)):
        _kernels.round_by_cost(part, 1, part.size, 1, 2.0, 1.0, rounded := np.empty(part.size, np.int16))
        expected = np.trunc(np.abs(part) * np.float32(2) + offsets[(np.abs(p) <= 0.4) == small]) * np.sign(
            part
        )
        assert np.array_equal(rounded, expected)
    split = np.empty_like(codes)
    _kernels.split(codes, p, 0.4, split)
    _kernels.join(split, p, 0.4, joined := np.empty_like(codes))
    assert np.array_equal(joined, codes)


def test_grids_that_do_not_fit_are_refused() -> None:
    x = values(12)
    with pytest.raises(ValueError, match="sizes of 1 or more"):
        _kernels.Grid(0, 2, 2, 1)
    with pytest.raises(ValueError, match="1 or 9 taps"):
        _kernels.Grid(1, 2, 2, 1, 3)
    grid = _kernels.Grid(1, 3, 4, 1)
    with pytest.raises(ValueError, match="8 weights; want 9"):
        grid.filter(x, None, [0.0] * 8, x.copy())
    with pytest.raises(ValueError, match="11 and 12"):
        grid.restore(x[:11].copy(), 0.25)
    with pytest.raises(ValueError, match="0 of 12"):
        _kernels.part_offsets(x, 0, x, 0.5, 1.0, 1.0, x.copy())
