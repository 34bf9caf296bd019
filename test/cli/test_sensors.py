from __future__ import annotations

import json

import pytest
from fake_machine import GPU, POLICY, FakeMachine

from qeil_ros.cli import main
from qeil_ros.cli import sensors as command
from qeil_ros.platform import load_trace


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_FIRST_S", 0.01)
    machine = FakeMachine(tmp_path / "machine")
    machine.add_cpufreq()
    machine.add_devfreq()
    return machine


@pytest.fixture
def run(machine, capsys):
    """Runs the command on the fake machine; returns what it printed."""

    def run(*options, code=0):
        roots = ["--sysfs-root", str(machine.sys), "--procfs-root", str(machine.proc)]
        assert main(["sensors", *roots, *options]) == code
        found = capsys.readouterr()
        return found.err if code else found.out

    return run


def by_name(rows):
    return {row["name"]: row for row in rows}


def test_everything_that_is_found_as_json(machine, run):
    told = json.loads(run("--json", "-"))
    readings = by_name(told["readings"])
    assert readings["temperature/cpu-thermal"] == {
        "name": "temperature/cpu-thermal",
        "value": 45.0,
        "unit": "C",
        "quality": "measured",
        "source": f"{machine.sys}/class/thermal/thermal_zone0/temp",
        "reason": "",
        "trip_points_c": {"passive": 80.0, "critical": 95.0},
    }
    assert "trip_points_c" not in readings["power/ina3221/VDD_IN"]
    clocks = by_name(told["clocks"])
    assert clocks["clock/policy0"] == {
        "name": "clock/policy0",
        "clocks_hz": [6e8, 1e9, 1.5e9],
        "limit_hz": 1.5e9,
        "problem": "",
    }
    assert told["sources"]["sysfs"] > 5 and 0 < told["took_s"] < 5


def test_what_cannot_be_read_is_null_with_its_reason(machine, run):
    machine.input_output_error("class/thermal/thermal_zone0/temp")
    machine.remove(f"{POLICY}/scaling_max_freq")
    told = json.loads(run("--json", "-"))
    reading = by_name(told["readings"])["temperature/cpu-thermal"]
    assert reading["value"] is None and reading["reason"] == "input/output error"
    clock = by_name(told["clocks"])["clock/policy0"]
    assert clock["limit_hz"] is None and "no such file" in clock["problem"]
    text = " ".join(run().split())
    assert "input/output error" in text and "no such file" in text


def test_table_for_people(run):
    text = " ".join(run().split())
    for words in (
        "temperature/cpu-thermal 45 C measured",
        "6 W",
        "clock/policy0 1.5 GHz 600 MHz 1.5 GHz yes",
    ):
        assert words in text, words


def test_watching_in_json_is_one_object_a_line(run, tmp_path):
    out = tmp_path / "out.jsonl"
    run("--watch", "--seconds", "0.1", "--period", "0.02", "--json", str(out))
    rounds = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rounds) >= 2
    assert rounds[0]["readings"][0]["name"] == rounds[-1]["readings"][0]["name"]


def test_watching_for_people_ends_by_itself(run):
    assert "cpu-thermal" in run("--watch", "--seconds", "0.05", "--period", "0.02")


def test_recorded_table_can_be_played(run, tmp_path, capsys):
    table = tmp_path / "table.csv"
    assert run("--record", str(table), "--seconds", "0.1", "--period", "0.02") == ""
    trace = load_trace(table)
    assert len(trace.time_s) >= 2
    assert set(trace.columns["temperature/cpu-thermal"]) == {45.0}
    assert main(["sensors", "--replay", str(table), "--json", "-"]) == 0
    told = json.loads(capsys.readouterr().out)
    reading = by_name(told["readings"])["temperature/cpu-thermal"]
    assert (reading["value"], reading["quality"], reading["source"]) == (45.0, "replayed", "table.csv")
    assert told["clocks"] == [], "a recording has none"


def test_limits_are_lifted_only_when_that_is_asked_for(machine, run):
    machine.write(f"{POLICY}/scaling_max_freq", 600000)
    run()
    assert machine.number(f"{POLICY}/scaling_max_freq") == 600000
    assert "clock/policy0: limit 1.5 GHz" in run("--uncap")
    assert machine.number(f"{POLICY}/scaling_max_freq") == 1500000


def test_limit_that_cannot_be_lifted_fails_and_the_others_are_lifted(machine, run):
    machine.write(f"{GPU}/max_freq", 306000000)
    machine.remove(f"{POLICY}/scaling_max_freq")
    assert "clock/policy0" in run("--uncap", code=1)
    assert machine.number(f"{GPU}/max_freq") == 918000000


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--replay", "/none"], "/none: No such file or directory"),
        (["--replay", __file__], "neither an sbc-bench report"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(run, options, reason):
    error = run(*options, code=2)
    assert reason in error and len(error.splitlines()) == 1


def test_file_that_cannot_be_written_is_refused_in_one_line(run):
    error = run("--json", "/none/out.json", code=1)
    assert "/none/out.json: No such file or directory" in error and len(error.splitlines()) == 1
