"""`qeil plan`: from a model and two machines to points, and what it says where there is none."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_models
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qeil_ros.cli.app import main
from qeil_ros.cli.plan.cuts import model_of, monotone
from qeil_ros.cli.plan.layers import layer_report
from qeil_ros.cli.plan.quantities import byte_rate, seconds
from qeil_ros.models.folder import ZOO, ModelFolder
from qeil_ros.models.part_cost import operations
from qeil_ros.models.schema import ModelError
from qeil_ros.planning import device as profiles
from qeil_ros.planning import plan_file
from qeil_ros.planning.device import Clock, Device, ModelTimes, Power, SplitTimes, machines
from qeil_ros.planning.link import Link, Load
from qeil_ros.planning.planner import Goals, OperatingPoint, Planner, Readings

FOLDER = ModelFolder.load("tabletop")
WEIGHTS, FEATURES = (2, 4, 8), (2, 3, 8)
TIMES = SplitTimes(
    "vision",
    prepare_s=2e-4,
    agent_s={0: 2e-3, 8: 2e-3, 4: 1.5e-3, 2: 1.8e-3},
    encode_s={2: 1e-4, 8: 3e-4},
    decode_s=1e-4,
    first_s=2e-3,
    token_s=1e-3,
    local_s=5e-3,
)
ROBOT = Device(
    "robot",
    (Clock("low", 2.0, 1.0, 6e8), Clock("high", 1.0, 4.0, 1.2e9)),
    power=Power("stated", "modelled", 3.0),
    models=(ModelTimes(FOLDER.name, FOLDER.digest, (TIMES,), tokens=8.0),),
)


def table(**change: Any) -> dict[str, Any]:
    """What `qeil evaluate --json` would write: better with more bits, the robot alone a little worse."""
    rows = []

    def row(source: str, weights: int, features: int, score: float) -> None:
        rows.append(
            {
                "split": "vision",
                "source": source,
                "weight_bits": weights,
                "feature_bits": features,
                "coding": {"coder": "rans"} if features else {},
                "scores": {"exact_match": {"value": score, "error": 0.01, "count": 50}},
                "bytes_mean": 200.0 * features,
                "distortion": 0.5 / features if features else 0.0,
            }
        )

    row("offboard", 0, 0, 0.98)
    row("local", 0, 0, 0.90)
    for w in WEIGHTS:
        row("local", w, 0, 0.90 - 0.1 / w)
        for q in FEATURES:
            row("offboard", w, q, 0.98 - 0.1 / w - 0.1 / q)
    return {"digest": FOLDER.digest, "dataset": "made up", "frames": 50, "rows": rows} | change


def points(agent: Device, server: Device, load: Load | None = None, **options: Any) -> list[OperatingPoint]:
    planned = model_of(FOLDER, table(), agent, server, **options)
    planner = Planner(planned.model, machines(agent, server), Goals(1.0))
    return planner.every(Readings(0.0, Link(1e6, 0.01), load), 1.0)


def at(found: list[OperatingPoint], split: str, weights: int, features: int, profile: str) -> OperatingPoint:
    (point,) = [
        p
        for p in found
        if (p.split, p.weight_bits, p.feature_bits, p.profile) == (split, weights, features, profile)
    ]
    return point


# --- the adapter


def test_a_timed_model_is_planned_with_its_own_times():
    server = replace(ROBOT, name="server", clocks=(Clock("as it is", 1.0, 100.0),))
    found = points(ROBOT, server)
    for bits in WEIGHTS:
        for profile, slowdown, watts in (("low", 2.0, 1.0), ("high", 1.0, 4.0)):
            point = at(found, "vision", bits, 8, profile)
            robot_s = slowdown * (2e-4 + TIMES.agent_s[bits] + 3e-4)
            assert point.predicted.agent_s == pytest.approx(robot_s, rel=1e-5)
            assert point.predicted.robot_j == pytest.approx(watts * robot_s, rel=1e-5)
            assert point.predicted.server_s == pytest.approx(1e-4 + 2e-3 + 7 * 1e-3, rel=1e-5)
            assert point.predicted.payload_bytes == 1600 and point.predicted.distortion == 0.5 / 8
            assert point.energy_j == pytest.approx(watts * robot_s + 100.0 * 9.1e-3, rel=1e-5)
            assert point.loss == pytest.approx(0.02 + 0.1 / bits + 0.1 / 8, abs=1e-5)
    alone = [p for p in found if p.split == plan_file.local_name("vision") and p.profile == "low"]
    assert {p.weight_bits for p in alone} == set(WEIGHTS) and not any(p.offboard for p in alone)
    four = next(p for p in alone if p.weight_bits == 4)
    assert four.predicted.agent_s == pytest.approx(2.0 * (2e-4 + 1.5e-3 + 3e-4 + 5e-3), rel=1e-5)
    assert four.loss == pytest.approx(0.1 + 0.1 / 4, abs=1e-5) and four.predicted.link_s == 0


def test_every_token_counts_and_so_do_other_robots():
    two, ten = (points(ROBOT, ROBOT, tokens=tokens)[0].predicted.server_s for tokens in (2.0, 10.0))
    one_clock = 2.0  # the first point is at the low clock of both
    assert ten - two == pytest.approx(one_clock * 8e-3, rel=1e-4)
    crowd = points(ROBOT, ROBOT, Load(alike=20))
    assert crowd[0].predicted.server_s > points(ROBOT, ROBOT)[0].predicted.server_s
    assert not [p for p in points(ROBOT, ROBOT, Load(alike=1000)) if p.offboard]


def test_robots_alike_are_a_load_of_the_same_service():
    service_s, rate_hz = np.array([0.01, 0.03]), 2.0
    for others in (1, 5):
        same = [float(Load.robots(others, rate_hz, s).wait_s(s, rate_hz)) for s in service_s]
        np.testing.assert_allclose(Load(alike=others).wait_s(service_s, rate_hz), same)


def test_where_nothing_was_timed_operations_are_counted():
    stranger = Device("board", seconds_per_flop=1e-10, power=Power("x", "modelled"))
    planned = model_of(FOLDER, table(), stranger, stranger, tokens=3.0)
    counted = operations(FOLDER)
    assert counted.agent_flop > 1e7 and counted.server_flop > 1e7 and counted.local_flop > 1e5
    planner = Planner(planned.model, machines(stranger, stranger), Goals(10.0))
    found = planner.every(Readings(0.0, Link(1e6, 0.01)), 1.0)
    for bits in WEIGHTS:  # our kernels are no faster with fewer bits
        point = at(found, "vision", bits, 8, "as it is")
        assert point.predicted.agent_s == pytest.approx(1e-10 * counted.agent_flop, rel=1e-5)
        assert point.predicted.server_s == pytest.approx(3e-10 * counted.server_flop, rel=1e-5)
    alone = next(p for p in found if not p.offboard)
    both = counted.agent_flop + 3 * counted.local_flop
    assert alone.predicted.agent_s == pytest.approx(1e-10 * both, rel=1e-5)
    assert any("counting operations" in note for note in planned.notes)
    with pytest.raises(ModelError, match=r"'idler' has not timed .* run `qeil profile"):
        model_of(FOLDER, table(), ROBOT, Device("idler"))


def test_equal_within_the_tolerance_takes_the_cheapest():
    def best(tolerance: float) -> OperatingPoint:
        planned = model_of(FOLDER, table(), ROBOT, ROBOT, tolerance=tolerance)
        plan = Planner(planned.model, machines(ROBOT, ROBOT), Goals(1.0)).plan(Readings(0.0, Link(1e6, 0.01)))
        assert plan.point is not None
        point = plan.point
        told = planned.quality(point.split, point.weight_bits, point.feature_bits)
        assert told == pytest.approx(0.98 - 0.1 / point.weight_bits - 0.1 / point.feature_bits, abs=1e-5)
        return point

    exact, loose = best(0.0), best(0.06)
    assert (exact.weight_bits, exact.feature_bits) == (8, 8)
    assert (loose.weight_bits, loose.offboard) == (4, True)  # the fastest width; 0.05 worse counts as equal
    assert loose.predicted.robot_j < exact.predicted.robot_j


def rows_with(**change: Any) -> list[dict[str, Any]]:
    rows = table()["rows"]
    rows[-1] = rows[-1] | change
    return rows


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"digest": "ff" * 32}, "of another model or version: its digest is ffffffffffff"),
        ({"rows": []}, "has no rows"),
        ({"rows": 3}, "has no rows"),
        ({"rows": [3]}, r"rows\[0\]: has no"),
        ({"rows": [{"split": "vision"}]}, r"rows\[0\]: has no 'bytes_mean'"),
        ({"rows": rows_with(split="deep")}, "no split 'deep'; there are vision"),
        ({"rows": rows_with(coding={"coder": "packed"})}, "several ways of coding"),
        ({"rows": table()["rows"][:2]}, "no coded features"),
    ],
)
def test_tables_that_do_not_fit_are_refused(changed, said):
    with pytest.raises(ValueError, match=said):
        model_of(FOLDER, table(**changed), ROBOT, ROBOT)


def test_an_unknown_score_is_refused():
    with pytest.raises(ValueError, match="no score 'cider' in the table; it has exact_match"):
        model_of(FOLDER, table(), ROBOT, ROBOT, score="cider")


@given(arrays(np.float64, (3, 4), elements=st.one_of(st.floats(0, 1), st.just(math.inf))))
def test_losses_are_made_to_fall_with_either_width(losses):
    made = monotone(losses)
    np.testing.assert_array_equal(np.isinf(made), np.isinf(losses))
    for axis in (0, 1):  # among those that are known
        for line in np.moveaxis(made, axis, 0).T:
            finite = line[np.isfinite(line)]
            assert (np.diff(finite) <= 1e-12).all()
    np.testing.assert_allclose(monotone(made), made)
    known = losses[np.isfinite(losses)]
    if known.size:
        assert made[np.isfinite(made)].min() >= known.min() and made[np.isfinite(made)].max() <= known.max()


# --- layers


def test_a_width_for_each_layer_beats_one_width_of_the_same_average(tmp_path, capsys):
    """On the fully connected net that the paper's bound is about."""
    model = tmp_path / "fcdnn16"
    assert main(["quantize", "fcdnn16", str(model), "--bits", "8,6,5,4,3"]) == 0
    with np.load(ZOO / "fcdnn16" / "digits.npz") as file:
        digits = file["held_out"][:12]
    pictures = tmp_path / "digits"
    pictures.mkdir()
    for number, digit in enumerate(digits):
        grey = (digit * (255.0 / digits.max())).astype(np.uint8)
        cv2.imwrite(str(pictures / f"{number}.png"), cv2.resize(grey, (28, 28)))
    layers, figures = tmp_path / "layers.json", tmp_path / "plan.json"
    asked = ["plan", str(model), "--device", "paper_b", "--data", str(pictures), "--samples", "12"]
    assert main([*asked, "--layers", str(layers), "--json", str(figures)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "A width for each layer of code" in shown and "on average: layer0.weight" in shown
    report = json.loads(figures.read_text())["layers"]
    entries = report["allotments"]
    assert [entry["average"] for entry in entries] == [3, 4, 5, 6] and report["frames"] == 12
    for entry in entries:
        assert set(entry["bits"]) == set(report["weights"]) and entry["mean"] <= entry["average"]
        assert entry["measured"] <= entry["single"] and entry["by_bound"] <= entry["single"]
    for entry in entries[1:]:
        assert entry["measured"] < 0.8 * entry["single"]
    # What it finds can be made.
    found = json.loads(layers.read_text())
    assert found["4"] == entries[1]["bits"]
    layers.write_text(json.dumps({"4": found["4"]}))
    mixed = [str(tmp_path / "mixed"), "--bits", "8,4", "--per-layer", str(layers)]
    assert main(["quantize", "fcdnn16", *mixed]) == 0
    assert 4 in ModelFolder.load(tmp_path / "mixed").agent().widths


def test_layers_want_weights_in_several_widths():
    folder = ModelFolder.load("fcdnn16")
    with pytest.raises(ModelError, match="no weights in several widths; `qeil quantize` makes them"):
        layer_report(folder, "", "tabletop", 2, lambda done, total, what: None)


# --- the command


@pytest.fixture
def given_files(tmp_path) -> dict[str, str]:
    """A profile and a table, so that nothing is measured."""
    (tmp_path / "scores.json").write_text(json.dumps(table()))
    profiles.write(tmp_path / "robot.yaml", ROBOT)
    return {"device": str(tmp_path / "robot.yaml"), "scores": str(tmp_path / "scores.json")}


def words(given_files: dict[str, str], *more: str) -> list[str]:
    files = ["--device", given_files["device"], "--scores", given_files["scores"]]
    return ["plan", "tabletop", *files, *more]


def test_it_writes_what_the_supervisor_plans_from(given_files, tmp_path, capsys):
    file, figures, plot = tmp_path / "plan.yaml", tmp_path / "plan.json", tmp_path / "plan.svg"
    more = ["--delay", "50ms", "--energy", "0.5", "--rates", "10,5", "--explain", "--output", str(file)]
    assert main([*words(given_files, *more), "--json", str(figures), "--plot", str(plot)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Chosen: vision, weights of 8 bits, features of 8 bits, at 10 Hz: exact match 0.955" in shown
    assert "delay 0.05 s" in shown and "energy 0.5 J" in shown and "taken to be a machine like" in shown
    plan = plan_file.read(file)
    assert plan.model_digest == FOLDER.digest and plan.goals.delay_s == 0.05 and plan.goals.energy_j == 0.5
    assert plan.measure.quality(plan.point.loss) == pytest.approx(0.955, abs=1e-3)
    assert plan.planner().plan(plan.readings(0.0)).point == plan.point
    assert plan.machines.clock_hz(plan.point.profile) in (6e8, 1.2e9)
    record = json.loads(figures.read_text())
    assert record["point"]["quality"] == pytest.approx(0.955, abs=1e-3)
    chosen = [entry for entry in record["frontier"] if entry == record["point"]]
    assert len(chosen) == 1 and all(
        entry["keeps_the_promise"] or entry["energy_j"] > 0.5 for entry in record["frontier"]
    )
    assert plot.read_text().lstrip().startswith("<?xml")


def test_where_nothing_is_feasible_it_says_what_binds_and_by_how_much(given_files, tmp_path, capsys):
    file = tmp_path / "plan.yaml"
    assert main(words(given_files, "--delay", "4ms", "--output", str(file), "--explain")) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "No point keeps the promise. What binds is the delay: with 0.007" in shown
    assert "breaks T0" in shown and "was not written" in shown and not file.exists()
    needed = float(shown.partition("What binds is the delay: with ")[2].split()[0])
    assert main(words(given_files, "--delay", str(needed * 1.001), "--output", str(file))) == 0
    assert plan_file.read(file).point.split == "vision/local"


def test_without_a_link_the_robot_is_alone(given_files, capsys):
    assert main(words(given_files, "--link", "0", "--json", "-")) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["point"]["split"] == "vision/local" and not any(p["offboard"] for p in record["frontier"])


def test_an_energy_that_cannot_be_known_is_not_promised(given_files, tmp_path, capsys):
    profiles.write(tmp_path / "robot.yaml", replace(ROBOT, power=Power()))
    assert main(words(given_files, "--energy", "1")) == 2
    error = capsys.readouterr().err
    assert "the power of 'robot' is not known" in error and "--idle-w and --core-w" in error
    assert main(words(given_files)) == 0
    shown = capsys.readouterr().out
    assert "energy not known" in shown and "[mJ]" not in shown


def test_presets_are_found_by_name(given_files, capsys):
    files = given_files | {"device": "paper_b"}
    assert main([*words(files, "--link", "1Gbit/s"), "--json", "-"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["server"] == "the paper's server" and "/" in record["point"]["profile"]
    assert main(words(given_files | {"device": "toaster"})) == 2
    error = capsys.readouterr().err
    assert "no device profile 'toaster'" in error and "paper_b" in error


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--delay", "soon"], "'soon' is not a time"),
        (["--link", "3 knots"], "'3 knots' is not a rate"),
        (["--rates", "fast"], "--rates fast: want frame rates"),
        (["--rates", "0"], "want one or more positive rates"),
        (["--loss", "1"], "loss is 1"),
        (["--score", "taste"], "no score 'taste'"),
        (["--tokens", "0.5"], "0.5 tokens"),
    ],
)
def test_wrong_words_are_one_line(given_files, more, said, capsys):
    assert main(words(given_files, *more)) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.splitlines()) == 1


def test_a_file_that_is_no_table_is_refused(given_files, tmp_path, capsys):
    for text in ("[1]", "{", "{}", "[" * 100_000):
        (tmp_path / "scores.json").write_text(text)
        assert main(words(given_files)) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_profile_then_plan_on_a_model_of_ones_own(tmp_path, capsys):
    """Measured, not given: what a new user does."""
    model = tiny_models.classifier(tmp_path / "tiny")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("red", "green", "blue"):
        cv2.imwrite(str(photos / f"{name}.png"), tiny_models.picture(name)[:, :, ::-1])
    robot, file = tmp_path / "robot.yaml", tmp_path / "plan.yaml"
    assert main(["profile", str(model), "--quick", "--output", str(robot)]) == 0
    asked = ["plan", str(model), "--device", str(robot), "--delay", "0.2", "--output", str(file)]
    capsys.readouterr()
    assert main(asked) == 2
    assert "give --data" in capsys.readouterr().err
    assert main([*asked, "--data", str(photos)]) == 0
    plan = plan_file.read(file)
    assert plan.measure.score == "agreement" and plan.measure.frames == 3
    assert plan.point.weight_bits == 0  # the agent part has its weights as they are stored
    assert Path(file).read_text().startswith("# Made by: qeil plan.")


# --- quantities


def test_rates_and_times_as_people_write_them():
    assert byte_rate("20") == byte_rate("20Mbit/s") == byte_rate("2.5 MB/s") == byte_rate("20 Mbit") == 2.5e6
    assert byte_rate("1Gbit/s") == 125e6 and byte_rate("0") == 0 and byte_rate("500kB/s") == 5e5
    assert seconds("0.2") == seconds("200ms") == seconds(".2 s") == pytest.approx(0.2)
    for wrong in ("", "fast", "-1", "1 parsec", "1e999", "0x10"):
        with pytest.raises(ValueError, match="want a number"):
            seconds(wrong)
