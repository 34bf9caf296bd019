"""The quantizers against their definitions and against what theory allows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.planning import rate_distortion as rd
from qeil_ros.planning import weight_quantizers as wq

LAPLACIAN = np.random.default_rng(6).laplace(size=100_000) / 20


@given(st.integers(0, 2**32), st.integers(1, 8), st.sampled_from([wq.uniform, wq.power_of_two]))
def test_signs_are_kept_and_levels_are_no_more_than_the_width_allows(seed, bits, quantize):
    weights = np.random.default_rng(seed).normal(size=(7, 30)) * 10.0 ** (seed % 7 - 3)
    found = quantize(weights, bits)
    assert found.shape == weights.shape
    assert (found * weights >= 0).all()
    assert len(np.unique(np.abs(found))) <= 2 ** (bits - 1)
    assert np.abs(found - weights).mean() < np.abs(weights).mean()


def test_uniform_by_hand():
    weights = np.array([0.05, -0.3, 0.99, -1.7, 0.0])
    np.testing.assert_allclose(wq.uniform(weights, 3, clip=1.0), [0.125, -0.375, 0.875, -0.875, 0.125])


def test_powers_of_two_by_hand():
    """Largest magnitude 1.4: the powers begin at 1; with 3 bits they are 1, 1/2, 1/4, and zero."""
    weights = np.array([1.4, -0.8, 0.7, -0.3, 0.13, 0.12, 0.0])
    np.testing.assert_array_equal(wq.power_of_two(weights, 3), [1, -1, 0.5, -0.25, 0.25, 0, 0])
    np.testing.assert_array_equal(wq.power_of_two(np.array([1.6, 0.1]), 2), [2, 0])
    np.testing.assert_array_equal(wq.power_of_two(np.array([-0.9, 1.1, 3.0]), 1), [-1, 1, 1])


@pytest.mark.parametrize("bits", range(1, 9))
def test_measured_against_the_bounds(bits):
    """No quantizer passes below D_L at its rate, nor at its entropy; few bits follow the bounds closely."""
    uniform, power = wq.measure(LAPLACIAN, [bits])
    for found in (uniform, power):
        assert found.rate_bits == bits - 1 and found.entropy_bits <= bits - 1 + 1e-9
        assert found.distortion > found.lower * 0.99
        rate = 1 / np.abs(LAPLACIAN).mean()
        assert found.distortion > rd.distortion_lower(found.entropy_bits, rate) * 0.99
    assert uniform.distortion < uniform.lower * (2 + 0.7 * bits)
    if bits >= 5:  # powers of two are coarse where the weights are large
        assert power.distortion > uniform.distortion
    if bits == 1:
        assert uniform.distortion == pytest.approx(np.log(2) / (1 / np.abs(LAPLACIAN).mean()), rel=0.02)


def test_the_clip_range_of_least_error_is_better_than_the_largest_magnitude():
    largest = np.abs(LAPLACIAN).max()
    for bits in (2, 3, 4):
        chosen = np.abs(wq.uniform(LAPLACIAN, bits) - LAPLACIAN).mean()
        assert chosen < 0.8 * np.abs(wq.uniform(LAPLACIAN, bits, clip=largest) - LAPLACIAN).mean()


@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_powers_of_two_of_least_error(scale):
    """More bits never cost accuracy, and the chosen range is no worse than INQ's."""
    weights = LAPLACIAN * scale
    errors = [np.abs(wq.power_of_two(weights, bits) - weights).mean() for bits in range(1, 9)]
    assert all(more <= fewer + 1e-12 for fewer, more in itertools.pairwise(errors))
    top = int(np.floor(np.log2(np.abs(weights).max() * 4 / 3)))
    for bits in range(2, 9):
        assert errors[bits - 1] <= np.abs(wq.power_of_two(weights, bits, top) - weights).mean() + 1e-6
    assert errors[1] < 0.7 * np.abs(wq.power_of_two(weights, 2, top) - weights).mean()


def test_what_cannot_be_quantized_is_refused():
    np.testing.assert_array_equal(wq.uniform(np.zeros(3), 4), np.zeros(3))
    np.testing.assert_array_equal(wq.power_of_two(np.zeros(3), 4), np.zeros(3))
    with pytest.raises(ValueError, match="bits is 0"):
        wq.uniform([1.0], 0)
    with pytest.raises(ValueError, match="finite weights"):
        wq.power_of_two([np.inf], 4)
    with pytest.raises(ValueError, match="clip is -1"):
        wq.uniform([1.0], 4, clip=-1)
