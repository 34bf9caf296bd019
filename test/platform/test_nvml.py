from __future__ import annotations

import math
import sys
from types import ModuleType, SimpleNamespace

import pytest

from qeil_ros.platform import Quality, SensorError, survey, trip_points
from qeil_ros.platform.nvml import nvml_gpus


class FakeNvml(ModuleType):
    """As much of pynvml as is used; its names and units are NVIDIA's."""

    NVML_TEMPERATURE_GPU = 0
    NVML_TEMPERATURE_THRESHOLD_SHUTDOWN, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN = 0, 1
    NVML_CLOCK_SM = 1

    class NVMLError(Exception):
        pass

    class NVMLError_NotSupported(NVMLError):
        pass

    def __init__(self):
        super().__init__("pynvml")
        self.celsius, self.broken, self.absent = 61, set(), set()

    def _give(self, what, value):
        if what in self.absent:
            raise self.NVMLError_NotSupported("Not Supported")
        if what in self.broken:
            raise self.NVMLError("GPU is lost")
        return value

    def nvmlInit(self):
        self._give("driver", None)

    def nvmlDeviceGetCount(self):
        return 1

    def nvmlDeviceGetHandleByIndex(self, index):
        return index

    def nvmlDeviceGetName(self, handle):
        return b"NVIDIA T400"

    def nvmlDeviceGetTemperature(self, handle, kind):
        return self._give("temperature", self.celsius)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._give("power", 21500)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._give("energy", 5000)

    def nvmlDeviceGetUtilizationRates(self, handle):
        return self._give("use", SimpleNamespace(gpu=37, memory=12))

    def nvmlDeviceGetMemoryInfo(self, handle):
        return self._give("memory", SimpleNamespace(total=4000, used=1000))

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self._give("clock", 1425)

    def nvmlDeviceGetTemperatureThreshold(self, handle, kind):
        return self._give(f"threshold{kind}", {0: 103, 1: 98}[kind])


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def read(gpu, now_s=0.0):
    return {reading.name: reading for reading in gpu.read(now_s)}


def test_all_that_a_gpu_tells(nvml):
    (gpu,) = nvml_gpus()
    found = read(gpu, 3.0)
    assert {name: (reading.value, reading.unit) for name, reading in found.items()} == {
        "temperature/gpu0": (61.0, "C"),
        "power/gpu0": (21.5, "W"),
        "energy/gpu0": (5.0, "J"),
        "gpu/gpu0": (37.0, "%"),
        "memory/gpu0": (25.0, "%"),
        "clock/gpu0": (1.425e9, "Hz"),
    }
    assert {reading.source for reading in found.values()} == {"nvml GPU 0 (NVIDIA T400)"}
    assert {(reading.quality, reading.time_s) for reading in found.values()} == {(Quality.MEASURED, 3.0)}
    trips = trip_points([gpu])["temperature/gpu0"]
    assert (trips.passive_c, trips.critical_c) == (98.0, 103.0)


def test_what_this_gpu_does_not_have_is_left_out(nvml):
    nvml.absent |= {"power", "energy", "threshold0"}
    (gpu,) = nvml_gpus()
    assert list(gpu.names) == ["temperature/gpu0", "gpu/gpu0", "memory/gpu0", "clock/gpu0"]
    assert math.isnan(gpu.trips["temperature/gpu0"].critical_c)


def test_gpu_that_falls_off_the_bus_says_so_and_may_come_back(nvml):
    (gpu,) = nvml_gpus()
    nvml.broken |= {"temperature", "power"}
    found = read(gpu)
    assert found["temperature/gpu0"].reason == "gpu is lost"
    assert found["gpu/gpu0"].good
    nvml.broken.clear()
    assert read(gpu)["temperature/gpu0"].value == 61.0


def test_missing_driver_is_a_reason(nvml):
    nvml.broken.add("driver")
    with pytest.raises(SensorError, match="the driver's library: gpu is lost"):
        nvml_gpus()
    (source,) = survey(include=["nvml"])
    assert not source.sensors and "driver" in source.problem


def test_missing_package_is_a_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(SensorError, match="nvidia-ml-py is not installed"):
        nvml_gpus()
