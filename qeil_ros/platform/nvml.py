"""NVIDIA GPUs by their driver's library (NVML), through the package nvidia-ml-py; without it, no sensors.

API: NVIDIA's NVML reference, "Device Queries". An integrated GPU of a Jetson has no or little NVML: its
readings come from sysfs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .readings import Reading, SensorError, TripPoints, measure

__all__ = ["NvmlGpu", "nvml_gpus"]


class NvmlGpu:
    """One GPU: temperature, power, energy since the driver was loaded, use, memory in use, clock.

    A quantity that this GPU does not have is left out when it is opened; one that fails later says why.

    Args:
        nvml: the module pynvml, initialised.
        index: of the GPU.
    """

    def __init__(self, nvml: Any, index: int) -> None:
        self._error = nvml.NVMLError
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self.source = f"nvml GPU {index} ({_text(nvml.nvmlDeviceGetName(handle))})"
        gpu = f"gpu{index}"
        queries: dict[str, Callable[[], float]] = {
            f"temperature/{gpu}": lambda: float(
                nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
            ),
            f"power/{gpu}": lambda: nvml.nvmlDeviceGetPowerUsage(handle) * 1e-3,
            f"energy/{gpu}": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) * 1e-3,
            f"gpu/{gpu}": lambda: float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu),
            f"memory/{gpu}": lambda: _used(nvml.nvmlDeviceGetMemoryInfo(handle)),
            f"clock/{gpu}": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM) * 1e6,
        }
        unsupported = nvml.NVMLError_NotSupported
        self._queries = {name: query for name, query in queries.items() if self._has(query, unsupported)}
        self.trips: Mapping[str, TripPoints] = {}
        if f"temperature/{gpu}" in self._queries:
            slow_c = self._threshold(nvml, handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN)
            off_c = self._threshold(nvml, handle, nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN)
            self.trips = {f"temperature/{gpu}": TripPoints(passive_c=slow_c, critical_c=off_c)}

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._queries)

    def read(self, now_s: float) -> Sequence[Reading]:
        return [measure(name, self.source, now_s, partial(self._ask, name)) for name in self._queries]

    def _ask(self, name: str) -> float:
        try:
            return self._queries[name]()
        except self._error as error:
            raise SensorError(str(error).lower()) from error

    def _has(self, query: Callable[[], float], unsupported: type[Exception]) -> bool:
        try:
            query()
        except unsupported:
            return False
        except (self._error, SensorError):
            return True  # it has it, and does not give it at present
        return True

    def _threshold(self, nvml: Any, handle: Any, kind: int) -> float:
        try:
            return float(nvml.nvmlDeviceGetTemperatureThreshold(handle, kind))
        except self._error:
            return float("nan")  # not all GPUs say


def nvml_gpus() -> list[NvmlGpu]:
    """All GPUs of this machine.

    Raises:
        SensorError: the package or the driver is missing; the message says which.
    """
    try:
        import pynvml
    except ModuleNotFoundError:
        raise SensorError("the package nvidia-ml-py is not installed (pip install 'qeil-ros[gpu]')") from None
    try:
        pynvml.nvmlInit()
        return [NvmlGpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        raise SensorError(f"the driver's library: {str(error).lower()}") from error


def _used(memory: Any) -> float:
    if not memory.total > 0:
        raise SensorError(f"memory of {memory.total} bytes")
    return 100.0 * float(memory.used) / float(memory.total)


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
