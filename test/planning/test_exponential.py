"""The fit against scipy's, and what its tests say of distributions that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qeil_ros.planning import exponential


def test_the_same_as_scipys():
    weights = np.random.default_rng(0).laplace(scale=0.05, size=(100, 30)).astype(np.float32)
    found = exponential.fit(weights)
    theta = np.abs(weights.astype(np.float64)).ravel()
    _, scale = stats.expon.fit(theta, floc=0)
    assert found.rate == pytest.approx(1 / scale)
    assert found.ks == pytest.approx(stats.kstest(theta, stats.expon(scale=scale).cdf).statistic, abs=1e-12)
    assert found.count == 3000


def test_laplacian_weights_fit_and_gaussian_ones_do_not():
    rng = np.random.default_rng(1)
    laplacian, gaussian = (exponential.fit(draw(size=100_000)) for draw in (rng.laplace, rng.normal))
    assert laplacian.ks < 0.006 and laplacian.kurtosis == pytest.approx(6, rel=0.05)
    assert gaussian.ks > 0.08 and gaussian.kurtosis == pytest.approx(3, rel=0.05)
    assert abs(laplacian.rate - 1) < 4 * laplacian.rate_error


def test_quantiles_lie_on_the_diagonal_where_the_assumption_holds():
    model, data = exponential.quantiles(np.random.default_rng(2).laplace(size=200_000), points=50)
    np.testing.assert_allclose(data, model, rtol=0.05, atol=0.01)
    assert (np.diff(model) > 0).all() and (np.diff(data) >= 0).all()


@pytest.mark.parametrize("weights", [np.zeros(5), np.array([1.0]), np.array([1.0, np.nan])])
def test_what_cannot_be_fitted_is_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        exponential.fit(weights)
