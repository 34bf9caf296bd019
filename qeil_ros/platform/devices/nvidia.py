"""NVIDIA GPUs: those that the driver's library (NVML) lists, and what onnxruntime can run on them.

API: NVIDIA's NVML reference, "Device Queries". The GPU of a Jetson has no NVML worth the name: it counts as
here when onnxruntime can start on it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from .found import Absent, Found, Told
from .product import ONNXRUNTIME, why_not

__all__ = ["cuda_gpus"]

_RUNTIMES = {
    "CUDA": f"{ONNXRUNTIME}:cuda",
    "TensorRT": f"{ONNXRUNTIME}:tensorrt",
}
# Bytes a second of one lane, each way, by generation of PCI Express.
_LANE_BYTES_S = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}


def cuda_gpus(board: str = "", memory: Told | None = None) -> tuple[list[Found], list[Absent]]:
    """NVIDIA GPUs, and what of them is not here.

    Args:
        board: what the machine is, where it tells. memory: its own, which a GPU on the board shares.
    """
    reasons = {name: why_not(runtime) for name, runtime in _RUNTIMES.items()}
    absent = [Absent(f"{name} ({ONNXRUNTIME})", reason) for name, reason in reasons.items() if reason]
    runtimes = tuple(_RUNTIMES[name] for name, reason in reasons.items() if not reason)
    gpus, reason = _by_nvml(runtimes)
    if reason:
        absent.append(Absent("CUDA (driver's library)", reason))
    if not gpus and runtimes:
        gpus = [
            Found(
                "gpu",
                "gpu",
                f"NVIDIA GPU of {board}" if board else "NVIDIA GPU",
                runtimes,
                memory_bytes=memory,
                shares_memory=True,
            )
        ]
    return gpus, absent


def _by_nvml(runtimes: tuple[str, ...]) -> tuple[list[Found], str]:
    """The GPUs, or why there are none."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return [], "the package nvidia-ml-py is not installed (pip install 'qeil-ros[gpu]')"
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        # Sessions of onnxruntime are made for the first one.
        found = [_gpu(nvml, handle, runtimes if not index else ()) for index, handle in enumerate(handles)]
    except nvml.NVMLError as error:
        return [], str(error).lower()
    return found, "" if found else "the driver is here and lists no GPU"


def _gpu(nvml: Any, handle: Any, runtimes: tuple[str, ...]) -> Found:
    def ask(query: Callable[[], float]) -> float:
        """0 where this GPU does not tell it."""
        try:
            return float(query())
        except nvml.NVMLError:
            return 0.0

    name = nvml.nvmlDeviceGetName(handle)
    cores = ask(lambda: nvml.nvmlDeviceGetNumGpuCores(handle))
    clock_hz = 1e6 * ask(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM))
    memory_hz = 1e6 * ask(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))
    width_bits = ask(lambda: nvml.nvmlDeviceGetMemoryBusWidth(handle))
    size = ask(lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total)
    limit_w = 1e-3 * ask(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    lanes = ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle))
    generation = int(ask(lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)))
    lane = _LANE_BYTES_S.get(generation, 0.0)
    return Found(
        "gpu",
        "gpu",
        name.decode("utf-8", "replace") if isinstance(name, bytes) else name,
        runtimes,
        cores=_told(cores),
        clock_hz=_told(clock_hz, "NVML: highest"),
        flops_s={"fp32": Told(2 * cores * clock_hz, "2 f n, matrix units not counted", derived=True)}
        if cores and clock_hz
        else {},
        bandwidth_bytes_s=_told(
            2 * memory_hz * width_bits / 8,
            f"{width_bits:g} bits at 2 x {memory_hz / 1e6:g} MHz (NVML)",
            derived=True,
        ),
        memory_bytes=_told(size),
        power_w=_told(limit_w, "NVML: the limit in force"),
        wire_bytes_s=_told(lanes * lane, f"PCI Express {generation}, {lanes:g} lanes (NVML)", derived=True),
    )


def _told(value: float, source: str = "NVML", derived: bool = False) -> Told | None:
    return Told(value, source, derived) if value > 0 else None
