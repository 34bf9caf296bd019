from __future__ import annotations

import math
import os
import signal
import subprocess
import sys

import pytest
from fake_machine import GPU, POLICY, FakeMachine
from support import REPO, wait_until

from qeil_ros.platform import Actuator, ActuatorError, actuators

LIMIT = f"{POLICY}/scaling_max_freq"
GPU_LIMIT = f"{GPU}/max_freq"


@pytest.fixture
def machine(tmp_path):
    machine = FakeMachine(tmp_path)
    machine.add_cpufreq()
    return machine


@pytest.fixture
def cap(machine):
    (cap,) = actuators(machine.sys)
    yield cap
    cap.close()


def test_every_policy_and_device_is_found_under_the_name_of_its_clock(machine):
    machine.add_devfreq()
    found = actuators(machine.sys)
    assert [one.name for one in found] == ["clock/policy0", "clock/17000000.gpu"]
    assert found[0].clocks_hz() == (6e8, 1e9, 1.5e9)
    assert found[1].clocks_hz() == (306e6, 612e6, 918e6)
    assert [one.cap_hz() for one in found] == [1.5e9, 918e6]
    assert [one.problem for one in found] == ["", ""]


def test_machine_without_clocks_has_none(tmp_path):
    assert actuators(tmp_path) == []


@pytest.mark.parametrize(
    ("hz", "khz"),
    [(1e9, 1000000), (1.2e9, 1000000), (999999999.9999999, 1000000), (9e9, 1500000), (1.0, 600000)],
)
def test_clock_is_rounded_down_to_one_that_there_is(machine, cap, hz, khz):
    cap.set_hz(hz)
    assert machine.number(LIMIT) == khz
    assert cap.cap_hz() == khz * 1e3


def test_driver_without_a_list_takes_anything_between_its_bounds(tmp_path):
    machine = FakeMachine(tmp_path)
    machine.add_cpufreq((800000, 4200000), listed=False)
    (cap,) = actuators(machine.sys)
    assert cap.clocks_hz() == (8e8, 4.2e9)
    cap.set_hz(1.234567e9)
    assert machine.number(LIMIT) == 1234567
    cap.set_hz(1e8)
    assert machine.number(LIMIT) == 800000
    cap.close()


@pytest.mark.parametrize("hz", [0.0, -1e9, math.nan, math.inf])
def test_nonsense_is_refused_and_changes_nothing(machine, cap, hz):
    with pytest.raises(ActuatorError, match="want one above 0"):
        cap.set_hz(hz)
    assert machine.number(LIMIT) == 1500000


def test_limit_goes_up_again_but_never_above_what_it_was(machine, cap):
    machine.write(LIMIT, 1000000)  # somebody has a reason for that
    assert cap.clocks_hz() == (6e8, 1e9)
    cap.set_hz(6e8)
    cap.set_hz(1.5e9)
    assert machine.number(LIMIT) == 1000000
    cap.set_hz(6e8)
    cap.set_hz(None)
    assert machine.number(LIMIT) == 1000000


def test_boost_clock_that_is_not_listed_can_be_had_again(machine, cap):
    machine.write(f"{POLICY}/cpuinfo_max_freq", 2400000)
    machine.write(LIMIT, 2400000)
    assert cap.clocks_hz() == (6e8, 1e9, 1.5e9, 2.4e9)
    cap.set_hz(2.3e9)
    assert machine.number(LIMIT) == 1500000
    cap.set_hz(2.4e9)
    assert machine.number(LIMIT) == 2400000


def test_lower_limit_of_somebody_else_is_respected(machine, cap):
    machine.write(f"{POLICY}/scaling_min_freq", 1000000)
    assert cap.clocks_hz() == (1e9, 1.5e9)
    cap.set_hz(6e8)
    assert machine.number(LIMIT) == 1000000


def test_gpu_can_go_up_again_though_its_limit_is_all_that_it_says(machine):
    machine.add_devfreq()
    (machine.sys / GPU / "available_frequencies").unlink()
    cap = actuators(machine.sys)[1]
    cap.set_hz(4e8)
    assert machine.number(GPU_LIMIT) == 400000000
    assert cap.clocks_hz() == (306e6, 918e6)
    cap.set_hz(9e8)
    assert machine.number(GPU_LIMIT) == 900000000
    cap.close()
    assert machine.number(GPU_LIMIT) == 918000000


def test_closing_puts_the_limit_back_and_ends_the_helper(machine, cap):
    cap.set_hz(6e8)
    helper = cap._undo._helper
    assert helper.poll() is None
    cap.close()
    assert machine.number(LIMIT) == 1500000
    assert helper.returncode == 0
    cap.close()
    cap.set_hz(1e9)  # and it can be used again
    assert machine.number(LIMIT) == 1000000


def test_untouched_limit_is_left_alone(machine, cap):
    machine.write(LIMIT, 1000000)
    cap.set_hz(None)
    cap.close()
    assert machine.number(LIMIT) == 1000000
    assert cap._undo._helper is None, "and there is no helper"


def test_one_helper_for_all_clocks_of_a_machine(machine):
    machine.add_devfreq()
    first, second = actuators(machine.sys)
    first.set_hz(6e8)
    second.set_hz(4e8)
    assert first._undo is second._undo
    first.close()
    assert (machine.number(LIMIT), machine.number(GPU_LIMIT)) == (1500000, 306000000)
    second.close()
    assert machine.number(GPU_LIMIT) == 918000000


def test_lifting_goes_to_the_highest_clock_whoever_had_lowered_it(machine, cap):
    machine.write(LIMIT, 600000)
    cap.lift()
    assert machine.number(LIMIT) == 1500000
    machine.add_devfreq()
    machine.write(GPU_LIMIT, 306000000)
    gpu = actuators(machine.sys)[1]
    gpu.lift()
    assert machine.number(GPU_LIMIT) == 918000000
    (machine.sys / GPU / "available_frequencies").unlink()
    with pytest.raises(ActuatorError, match="highest clock"):
        gpu.lift()


# --- refusals


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_user_who_may_not_write_is_told(machine, cap):
    (machine.sys / LIMIT).chmod(0o444)
    assert "run as root" in cap.problem
    with pytest.raises(ActuatorError, match="run as root"):
        cap.set_hz(6e8)


def test_permission_is_what_the_kernel_says(machine, cap, monkeypatch):
    """As above, for root: the kernel's answer is what counts."""
    real = os.open

    def refuse(path, flags, *rest):
        if flags & os.O_WRONLY:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    assert "run as root" in cap.problem
    with pytest.raises(ActuatorError, match="scaling_max_freq cannot be written by this user"):
        cap.set_hz(6e8)
    assert cap._undo._helper is None


def test_limit_that_vanishes_is_a_reason(machine, cap):
    cap.set_hz(6e8)
    machine.remove(LIMIT)
    assert "no such file" in cap.problem
    with pytest.raises(ActuatorError, match="no such file"):
        cap.set_hz(1e9)
    with pytest.raises(ActuatorError, match="no such file"):
        cap.close()
    assert not (machine.sys / LIMIT).exists(), "nothing is made that was not there"


def test_driver_that_refuses_a_value_is_quoted(machine, cap, monkeypatch):
    cap.set_hz(1e9)

    def refuse(*_):
        raise OSError(22, "Invalid argument")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse)
        with pytest.raises(ActuatorError, match="does not take 600000: invalid argument"):
            cap.set_hz(6e8)
    cap.close()
    assert machine.number(LIMIT) == 1500000


def test_no_cap_without_somebody_who_could_undo_it(machine, cap, monkeypatch):
    def fail(*_, **__):
        raise FileNotFoundError(2, "No such file or directory", "/bin/sh")

    monkeypatch.setattr(subprocess, "Popen", fail)
    with pytest.raises(ActuatorError, match="nothing could undo it"):
        cap.set_hz(6e8)
    assert machine.number(LIMIT) == 1500000


def test_garbage_for_clocks_is_refused(machine, cap):
    machine.write(f"{POLICY}/scaling_available_frequencies", "fast slow")
    machine.write(f"{POLICY}/cpuinfo_max_freq", "garbage")
    machine.write(LIMIT, "-5")
    assert cap.clocks_hz() == ()
    with pytest.raises(ActuatorError, match="does not say which clocks"):
        cap.set_hz(1e9)


# --- crashes

CAPPING = """
import os, sys, time
from qeil_ros.platform import actuators
for cap in actuators(sys.argv[1]):
    cap.set_hz(1.0)
print("capped", flush=True)
while True:
    time.sleep(0.1)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_machine_is_not_left_throttled_by_a_process_that_dies(machine, how):
    machine.add_devfreq()
    process = subprocess.Popen(
        [sys.executable, "-c", CAPPING, str(machine.sys)],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"capped\n"
    assert (machine.number(LIMIT), machine.number(GPU_LIMIT)) == (600000, 306000000)
    os.killpg(process.pid, how)  # the whole group, as a terminal does
    process.wait(30)
    process.stdout.close()
    wait_until(
        lambda: (machine.text(LIMIT), machine.text(GPU_LIMIT)) == ("1500000", "918000000"),
        what="the limits' return",
    )


def test_helper_that_was_killed_is_replaced_before_the_next_file_is_touched(machine):
    machine.add_devfreq()
    first, second = actuators(machine.sys)
    first.set_hz(6e8)
    helper = first._undo._helper
    helper.kill()
    helper.wait()
    second.set_hz(4e8)
    fresh = second._undo._helper
    assert fresh is not helper
    fresh.stdin.close()  # as if this process had died
    fresh.wait(10)
    assert (machine.number(LIMIT), machine.number(GPU_LIMIT)) == (1500000, 918000000), "it knows both"
    for cap in (first, second):
        cap.close()


def test_protocol_is_what_the_clock_caps_are(machine):
    cap: Actuator
    for cap in actuators(machine.sys):
        assert cap.cap_hz() > 0
