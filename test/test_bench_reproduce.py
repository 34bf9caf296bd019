"""The reproduction of co-inference: its arithmetic, and the command on a handful of pictures."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from bench import harness
from bench.reproduce import (
    bounds,
    co_inference,
    distortion,
    effort,
    figures,
    fits,
    quality,
    solvers,
    sweeps,
    testbed,
)
from bench.reproduce.report import Reproduction, markdown
from bench.reproduce.section import Grid, Section
from bench.reproduce.weights import FloatAgent, float_agent, published_weights
from bench.reproduce.workloads import WORKLOADS, least_delay_s, least_energy_j
from qeil_ros.cli.app import main
from qeil_ros.models.folder import ModelFolder
from qeil_ros.planning import co_inference as co
from qeil_ros.planning import layers

SMALL = effort.Effort(
    rates=2, cells=4, pictures=4, seeds=2, block=2, thresholds=3, ppo_steps=2, instances=60, sca=4
)
AGENT, SERVER = co.PAPER


def silent(done: int, total: int) -> None:
    assert 0 < done <= total


def subject(scores: np.ndarray, name: str = "CIDEr") -> quality.Subject:
    """A measured model whose scores [widths, seeds] are given, the same for both quantizers."""
    error = tuple(2.0 ** -np.arange(1, 9))
    curves = tuple(quality.Curve(each, scores, error, error) for each in quality.QUANTIZERS)
    return quality.Subject("model", "digest", "pictures", 2 * scores.shape[1], name, scores[-1], curves)


# ---------------------------------------------------------------- statistics


def test_a_verdict_is_paired_by_seed():
    common, near = np.array([1.0, 5.0, 9.0, 3.0]), np.array([0.1, 0.11, 0.09, 0.1])
    assert sweeps.compare(common + near, common).name == "better"
    assert sweeps.compare(common, common + near).name == "worse"
    tie = sweeps.compare(common + near * [1, -1, 2, -1], common)
    assert tie.name == "tie" and tie.half > abs(tie.mean)
    assert vars(sweeps.compare(common, common)) == {"name": "tie", "mean": 0.0, "half": 0.0}
    assert sweeps.compare(common, 0 * common, alone=True).name == "alone"


def test_intervals_are_students():
    from scipy import stats

    values = np.random.default_rng(0).normal(size=9)
    low, high = stats.t.interval(0.95, 8, values.mean(), stats.sem(values))
    verdict = sweeps.compare(values, 0 * values)
    assert verdict.mean - verdict.half == pytest.approx(low) and verdict.mean + verdict.half == pytest.approx(
        high
    )
    assert sweeps.compare(np.array([1.0]), np.array([0.0])).name == "tie"  # of one seed nothing is known


# ---------------------------------------------------------------- sweeps and testbed


@pytest.mark.parametrize("model", WORKLOADS, ids=lambda model: model.name)
def test_thresholds_go_from_one_bit_to_the_widest(model):
    work = model.workload()
    for axis in ("delay", "energy"):
        points = sweeps.thresholds(model, axis, SMALL)
        assert (model.delay_s, model.energy_j) in points and len(points) >= SMALL.thresholds
        widths = [co.solve(work, AGENT, SERVER, *limits).bits for limits in points]
        assert widths == sorted(widths) and widths[0] == 1 and widths[-1] >= 6


def test_least_limits_are_where_a_width_begins():
    work = WORKLOADS[0].workload()
    for bits in (2, 5):
        delay = least_delay_s(work, bits, 2.0)
        assert co.solve(work, AGENT, SERVER, delay * 1.001, 2.0).bits == bits
        assert co.solve(work, AGENT, SERVER, delay * 0.999, 2.0).bits == bits - 1
        energy = least_energy_j(work, bits, 3.5)
        assert co.solve(work, AGENT, SERVER, 3.5, energy * 1.001).bits == bits
    assert math.isinf(least_energy_j(work, 8, 0.5))


def test_the_proposed_design_is_never_below_where_more_bits_score_more():
    scores = np.arange(1.0, 9)[:, None] + np.random.default_rng(1).normal(0, 0.01, (8, 3))
    section = sweeps.run(SMALL, subject(scores), WORKLOADS[:1], silent)
    results = {r.name: r for r in section.results}
    total = results["sweeps_not_below_random"].value
    assert total == sum(len(s["points"]) for s in section.data["sweeps"])
    assert all(r.met for name, r in results.items() if name.startswith("sweeps_not_below"))
    above, tied = (results[f"sweeps_{what}_random"].value for what in ("above", "tied_with"))
    assert above + tied == total and above > 0
    assert results["sweeps_above_max_clock"].value > total / 2


def test_where_more_bits_score_less_the_sweeps_say_so():
    section = sweeps.run(SMALL, subject(np.arange(9.0, 1, -1)[:, None] * np.ones(3)), WORKLOADS[:1], silent)
    missed = {r.name for r in section.results if r.met is False}
    assert "sweeps_not_below_random" in missed
    assert any("**above**" in str(row) for grid in section.tables for row in grid.rows)


def test_the_testbed_pattern_is_found_and_missed():
    rising = np.arange(1.0, 9)[:, None] * np.ones(3)
    assert all(r.met for r in testbed.run(subject(rising), WORKLOADS).results)
    assert not all(r.met for r in testbed.run(subject(rising[::-1]), WORKLOADS).results)


# ---------------------------------------------------------------- bounds, distortion, solvers, fits


def test_a_point_between_the_bounds_with_a_known_error():
    found = bounds.point(2.17, 10)
    assert found["lower"] < found["distortion"] < found["upper"]
    assert found["distortion"] == pytest.approx(0.1170, rel=0.01)
    assert found["grid_error_percent"] < bounds.GRID_ERROR_PERCENT
    assert bounds.point(2.17, 2)["grid_error_percent"] > found["grid_error_percent"]


def test_a_bias_is_a_column_of_weights():
    rng = np.random.default_rng(2)
    weights, bias, x = rng.normal(size=(4, 3)), rng.normal(size=4), rng.normal(size=3)
    whole = distortion.augmented(weights, bias)
    np.testing.assert_allclose(whole @ np.append(x, 1), np.append(weights @ x + bias, 1))


def test_the_bound_holds_for_fcdnn16():
    found = distortion.run(SMALL, subject(np.ones((8, 2))), silent)
    assert [r.met for r in found.results if r.met is not None] == [True]
    rows = found.data["fcdnn16"]
    assert len(rows) == 16 and all(r["induced_bound"] < r["bound"] for r in rows)
    eight = [r["mse"] for r in rows if r["quantizer"] == "uniform"]
    assert eight[-1] < eight[0] / 5
    pairs = [(r["parameter"], r["output"]) for r in rows]
    assert layers.sensitivity(*np.array(pairs).T).correlation > 0.9


def test_the_solvers_agree_and_nearest_rounding_is_caught():
    pytest.importorskip("cvxpy", reason='the paper\'s algorithm needs the extra "planning"')
    found = solvers.run(effort.Effort(3, 4, 4, 2, 3, 3, 2, 60, 12), silent)
    results = {r.name: r for r in found.results}
    assert all(r.met for r in found.results if r.met is not None)
    assert results["solvers_sca_ran"].value > 5
    assert results["solvers_nearest_rounding_breaks_a_limit"].value > 0
    assert results["solvers_nearest_rounding_worst"].value > 0


def test_without_cvxpy_its_targets_are_missed(monkeypatch):
    def absent(*arguments):
        raise ModuleNotFoundError("no cvxpy here")

    monkeypatch.setattr(solvers.sca, "relax", absent)
    found = solvers.run(SMALL, silent)
    assert "no cvxpy here" in found.differs
    missed = {r.name for r in found.results if r.met is False}
    assert {"solvers_sca_beats_exact", "solvers_sca_excess_worst", "solvers_sca_monotone"} <= missed
    assert "solvers_exact_equals_brute_force" not in missed


def test_fits_tell_exponential_from_gaussian():
    rng = np.random.default_rng(3)
    models = {
        "laplacian": {"w": rng.laplace(size=5000).astype(np.float32)},
        "gaussian": {"w": rng.normal(size=5000).astype(np.float32)},
    }
    found = fits.run(models, silent)
    assert any("laplacian" in said for said in found.agrees)
    assert any(said.startswith("gaussian") for said in found.differs)
    assert any("all of gaussian" in said for said in found.differs)
    assert any("rejected (KS test, 5 %) for 1 of 2" in said for said in found.differs)


def test_the_half_normal_distance_is_scipys():
    from scipy import stats

    weights = np.random.default_rng(4).normal(size=500)
    scale = np.sqrt(np.mean(weights**2))
    want = stats.kstest(np.abs(weights), stats.halfnorm(scale=scale).cdf).statistic
    assert fits.half_normal_ks(weights) == pytest.approx(want)


# ---------------------------------------------------------------- weights


def test_weights_are_replaced_and_read_back():
    folder = ModelFolder.load("fcdnn16")
    agent = FloatAgent(float_agent(folder, folder.split()))
    images = distortion.digits(folder, 2)
    exact = quality.features(agent.runtime(), images)
    nothing = {name: 0 * weights for name, weights in agent.weights.items()}
    assert np.any(quality.features(agent.runtime(nothing), images) != exact)
    np.testing.assert_array_equal(quality.features(agent.runtime(), images), exact)
    np.testing.assert_allclose(
        exact, np.concatenate([folder.agent().run(i[None]) for i in images]), rtol=1e-4
    )
    with pytest.raises(ValueError, match="want"):
        agent.runtime({next(iter(agent.weights)): np.zeros(3)})


def test_a_graph_too_large_for_a_message_is_run_from_disk(monkeypatch):
    monkeypatch.setattr("bench.reproduce.weights._IN_MEMORY_BYTES", 1000)
    folder = ModelFolder.load("fcdnn16")
    agent = FloatAgent(float_agent(folder, folder.split()))
    images = distortion.digits(folder, 2)
    np.testing.assert_array_equal(
        quality.features(agent.runtime(), images), quality.features(agent.runtime(), images)
    )


def test_published_weights_are_dequantized(data_dir):
    found = published_weights(data_dir / fits.PUBLISHED["mobilenet_v2"][0])
    assert len(found) == 53 and all(w.size >= 256 and np.isfinite(w).all() for w in found.values())
    first = next(iter(found.values()))
    steps = np.unique(np.diff(np.unique(first)))
    assert len(np.unique(first)) <= 256 and steps.min() > 0
    assert max(np.abs(w).max() for w in found.values()) < 100


# ---------------------------------------------------------------- the report and the command


def test_a_report_says_what_was_missed():
    section = Section(
        "x",
        "A title",
        "About.",
        [harness.at_most("a", 2.0, "s", 1.0), harness.figure("b", 3.0, "J")],
        agrees=["It does."],
        tables=[Grid("Rows", ["one", "two"], [[1234, 0.123456], ["a|b", 7]])],
    )
    text = markdown(
        Reproduction("x", {"seed": 1}, [], section.results, "Title", "cmd", [section]), {"x": "x.png"}
    )
    assert "Targets: 0 of 1 met." in text and "| a | 2 s | <= 1 s | **missed** |" in text
    assert "| 1,234 | 0.1235 |" in text and "a\\|b" in text
    assert "![A title](x.png)" in text and "* It does." in text and "What differs" not in text


def test_the_record_is_json(tmp_path):
    section = Section(
        "x", "t", "a", data={"n": np.int64(3), "x": [math.nan, np.float64(1.5)], "b": np.bool_(True)}
    )
    assert section.to_json()["data"] == {"n": 3, "x": [None, 1.5], "b": True}


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The command at the size of a test, without the recorded data and the planner's own benchmark."""
    monkeypatch.setattr(effort.Effort, "of", staticmethod(lambda quick: SMALL))
    monkeypatch.setenv("QEIL_DATA", str(tmp_path / "nothing"))
    fast = harness.Report("planner", {}, [], [harness.at_most("plan_p99", 0.5, "ms", 1.0)])
    monkeypatch.setattr("bench.planner.run", lambda quick: fast)


@pytest.mark.timeout(400)
def test_the_command_writes_report_figures_and_record(small, tmp_path, capsys):
    target = tmp_path / "report"
    code = main(["reproduce", "co-inference", "--quick", "--output", str(target), "--json", "-"])
    record = json.loads(capsys.readouterr().out)
    assert code == int(any(r["met"] is False for r in record["results"]))
    assert record == json.loads((target / "co_inference.json").read_text()) | {"machine": record["machine"]}
    assert record["config"]["model"] == "tabletop-captioner" and record["inputs"][0]["sha256"]
    assert set(figures.DRAWN) < set(record["sections"])
    text = (target / "report.md").read_text()
    for name in figures.DRAWN:
        assert (target / f"co_inference_{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert f"(co_inference_{name}.png)" in text
    for result in record["results"]:
        assert result["name"] in text
    checked = len([r for r in record["results"] if r["met"] is not None])
    missed = len([r for r in record["results"] if r["met"] is False])
    assert f"Targets: {checked - missed} of {checked} met." in text
    assert re.search(r"## What agrees.*## What differs.*## What the paper does not give", text, re.DOTALL)


@pytest.mark.timeout(400)
def test_the_same_command_takes_an_exported_model(small, tmp_path, capsys, monkeypatch):
    for module in ("torch", "transformers", "onnxscript"):
        pytest.importorskip(module, reason="exporting needs the extra torch")
    import cv2
    import tiny_transformers

    published, folder, photos = (
        tiny_transformers.git(tmp_path / "git"),
        tmp_path / "model",
        tmp_path / "photos",
    )
    assert (
        main(["export", str(published), str(folder), "--generate", "max_new_tokens=3", "--licence", "MIT"])
        == 0
    )
    photos.mkdir()
    rng = np.random.default_rng(5)
    names = [f"{index}.png" for index in range(6)]
    for name in names:
        cv2.imwrite(str(photos / name), rng.integers(0, 256, (32, 32, 3), np.uint8))
    (photos / "truth.json").write_text(json.dumps(dict.fromkeys(names, "w1 w2 w3")))
    capsys.readouterr()
    monkeypatch.setattr(
        co_inference, "_sections", lambda size, subject, models: [sweeps.run(size, subject, models, silent)]
    )
    words = ["reproduce", "co-inference", "--quick", "--model", str(folder), "--json", "-"]
    assert main([*words, "--data", str(photos)]) in (0, 1)
    record = json.loads(capsys.readouterr().out)
    swept = record["sections"]["sweeps"]["data"]
    assert swept["score"] == "CIDEr" and {s["workload"] for s in swept["sweeps"]} == {"GIT-base"}
    assert main(words) == 2 and "--data" in capsys.readouterr().err


def test_bad_words_are_told_in_a_line(capsys):
    assert main(["reproduce"]) == 0 and "co-inference" in capsys.readouterr().out
    assert main(["reproduce", "qail"]) == 2
    assert "nothing to reproduce called 'qail'" in capsys.readouterr().err
