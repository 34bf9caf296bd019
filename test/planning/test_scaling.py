"""Scaling laws: known exponents are found within their intervals, and what the data cannot tell is said."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares, minimize

from qeil_ros.planning import metrics
from qeil_ros.planning.cloglog import regress_shares
from qeil_ros.planning.regression import HUBER, regress
from qeil_ros.planning.scaling import (
    PAPER_COVERAGE,
    Coverage,
    Energy,
    Latency,
    fit_coverage,
    fit_energy,
    fit_latency,
)

LAW = Coverage(2e-3, 0.25, 0.7, 0.2)
SEEDS = 1000
HELD = 0.93


def grid(rng=None, n=60):
    rng = rng or np.random.default_rng(0)
    parameters = rng.choice([1e6, 4e6, 2e7, 1e8], n)
    return parameters, rng.choice([1, 2, 5, 10, 20], n), rng.choice([32, 64, 128, 256], n)


def held(fits, truth):
    return {name: np.mean([value in fit.regression.estimates[name] for fit in fits]) for name, value in truth}


TRUTH = [(name, getattr(LAW, name)) for name in ("exponent_n", "exponent_s", "exponent_t")]


def test_exponents_of_noisy_coverage_are_in_their_intervals():
    fits = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        variables = grid(rng)
        z = np.log(-np.log1p(-LAW(*variables))) + rng.normal(0, 0.1, 60)
        fits.append(fit_coverage(*variables, -np.expm1(-np.exp(z))))
    assert min(held(fits, TRUTH).values()) >= HELD
    assert np.mean([fit.regression.r_squared for fit in fits]) > 0.95


def test_exponents_of_counted_answers_are_in_their_intervals():
    fits = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        variables = grid(rng)
        counts = rng.binomial(100, LAW(*variables))
        fits.append(fit_coverage(*variables, counts / 100, trials=100))
    assert min(held(fits, TRUTH).values()) >= HELD


def test_wild_points_do_not_carry_the_fit_away():
    fits = []
    for seed in range(SEEDS // 4):
        rng = np.random.default_rng(seed)
        variables = grid(rng)
        energy = Energy(3e-9, 0.9)(*variables) * np.exp(rng.normal(0, 0.05, 60))
        energy[rng.choice(60, 3, replace=False)] *= 5
        fits.append(fit_energy(*variables, energy))
    truth = [("exponent_n", 0.9), ("exponent_s", 1.0), ("exponent_t", 1.0)]
    assert min(held(fits, truth).values()) >= HELD
    assert all(fit.regression.outliers >= 3 for fit in fits)


def test_latency_has_its_terms_back():
    law = Latency(2e-12, 5e-11, 4e-3, 1e-3)
    fits = []
    for seed in range(SEEDS // 4):
        rng = np.random.default_rng(seed)
        n, s, t = grid(rng)
        prompt = rng.choice([8, 64, 512], len(n))
        seconds = law(n, s, t, prompt) * np.exp(rng.normal(0, 0.02, len(n)))
        fits.append(fit_latency(n, s, t, prompt, seconds))
    truth = [(name, getattr(law, name)) for name in ("prefill_s", "decode_s", "constant_s")]
    assert min(held(fits, truth).values()) >= HELD


def test_a_term_of_latency_is_never_negative():
    n, s, t = grid()
    fit = fit_latency(n, s, t, np.full(len(n), 16.0), 1e-10 * n * t * s - 5e-6 * np.log(s) + 1e-3)
    assert min(vars(fit.law).values()) >= 0 and "log_samples_s" in fit.note


def test_exact_data_give_the_law_back():
    variables = grid()
    fit = fit_coverage(*variables, LAW(*variables))
    for name, value in vars(fit.law).items():
        assert value == pytest.approx(getattr(LAW, name), rel=1e-6)


def test_what_does_not_vary_is_named_and_far_predictions_warn():
    _, samples, tokens = grid()
    fit = fit_coverage(np.full(60, 1e6), samples, tokens, LAW(1e6, samples, tokens))
    assert fit.regression.unidentified == ("exponent_n",) and fit.law.exponent_n == 0
    assert fit.law(1e6, 5, 64) == pytest.approx(LAW(1e6, 5, 64))
    (extrapolated, unknown) = fit.warnings(parameters=1e9, samples=10)
    assert "1e+09 is far" in extrapolated and "exponent_n" in unknown


def test_all_right_and_all_wrong_are_data_when_counted():
    samples = np.array([1, 2, 5, 10, 20, 50, 100, 200.0])
    ones = np.ones(8)
    share = np.array([0.0, 0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0])
    with pytest.raises(ValueError, match="give trials"):
        fit_coverage(ones, samples, ones, share)
    assert 0.5 < fit_coverage(ones, samples, ones, share, trials=20).law.exponent_s < 2
    with pytest.raises(ValueError, match="no best fit"):
        fit_coverage(ones, samples, ones, (samples > 7).astype(float), trials=20)


def test_the_papers_constants_do_not_reproduce_its_table():
    assert PAPER_COVERAGE(125e6, 20, 64) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"parameters": [0, 1, 1, 1, 1]}, "parameters must be"),
        ({"energy_j": [1, 2, -3, 4, 5]}, "must be positive"),
        ({"samples": [1, 2]}, "want"),
    ],
)
def test_bad_data_are_refused(change, said):
    data = {"parameters": [1, 2, 3, 4, 5], "samples": [1, 3, 2, 5, 4], "tokens": [9, 2, 4, 1, 3]}
    data |= {"energy_j": [1, 2, 3, 4, 5]} | change
    with pytest.raises(ValueError, match=said):
        fit_energy(**data)


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="4 points for 4 coefficients"):
        fit_energy([1, 2, 3, 4], [1, 3, 2, 7], [9, 2, 5, 1], [1, 2, 3, 4])


def test_the_regression_is_scipys_huber_fit_at_its_scale():
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(50), rng.normal(size=(50, 2))])
    y = x @ [1.0, 2.0, -3.0] + rng.standard_t(2, 50)
    found = regress({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}, y)
    oracle = least_squares(
        lambda b: y - x @ b, np.zeros(3), loss="huber", f_scale=HUBER * found.scale, xtol=1e-12, ftol=1e-12
    )
    assert [e.value for e in found.estimates.values()] == pytest.approx(oracle.x, abs=1e-4)


def test_without_wild_points_it_is_least_squares():
    x = np.arange(8.0)
    y = 2 + 3 * x + 0.1 * np.array([1, -1, 1, -1, 1, -1, 1, -1])
    found = regress({"one": np.ones(8), "x": x}, y)
    plain = np.polyfit(x, y, 1)
    assert found.outliers == 0
    assert found.estimates["x"].value == pytest.approx(plain[0])
    _, covariance = np.polyfit(x, y, 1, cov=True)
    assert found.estimates["x"].error == pytest.approx(covariance[0, 0] ** 0.5, rel=1e-6)


def test_counts_have_the_likeliest_fit():
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(30), rng.normal(size=30)])
    trials = rng.integers(5, 40, 30)
    share = rng.binomial(trials, -np.expm1(-np.exp(x @ [-1.0, 0.8]))) / trials

    def minus_log_likelihood(b):
        p = np.clip(-np.expm1(-np.exp(x @ b)), 1e-12, 1 - 1e-12)
        return -(trials * (share * np.log(p) + (1 - share) * np.log1p(-p))).sum()

    oracle = minimize(
        minus_log_likelihood, [-1, 1], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10}
    )
    found = regress_shares({"one": x[:, 0], "x": x[:, 1]}, share, trials)
    assert [e.value for e in found.estimates.values()] == pytest.approx(oracle.x, abs=1e-4)


def test_metrics_have_the_papers_units():
    assert metrics.ipw(0.7, 100.0) == pytest.approx(0.007)
    assert metrics.ipw_of_table(402.5) == pytest.approx(0.149, abs=5e-4)
    assert metrics.ece(0.7, 22_500.0) == pytest.approx(0.7 / 22.5)
    assert metrics.cost_per_query(3.6e6, 0.12) == pytest.approx(0.12)
    assert metrics.cost_per_query(0, 0.1, hardware_usd=100, lifetime_queries=1e4) == pytest.approx(0.01)
    assert metrics.ppp(2.0, 0.5, 10.0, 0.01) == pytest.approx(10.0)
    with pytest.raises(ValueError, match="power_w is 0"):
        metrics.ipw(0.5, 0)
