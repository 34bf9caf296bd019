from __future__ import annotations

import sys
from types import ModuleType

import pytest

from qeil_ros.platform import Quality, SensorError, total_power
from qeil_ros.platform.jetson import JetsonStats


class FakeJtop:
    """As much of jtop.jtop (4.2) as is used, with an Orin Nano's figures."""

    refusal = None

    def __init__(self, interval):
        self.interval, self.observers, self.closed = interval, [], False
        self.temperature = {
            "cpu": {"temp": 47.5, "online": True},
            "cv0": {"temp": -256.0, "online": False},
        }
        self.power = {
            "rail": {"VDD_CPU_GPU_CV": {"power": 1200, "volt": 5000}},
            "tot": {"name": "VDD_IN", "power": 5400, "avg": 5300},
        }
        self.gpu = {"ga10b": {"type": "integrated", "status": {"load": 62.5}}}

    def start(self):
        if self.refusal is not None:
            raise self.refusal

    def attach(self, observer):
        self.observers.append(observer)

    def close(self):
        self.closed = True

    def tell(self):
        for observer in self.observers:
            observer(self)


class JtopException(Exception):
    pass


@pytest.fixture
def package(monkeypatch):
    module = ModuleType("jtop")
    module.JtopException = JtopException

    class Jtop(FakeJtop):
        pass

    module.jtop = Jtop
    monkeypatch.setitem(sys.modules, "jtop", module)
    return module


def read(sensor, now_s=0.0):
    return {reading.name: reading for reading in sensor.read(now_s)}


def test_all_that_the_service_tells(package):
    found = read(JetsonStats())
    assert {name: (reading.value, reading.unit) for name, reading in found.items()} == {
        "temperature/cpu": (47.5, "C"),
        "power/jetson/VDD_CPU_GPU_CV": (1.2, "W"),
        "power/jetson/total": (5.4, "W"),
        "gpu/ga10b": (62.5, "%"),
    }
    assert {(reading.source, reading.quality) for reading in found.values()} == {
        ("jetson-stats", Quality.MEASURED)
    }
    assert total_power(list(found.values())).value == 5.4, "the total, not the rails once more"


def test_what_others_give_already_is_left_out(package):
    assert JetsonStats(without={"temperature", "power"}).names == ("gpu/ga10b",)


def test_silent_service_is_not_believed(package):
    now_s = 0.0
    sensor = JetsonStats(clock=lambda: now_s)
    now_s = 2.0
    assert read(sensor)["temperature/cpu"].good
    now_s = 3.0
    assert "silent for 3 s" in read(sensor)["temperature/cpu"].reason
    sensor._jtop.tell()
    assert read(sensor)["temperature/cpu"].good


def test_reading_that_goes_keeps_its_name(package):
    sensor = JetsonStats()
    sensor._jtop.temperature["cpu"]["online"] = False
    found = read(sensor)
    assert found["temperature/cpu"].reason == "is not told any more"
    assert found["gpu/ga10b"].good


def test_service_that_does_not_run_is_a_reason(package):
    package.jtop.refusal = JtopException("The jtop.service is not active.\nPlease run: systemctl ...")
    with pytest.raises(SensorError, match=r"its service: The jtop.service is not active. Please run"):
        JetsonStats()


def test_missing_package_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "jtop", None)
    with pytest.raises(SensorError, match="jetson-stats is not installed"):
        JetsonStats()


def test_closing_leaves_the_service(package):
    sensor = JetsonStats()
    sensor.close()
    assert sensor._jtop.closed
