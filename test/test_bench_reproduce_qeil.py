"""The reproduction of QEIL: arithmetic on the paper's figures, and the command, briefly."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from bench import harness
from bench.reproduce import (
    qeil,
    qeil_constants,
    qeil_figures,
    qeil_here,
    qeil_instances,
    qeil_paper,
    qeil_placement,
    qeil_simulation,
    qeil_staging,
    qeil_table,
    qeil_vetoes,
)
from bench.reproduce.qeil_effort import Effort
from bench.reproduce.qeil_simulation import AS_PRINTED, CORRECTED
from bench.reproduce.section import Section
from bench.ros import BenchError
from qeil_ros.cli.app import main
from qeil_ros.planning.placement.problem import Limits
from qeil_ros.platform.readings import TripPoints
from qeil_ros.safety.placement import Condition, Permission

SMALL = Effort(instances=12, small=6, fronts=1, steps=1500, vetoes=6, quick=True)


def silent(done: int, total: int) -> None:
    assert 0 < done <= total


# ---------------------------------------------------------------- the paper


@pytest.mark.parametrize("model", qeil_paper.MODELS, ids=lambda model: model.name)
def test_a_models_layers_have_the_parameters_of_its_name(model):
    assert model.made.parameters == pytest.approx(model.nominal, rel=0.03)


def test_the_table_is_what_the_paper_prints_of_its_means():
    found = {r.name: r for r in qeil_table.run().results}
    assert found["table_means_reproduced"].met
    assert found["table_ipw_is_60_over_power"].value == 9
    assert found["table_ipw_is_coverage_over_power"].value == 0
    assert found["table_duration_aware_over_standard_least"].value > 1


def test_every_defect_is_told_with_what_is_done_about_it():
    text = " ".join(" ".join(pair) for pair in qeil_table.DEFECTS)
    for said in ("60 / P", "alpha", "off by 10", "decoded tokens", "2 d^2", "kWh", "300 GB/s", "pass@k"):
        assert said in text
    assert len(qeil_table.run().tables[0].rows) == len(qeil_table.DEFECTS) == 8


# ---------------------------------------------------------------- simulation


@pytest.fixture(scope="module")
def gpt2():
    model = qeil_paper.MODELS[0]
    return {a.name: qeil_simulation.simulate(a, model) for a in (AS_PRINTED, CORRECTED)}


def test_no_placement_is_below_the_bound_nor_above_the_standard(gpt2):
    for accounting in (AS_PRINTED, CORRECTED):
        runs = gpt2[accounting.name]
        least = qeil_simulation.least_energy_j(accounting.problem(qeil_paper.MODELS[0]))
        energies = {name: run.outcome.energy_j for name, run in runs.items()}
        assert least <= energies["exact"] * (1 + 1e-6) <= energies["greedy"] * (1 + 2e-6)
        assert energies["exact"] <= energies["standard"] * (1 + 1e-6)


def test_decoding_on_the_npu_costs_what_its_bytes_do(gpt2):
    """A run bound by memory: joules per byte are P lambda / B, whatever the model."""
    platform = qeil_paper.platform()
    gpu, npu = (qeil_constants.byte_nj(platform.devices[platform.index(n)]) for n in ("gpu", "npu"))
    runs = gpt2["corrected"]
    assert (runs["greedy"].placed == platform.index("npu")).all()
    ratio = runs["greedy"].outcome.energy_j / runs["standard"].outcome.energy_j
    assert ratio == pytest.approx(npu / gpu, rel=1e-3)
    assert [runs[name].power_w for name in ("standard", "greedy")] == pytest.approx([300, 25])


def test_the_printed_algorithm_goes_by_flop_per_joule_alone(gpt2):
    """C = 2 f n gives the NPU most FLOP per joule, and so everything, although its bytes cost more."""
    runs = gpt2["as printed"]
    assert (runs["printed"].placed == qeil_paper.platform().index("npu")).all()
    assert runs["printed"].outcome.energy_j > 2 * runs["standard"].outcome.energy_j


def test_energy_is_prefill_and_samples(gpt2):
    run = gpt2["corrected"]["exact"]
    assert run.prefill_j + 20 * run.sample_j == pytest.approx(run.outcome.energy_j)
    assert run.samples_for(run.outcome.energy_j) == 20
    assert run.samples_for(run.prefill_j + 7.5 * run.sample_j) == 7


def test_coverage_changes_with_samples_only():
    model = qeil_paper.MODELS[0]
    assert qeil_simulation.coverage(model, 20) == pytest.approx(0.595)
    hazards = [-math.log1p(-qeil_simulation.coverage(model, samples)) for samples in (20, 40)]
    assert hazards[1] / hazards[0] == pytest.approx(2**0.7)


def test_the_simulation_stands_beside_the_paper():
    section = qeil_simulation.run()
    assert all(result.met for result in section.results if result.met is not None)
    data = section.data["columns"]
    assert data["power_w"]["paper"][0] == [402.5, 83.5]
    for name in ("energy_kj", "latency_ms", "ppp"):  # the one fitted factor: the standards agree on average
        for accounting in ("as printed", "corrected"):
            ratios = [
                ours[0] / paper[0]
                for ours, paper in zip(data[name][accounting], data[name]["paper"], strict=True)
            ]
            assert np.log(ratios).mean() == pytest.approx(0, abs=1e-9)
    titles = " ".join(grid.caption for grid in section.tables)
    assert all(column.title in titles for column in qeil_paper.COLUMNS)


def test_the_claim_holds_or_not_by_the_constant_that_is_picked():
    section = qeil_constants.run()
    savings = {
        (c["npu_bandwidth"], c["npu_power_w"], c["factors"]): c["saving"]
        for c in section.data["choices"]
        if c["cpu_bandwidth"] == 100e9
    }
    assert len(savings) == 24
    assert savings[50e9, 25.0, True] == pytest.approx(16.0, abs=0.1)
    assert savings[200e9, 25.0, True] > 47 > savings[200e9, 25.0, False]
    found = {r.name: r.value for r in section.results}
    assert found["constants_bound_best_efficiency_factors"] == pytest.approx(55.2, abs=0.1)
    needed = found["constants_npu_bandwidth_for_47_percent"]
    platform = qeil_paper.platform().replaced("npu", bandwidth_bytes_s=needed * 1e9)
    gpu, npu = (qeil_constants.byte_nj(platform.devices[platform.index(n)]) for n in ("gpu", "npu"))
    assert 1 - npu / gpu == pytest.approx(0.47)


# ---------------------------------------------------------------- placements and vetoes


def test_solvers_meet_their_targets_and_a_bad_one_is_caught(monkeypatch):
    results = {r.name: r for r in qeil_placement.run(SMALL, silent).results}
    assert all(r.met for r in results.values() if r.met is not None)
    assert results["placement_exact_equals_brute_force"].value == SMALL.small
    monkeypatch.setattr(qeil_placement, "free", qeil_placement.greedy)
    more = replace(SMALL, instances=40, small=20)
    caught = {r.name for r in qeil_placement.run(more, silent).results if r.met is False}
    assert "placement_exact_above_greedy" in caught  # pipelines beat the greedy one somewhere
    assert "placement_exact_equals_brute_force" in caught


def test_too_many_placements_are_not_enumerated():
    with pytest.raises(ValueError, match="at most 60000"):
        qeil_instances.enumerate_placements(qeil_instances.random_problem(0, layers=8, devices=4))


def test_no_placement_gets_past_and_a_blind_monitor_is_caught(monkeypatch):
    results = {r.name: r for r in qeil_vetoes.run(SMALL, silent).results}
    assert all(r.met for r in results.values() if r.met is not None)
    monkeypatch.setattr(qeil_vetoes, "permit_placement", lambda *asked: Permission((), None))
    results = {r.name: r for r in qeil_vetoes.run(SMALL, silent).results}
    assert results["vetoes_past_a_limit"].met is False


def test_the_second_opinion_names_what_breaks():
    problem = qeil_instances.random_problem(3, layers=4, devices=2, phases=1, tight=2.0)
    well = Condition(temperature_c=50.0, trips=TripPoints(critical_c=qeil_vetoes.CRITICAL_C))
    conditions = {device.name: well for device in problem.devices}
    placed = np.zeros(problem.shape, np.intp)
    assert qeil_vetoes.broken(problem, placed, Limits(), conditions) == set()
    assert qeil_vetoes.broken(problem, placed, Limits(1e-9, 1e-9), conditions) == {"latency", "energy"}
    for name, ill in (
        ("health", {"fault": "gone"}),
        ("temperature", {"temperature_c": 89.3}),
        ("temperature", {"temperature_c": math.nan}),
        ("memory", {"free_bytes": 1.0}),
        ("power", {"budget_w": 0.1}),
    ):
        conditions["device 0"] = replace(well, **ill)
        assert qeil_vetoes.broken(problem, placed, Limits(), conditions) == {name}


# ---------------------------------------------------------------- this machine


def test_a_placed_network_runs_here_and_is_the_whole(monkeypatch, tmp_path):
    monkeypatch.setenv("QEIL_DATA", str(tmp_path / "nothing"))  # the shipped network
    section = qeil_here.run(SMALL, silent)
    results = {r.name: r for r in section.results}
    assert results["here_placed_equals_whole"].met
    rows = section.data["rows"]
    alone = [row for row in rows if row["title"].startswith("all on")]
    (exact,) = (row for row in rows if "pipeline" in row["title"])
    assert exact["predicted_j"] <= min(row["predicted_j"] for row in alone) * (1 + 1e-9)
    assert all(row["measured_s"] > 0 and row["measured_j"] > 0 for row in rows)
    assert qeil_here.inputs() == []


def test_benchmarks_are_told_under_this_reports_names_and_missed_without_their_data(monkeypatch):
    report = harness.Report("staging", {}, [], [harness.at_most("overhead", 3.0, "%", 5.0)])
    monkeypatch.setattr("bench.staging.run", lambda quick: report)
    (result,) = qeil_staging.staged(True).results
    assert result.name == "staging: overhead" and result.met

    def absent(quick, progress):
        raise BenchError("no recorded data here")

    monkeypatch.setattr("bench.staging_faults.run", absent)
    section = qeil_staging.faults(True, silent)
    assert [r.met for r in section.results] == [False]
    assert any("no recorded data here" in said for said in section.not_given)


# ---------------------------------------------------------------- the command


@pytest.fixture
def brief(monkeypatch):
    """The command at the size of a test, without what is measured on this machine."""
    monkeypatch.setattr(Effort, "of", classmethod(lambda cls, quick: SMALL))
    here = Section("brief", "Briefly", "Measured.", results=[harness.at_least("brief_runs", 1, "", 1)])
    monkeypatch.setattr(qeil, "on_this_machine", lambda effort: [here])


def test_the_command_writes_report_figures_and_record(brief, tmp_path, capsys):
    code = main(["reproduce", "qeil", "--quick", "--output", str(tmp_path / "report"), "--json", "-"])
    record = json.loads(capsys.readouterr().out)
    assert code == 0 and all(r["met"] is not False for r in record["results"])
    text = (tmp_path / "report" / "report.md").read_text()
    for name, section in record["sections"].items():
        assert section["title"] in text
        if name in qeil_figures.DRAWN:
            assert (tmp_path / "report" / f"qeil_{name}.png").read_bytes()[:4] == b"\x89PNG"
            assert f"(qeil_{name}.png)" in text
    for result in record["results"]:
        assert result["name"] in text
    assert record["inputs"][0]["name"] == "paper_a.yaml"


def test_options_of_another_reproduction_are_refused(capsys):
    assert main(["reproduce", "qeil", "--split", "early"]) == 2
    assert "qeil has no --split" in capsys.readouterr().err
