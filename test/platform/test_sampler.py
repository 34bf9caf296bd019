from __future__ import annotations

import math
import threading
import time

import pytest
from fake_machine import FakeMachine
from support import wait_until

from qeil_ros.platform import PowerModel, Quality, Reading, Sampler, procfs_sensors, sysfs_sensors, unit_of


class Fixed:
    def __init__(self, name, value=1.0):
        self.names, self.value = (name,), value

    def read(self, now_s):
        unit = unit_of(self.names[0])
        return (Reading(self.names[0], self.value, unit, "test", Quality.MEASURED, now_s),)


class Blocking(Fixed):
    """A driver that hangs until it is let go."""

    def __init__(self, name):
        super().__init__(name)
        self.go = threading.Event()
        self.go.set()
        self.reads = 0

    def read(self, now_s):
        self.reads += 1
        assert self.go.wait(60)
        return super().read(now_s)


class Faulty(Fixed):
    def read(self, now_s):
        raise RuntimeError("a bug")


def values(sample):
    return {reading.name: reading.value for reading in sample.readings}


@pytest.fixture
def sampler():
    made = []

    def make(*sensors, **options):
        made.append(Sampler(sensors, **{"timeout_s": 5.0, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_all_sensors_of_a_machine_in_one_sample(tmp_path, sampler):
    machine = FakeMachine(tmp_path)
    both = sampler(
        *sysfs_sensors(machine.sys), *procfs_sensors(machine.proc), power_model=PowerModel(3.0, 2.0)
    )
    first = both.sample()
    machine.ticks(busy=1100, idle=9000)
    second = both.sample()
    names = [reading.name for reading in first.readings]
    assert names == [reading.name for reading in second.readings], "always at the same place"
    fresh = {reading.name for reading in second.readings if reading.time_s == second.time_s}
    assert {"cpu/use", "temperature/cpu-thermal", "power/model"} <= fresh
    assert {reading.name for reading in second.readings} - fresh == {
        reading.name for reading in second.readings if reading.time_s == first.time_s
    }
    assert second.time_s > first.time_s
    assert values(second)["temperature/cpu-thermal"] == 45.0
    assert values(second)["power/model"] > 3.0


def test_sensor_that_blocks_costs_one_round_and_comes_back(sampler):
    blocking, fixed = Blocking("temperature/slow"), Fixed("temperature/good", 40.0)
    both = sampler(blocking, fixed)
    assert values(both.sample()) == {"temperature/slow": 1.0, "temperature/good": 40.0}
    blocking.go.clear()
    both.timeout_s = 0.05
    sample = both.sample()
    assert all(math.isnan(value) for value in values(sample).values()), "the round was cut short"
    assert sample.stuck == ("temperature/slow",)
    assert sample.readings[0].reason == "does not answer" and sample.readings[0].unit == "C"
    both.timeout_s = 5.0
    for _ in range(3):
        sample = both.sample()
        assert math.isnan(values(sample)["temperature/slow"])
        assert values(sample)["temperature/good"] == 40.0, "the others go on"
    reads = blocking.reads
    assert reads == 2, "nobody else walks into the trap"
    blocking.go.set()
    wait_until(lambda: not both.sample().stuck, what="the sensor's return")
    assert values(both.sample()) == {"temperature/slow": 1.0, "temperature/good": 40.0}


def test_what_changes_slowly_is_read_seldom(sampler):
    class Slow(Fixed):
        every_s = 1.0

    now = [100.0]
    both = sampler(Slow("memory/used"), Fixed("cpu/use"), clock=lambda: now[0])
    times = []
    for tick in range(12):
        now[0] = 100.0 + 0.2 * tick + (0.001 if tick % 2 else 0.0)  # no timer is exact
        sample = both.sample()
        assert [reading.name for reading in sample.readings] == ["memory/used", "cpu/use"]
        assert sample.readings[1].time_s == now[0]
        times.append(sample.readings[0].time_s)
    assert [round(time_s, 2) for time_s in sorted(set(times))] == [100.0, 101.0, 102.0]


def test_no_more_threads_than_blocked_sensors(sampler):
    def readers():
        return sum(thread.name == "sensor-reader" for thread in threading.enumerate())

    wait_until(lambda: readers() == 0, what="the end of other tests' threads")
    blocking = [Blocking(f"temperature/{index}") for index in range(3)]
    both = sampler(*blocking, Fixed("temperature/good"), timeout_s=0.05)
    for sensor in blocking:
        sensor.go.clear()
    for _ in range(12):
        both.sample()
    both.timeout_s = 5.0
    assert len(both.sample().stuck) == 3
    assert readers() == 4
    for sensor in blocking:
        sensor.go.set()
    wait_until(lambda: not both.sample().stuck, what="the sensors' return")
    wait_until(lambda: readers() == 1, what="the end of the spare threads")


def test_bug_in_one_sensor_is_its_own(sampler):
    both = sampler(Faulty("power/broken"), Fixed("power/good"))
    broken, good = both.sample().readings
    assert "a bug" in broken.reason and broken.unit == "W"
    assert good.value == 1.0


class Closing(Fixed):
    closed = 0

    def close(self):
        self.closed += 1


def test_closed_sampler_refuses_and_closes_its_sensors(sampler):
    sensor = Closing("x")
    both = sampler(sensor, Fixed("y"))
    both.sample()
    both.close()
    both.close()
    assert sensor.closed == 1
    with pytest.raises(RuntimeError, match="closed"):
        both.sample()


def test_sensor_that_blocks_is_not_closed_under_its_reader(sampler):
    class Stuck(Blocking, Closing):
        pass

    stuck = Stuck("temperature/slow")
    both = sampler(stuck, timeout_s=0.05)
    stuck.go.clear()
    assert both.sample().stuck
    both.close()
    assert not stuck.closed
    stuck.go.set()


def test_frozen_thermometer_is_unread_in_the_sample(sampler):
    now_s = 0.0
    use, thermometer = Fixed("cpu/use", 10.0), Fixed("temperature/cpu-thermal", 40.0)
    both = sampler(use, thermometer, clock=lambda: now_s)
    for index in range(20):
        now_s, thermometer.value = 0.2 * index, 40.0 + 0.1 * (index % 2)
        assert both.sample().readings[1].good
    use.value = 100.0
    for _ in range(100):
        now_s += 0.2
        sample = both.sample()
    assert "frozen" in sample.readings[1].reason
    thermometer.value = 60.0
    assert both.sample().readings[1].value == 60.0


def test_glitch_of_a_thermometer_is_unread_in_the_sample(sampler):
    thermometer = Fixed("temperature/board", 40.0)
    both = sampler(thermometer)
    both.sample()
    thermometer.value = 160.0
    assert "jumped" in both.sample().readings[0].reason


def test_sampling_is_cheap(tmp_path, sampler):
    """Five times a second below 1 % of a core is 2 ms of processor time a sample."""
    machine = FakeMachine(tmp_path)
    both = sampler(*sysfs_sensors(machine.sys), *procfs_sensors(machine.proc))
    both.sample()
    started_s = time.process_time()
    for _ in range(50):
        both.sample()
    assert (time.process_time() - started_s) / 50 < 0.002
