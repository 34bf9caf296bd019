from __future__ import annotations

import random
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
from fake_machine import FakeMachine

from qeil_ros.platform import Quality, actuators, discover, survey
from qeil_ros.platform.discovery import SOURCES
from qeil_ros.platform.portable import PsutilSensor, psutil_sensors


def names(sensors):
    return [name for sensor in sensors for name in sensor.names]


def test_recorded_tree_is_not_mixed_with_this_machine(tmp_path):
    machine = FakeMachine(tmp_path)
    sources = survey(machine.sys, machine.proc)
    assert [source.name for source in sources] == ["sysfs", "procfs"]
    found = names(discover(machine.sys, machine.proc))
    assert "temperature/cpu-thermal" in found and "cpu/use" in found
    assert len(found) == len(set(found))
    assert all(str(tmp_path) in r.source for s in discover(machine.sys, machine.proc) for r in s.read(0.0))


def test_this_machine_is_asked_by_all_sources_and_each_says_why_it_has_nothing():
    sources = {source.name: source for source in survey()}
    assert list(sources) == ["sysfs", "procfs", "nvml", "jtop", "psutil"]
    for source in sources.values():
        assert not (source.sensors and source.problem)
    assert "cpu/use" in names(sources["procfs"].sensors)
    found = names(discover())
    assert len(found) == len(set(found))


def test_only_what_is_asked_for(tmp_path):
    machine = FakeMachine(tmp_path)
    (source,) = survey(machine.sys, machine.proc, include=["procfs"])
    assert source.name == "procfs"
    with pytest.raises(ValueError, match=r"unknown sources \['ipmi'\]; want some of sysfs"):
        survey(include=["ipmi"])


def test_other_roots_are_never_mixed_with_this_machine(tmp_path):
    machine = FakeMachine(tmp_path)
    assert [source.name for source in survey(machine.sys, machine.proc, SOURCES)] == ["sysfs", "procfs"]


def test_recording_comes_before_the_machine_and_no_name_comes_twice(tmp_path):
    machine = FakeMachine(tmp_path)
    table = tmp_path / "table.csv"
    table.write_text("time_s,temperature/cpu,cpu/use\n0,70,90\n1,80,90\n")
    sources = survey(machine.sys, machine.proc, ["procfs", f"replay:{table}"])
    assert [source.name for source in sources] == [f"replay:{table}", "procfs"]
    found = names(discover(machine.sys, machine.proc, ["procfs", f"replay:{table}"]))
    assert found[:2] == ["temperature/cpu", "cpu/use"]
    assert found.count("cpu/use") == 1 and "memory/used" in found
    (sensor,) = sources[0].sensors
    assert [sensor.read(now_s)[0].value for now_s in (0.0, 0.5, 100.5)] == [70.0, 75.0, 75.0], "over and over"


@pytest.mark.parametrize(("text", "reason"), [(None, "No such file"), ("nonsense", "neither an sbc-bench")])
def test_recording_that_cannot_be_played_is_a_reason(tmp_path, text, reason):
    path = tmp_path / "recording"
    if text is not None:
        path.write_text(text)
    (source,) = survey(include=[f"replay:{path}"])
    assert not source.sensors and reason in source.problem


def test_machine_without_anything_has_nothing(tmp_path):
    assert discover(tmp_path / "sys", tmp_path / "proc") == []


def test_any_bytes_in_any_file_are_a_value_or_a_reason(tmp_path):
    machine = FakeMachine(tmp_path)
    machine.add_cpufreq()
    machine.add_devfreq()
    machine.add_battery(power_now=5_000_000)
    machine.add_network("wlan0", wireless=True)
    machine.traffic(wlan0=(1, 2))
    machine.signal("0000 54. -56. -256")
    machine.pressure(1.0)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    rng = random.Random(7)
    for _ in range(100):
        path = rng.choice(files)
        before = path.read_bytes()
        junk = [rng.randbytes(60), bytes(rng.choices(b"0123456789-+. \neE_x", k=30)), before * 2000, b""]
        path.write_bytes(rng.choice(junk))
        sensors = discover(machine.sys, machine.proc)
        for now_s in (0.0, 1.0):
            for reading in (reading for sensor in sensors for reading in sensor.read(now_s)):
                assert reading.good != bool(reading.reason), (path, reading)
        for cap in actuators(machine.sys):
            assert all(clock_hz > 0 for clock_hz in cap.clocks_hz()) and isinstance(cap.problem, str), path
        path.write_bytes(before)


# --- psutil


def test_psutil_fills_in_what_nothing_else_gives(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(current=2300.0), raising=False)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: None, raising=False)
    assert names(psutil_sensors(without={"cpu", "memory"})) == ["clock/cpu"]
    (sensor,) = psutil_sensors(without={"cpu", "memory"})
    (reading,) = sensor.read(1.0)
    assert (reading.value, reading.unit, reading.source) == (2.3e9, "Hz", "psutil.cpu_freq")
    assert reading.quality == Quality.MEASURED
    assert names(psutil_sensors(without={"clock", "battery"})) == ["cpu/use", "memory/used"]
    assert all(0 <= r.value <= 100 for s in psutil_sensors(without={"clock"}) for r in s.read(0.0))


def test_system_without_clock_and_battery_has_no_such_sensors(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None, raising=False)
    monkeypatch.delattr(psutil, "sensors_battery", raising=False)
    assert psutil_sensors(without={"cpu", "memory"}) == []


def test_missing_psutil_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.delitem(sys.modules, "qeil_ros.platform.portable")
    (source,) = survey(include=["psutil"])
    assert source.problem == "the package psutil is not installed"


def test_dear_value_is_asked_for_seldom_and_keeps_its_time():
    asked = []
    sensor = PsutilSensor("clock/cpu", "cpu_freq", lambda: asked.append(1) or 1e9, every_s=5.0)
    times = [sensor.read(now_s)[0].time_s for now_s in (0.0, 1.0, 4.9, 5.0, 9.0)]
    assert times == [0.0, 0.0, 0.0, 5.0, 5.0]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (psutil.AccessDenied(1), "pid=1"),
        (OSError(5, "broken"), "broken"),
        (RuntimeError(), "psutil has no value"),
    ],
)
def test_error_of_psutil_is_a_reason(error, reason):
    def fail():
        raise error

    (reading,) = PsutilSensor("clock/cpu", "cpu_freq", fail).read(0.0)
    assert not reading.good and reason in reading.reason
    (reading,) = PsutilSensor("clock/cpu", "cpu_freq", lambda: float("nan")).read(0.0)
    assert reading.reason == "psutil has no value"


def test_extras_are_not_imported_before_they_are_asked_for():
    """The packages of the extras start threads and load drivers."""
    code = "import qeil_ros.platform, sys; print([m for m in ('pynvml', 'jtop') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
