"""`qeil status`: the supervisor's word as facts, as JSON and as a picture of text."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from node_testing import Graph
from qeil_ros.msg import OperatingPoint, SupervisorStatus
from rich.console import Console
from support import REPO

from qeil_ros.cli import main
from qeil_ros.cli.status import view
from qeil_ros.cli.status_facts import facts
from qeil_ros.nodes import qos


def status() -> SupervisorStatus:
    message = SupervisorStatus(
        mode=SupervisorStatus.MODE_CONSTRAINED,
        reasons=["it is hot"],
        overrides=["mode pinned to constrained by ann"],
        link=SupervisorStatus.LINK_DEGRADED,
        operating_point=OperatingPoint(
            split="vision", feature_bits=4, rate_hz=7.5, clock_hz=1.2e9, reason="it is hot"
        ),
        strategy="co_inference",
        strategy_names=["co_inference", "hold"],
        strategy_available=[True, True],
        strategy_reasons=["", ""],
        ramp=0.5,
        plan="at 10 Hz: delay binds",
        plan_feasible=True,
        reading_names=["temperature/cpu", "power/total"],
        reading_values=[76.5, math.nan],
        reading_units=["C", "W"],
        reading_sources=["/sys/zone0", ""],
        reading_qualities=[1, 0],
        forecast_horizon_s=10.0,
        forecast_temperature_c=78.0,
        forecast_error_c=math.nan,
        forecast_energy_j=math.nan,
        energy_left_j=math.inf,
        delay_predicted_s=0.0625,
        delay_measured_s=0.07,
        distortion_predicted=math.nan,
        distortion_measured=0.1,
        link_bytes_s=2e6,
        round_trip_s=math.nan,
        loss=0.25,
        answers_hz=7.5,
        answers_offboard=100,
        answers_local=5,
    )
    message.header.stamp.sec = 12
    return message


def test_facts_are_json_with_null_for_what_is_not_known():
    found = facts(status())
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["mode"], found["link"]["state"], found["point"]["route"]) == (
        "constrained",
        "degraded",
        "offboard",
    )
    assert found["stamp_s"] == 12.0 and found["energy_left_j"] is None
    assert found["frame"]["delay_s"] == {"predicted": 0.0625, "measured": 0.07}
    assert found["frame"]["distortion"] == {"predicted": None, "measured": 0.1}
    assert found["readings"][0] == {
        "name": "temperature/cpu",
        "value": 76.5,
        "unit": "C",
        "source": "/sys/zone0",
        "quality": "measured",
    }
    assert found["readings"][1]["value"] is None
    assert found["answers"] == {"rate_hz": 7.5, "offboard": 100, "local": 5, "none": 0}
    assert found["plan"] == {"reason": "at 10 Hz: delay binds", "feasible": True}


def test_message_of_a_stranger_is_shown_all_the_same():
    message = status()
    message.mode, message.link, message.strategy_available = 9, 200, []
    message.reading_values = [1.0]
    found = facts(message)
    assert (found["mode"], found["link"]["state"]) == ("unknown (9)", "unknown (200)")
    assert len(found["readings"]) == 1
    shown(found)


def test_nothing_but_defaults_can_be_shown():
    found = facts(SupervisorStatus())
    assert found["plan"] is None
    assert "own cut" in shown(found)


def shown(found, silent_s=0.0):
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(view(found, silent_s))
        return console.export_text()


def test_view_tells_what_matters():
    text = shown(facts(status()))
    for piece in (
        "constrained",
        "it is hot",
        "mode pinned to constrained by ann",
        "offboard, vision, 4 bits, 7.5 Hz, clock 1200 MHz",
        "delay binds",
        "2000 kB/s",
        "25 % of frames lost",
        "100 offboard, 5 local, 0 none",
        "62.5 ms",
        "76.5 C",
        "hottest zone in 10 s",
    ):
        assert piece in text, piece
    assert "silent" not in text
    assert "silent for 12 s" in shown(facts(status()), 12.0)


@pytest.mark.parametrize("words", [("--json",), ()])
def test_last_word_of_the_supervisor_is_printed(ros_graph, words):
    with Graph() as graph:
        publisher = graph.probe.create_publisher(SupervisorStatus, "status", qos.LATEST)
        publisher.publish(status())
        done = subprocess.run(
            [sys.executable, "-m", "qeil_ros.cli", "status", "--once", "--timeout", "30", *words],
            capture_output=True,
            text=True,
            env=ros_graph,
            cwd=REPO,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    if words:
        assert json.loads(done.stdout) == facts(status())
    else:
        assert "it is hot" in done.stdout


def test_silence_is_an_error(ros_graph, capsys):
    assert main(["status", "--once", "--timeout", "0.3", "--topic", "robot1/status"]) == 1
    assert "no supervisor speaks on /robot1/status" in capsys.readouterr().err
