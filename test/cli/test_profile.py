"""`qeil profile`: what it times, what it reads of power and clocks, and the file that it writes."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from fake_machine import POLICY, FakeMachine

from qeil_ros.cli.app import main
from qeil_ros.cli.profile.power import PowerMeter, at_clock, busy_w, pick_clocks, power_of
from qeil_ros.cli.profile.timing import Effort, time_model
from qeil_ros.models.datasets import open_dataset
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.schema import ModelError
from qeil_ros.planning import device as profiles
from qeil_ros.platform import ActuatorError, PowerModel, actuators

BRIEF = Effort(rounds=1, budget_s=0.0, most=3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def machine(tmp_path) -> FakeMachine:
    return FakeMachine(tmp_path / "machine")


# --- times


def test_every_width_and_every_part_is_timed():
    folder = ModelFolder.load("tabletop")
    told: list[tuple[int, int]] = []
    times = time_model(
        folder,
        [example.pixels for example in open_dataset("tabletop", limit=3)],
        effort=BRIEF,
        progress=lambda done, total, what: told.append((done, total)),
    )
    (split,) = times.splits
    assert (times.name, times.digest) == (folder.name, folder.digest)
    assert list(split.agent_s) == [0, 8, 7, 6, 5, 4, 3, 2] and split.agent_s[0] == split.agent_s[8]
    assert list(split.encode_s) == list(range(1, 9))
    taken = [split.prepare_s, *split.agent_s.values(), *split.encode_s.values(), split.decode_s]
    assert all(0 < each < 1 for each in [*taken, split.first_s, split.local_s])
    words = [example.captions[0].split() for example in open_dataset("tabletop", limit=3)]
    assert times.tokens == pytest.approx(np.mean([len(caption) + 1 for caption in words]), rel=0.2)
    assert split.token_s > 0  # the rest of a caption takes time
    assert all(done <= total for done, total in told) and len(told) > 10


def test_a_machine_with_one_side_times_that(tiny):
    folder = ModelFolder.load(tiny)
    picture = [tiny_models.picture("red")]
    (alone,) = time_model(folder, picture, effort=BRIEF, server=False).splits
    assert alone.agent_s and alone.first_s is None and alone.local_s
    served = time_model(folder, picture, effort=BRIEF, robot=False)
    (split,) = served.splits
    assert not split.agent_s and split.first_s and split.token_s == 0 and served.tokens == 1
    with pytest.raises(ModelError, match="holds no part"):
        time_model(folder, picture, effort=BRIEF, robot=False, server=False)


# --- power


def test_power_is_the_mean_of_what_the_machine_reads(machine):
    for name in ("in1_label", "in1_input", "curr1_input"):
        machine.remove(f"class/hwmon/hwmon1/{name}")
    meter = PowerMeter(str(machine.sys), str(machine.proc))
    stop = threading.Event()

    def burn() -> None:  # 20 W
        start_s = time.monotonic()
        while not stop.wait(0.01):
            machine.energy(1_000_000 + int(20e6 * (time.monotonic() - start_s)))

    burner = threading.Thread(target=burn)
    burner.start()
    try:
        worked: list[int] = []

        def work() -> None:
            worked.append(1)
            time.sleep(0.005)

        reading = meter.mean(0.6, work)
    finally:
        stop.set()
        burner.join()
        meter.close()
    assert reading.value == pytest.approx(20.0, rel=0.4) and "package-0" in reading.source and worked
    power = power_of(reading, PowerModel(1.0, 1.0))  # what is measured goes before what is stated
    assert power.quality == "measured" and power.idle_w == pytest.approx(reading.value, rel=1e-3)


def test_without_a_sensor_power_is_as_stated_or_unknown(tmp_path):
    meter = PowerMeter(str(tmp_path), str(tmp_path))
    idle = meter.mean(0.05)
    meter.close()
    assert not idle.good
    assert power_of(idle, None).quality == "none" and "no power sensor" in power_of(idle, None).source
    stated = PowerModel(3.0, 2.0)
    assert power_of(idle, stated).quality == "modelled" and power_of(idle, stated).idle_w == 3.0
    assert busy_w(idle, idle, stated, threads=2) == 4.0 and busy_w(idle, idle, None, threads=2) == 0.0


# --- clocks


def test_low_medium_and_high_are_near_the_thirds():
    assert pick_clocks((0.6e9, 1.0e9, 1.5e9)) == {"low": 0.6e9, "medium": 1.0e9, "high": 1.5e9}
    assert pick_clocks((0.4e9, 2.4e9)) == {"low": 0.8e9, "medium": 1.6e9, "high": 2.4e9}  # any in between
    assert pick_clocks((1.5e9, 2.4e9)) == {"low": 1.5e9, "medium": 1.6e9, "high": 2.4e9}
    assert pick_clocks((1.0e9, 1.05e9, 1.1e9)) == {"medium": 1.0e9, "high": 1.1e9}
    assert pick_clocks((2.4e9,)) == {} and pick_clocks(()) == {}


def test_clocks_are_put_back_whatever_happens(machine):
    machine.add_cpufreq()
    caps = actuators(machine.sys)
    with at_clock(caps, 0.7e9):
        assert machine.number(f"{POLICY}/scaling_max_freq") == 600000
    assert machine.number(f"{POLICY}/scaling_max_freq") == 1500000
    with pytest.raises(RuntimeError), at_clock(caps, 0.7e9):
        raise RuntimeError
    assert machine.number(f"{POLICY}/scaling_max_freq") == 1500000
    with pytest.raises(ActuatorError), at_clock(caps, -1.0):
        pass


# --- the command


def test_the_command_writes_a_profile(tiny, tmp_path, machine, capsys):
    machine.add_cpufreq()
    file, figures = tmp_path / "robot.yaml", tmp_path / "robot.json"
    words = ["profile", str(tiny), "--quick", "--clocks", "--name", "rover", "--output", str(file)]
    roots = ["--sysfs-root", str(machine.sys), "--procfs-root", str(machine.proc)]
    assert main([*words, *roots, "--json", str(figures)]) == 0
    shown = capsys.readouterr().out
    assert "rover" in shown and "qeil plan" in shown and "measured" in shown
    device = profiles.read(file)
    assert [(clock.name, clock.hz) for clock in device.clocks] == [
        ("low", 6e8), ("medium", 1e9), ("high", 1.5e9),
    ]  # fmt: skip
    assert min(clock.slowdown for clock in device.clocks) == 1.0
    assert device.power.quality == "measured" and device.power.idle_w == pytest.approx(6.0)
    assert device.seconds_per_flop > 0
    assert json.loads(figures.read_text())["models"][0]["digest"] == ModelFolder.load(tiny).digest


def test_without_power_it_says_how_to_state_it(tiny, tmp_path, capsys):
    empty = tmp_path / "nothing"
    words = ["profile", str(tiny), "--quick", "--clocks", "--sysfs-root", str(empty)]
    assert main([*words, "--procfs-root", str(empty)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--idle-w and --core-w" in shown and "Clocks could not be capped: this machine shows none" in shown


def test_what_is_wrong_is_one_line(tiny, capsys):
    assert main(["profile", str(tiny), "--role", "cook"]) == 2
    assert "want robot, server or both" in capsys.readouterr().err
    assert main(["profile", "no_such_model"]) == 2
    assert "no model 'no_such_model'" in capsys.readouterr().err
