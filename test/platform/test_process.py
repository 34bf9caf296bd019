from __future__ import annotations

import math
import os

import pytest
from fake_machine import FakeMachine

from qeil_ros.platform import (
    CpuUse,
    Load,
    Memory,
    PowerModel,
    Pressure,
    ProcessUse,
    Quality,
    procfs_sensors,
    total_power,
)


@pytest.fixture
def machine(tmp_path):
    return FakeMachine(tmp_path)


def test_processor_use_is_the_busy_share_since_the_last_reading(machine):
    sensor = CpuUse(machine.proc, cores=4)
    assert all("first" in reading.reason for reading in sensor.read(0.0))
    machine.ticks(busy=1030, idle=9070)
    use, cores = sensor.read(1.0)
    assert (use.value, use.unit) == (pytest.approx(30.0), "%")
    assert cores.value == pytest.approx(1.2)
    assert all("moved forward" in reading.reason for reading in sensor.read(2.0))


@pytest.mark.parametrize(
    "text", ["cpu garbage here more of it", "intr 1 2 3 4 5 6", "cpu 1 2", "cpu -1 2 3 4 5 6"]
)
def test_garbage_in_place_of_ticks(machine, text):
    sensor = CpuUse(machine.proc)
    sensor.read(0.0)
    machine.write_proc("stat", text)
    use, cores = sensor.read(1.0)
    assert math.isnan(use.value) and "processor ticks" in use.reason
    assert math.isnan(cores.value)
    machine.ticks(busy=2000, idle=9100)
    assert sensor.read(2.0)[0].good


def test_counters_that_run_backwards_give_no_use(machine):
    sensor = CpuUse(machine.proc)
    sensor.read(0.0)
    machine.ticks(busy=5, idle=5)
    assert "moved forward" in sensor.read(1.0)[0].reason


def test_memory(machine):
    sensor = Memory(machine.proc)
    used, available = sensor.read(0.0)
    assert (used.value, used.unit) == (25.0, "%")
    assert (available.value, available.unit) == (750 * 1024, "B")
    machine.memory(total=1000, available=2000)
    assert all("MemAvailable 2000" in reading.reason for reading in sensor.read(1.0))
    machine.write_proc("meminfo", "nothing of the kind")
    assert not any(reading.good for reading in sensor.read(2.0))


@pytest.mark.parametrize(("percent", "value"), [(0.0, 0.0), (12.34, 12.34), (100.0, 100.0)])
def test_memory_pressure(machine, percent, value):
    machine.pressure(percent)
    (reading,) = Pressure(machine.proc).read(0.0)
    assert (reading.name, reading.value, reading.unit) == ("pressure/memory", value, "%")


@pytest.mark.parametrize("text", ["full avg10=1.0 x", "some avg10=nan avg60", "some avg10=-1.0 x", "\xb0"])
def test_memory_pressure_that_is_none(machine, text):
    machine.write_proc("pressure/memory", text)
    assert "is not a pressure" in Pressure(machine.proc).read(0.0)[0].reason


def test_kernel_without_pressure_has_no_such_sensor(machine):
    assert not any("pressure/memory" in sensor.names for sensor in procfs_sensors(machine.proc, machine.sys))
    machine.pressure(1.0)
    assert any("pressure/memory" in sensor.names for sensor in procfs_sensors(machine.proc, machine.sys))


@pytest.mark.parametrize(("text", "value"), [("0.52 1 2 3/4 5", 0.52), ("12.0 x", 12.0)])
def test_load(machine, text, value):
    machine.write_proc("loadavg", text)
    assert Load(machine.proc).read(0.0)[0].value == value


@pytest.mark.parametrize("text", ["nan 1 2", "inf", "-1.0", "0x1"])
def test_load_that_is_none(machine, text):
    machine.write_proc("loadavg", text)
    assert "is not a load" in Load(machine.proc).read(0.0)[0].reason


def test_process_use_counts_ticks_after_any_command_name(machine):
    sensor = ProcessUse(machine.proc, ticks_hz=100)
    sensor.read(0.0)
    machine.write_proc("self/stat", "12 (a) b) (c) R 1 1 1 0 -1 0 0 0 0 0 130 70 0 0 20 0 1 0 5 0 0")
    assert sensor.read(1.0)[0].value == pytest.approx(50.0)
    machine.write_proc("self/stat", "12 (short")
    assert "state of a process" in sensor.read(2.0)[0].reason


def test_the_real_proc_of_this_machine_can_be_read():
    sensors = procfs_sensors()
    for sensor in sensors:
        sensor.read(0.0)
    sum(range(2_000_000))
    readings = {reading.name: reading for sensor in sensors for reading in sensor.read(1.0)}
    assert 0 < readings["memory/used"].value < 100
    assert readings["load/1min"].value >= 0
    assert 0 <= readings["cpu/busy_cores"].value <= (os.cpu_count() or 1)


def test_power_model_says_that_it_is_one(machine):
    sensor = CpuUse(machine.proc, cores=4)
    model = PowerModel(idle_w=3.0, core_w=2.0)
    first = model.read(sensor.read(0.0), 0.0)
    assert not first.good and "first" in first.reason
    machine.ticks(busy=1050, idle=9050)
    power = model.read(sensor.read(1.0), 1.0)
    assert power.value == pytest.approx(3.0 + 2.0 * 2.0)
    assert power.quality == Quality.MODELLED and "3 W + 2 W" in power.source
    total = total_power([power])
    assert total.value == power.value and total.quality == Quality.MODELLED
    assert "not sampled" in model.read([], 0.0).reason
