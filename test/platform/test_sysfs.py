from __future__ import annotations

import math
import os

import pytest
from fake_machine import FakeMachine

from qeil_ros.platform import Quality, sysfs_sensors, total_power
from qeil_ros.platform import files as files_module
from qeil_ros.platform.rapl import Rapl
from qeil_ros.platform.readings import SensorError
from qeil_ros.platform.thermal import ThermalZone

ZONE = "class/thermal/thermal_zone0/temp"
ENERGY = "class/powercap/intel-rapl:0/energy_uj"
RANGE_UJ = 262143328850


@pytest.fixture
def machine(tmp_path):
    return FakeMachine(tmp_path)


def read(machine, now_s=0.0, sensors=None):
    sensors = sensors or sysfs_sensors(machine.sys)
    return {reading.name: reading for sensor in sensors for reading in sensor.read(now_s)}


def test_every_sensor_of_a_machine_is_found_with_its_unit_source_and_quality(machine):
    sensors = sysfs_sensors(machine.sys)
    read(machine, 0.0, sensors)
    machine.energy(1000000 + 3_000_000)
    found = read(machine, 1.0, sensors)
    values = {name: (reading.value, reading.unit) for name, reading in found.items()}
    assert values == {
        "temperature/cpu-thermal": (45.0, "C"),
        "current/ina3221/VDD_IN": (pytest.approx(1.2), "A"),
        "power/ina3221/VDD_IN": (pytest.approx(6.0), "W"),
        "energy/package-0": (pytest.approx(3.0), "J"),
        "power/package-0": (pytest.approx(3.0), "W"),
        "energy/package-0/core": (0.0, "J"),
        "power/package-0/core": (0.0, "W"),
        "clock/policy0": (1.5e9, "Hz"),
    }
    assert all(reading.quality == Quality.MEASURED and not reading.reason for reading in found.values())
    assert found["temperature/cpu-thermal"].source == str(machine.sys / ZONE)
    assert found["clock/policy0"].time_s == 1.0
    for sensor in sensors:
        assert tuple(sensor.names) == tuple(reading.name for reading in sensor.read(2.0))


def test_machine_without_sensors_has_none(tmp_path):
    assert sysfs_sensors(tmp_path / "nothing") == []


def test_trip_points_are_the_machines_own(machine):
    machine.write("class/thermal/thermal_zone0/trip_point_9_type", "passive")
    machine.write("class/thermal/thermal_zone0/trip_point_9_temp", 70000)
    machine.write("class/thermal/thermal_zone0/trip_point_10_type", "hot")
    machine.write("class/thermal/thermal_zone0/trip_point_10_temp", -274000)  # "not set", says many a driver
    machine.write("class/thermal/thermal_zone0/trip_point_11_type", "critical")  # without its temperature
    (zone,) = [sensor for sensor in sysfs_sensors(machine.sys) if isinstance(sensor, ThermalZone)]
    assert (zone.trip.passive_c, zone.trip.critical_c) == (70.0, 95.0)
    assert math.isnan(zone.trip.hot_c)


def test_numbers_order_the_zones_and_equal_names_are_told_apart(machine):
    for index in (2, 10):
        machine.write(f"class/thermal/thermal_zone{index}/type", "gpu thermal")
        machine.write(f"class/thermal/thermal_zone{index}/temp", index * 1000)
    found = read(machine)
    assert found["temperature/gpu_thermal"].value == 2.0
    assert found["temperature/gpu_thermal#2"].value == 10.0


def test_thermal_zone_is_not_listed_again_as_hwmon_chip(machine):
    machine.write("class/hwmon/hwmon0/name", "cpu_thermal")
    machine.write("class/hwmon/hwmon0/temp1_input", 45000)
    machine.write("class/hwmon/hwmon2/name", "nvme")
    machine.write("class/hwmon/hwmon2/temp1_input", 38850)
    machine.write("class/hwmon/hwmon2/temp1_label", "Composite")
    machine.write("class/hwmon/hwmon2/temp1_crit", 84850)
    names = [name for name in read(machine) if name.startswith("temperature")]
    assert names == ["temperature/cpu-thermal", "temperature/nvme/Composite"]


def test_hwmon_power_files_are_microwatts(machine):
    machine.write("class/hwmon/hwmon3/name", "amdgpu")
    machine.write("class/hwmon/hwmon3/power1_average", 8_000_000)
    machine.write("class/hwmon/hwmon3/power1_label", "PPT")
    machine.write("class/hwmon/hwmon3/curr1_input", 500)
    machine.write("class/hwmon/hwmon3/in1_input", 900)
    found = read(machine)
    assert found["power/amdgpu/PPT"].value == pytest.approx(8.0)
    assert "power/amdgpu/curr1" not in found, "the chip gives its power itself"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.write_text("warm\n"), "is not a number"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not text"),
        (lambda path: path.write_text("9" * 5000), "is not a number"),
        (lambda path: path.write_text("-300000"), "is not possible"),
        (lambda path: path.write_text("2000000"), "is not possible"),
        (lambda path: (path.unlink(), path.mkdir()), "not a regular file"),
    ],
)
def test_faults_become_nan_with_a_reason_and_pass(machine, fault, reason):
    sensors = sysfs_sensors(machine.sys)
    fault(machine.sys / ZONE)
    found = read(machine, 5.0, sensors)["temperature/cpu-thermal"]
    assert math.isnan(found.value) and reason in found.reason
    assert (found.quality, found.time_s, found.unit) == (Quality.NONE, 5.0, "C")
    path = machine.sys / ZONE
    path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
    machine.temperature(50.0)
    assert read(machine, 6.0, sensors)["temperature/cpu-thermal"].value == 50.0


def test_pipe_in_the_place_of_a_file_does_not_block(machine):
    sensors = sysfs_sensors(machine.sys)
    machine.pipe(ZONE)
    assert "not a regular file" in read(machine, 0.0, sensors)["temperature/cpu-thermal"].reason


def test_input_output_error_of_the_kernel_passes(machine):
    """A process's memory, read from address 0, fails as a broken chip does."""
    sensors = sysfs_sensors(machine.sys)
    path = machine.sys / ZONE
    path.unlink()
    path.symlink_to("/proc/self/mem")
    assert "input/output error" in read(machine, 0.0, sensors)["temperature/cpu-thermal"].reason
    path.unlink()
    machine.temperature(51.0)
    assert read(machine, 1.0, sensors)["temperature/cpu-thermal"].value == 51.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "run as root"),
        (OSError(11, "Resource temporarily unavailable"), "no value at present"),
        (OSError(19, "No such device"), "no such device"),
    ],
)
def test_errors_of_the_kernel_are_reasons(machine, monkeypatch, error, reason):
    sensors = sysfs_sensors(machine.sys)

    def fail(*_):
        raise error

    monkeypatch.setattr(files_module.os, "pread", fail)
    assert reason in read(machine, 0.0, sensors)["temperature/cpu-thermal"].reason


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_descriptors_are_held_once_and_closed_on_every_fault(machine):
    sensors = sysfs_sensors(machine.sys)
    before = descriptors()
    read(machine, 0.0, sensors)
    held = descriptors()
    assert held > before
    for _ in range(20):
        machine.write(ZONE, "garbage")  # the file is replaced
        read(machine, 0.0, sensors)
    assert descriptors() == held
    (machine.sys / ZONE).unlink()
    for _ in range(20):
        read(machine, 0.0, sensors)
    assert descriptors() == held - 1
    for sensor in sensors:
        sensor.close()
    assert descriptors() == before
    machine.temperature(47.0)
    assert read(machine, 1.0, sensors)["temperature/cpu-thermal"].value == 47.0, "opened again"


def test_number_takes_signs_and_refuses_more_than_a_number(tmp_path):
    path = tmp_path / "value"
    for text, value in (("-12\n", -12), ("+7", 7), ("0", 0)):
        path.write_text(text)
        assert files_module.number(path) == value
    for text in ("1.5", "0x10", "1 2", "--1", "1_000"):
        path.write_text(text)
        with pytest.raises(SensorError, match="not a number"):
            files_module.number(path)


class TestRapl:
    @pytest.fixture
    def counter(self, machine):
        return Rapl(machine.sys / "class/powercap/intel-rapl:0", "package-0")

    def test_first_reading_has_energy_but_no_power(self, counter):
        energy, power = counter.read(0.0)
        assert energy.value == 0.0
        assert math.isnan(power.value) and "first" in power.reason

    def test_wrap_around_is_undone(self, machine, counter):
        machine.energy(RANGE_UJ - 2_000_000)
        counter.read(0.0)
        machine.energy(4_000_000)
        energy, power = counter.read(2.0)
        assert energy.value == pytest.approx(6.0)
        assert power.value == pytest.approx(3.0)

    def test_reset_counter_is_no_wrap(self, machine, counter):
        machine.energy(100_000_000_000)
        counter.read(0.0)
        machine.energy(50)
        energy, power = counter.read(1.0)
        assert math.isnan(power.value) and "100000000000 to 50" in power.reason
        assert energy.value == 0.0
        machine.energy(1_000_050)
        energy, power = counter.read(2.0)
        assert (energy.value, power.value) == (pytest.approx(1.0), pytest.approx(1.0))

    def test_negative_counter_and_standing_clock(self, machine, counter):
        counter.read(0.0)
        machine.energy(-5)
        assert "negative" in counter.read(1.0)[0].reason
        machine.energy(2_000_000)
        assert counter.read(2.0)[1].value == pytest.approx(0.5)
        assert "no time has passed" in counter.read(2.0)[1].reason

    def test_gap_without_readings_keeps_the_energy(self, machine, counter):
        counter.read(0.0)
        (machine.sys / ENERGY).unlink()
        assert not counter.read(1.0)[0].good
        machine.energy(5_000_000)
        assert counter.read(4.0)[0].value == pytest.approx(4.0)


def test_total_power_takes_the_input_rail_before_the_parts(machine):
    sensors = sysfs_sensors(machine.sys)
    read(machine, 0.0, sensors)
    machine.energy(3_000_000)
    readings = list(read(machine, 1.0, sensors).values())
    total = total_power(readings)
    assert (total.value, total.source) == (pytest.approx(6.0), "power/ina3221/VDD_IN")
    machine.write("class/hwmon/hwmon1/in1_input", "broken")
    total = total_power(list(read(machine, 2.0, sensors).values()))
    assert total.source == "power/package-0", "parts of the package do not count twice"
    total = total_power(readings, "power/package-*")
    assert total.value == pytest.approx(2.0)
    total = total_power(readings, "power/nothing*")
    assert not total.good and total.quality == Quality.NONE
