from __future__ import annotations

import math

import pytest

from qeil_ros.planning.placement.problem import Device
from qeil_ros.safety.health import DeviceState, Health, HealthConfig, degraded_bound_s
from qeil_ros.safety.placement import Condition


def test_a_piece_of_work_that_does_not_come_back_is_a_fault_within_100_ms():
    health = Health(["npu", "cpu"])
    health.began("npu", 0.030, now_s=10.0)
    assert health.next_s() == pytest.approx(10.130)
    assert health.overdue(10.129) == []
    assert health.overdue(10.131) == ["npu"] and health.overdue(10.2) == []
    assert health.state("npu", 10.2) is DeviceState.FAULTY and health.faults("npu") == 1
    assert health.state("cpu", 10.2) is DeviceState.HEALTHY
    assert "no result 101 ms after it was expected" in str(health.log.entries[0])


def test_a_result_in_time_is_none():
    health = Health(["npu"])
    health.began("npu", 0.030, 10.0)
    health.ended("npu")
    assert health.next_s() == math.inf and health.overdue(99.0) == []


def test_it_comes_back_at_half_and_then_by_a_ramp():
    health = Health(["gpu"], HealthConfig(quarantine_s=1.0, recovery_stage_s=1.0, recovery_ramp_s=4.0))
    health.fault("gpu", "died", 10.0)
    assert health.share("gpu", 10.5) == 0.0 and health.conditions(10.5)["gpu"].fault == "died"
    assert not health.back("gpu", 10.9) and health.back("gpu", 11.0)
    shares = [health.share("gpu", 11.0 + passed_s) for passed_s in (0.0, 0.9, 3.0, 5.0)]
    assert shares == [0.5, 0.5, 0.75, 1.0]
    assert health.conditions(11.0)["gpu"] == Condition(share=0.5)
    assert health.state("gpu", 11.0) is DeviceState.RECOVERING
    assert health.state("gpu", 16.0) is DeviceState.HEALTHY
    assert not health.back("gpu", 20.0), "it is not out"


def test_one_that_fails_again_and_again_stays_out_longer():
    health = Health(["gpu"], HealthConfig(quarantine_s=1.0, longest_s=4.0, forget_s=60.0))
    now_s, stays = 0.0, []
    for _ in range(4):
        health.fault("gpu", "died", now_s)
        began_s = now_s
        while not health.back("gpu", now_s):
            now_s += 0.5
        stays.append(now_s - began_s)
    assert stays == [1.0, 2.0, 4.0, 4.0]
    health.fault("gpu", "died", now_s + 61.0)
    assert health.may_return("gpu", now_s + 62.0), "what lies long back is forgotten"


def test_what_a_device_that_is_out_says_is_no_new_fault():
    health = Health(["gpu"])
    health.fault("gpu", "died", 0.0)
    health.fault("gpu", "still dead", 0.5)
    assert health.faults("gpu") == 1 and health.may_return("gpu", 1.0)


def test_measurements_and_faults_make_one_condition():
    health = Health(["gpu"])
    health.observe("gpu", Condition(temperature_c=60.0, free_bytes=5.0))
    health.fault("gpu", "died", 0.0)
    condition = health.conditions(0.0)["gpu"]
    assert (condition.fault, condition.temperature_c, condition.free_bytes) == ("died", 60.0, 5.0)


def test_figures_that_make_no_sense():
    for wrong in ({"overdue_s": 0.0}, {"quarantine_s": 9.0, "longest_s": 1.0}, {"recovery_share": 0.0}):
        with pytest.raises(ValueError):
            HealthConfig(**wrong)


def test_the_bound_with_devices_out():
    devices = [Device(name, 1.0, 1.0, 1.0) for name in "abcd"]
    assert degraded_bound_s(0.3, devices, "abcd") == pytest.approx(0.3)
    assert degraded_bound_s(0.3, devices, "abc") == pytest.approx(0.4)
    assert degraded_bound_s(0.3, devices, "") == math.inf
