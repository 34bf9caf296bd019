"""Scalar quantizers: error bounds, closed forms, and what the published tables say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models import quantizers
from qeil_ros.models.quantizers import QUANTIZERS, half_precision, lloyd_max, quantize, snap

NEED_TWO_BITS = ("symmetric", "power_of_two")
BITS = st.integers(1, 8)


@st.composite
def matrices(draw):
    """Weights of very different sizes, some rows or all of them zero."""
    rows, inputs = draw(st.integers(1, 6)), draw(st.integers(1, 70))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = 10.0 ** generator.uniform(-3, 3)
    matrix = generator.laplace(size=(rows, inputs)) * size * generator.uniform(0.1, 1, (rows, 1))
    matrix[generator.random(rows) < draw(st.sampled_from([0, 0.3, 1]))] = 0
    return matrix.astype(np.float32)


def rows_of(found, matrix):
    """(weights, levels x scale ascending) of each run that shares a scale."""
    scales = np.broadcast_to(found.scales, (len(matrix), found.scales.shape[1]))
    for row, per_run in zip(matrix, scales, strict=True):
        for run, scale in enumerate(per_run):
            start = run * found.group
            part = row[start : start + found.group] if len(per_run) > 1 else row
            yield part, found.levels * scale


@settings(deadline=None, max_examples=60)
@given(
    matrices(), BITS, st.sampled_from(QUANTIZERS), st.sampled_from(quantizers.GRANULARITIES), st.booleans()
)
def test_every_weight_goes_to_a_nearest_level(matrix, bits, quantizer, granularity, grid):
    bits = max(bits, 2) if quantizer in NEED_TWO_BITS else bits
    found = quantize(matrix, bits, quantizer, granularity, group=16, grid=grid)
    assert found.codes.dtype == np.uint8 and found.codes.max() < 1 << bits
    assert found.levels.shape == (1 << bits,) and np.all(np.diff(found.levels) >= 0)
    restored = found.dequantize()
    at = 0
    flat_restored, runs = restored, list(rows_of(found, matrix))
    per_row = len(runs) // len(matrix)
    for index, (weights, levels) in enumerate(runs):
        row, run = divmod(index, per_row)
        got = (
            flat_restored[row, run * found.group : run * found.group + len(weights)]
            if per_row > 1
            else (flat_restored[row])
        )
        least = np.abs(weights[:, None] - levels[None]).min(1)
        np.testing.assert_allclose(np.abs(weights - got), least, rtol=1e-4, atol=2e-6 * np.abs(levels).max())
        at += len(weights)
    assert at == matrix.size
    if grid:
        assert np.array_equal(found.levels, np.rint(found.levels)) and np.abs(found.levels).max() <= 127


@settings(deadline=None, max_examples=40)
@given(matrices(), BITS)
def test_no_weight_is_off_by_more_than_half_a_step(matrix, bits):
    largest = np.abs(matrix).max(1, keepdims=True)
    rounding = 2.0**-10 * largest  # of the scale, to float16
    step = 2 * largest / (1 << bits)
    assert np.all(np.abs(quantize(matrix, bits, "uniform").dequantize() - matrix) <= step / 2 + rounding)
    if bits > 1:
        step = largest / ((1 << (bits - 1)) - 1)
        error = np.abs(quantize(matrix, bits, "symmetric").dequantize() - matrix)
        assert np.all(error <= step / 2 + rounding)


@settings(deadline=None, max_examples=30)
@given(matrices(), st.integers(1, 6))
def test_clipping_by_squared_error_is_never_worse_than_the_full_range(matrix, bits):
    def error(quantizer):
        return np.square(quantize(matrix, bits, quantizer).dequantize() - matrix).sum(1)

    size = np.square(matrix).sum(1)
    assert np.all(error("mse") <= error("uniform") * 1.01 + 1e-5 * size)


def test_the_power_of_two_quantizer_only_shifts():
    matrix = np.random.default_rng(3).standard_normal((5, 400)).astype(np.float32)
    for bits in range(2, 9):
        found = np.abs(quantize(matrix, bits, "power_of_two").dequantize())
        exponents = np.log2(found[found > 0])
        assert np.array_equal(exponents, np.rint(exponents))
        assert len(np.unique(exponents[:])) <= (1 << (bits - 1)) - 1 + 2  # rows differ in their scale


def test_a_sign_is_kept_and_the_mean_is_the_magnitude_of_one_bit():
    matrix = np.random.default_rng(3).laplace(size=(4, 200)).astype(np.float32)
    found = quantize(matrix, 1, "sign_magnitude").dequantize()
    assert np.array_equal(np.sign(found), np.sign(matrix))
    np.testing.assert_allclose(np.abs(found), np.abs(matrix).mean(1, keepdims=True) + 0 * matrix, rtol=1e-3)
    assert 0 in quantize(matrix, 4, "sign_magnitude").levels


@pytest.mark.parametrize(
    ("density", "bits", "levels"),
    [
        # J. Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory 6 (1960), table I
        ("gauss", 1, [0.7980]),
        ("gauss", 2, [0.4528, 1.510]),
        ("gauss", 3, [0.2451, 0.7560, 1.344, 2.152]),
        # a Laplacian's one-bit quantizer: the mean magnitude, 1 / sqrt(2)
        ("laplace", 1, [0.7071]),
        ("laplace", 2, [0.4196, 1.8340]),
    ],
)
def test_the_optimal_quantizers_of_known_densities_are_the_published_ones(density, bits, levels):
    found = quantizers._optimal(density, bits)
    np.testing.assert_allclose(found[len(found) // 2 :], levels, atol=2e-3)
    np.testing.assert_allclose(found, -found[::-1], atol=1e-4)


def test_lloyd_max_levels_are_the_means_of_their_cells():
    generator = np.random.default_rng(5)
    values = np.sort(generator.gamma(2.0, size=500))
    counts = generator.integers(1, 9, 500).astype(float)
    found = lloyd_max(values, counts, 8)
    nearest = np.abs(values[:, None] - found[None]).argmin(1)
    means = [np.average(values[nearest == k], weights=counts[nearest == k]) for k in range(8)]
    np.testing.assert_allclose(found, means, rtol=1e-4)


def test_the_fitted_quantizer_beats_all_others_at_few_bits():
    matrix = np.random.default_rng(4).standard_normal((16, 2000)).astype(np.float32)

    def snr_db(bits, quantizer):
        error = quantize(matrix, bits, quantizer).dequantize() - matrix
        return 10 * np.log10(np.square(matrix).mean() / np.square(error).mean())

    for bits, published in ((1, 4.40), (2, 9.30), (3, 14.62), (4, 20.22)):  # Max 1960, Gaussian
        assert snr_db(bits, "lloyd_max") == pytest.approx(published, abs=0.12)
        assert snr_db(bits, "lloyd_gauss") == pytest.approx(published, abs=0.12)
        for other in ("uniform", "mse", "sign_magnitude", "lloyd_laplace"):
            assert snr_db(bits, "lloyd_max") > snr_db(bits, other) - 0.02, (bits, other)


@given(st.integers(1, 7), st.floats(1e-3, 1e3))
def test_equally_spaced_levels_fit_int8_exactly(bits, size):
    count = 1 << bits
    levels = ((2 * np.arange(count) + 1 - count) / count * size).astype(np.float32)
    table, step = snap(levels)
    np.testing.assert_allclose(table * step, levels, rtol=1e-5)
    assert 64 <= table.max() <= 127 and np.array_equal(table, -table[::-1])


@given(st.lists(st.floats(0, 2.0**100, width=32, allow_subnormal=False), min_size=1, max_size=20))
def test_scales_in_half_precision_are_near_and_finite(scales):
    scales = np.array(scales, np.float32)
    found = half_precision(scales)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, scales, rtol=2.0**-11, atol=2.0**-24 * scales.max())
    assert np.array_equal(half_precision(found), found)


def test_finer_granularity_is_never_worse():
    generator = np.random.default_rng(9)
    matrix = (
        generator.standard_normal((8, 256)) * np.repeat(generator.uniform(0.1, 4, (8, 8)), 32, 1)
    ).astype(np.float32)
    errors = [
        np.square(quantize(matrix, 4, "uniform", granularity, group=32).dequantize() - matrix).sum()
        for granularity in ("tensor", "channel", "group")
    ]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bits": 0}, "bits is 0; whole numbers from 1 to 8"),
        ({"bits": 9}, "bits is 9"),
        ({"bits": True}, "bits is True"),
        ({"quantizer": "ternary"}, "no quantizer 'ternary'; there are uniform, symmetric"),
        ({"granularity": "row"}, "no granularity 'row'; there are tensor, channel, group"),
        ({"granularity": "group", "group": 4}, "a group of 4 inputs; 8 or more"),
        ({"quantizer": "power_of_two", "bits": 1}, "power_of_two needs 2 bits or more"),
        ({"weights": np.zeros(3)}, r"weights of shape \(3,\); want a matrix"),
        ({"weights": np.full((1, 2), np.nan)}, "not a number"),
    ],
)
def test_what_is_not_possible_is_refused(changes, message):
    arguments = {"weights": np.eye(3), "bits": 4, **changes}
    with pytest.raises(ValueError, match=message):
        quantize(**arguments)
