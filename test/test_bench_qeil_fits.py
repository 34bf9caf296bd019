"""The formalisms' part of the reproduction: known laws are recovered, and what is measured is told."""

from __future__ import annotations

import pytest

from bench.reproduce import qeil_fits
from bench.reproduce.qeil_fits import measured, study
from qeil_ros.cli.measure.rows import Grid
from qeil_ros.models.walks import family
from qeil_ros.planning.scaling import Coverage
from qeil_ros.planning.scaling import fit_coverage as right


@pytest.fixture(scope="module")
def studied():
    told = []
    made = study(25, lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    return made


def test_known_laws_are_recovered(studied):
    checked = {r.name: r for r in studied.results if r.target is not None}
    assert set(checked) == {f"fits_{law}_held" for law in ("coverage", "coverage_counted", "energy")}
    assert all(r.value >= 80 for r in checked.values())  # of 25 sets; the target is for a thousand
    assert len(studied.tables[0].rows) == 18
    assert studied.to_json()["data"]["seeds"] == 25


def test_an_interval_that_is_too_narrow_is_seen(monkeypatch):
    def biased(*arguments, **options):
        fit = right(*arguments, **options)
        shifted = {
            name: type(e)(e.value + 4 * e.error, e.error, e.low + 4 * e.error, e.high + 4 * e.error)
            for name, e in fit.regression.estimates.items()
        }
        object.__setattr__(fit.regression, "estimates", shifted)
        return fit

    monkeypatch.setattr(qeil_fits, "fit_coverage", biased)
    missed = {r.name for r in study(10).results if r.met is False}
    assert missed >= {"fits_coverage_held", "fits_coverage_counted_held"}


def test_this_machines_fits_are_told_with_their_goodness(monkeypatch):
    brief = Grid(
        sizes=(*family.TRAINED[:3], family.SEEDED[0]), samples=(1, 2, 4), tokens=(2, 4, 8),
        answers_samples=(1, 4), answers_tokens=(5, 9, 17), queries=30, rounds=1,
    )  # fmt: skip
    monkeypatch.setattr(qeil_fits, "QUICK", brief)
    made = measured(True)
    names = {r.name for r in made.results}
    for law in ("coverage", "coverage_17_tokens", "energy", "latency", "matching"):
        assert f"measured_{law}_r2" in names and f"measured_{law}_median_error" in names
    assert "walks through a fixed random map" in made.about and "Energy: m" in made.about
    assert [sentence for sentence in (*made.agrees, *made.differs) if "exponent_s" in sentence]
    drawn = made.to_json()["data"]["energy"]
    assert len(drawn["measured"]) == len(drawn["fitted"]) == len(drawn["at"]) == 36


def test_the_truth_of_the_study_is_not_the_papers():
    assert qeil_fits._COVERAGE != qeil_fits.PAPER_COVERAGE and isinstance(qeil_fits._COVERAGE, Coverage)
