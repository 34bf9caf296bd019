from __future__ import annotations

import math

import numpy as np
import pytest

from qeil_ros.platform import Quality, Reading, load_sbc_bench, unread
from qeil_ros.platform.doubt import FOLLOWERS, Doubt

NAME = "temperature/cpu-thermal"
PERIOD_S = 0.2
# The steps of the recorded boards' thermometers [C].
BOARDS = {
    "4ax9.txt": 0.1,
    "4ebH.txt": 0.5,
    "4hOp.txt": 0.5,
    "4rLX.txt": 0.5,
    "4vgu.txt": 0.1,
    "87lq.txt": 0.1,
}


def reading(value, name=NAME, unit="C", now_s=0.0):
    return Reading(name, value, unit, "test", Quality.MEASURED, now_s)


class Machine:
    """Rounds of readings 0.2 s apart."""

    def __init__(self):
        self.doubt, self.now_s = Doubt(), 0.0

    def round(self, use, *others):
        self.now_s += PERIOD_S
        given = [reading(use, "cpu/use", "%"), *others]
        return self.doubt.check(given, self.now_s)[1:]

    def warm_up(self, name=NAME, moves=20):
        for index in range(moves):
            self.round(10.0, reading(40.0 + 0.5 * (index % 2), name))

    def hold(self, use, value, seconds, name=NAME):
        """The readings while use and value stand still."""
        return [self.round(use, reading(value, name))[0] for _ in range(round(seconds / PERIOD_S))]


def first_bad_s(readings):
    return next((index * PERIOD_S for index, one in enumerate(readings) if not one.good), None)


# --- standing still


def test_thermometer_that_stands_still_under_another_load_is_frozen():
    machine = Machine()
    machine.warm_up()
    readings = machine.hold(100.0, 40.5, 60.0)
    assert first_bad_s(readings) == pytest.approx(28.0, abs=2.0)
    assert readings[-1].reason.startswith("frozen: 40.5 C for 300 samples while the load moved")
    assert math.isnan(readings[-1].value) and readings[-1].quality == Quality.NONE
    assert readings[-1].source == "test"


def test_it_is_believed_again_when_it_moves():
    machine = Machine()
    machine.warm_up()
    assert not machine.hold(100.0, 40.5, 60.0)[-1].good
    assert machine.round(100.0, reading(55.0))[0].value == 55.0
    assert first_bad_s(machine.hold(100.0, 55.0, 60.0)) is None, "and the load must move anew"


def test_load_that_falls_counts_like_one_that_rises():
    machine = Machine()
    machine.warm_up()
    for index in range(600):
        machine.round(100.0, reading(60.0 + 0.5 * (index % 2)))
    assert first_bad_s(machine.hold(5.0, 60.5, 60.0)) == pytest.approx(28.0, abs=3.0)


def test_finer_thermometer_is_doubted_sooner_and_a_coarser_one_later():
    seen = []
    for step_c in (0.1, 0.5, 1.0):
        machine = Machine()
        for index in range(20):
            machine.round(10.0, reading(40.0 + step_c * (index % 2)))
        seen.append(first_bad_s(machine.hold(100.0, 40.0 + step_c, 180.0)))
    assert seen == [pytest.approx(9.6, abs=1), pytest.approx(27.8, abs=1), pytest.approx(81.0, abs=4)]


def test_settled_temperature_may_stand_still_for_ever():
    machine = Machine()
    machine.warm_up()
    assert first_bad_s(machine.hold(10.0, 40.5, 3600.0)) is None


def test_load_that_swings_about_its_mean_proves_nothing():
    machine = Machine()
    for index in range(5 * 600):
        value_c = 40.0 + 0.5 * (index % 2) if index < 300 else 40.5
        assert machine.round(10.0 + 80.0 * (index % 2), reading(value_c))[0].good


def test_what_never_moved_is_constant_by_nature():
    machine = Machine()
    for use in (5.0, 100.0, 5.0, 100.0):
        assert first_bad_s(machine.hold(use, 100.0, 120.0, "temperature/cpu-die")) is None


def test_slow_thermometer_sets_its_own_measure():
    """One that comes half a minute after the load may do so again."""
    lasting = []
    for late_s in (1.0, 26.0):
        machine = Machine()
        machine.warm_up()
        for use in (100.0, 10.0):
            assert first_bad_s(machine.hold(use, 40.5, late_s)) is None
            for index in range(900):  # then it is settled, but for its noise
                assert machine.round(use, reading(50.0 + 0.5 * (index % 2)))[0].good
        lasting.append(first_bad_s(machine.hold(100.0, 40.5, 180.0)))
    assert lasting == [pytest.approx(28.0, abs=2.0), pytest.approx(76.0, abs=5.0)]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("fan/pwmfan/fan1", "rpm"),
        ("battery/BAT0", "%"),
        ("clock/policy0", "Hz"),
        ("temperature/nvme/Composite", "C"),
        ("temperature/gpu-thermal", "C"),
        ("temperature/PMIC-Die", "C"),
        ("temperature/acpitz", "C"),
        ("power/gpu0", "W"),
        ("memory/used", "%"),
    ],
)
def test_what_does_not_follow_the_processor_is_not_watched(name, unit):
    machine = Machine()
    machine.warm_up(name)
    for _ in range(600):
        assert machine.round(100.0, reading(40.5, name, unit))[0].good


@pytest.mark.parametrize(
    "name",
    [
        "temperature/cpu-thermal",
        "temperature/CPU-therm",
        "temperature/soc2-thermal",
        "temperature/x86_pkg_temp",
        "temperature/coretemp/Package_id_0",
        "temperature/k10temp/Tctl",
        "temperature/tj-thermal",
        "power/package-0",
        "power/ina3221/VDD_IN",
        "power/ina3221x/POM_5V_CPU",
    ],
)
def test_names_that_follow_the_processor(name):
    assert FOLLOWERS.match(name)


def test_without_processor_use_nothing_is_frozen():
    doubt = Doubt()
    for index in range(1000):
        assert doubt.check([reading(40.0 + (index < 20) * (index % 2))], index * PERIOD_S)[0].good


def test_pause_of_the_whole_machine_is_no_evidence():
    machine = Machine()
    machine.warm_up()
    machine.now_s += 3600.0
    assert machine.round(100.0, reading(40.5))[0].good


def test_unread_readings_pass_as_they_are():
    machine = Machine()
    bad = unread(NAME, "C", "test", 0.0, "is empty")
    machine.warm_up()
    assert machine.round(50.0, bad) == [bad]


# --- on recorded boards


def recorded(data_dir, file, quantum_c, phase=0.0):
    """Times, processor use and temperature at 5 Hz, rounded to the steps of a thermometer."""
    trace = load_sbc_bench(data_dir / "traces/sbc_bench" / file)
    times_s = np.arange(0.0, trace.duration_s, PERIOD_S)
    rows = np.searchsorted(trace.time_s, times_s, "right") - 1
    true_c = np.interp(times_s, trace.time_s, trace.columns["temperature/cpu"])
    given_c = np.round(true_c / quantum_c + phase) * quantum_c
    return times_s.tolist(), trace.columns["cpu/use"][rows].tolist(), given_c.tolist()


def bad_samples(times_s, use, celsius):
    doubt = Doubt()
    rounds = (
        doubt.check([reading(percent, "cpu/use", "%"), reading(value_c)], time_s)
        for time_s, percent, value_c in zip(times_s, use, celsius, strict=True)
    )
    return [index for index, found in enumerate(rounds) if not found[1].good]


@pytest.mark.parametrize("file", BOARDS)
def test_no_false_alarm_on_recorded_boards(data_dir, file):
    """6,500 s of six boards; with their own thermometers, and with coarser ones, which stand still longer."""
    for quantum_c in (0.1, 0.5, 1.0):
        if quantum_c >= BOARDS[file]:
            for phase in (0.0, 0.5):
                assert not bad_samples(*recorded(data_dir, file, quantum_c, phase)), (quantum_c, phase)


@pytest.mark.parametrize("file", BOARDS)
def test_thermometer_that_froze_before_the_load_came_is_noticed(data_dir, file):
    times_s, use, celsius = recorded(data_dir, file, BOARDS[file])
    came = next(index for index, percent in enumerate(use) if percent > 70)
    frozen_from = came - 100
    frozen = celsius[:frozen_from] + [celsius[frozen_from]] * (len(celsius) - frozen_from)
    noticed = bad_samples(times_s, use, frozen)
    assert noticed and 0 < times_s[noticed[0]] - times_s[came] < 60.0


# --- jumping


def test_glitch_of_one_sample_is_left_out():
    machine = Machine()
    assert machine.round(10.0, reading(45.0))[0].good
    (glitch,) = machine.round(10.0, reading(145.0))
    assert not glitch.good and glitch.reason == "jumped from 45 to 145 C in 0.2 s"
    assert machine.round(10.0, reading(45.5))[0].value == 45.5


def test_jump_that_the_next_sample_bears_out_is_believed():
    machine = Machine()
    machine.round(10.0, reading(45.0))
    assert not machine.round(10.0, reading(95.0))[0].good
    assert machine.round(10.0, reading(96.0))[0].value == 96.0
    assert machine.round(10.0, reading(97.0))[0].good


def test_temperature_that_flies_about_is_never_believed():
    machine = Machine()
    machine.round(10.0, reading(45.0))
    for value_c in (145.0, -20.0, 190.0, 90.0, 1.0):
        assert not machine.round(10.0, reading(value_c))[0].good


def test_after_a_pause_any_temperature_is_believed():
    machine = Machine()
    machine.round(10.0, reading(20.0))
    machine.now_s += 5.0
    assert machine.round(10.0, reading(80.0))[0].good


def test_steep_but_real_rise_is_believed():
    machine = Machine()
    for value_c in (40.0, 75.0, 95.0):
        assert machine.round(10.0, reading(value_c))[0].good
