from __future__ import annotations

import math
import os

import pytest
from fake_machine import GPU, ZONE, FakeMachine

from qeil_ros.platform import Quality, sysfs_sensors, total_power, trip_points
from qeil_ros.platform import files as files_module
from qeil_ros.platform.rapl import Rapl
from qeil_ros.platform.readings import SensorError
from qeil_ros.platform.thermal import ThermalZone

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
        (lambda path: path.write_text("45"), "whole degrees"),
        (lambda path: path.write_text("45000000"), "45000 C is not possible"),
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
    sensors = sysfs_sensors(machine.sys)
    machine.input_output_error(ZONE)
    assert "input/output error" in read(machine, 0.0, sensors)["temperature/cpu-thermal"].reason
    machine.remove(ZONE)
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


def test_trip_points_by_the_names_of_readings(machine):
    machine.write("class/hwmon/hwmon2/name", "nvme")
    machine.write("class/hwmon/hwmon2/temp1_input", 38850)
    machine.write("class/hwmon/hwmon2/temp1_max", 81850)
    machine.write("class/hwmon/hwmon2/temp1_crit", 65261850)  # "not set", says this one
    found = trip_points(sysfs_sensors(machine.sys))
    assert list(found) == ["temperature/cpu-thermal", "temperature/nvme/temp1"]
    assert found["temperature/nvme/temp1"].hot_c == pytest.approx(81.85)
    assert math.isnan(found["temperature/nvme/temp1"].critical_c)


def test_sum_channel_of_an_ina3221_is_no_rail(machine):
    chip = "class/hwmon/hwmon1"
    for file, value in {"in4_input": 12, "curr4_input": 2400, "in7_label": "sum of shunt voltages"}.items():
        machine.write(f"{chip}/{file}", value)
    machine.write(f"{chip}/in2_label", "NC")
    machine.write(f"{chip}/in2_input", 5000)
    machine.write(f"{chip}/curr2_input", 3)
    names = [name for name in read(machine) if "ina3221" in name]
    assert names == ["current/ina3221/VDD_IN", "power/ina3221/VDD_IN"]


def test_rails_as_jetpack_4_shows_them(machine):
    device = "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    for index, (rail, milliwatt) in enumerate((("POM_5V_IN", 4321), ("POM_5V_GPU", 80), ("NC", 0))):
        machine.write(f"{device}/rail_name_{index}", rail)
        machine.write(f"{device}/in_power{index}_input", milliwatt)
    found = read(machine)
    assert found["power/ina3221x/POM_5V_IN"].value == pytest.approx(4.321)
    assert found["power/ina3221x/POM_5V_GPU"].value == pytest.approx(0.08)
    assert "power/ina3221x/NC" not in found


def test_rails_that_are_the_board_only_together(machine):
    chip = "class/hwmon/hwmon1"
    for channel, rail in enumerate(("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), 1):
        machine.write(f"{chip}/in{channel}_label", rail)
        machine.write(f"{chip}/in{channel}_input", 5000)
        machine.write(f"{chip}/curr{channel}_input", 1000 * channel)
    total = total_power(list(read(machine).values()))
    assert total.value == pytest.approx(30.0)
    assert total.source.count(" + ") == 2


def test_gpu_of_a_jetson(machine):
    machine.add_devfreq()
    found = read(machine)
    assert found["clock/17000000.gpu"].value == 306e6
    assert (found["gpu/17000000.gpu"].value, found["gpu/17000000.gpu"].unit) == (pytest.approx(41.5), "%")
    machine.write(f"{GPU}/cur_freq", 0)
    assert read(machine)["clock/17000000.gpu"].good, "a GPU that sleeps"


def test_fan_that_stands_is_no_fault(machine):
    machine.write("class/hwmon/hwmon3/name", "pwmfan")
    machine.write("class/hwmon/hwmon3/fan1_input", 0)
    fan = read(machine)["fan/pwmfan/fan1"]
    assert (fan.value, fan.unit) == (0.0, "rpm")


@pytest.mark.parametrize(
    ("files", "power_w"),
    [
        ({"power_now": 7_500_000}, 7.5),
        ({"voltage_now": 12_000_000, "current_now": 1_000_000}, 12.0),
        ({"voltage_now": 12_000_000, "current_now": -1_000_000}, 12.0),
        ({"power_now": 7_500_000, "status": "Charging"}, -7.5),
        ({"power_now": 7_500_000, "status": "Full"}, 0.0),
    ],
)
def test_battery_of_the_kernel(machine, files, power_w):
    machine.add_battery(**files)
    machine.write("class/power_supply/AC/type", "Mains")
    found = read(machine)
    assert (found["battery/BAT0"].value, found["battery/BAT0"].unit) == (64.0, "%")
    assert found["power/battery/BAT0"].value == pytest.approx(power_w)
    assert not any("AC" in name for name in found)
    machine.write("class/power_supply/BAT0/capacity", 255)
    machine.write("class/power_supply/BAT0/status", "")
    found = read(machine)
    assert "255 % is not possible" in found["battery/BAT0"].reason
    assert "is empty" in found["power/battery/BAT0"].reason


FAULTS = {
    "vanishes": (lambda machine, path: machine.remove(path), ("no such file",)),
    "is a pipe": (lambda machine, path: machine.pipe(path), ("not a regular file",)),
    "fails": (lambda machine, path: machine.input_output_error(path), ("input/output error",)),
    "is empty": (lambda machine, path: machine.write(path, ""), ("is empty",)),
    "is garbage": (lambda machine, path: machine.write(path, "\x1b[31m#!"), ("is not a number",)),
    "is negative": (lambda machine, path: machine.write(path, -(10**12)), ("not possible", "negative")),
    "is too much": (lambda machine, path: machine.write(path, 10**17), ("not possible", "went from")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_sensor_lives_through_every_fault_of_its_file(machine, fault):
    """At each file in turn: its readings say why, all others stay good, and the fault passes."""
    machine.add_devfreq()
    machine.add_battery(power_now=7_500_000)
    machine.write("class/hwmon/hwmon2/name", "nvme")
    machine.write("class/hwmon/hwmon2/temp1_input", 38850)
    machine.write("class/hwmon/hwmon3/name", "pwmfan")
    machine.write("class/hwmon/hwmon3/fan1_input", 900)
    sensors = sysfs_sensors(machine.sys)
    inflict, reasons = FAULTS[fault]
    now_s = 0.0
    read(machine, now_s, sensors)
    sources = {
        path: name
        for name, reading in read(machine, 0.1, sensors).items()
        for path in reading.source.split(" x ")
    }
    assert len(sources) == 12
    for path in sources:
        file = path.removeprefix(f"{machine.sys}/")
        before = machine.text(file)
        inflict(machine, file)
        now_s += 1.0
        found = read(machine, now_s, sensors)
        bad = {name: reading for name, reading in found.items() if not reading.good}
        assert bad, file
        for name, reading in bad.items():
            assert path in reading.source, (name, file)
            assert any(reason in reading.reason for reason in reasons), reading
        if (machine.sys / file).is_file() or (machine.sys / file).is_fifo():
            machine.remove(file)
        machine.write(file, before)
        for _ in range(2):  # a counter wants two readings again
            now_s += 1.0
            found = read(machine, now_s, sensors)
        assert all(reading.good for reading in found.values()), file


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
