"""`qeil place`: on a recorded machine, on places of this one, run and refused; and what keeps a run right."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time

import numpy as np
import pytest
import split_graphs

from qeil_ros.cli.app import main
from qeil_ros.cli.place.keeper import Keeper, SharedHealth
from qeil_ros.cli.place.problem import layers
from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.staged.crew import Timing
from qeil_ros.models.staged.place import Place
from qeil_ros.models.staged.staged import Staged
from qeil_ros.models.stages import blocks
from qeil_ros.planning.placement.exact import Objective, contiguous
from qeil_ros.planning.placement.live import Reallocator
from qeil_ros.planning.placement.problem import Device, Limits, Link, Problem
from qeil_ros.platform.readings import TripPoints
from qeil_ros.safety.health import Health, HealthConfig
from qeil_ros.safety.placement import Condition

LATENCY = Objective(0.0, 1.0)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "residual.onnx"
    path.write_bytes(split_graphs.residual().SerializeToString())
    return str(path)


def told(capsys, *words):
    code = main(["place", *words, "--json", "-"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else captured.err


def test_on_the_papers_platform(model, capsys):
    code, found = told(capsys, model, "--devices", "paper_a", "--precision", "fp16", "--homogeneous")
    assert code == 0 and found["devices"] == ["cpu", "gpu", "npu"] and found["energy_unit"] == "J"
    least = min(outcome["energy"] for outcome in found["homogeneous"].values())
    assert found["predicted"]["energy"] <= least * (1 + 1e-9)
    assert sum(row["blocks"] for row in found["sections"]) == len(found["assignment"])
    assert found["run"] is None


@pytest.mark.parametrize("method", ["greedy", "printed", "exact", "free", "pareto"])
def test_every_method_places_all_blocks(model, method, capsys, tmp_path):
    plot = tmp_path / "placed.png"
    words = [model, "--devices", "paper_a", "--precision", "fp16", "--method", method, "--plot", str(plot)]
    code, found = told(capsys, *words, "--least-share", "0.1")
    assert code == 0 and set(found["assignment"]) <= {0, 1, 2} and plot.stat().st_size > 1000
    assert bool(found["front"]) == (method == "pareto")


@pytest.mark.parametrize(
    "words, code, said",
    [
        (["--devices", "paper_a", "--latency-limit", "1e-9"], 1, "no placement: latency would be"),
        (["--devices", "paper_a", "--energy-limit", "1e-12"], 1, "no placement: energy would be"),
        (["--devices", "paper_a", "--memory", "cpu=10", "--memory", "gpu=10"], 1, "cannot be laid out"),
        (["--devices", "paper_a", "--run"], 2, "are not here"),
        (["--devices", "paper_a", "--devices", "onnxruntime@0"], 2, "do not mix"),
        (["--devices", "nowhere"], 2, "no device profile 'nowhere'"),
        (["--devices", "onnxruntime@0-1-2"], 2, "is no place"),
        (["--devices", "paper_a", "--memory", "cpu"], 2, "want DEVICE=NUMBER"),
        (["--devices", "paper_a", "--power", "tpu=3"], 2, "no device 'tpu'"),
        (["--method", "magic"], 2, "--method 'magic'"),
        (["--in-process"], 2, "--in-process says how"),
    ],
)
def test_refusals_say_why(model, words, code, said, capsys):
    found, error = told(capsys, model, *words)
    assert found == code and said in error


def test_a_run_in_processes_beside_its_prediction(model, capsys):
    half = ["--memory", "a=4k", "--memory", "b=40k"]
    words = [model, "--devices", "a=onnxruntime", "--devices", "b=onnxruntime", *half, "--run"]
    code, found = told(capsys, *words, "--frames", "20", "--minimise", "latency", "--least-share", "0")
    assert code == 0 and found["energy_unit"] == "core s" and found["run"]["frames"] == 20
    assert found["run"]["relative_difference"] < 1e-5 and found["run"]["permitted"]
    assert all(row["measured_s"] > 0 and row["predicted_s"] > 0 for row in found["sections"])


def test_a_run_in_one_process(capsys):
    places = [
        "--devices",
        "a=onnxruntime",
        "--devices",
        "b=onnxruntime",
        "--power",
        "a=300",
        "--power",
        "b=2",
    ]
    code, found = told(capsys, "tabletop", *places, "--run", "--in-process", "--frames", "5")
    assert code == 0 and found["energy_unit"] == "J" and found["run"]["relative_difference"] < 1e-5
    assert {row["device"] for row in found["sections"]} == {"b"}  # as fast, for less


# ---------------------------------------------------------------- the keeper


class Kept:
    """A network that runs on "a", which is the faster one, and may run on "b"."""

    def __init__(self):
        graph = Graph(split_graphs.residual())
        shapes = measure(graph)
        chain = blocks(graph, shapes, least_share=0.1)
        self.image = np.ones(shapes.tensors[graph.image].shape, np.float32)
        # So slow that whatever runs here is no slower than predicted.
        devices = (Device("a", 1e4, 1e9, 1.0), Device("b", 5e3, 1e9, 1.0))
        self.problem = Problem(layers(chain), devices, (1.0,), Link(1e9))
        self.health = SharedHealth(Health(["a", "b"], HealthConfig(quarantine_s=60.0)))
        self.seen = {"a": Condition(), "b": Condition()}
        self.staged = Staged(
            graph,
            shapes,
            chain,
            [Place("a"), Place("b")],
            [0] * len(chain),
            health=self.health,
            timing=Timing(overdue_s=5.0),
        )
        self.keeper = Keeper(
            self.staged,
            self.problem,
            Limits(),
            self.health,
            Reallocator(lambda of: contiguous(of, LATENCY), LATENCY),
            lambda: self.seen,
        )

    def on(self):
        return {self.staged.places[place].name for place in self.staged.assignment}


@pytest.fixture
def kept():
    found = Kept()
    with found.staged:
        yield found


def test_a_hot_device_is_left(kept):
    assert kept.keeper.permission and kept.on() == {"a"}
    hot = Condition(temperature_c=90.0, trips=TripPoints(critical_c=100.0))
    kept.seen["a"] = hot
    assert kept.keeper.look(time.monotonic())
    assert kept.on() == {"b"}
    (change,) = kept.keeper.changes
    assert "the ceiling is 85 C" in change.reason
    kept.staged.run(kept.image)
    # With both hot nothing is permitted, and nothing is changed to.
    kept.seen["b"] = hot
    permission = kept.keeper.look(time.monotonic())
    assert not permission and "the ceiling is 85 C" in permission.reason and kept.on() == {"b"}


def test_short_memory_and_failure_move_the_work(kept):
    need = float(kept.problem.tables.need_bytes.sum())
    kept.seen["a"] = dataclasses.replace(kept.seen["a"], free_bytes=need / 2)
    assert kept.keeper.look(time.monotonic())
    assert "b" in kept.on() and "memory" in kept.keeper.changes[0].reason
    os.kill(kept.staged.crew.pids()[1], signal.SIGKILL)
    kept.seen["a"] = Condition()
    kept.staged.run(kept.image)
    until_s = time.monotonic() + 5
    while kept.staged.crew.in_service[1] and time.monotonic() < until_s:
        time.sleep(0.01)
    assert kept.keeper.look(time.monotonic()) and kept.on() == {"a"}
    assert "signal 9" in kept.keeper.changes[1].reason
    kept.staged.run(kept.image)
    assert [fault.place for fault in kept.staged.faults] == ["b"]
