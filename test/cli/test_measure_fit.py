"""`qeil measure` and `qeil fit`: data of this machine, and the laws that they obey."""

from __future__ import annotations

import json
import math

import pytest

from qeil_ros.cli.app import main
from qeil_ros.cli.fit.report import predictions, warnings
from qeil_ros.cli.measure.energy import EnergyMeter
from qeil_ros.cli.measure.rows import PROMPTS, Grid, measure
from qeil_ros.models.walks import family
from qeil_ros.planning.scaling_table import Table, fit
from qeil_ros.platform import PowerModel, Quality, Reading

BRIEF = Grid(
    sizes=(family.TRAINED[0], family.TRAINED[-1], family.SEEDED[0]),
    samples=(1, 2, 4),
    tokens=(2, 4, 8),
    answers_samples=(1, 4),
    answers_tokens=(5, 17),
    queries=20,
    rounds=1,
)


class Stated:
    """Power that is known exactly, and takes no time to read."""

    source, quality = "3 W", Quality.MEASURED

    @staticmethod
    def of(work, latency_s, core_s):
        from qeil_ros.cli.measure.energy import Energy

        assert latency_s > 0 and core_s >= 0
        return Energy(3.0 * latency_s, Quality.MEASURED, "3 W")


@pytest.fixture(scope="module")
def rows():
    told = []
    found = measure(BRIEF, Stated(), lambda done, total, what: told.append((done, total)))
    assert told[-1] == (BRIEF.steps, BRIEF.steps) and sorted(told) == told
    return found


@pytest.fixture(scope="module")
def data(rows, tmp_path_factory):
    file = tmp_path_factory.mktemp("measured") / "data.csv"
    file.write_text(Table.of(rows).to_csv(["by a test"]))
    return file


def run(capsys, *words, code=0):
    assert main(list(map(str, words))) == code
    said = capsys.readouterr()
    return said.err if code else said.out


# --- measure


def test_every_row_says_what_it_rests_on(rows):
    kinds = {kind: [row for row in rows if row["row"] == kind] for kind in ("time", "answers", "pass")}
    assert {kind: len(found) for kind, found in kinds.items()} == {"time": 39, "answers": 8, "pass": 12}
    assert all(row["rests_on"] for row in rows)
    for row in kinds["time"]:
        assert row["latency_s"] > 0
        if row["prompt_tokens"] == PROMPTS[0]:
            assert row["energy_j"] == pytest.approx(3 * row["latency_s"])
            assert (row["energy_quality"], row["energy_source"]) == ("measured", "3 W")
        else:
            assert "energy_j" not in row
    for row in kinds["answers"]:
        assert row["queries"] == 20 and (20 * row["coverage"]) % 1 == pytest.approx(0)
        assert row["model"] != family.SEEDED[0].name  # nothing random is asked for answers
    large = [row for row in kinds["pass"] if row["model"] == family.SEEDED[0].name]
    assert [row["flops"] / row["moved_bytes"] for row in large] == [n / 2 for n in (*PROMPTS, 1)]


def test_the_answers_do_not_depend_on_the_machine(rows):
    again = measure(Grid(**{**vars_of(BRIEF), "sizes": BRIEF.sizes[:1], "rounds": 1}), Stated())
    first = [row["coverage"] for row in rows if row["row"] == "answers"][:4]
    assert [row["coverage"] for row in again if row["row"] == "answers"] == first


def vars_of(grid):
    return {name: value for name, value in vars(grid).items() if name != "steps"}


def test_energy_is_measured_else_modelled_else_unknown(monkeypatch, tmp_path):
    roots = (str(tmp_path), str(tmp_path))
    unknown = EnergyMeter(None, *roots)
    assert unknown.quality is Quality.NONE and "no power sensor" in unknown.source
    assert math.isnan(unknown.of(lambda: None, 1.0, 1.0).energy_j)
    stated = EnergyMeter(PowerModel(3.0, 2.0), *roots)
    energy = stated.of(lambda: None, 0.5, 0.25)
    assert (energy.energy_j, energy.quality) == (pytest.approx(2.0), Quality.MODELLED)
    monkeypatch.setattr(
        "qeil_ros.cli.measure.energy.PowerMeter.mean",
        lambda self, seconds, work=None: Reading("power/total", 7.0, "W", "psys", Quality.MEASURED, 0.0),
    )
    sensed = EnergyMeter(PowerModel(3.0, 2.0), *roots)
    energy = sensed.of(lambda: None, 0.5, 0.25)
    assert (energy.energy_j, energy.quality) == (pytest.approx(3.5), Quality.MEASURED)
    for meter in (unknown, stated, sensed):
        meter.close()


def test_the_command_writes_a_table_that_fit_reads(capsys, tmp_path):
    file = tmp_path / "data.csv"
    size = family.TRAINED[0].name
    words = ("--quick", "--size", size, "--samples", "1,2,3", "--tokens", "2,5", "--queries", 5)
    said = run(capsys, "measure", file, *words, "--idle-w", 3, "--core-w", 2, "--json", tmp_path / "d.json")
    assert size in said and "modelled: stated: 3 W x time + 2 W" in said and f"qeil fit {file}" in said
    text = file.read_text()
    assert text.startswith("# Made by qeil measure") and "# energy_j: modelled; stated" in text
    table = Table.from_csv(text)
    record = json.loads((tmp_path / "d.json").read_text())
    assert len(record["rows"]) == len(table) == (6 + 4) + 6 + 4
    assert set(table.text("energy_quality")) == {"modelled", ""}
    assert set(table.where("row=time").text("tokens")) == {"2", "5"}


@pytest.mark.parametrize(
    "words, said",
    [
        (("--size", "7x7"), "no size '7x7'"),
        (("--samples", "1,x"), "--samples 1,x: want numbers"),
        (("--tokens", "999"), "--tokens 999"),
        (("--temperature", "0"), "temperature more than 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(words, said, capsys, tmp_path):
    assert said in run(capsys, "measure", tmp_path / "x.csv", "--quick", *words, code=2)
    assert not (tmp_path / "x.csv").exists()


# --- fit


def test_laws_are_told_with_intervals_and_the_papers_values(data, capsys):
    said = run(capsys, "fit", data)
    for law in ("coverage", "energy", "latency", "matching"):
        assert law in said
    assert "exponent_n" in said and "0.65 to 0.75" in said and "R2" in said
    assert "cost is not fitted: nothing in cost_usd" in said


def test_a_script_reads_the_same(data, capsys, tmp_path):
    plot = tmp_path / "fit.png"
    words = ("--predict", "parameters=1e9,samples=4,tokens=8", "--plot", plot, "--json", "-")
    told = json.loads(run(capsys, "fit", data, *words))
    assert plot.stat().st_size > 10_000
    energy = told["laws"]["energy"]
    estimate = energy["estimates"]["exponent_n"]
    assert estimate["low"] < estimate["value"] < estimate["high"] and estimate["paper"] == [0.9, 0.9]
    assert len(energy["rows"]) == 27 and energy["r_squared"] <= 1
    predicted = told["predictions"]["energy"]
    assert predicted["value"] > 0 and "parameters 1e+09 is far" in predicted["warnings"][0]
    assert told["predictions"]["latency"] == {
        "value": None,
        "unit": "s",
        "warnings": ["wants prompt_tokens too"],
    }
    assert "matching" not in told["predictions"]


def test_rows_and_laws_can_be_chosen(data, capsys):
    told = json.loads(
        run(capsys, "fit", data, "--law", "energy", "--where", "parameters>=1e6", "--json", "-")
    )
    assert list(told["laws"]) == ["energy"] and told["laws"]["energy"]["unidentified"] == ["exponent_n"]
    assert any("not told by these data" in line for line in told["laws"]["energy"]["warnings"])


@pytest.mark.parametrize(
    "words, code, said",
    [
        (("--law", "speed"), 2, "no law 'speed'"),
        (("--law", "cost"), 1, "cost cannot be fitted: nothing in cost_usd"),
        (("--where", "row~time"), 2, "is no condition"),
        (("--predict", "samples=many"), 2, "want NAME=NUMBER"),
        (("--predict", "samples=-1"), 2, "above 0"),
        (("--plot", "x.docx"), 2, "docx"),
    ],
)
def test_what_cannot_be_fitted_is_refused(data, words, code, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in run(capsys, "fit", data, *words, code=code)


def test_a_file_without_measurements_is_refused(capsys, tmp_path):
    assert "No such file" in run(capsys, "fit", tmp_path / "none.csv", code=2)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert "no law can be fitted" in run(capsys, "fit", tmp_path / "other.csv", code=1)


def test_counts_that_scatter_more_than_chance_are_said_not_to_obey():
    """Longer budgets that answer less: Eq 1 rises with each of its arguments."""
    rows = [
        {
            "parameters": n,
            "samples": s,
            "tokens": t,
            "coverage": {2: 0.1, 4: 0.9, 8: 0.1, 16: 0.9}[t],
            "queries": 500,
        }
        for n in (1e4, 1e5)
        for s in (1, 4, 16, 64)
        for t in (2, 4, 8, 16)
    ]
    found, _ = fit(Table.of(rows), ("coverage",))
    assert any("does not describe them" in line for line in warnings(found["coverage"]))
    inside = predictions(found, {"parameters": 2e4, "samples": 4, "tokens": 8})["coverage"]
    assert 0 < inside.value < 1 and not inside.warnings
