"""Measurements as tables, and the laws that are fitted to their columns."""

from __future__ import annotations

import numpy as np
import pytest

from qeil_ros.planning.matching import Roofline, fit_matching
from qeil_ros.planning.pricing import Cost, fit_cost, heterogeneous
from qeil_ros.planning.scaling import Coverage, Energy
from qeil_ros.planning.scaling_table import LAWS, Table, fit

ROOFLINE = Roofline(5e10, 1e10, 2e-4)
COST = Cost(2e-6, 0.12, 1e-5)


def grid():
    n, s, t = np.meshgrid([1e6, 4e6, 2e7, 1e8], [1, 2, 5, 10], [32, 64, 128], indexing="ij")
    return n.ravel(), s.ravel(), t.ravel()


def records(**columns):
    return [dict(zip(columns, map(float, row), strict=True)) for row in zip(*columns.values(), strict=True)]


def passes(noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    moved = np.exp(rng.uniform(np.log(1e5), np.log(1e8), 60))
    flops = moved * np.exp(rng.uniform(np.log(0.1), np.log(200), 60))
    return flops, moved, ROOFLINE(flops, moved) * np.exp(rng.normal(0, noise, 60))


# --- tables


def test_a_table_survives_being_written_and_read():
    table = Table.of([{"model": "a,b", "samples": 4, "energy_j": float("nan")}, {"tokens": 1 / 3}])
    text = table.to_csv(["what it is"])
    assert text.splitlines()[:2] == ["# what it is", "model,samples,energy_j,tokens"]
    again = Table.from_csv(text)
    assert again.text("model") == ["a,b", ""] and again.lines == [3, 4]
    assert again.numbers("samples")[0] == 4 and np.isnan(again.numbers("energy_j")).all()
    assert again.numbers("tokens")[1] == pytest.approx(1 / 3, rel=1e-5)
    assert np.isnan(again.numbers("not there")).all()


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is empty"),
        ("a,b,a\n1,2,3\n", "stands twice"),
        ("a,b\n1\n", "line 2 has 1 cells"),
        ("# x\na,b\n\n1,2,3\n", "line 4 has 3 cells"),
    ],
)
def test_what_is_no_table_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        Table.from_csv(text)


def test_a_cell_that_is_no_number_is_named_with_its_line():
    table = Table.from_csv("samples\n1\n# a comment\nmany\n")
    with pytest.raises(ValueError, match="line 4: samples is 'many'"):
        table.numbers("samples")


def test_rows_are_chosen_by_conditions():
    table = Table.from_csv("row,tokens\ntime,4\ntime,16.0\nanswers,16\nanswers,\n")
    assert table.where("tokens=16").lines == [3, 4]
    assert table.where("row=time", "tokens <= 4").lines == [2]
    assert table.where("tokens>=5", "row=answers").lines == [4]
    for condition, said in (("row>time", "is no condition"), ("x=1", "no column"), ("row=x", "no row")):
        with pytest.raises(ValueError, match=said):
            table.where(condition)


# --- fits


def test_every_law_is_fitted_to_the_rows_that_have_its_columns():
    n, s, t = grid()
    law, energy = Coverage(2e-3, 0.25, 0.7, 0.2), Energy(3e-9, 0.9)
    flops, moved, seconds = passes()
    joules = energy(n, s, t)
    rows = records(parameters=n, samples=s, tokens=t, coverage=law(n, s, t))
    rows += records(parameters=n, samples=s, tokens=t, energy_j=joules, cost_usd=COST(s, joules))
    rows += records(flops=flops, moved_bytes=moved, pass_s=seconds)
    found, reasons = fit(Table.of(rows))
    assert set(found) == {"coverage", "energy", "matching", "cost"}
    assert reasons == {"latency": "nothing in prompt_tokens, latency_s"}
    assert found["coverage"].fit.law.exponent_s == pytest.approx(0.7, rel=1e-3)
    assert found["energy"].fit.law.exponent_n == pytest.approx(0.9, rel=1e-3)
    assert found["matching"].fit.law.ridge == pytest.approx(5.0, rel=1e-3)
    for fitted in found.values():
        assert fitted.error < 1e-4 and not fitted.wild
    assert found["energy"].lines == tuple(range(2 + len(n), 2 + 2 * len(n)))


def test_counts_and_factors_are_used_where_they_are():
    n, s, t = grid()
    rng = np.random.default_rng(0)
    share = rng.binomial(40, Coverage(2e-3, 0.25, 0.7, 0.2)(n, s, t)) / 40
    factors = rng.choice([1.0, 0.65], len(n))
    rows = records(
        parameters=n, samples=s, tokens=t, coverage=share, queries=np.full(len(n), 40),
        factors=factors, energy_j=Energy(3e-9, 0.9)(n, s, t, factors),
    )  # fmt: skip
    found, _ = fit(Table.of(rows), ("coverage", "energy"))
    assert "counts" in found["coverage"].fit.note
    assert found["energy"].fit.law.exponent_n == pytest.approx(0.9, rel=1e-3) and found["energy"].error < 1e-4


def test_why_a_law_is_not_fitted_is_said():
    table = Table.from_csv("parameters,samples,tokens,coverage\n1e6,1,8,1\n2e6,2,4,0.5\n1e6,4,2,\n")
    _, reasons = fit(table, ("coverage", "energy"))
    assert "give trials" in reasons["coverage"] and reasons["energy"] == "nothing in energy_j"
    apart = Table.from_csv("samples,energy_j,cost_usd\n1,2,\n1,,3\n")
    assert fit(apart, ("cost",))[1]["cost"] == "no row has all of samples, energy_j, cost_usd"
    with pytest.raises(KeyError):
        fit(table, ("distance",))


def test_a_wild_row_is_found():
    n, s, t = grid()
    rng = np.random.default_rng(1)
    joules = Energy(3e-9, 0.9)(n, s, t) * np.exp(rng.normal(0, 0.02, len(n)))
    joules[7] *= 4
    found, _ = fit(Table.of(records(parameters=n, samples=s, tokens=t, energy_j=joules)), ("energy",))
    assert found["energy"].wild == [7]


# --- matching and cost


def test_a_roofline_is_recovered_within_its_intervals():
    truth = {"s_per_flop": 2e-11, "s_per_byte": 1e-10, "start_s": 2e-4}
    held = dict.fromkeys(truth, 0)
    for seed in range(60):
        estimates = fit_matching(*passes(0.02, seed)).regression.estimates
        for name, value in truth.items():
            held[name] += value in estimates[name]
    assert min(held.values()) >= 50  # of 60 at 95 %: fewer happens once in 3,000


def test_which_roof_bounds_a_pass():
    law = Roofline(100.0, 10.0)
    assert law.ridge == 10.0
    assert law.bound([50, 200], [10, 10]).tolist() == [True, False]
    assert law([50, 200], [10, 10]).tolist() == [1.0, 2.0]


def test_passes_that_memory_bounds_tell_nothing_of_arithmetic():
    moved = np.array([1e6, 3e6, 1e7, 3e7, 1e8, 2e8])
    found = fit_matching(0.5 * moved, moved, 1e-10 * moved)
    assert np.isnan(found.law.ridge)
    assert found.law(0.5e6, 1e6) == pytest.approx(1e-4, rel=1e-6)


def test_prices_are_recovered_and_never_negative():
    samples = np.array([1, 2, 5, 10, 20, 1, 2, 5.0])
    joules = np.array([100, 1e4, 2e3, 5e4, 1e5, 3e4, 500, 9e4])
    law = fit_cost(samples, joules, COST(samples, joules)).law
    assert vars(law) == pytest.approx(vars(COST), rel=1e-6)
    free = fit_cost(samples, joules, Cost(0.0, 0.12)(samples, joules) - 1e-9 * samples).law
    assert free.usd_per_sample == 0 and free.usd_per_kwh == pytest.approx(0.12, rel=0.05)
    assert heterogeneous(2.0, 0.4) == pytest.approx(1.2)
    with pytest.raises(ValueError, match=r"share is 1\.5"):
        heterogeneous(1.0, 1.5)


@pytest.mark.parametrize("law", ["matching", "cost"])
def test_impossible_values_are_refused(law):
    columns = LAWS[law]
    arrays = [[1.0, 2, 3, 4, 5]] * (len(columns.arguments) - 1)
    with pytest.raises(ValueError, match="must be a list of positive numbers"):
        columns.fit(*arrays, [1, 2, 3, -4, 5])
