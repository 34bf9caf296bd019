"""The bounds: the paper's figures, each other's inverses, and what numerical D(R) says of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.planning import blahut_arimoto as ba
from qeil_ros.planning import rate_distortion as rd

rates = st.floats(0.05, 30.0)
lambdas = st.floats(1e-3, 1e3)


@pytest.mark.parametrize(
    ("bits", "lower", "upper"),
    [(1, 0.250, 0.618), (2, 0.125, 0.264), (3, 0.0625, 0.127), (7, 0.0039, 0.0078)],
)
def test_the_papers_figures(bits, lower, upper):
    assert rd.distortion_lower(bits, 1.0) == pytest.approx(lower, abs=5e-4)
    assert rd.distortion_upper(bits, 1.0) == pytest.approx(upper, abs=5e-4)


@given(rates, lambdas)
def test_the_inverses_are_exact(rate_bits, lam):
    assert rd.rate_lower_bits(rd.distortion_lower(rate_bits, lam), lam) == pytest.approx(rate_bits, rel=1e-9)
    assert rd.rate_upper_bits(rd.distortion_upper(rate_bits, lam), lam) == pytest.approx(rate_bits, rel=1e-9)


@given(rates, lambdas)
def test_as_printed(rate_bits, lam):
    """Equations 25 and 26 letter by letter, where their arithmetic is sound."""
    printed = (np.sqrt(1 + 4 / (2**rate_bits - 1)) - 1) / (2 * lam)
    assert rd.distortion_upper(rate_bits, lam) == pytest.approx(printed, rel=1e-6)
    d = float(rd.distortion_upper(rate_bits, lam))
    again = np.log2(1 / (lam * d) + lam * d / (lam * d + 1))
    assert rd.rate_upper_bits(d, lam) == pytest.approx(again, rel=1e-6, abs=1e-9)


@given(rates, lambdas)
def test_lower_is_below_upper_and_their_ratio_tends_to_two(rate_bits, lam):
    ratio = rd.distortion_upper(rate_bits, lam) / rd.distortion_lower(rate_bits, lam)
    assert ratio > 2.0 - 1e-9
    if rate_bits > 12:
        assert ratio == pytest.approx(2.0, rel=1e-3)


@given(st.floats(1.01, 20.0), st.floats(0.01, 5.0), lambdas)
def test_the_gap_falls_strictly_with_the_bits(bits, more, lam):
    assert rd.gap(bits + more, lam) < rd.gap(bits, lam)


def test_one_bit_has_no_magnitude():
    assert rd.gap(1, 1.0) == np.inf
    assert rd.distortion_lower(0, 2.0) == pytest.approx(0.25)


@pytest.mark.parametrize(("call", "said"), [(lambda: rd.distortion_lower(-1, 1), "negative"),
                                            (lambda: rd.distortion_upper(1, 0), "lambda"),
                                            (lambda: rd.rate_lower_bits(0, 1), "distortion")])  # fmt: skip
def test_impossible_arguments_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_entropy_is_that_of_scipy():
    from scipy.stats import expon

    assert rd.entropy_bits(2.5) == pytest.approx(expon(scale=1 / 2.5).entropy() / np.log(2))


# --- Blahut and Arimoto


@pytest.mark.parametrize("rate_bits", [0.2, 0.5, 1.0, 2.17, 3.0])
def test_numerical_distortion_lies_between_the_bounds(rate_bits):
    step = float(rd.distortion_lower(rate_bits, 1.0)) / 20
    point = ba.at_rate(ba.exponential(1.0, step), rate_bits)
    assert point.gap_bits <= 1e-3
    assert rd.distortion_lower(point.rate_bits, 1.0) * 0.99 <= point.distortion
    assert point.distortion <= rd.distortion_upper(point.rate_bits, 1.0)


def test_the_papers_numerical_point():
    point = ba.at_rate(ba.exponential(1.0, 0.002), 2.17)
    assert point.distortion == pytest.approx(0.1170, rel=0.01)


@pytest.mark.parametrize("rate_bits", [0.5, 1.0, 2.0, 4.0])
def test_the_laplacian_source_has_a_closed_form(rate_bits):
    """R(D) = -log2(lambda D) for density lambda/2 exp(-lambda |x|) under absolute error (Berger 1971)."""
    want = 2.0**-rate_bits
    step = want / 20
    half = ba.exponential(1.0, step)
    both = np.concatenate([half.probability[::-1], half.probability]) / 2
    point = ba.at_rate(ba.Source(-step * len(both) / 2, step, both), rate_bits)
    assert point.distortion == pytest.approx(2.0**-point.rate_bits, rel=0.01)


def test_a_fair_bit_has_shannons_function():
    """Values 0 and 1: R(D) = 1 - h(D)."""
    point = ba.at_slope(ba.Source(0.0, 1.0, np.array([0.5, 0.5])), 2.0, gap_bits=1e-9)
    d = 1 / (1 + np.exp(2.0))
    assert point.distortion == pytest.approx(d, rel=1e-6)
    assert point.rate_bits == pytest.approx(1 + d * np.log2(d) + (1 - d) * np.log2(1 - d), rel=1e-6)


def test_the_filters_are_the_dense_sums():
    rng = np.random.default_rng(0)
    x, decay, step = rng.random(50), 0.8, 0.3
    distance = np.abs(np.subtract.outer(np.arange(50), np.arange(50)))
    np.testing.assert_allclose(ba._smooth(x, decay), decay**distance @ x)
    np.testing.assert_allclose(ba._distance(x, decay, step), step * (distance * decay**distance) @ x)


def test_samples_become_a_histogram():
    source = ba.from_samples(np.array([0.05, 0.05, 0.95]), 0.1)
    assert source.probability.sum() == pytest.approx(1.0)
    assert source.probability[0] == pytest.approx(2 / 3)


def test_a_grid_too_coarse_for_the_rate_is_refused():
    with pytest.raises(ValueError, match="make its step smaller"):
        ba.at_rate(ba.exponential(1.0, 0.5), 6.0)
