"""Every device of this machine that a network could run on. Slow things are imported when they are asked."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .found import Absent, Found, Told
from .intel import openvino_devices
from .nvidia import cuda_gpus
from .processor import Processor, processor
from .product import ONNXRUNTIME, OPENVINO, Precision, why_not

__all__ = ["Machine", "cpu", "search"]

_CPU, _QNN = f"{ONNXRUNTIME}:cpu", f"{ONNXRUNTIME}:qnn"
_NAMES = {_CPU: f"CPU ({ONNXRUNTIME})", _QNN: f"NPU of Qualcomm ({ONNXRUNTIME})"}
_INT8_TIMES_FP32 = {"AVX-VNNI": 4, "AVX-512 VNNI": 4, "NEON dot product": 4, "NEON I8MM": 8}


@dataclass(frozen=True)
class Machine:
    """What is here: the processor, all devices (it is the first), and what is not here."""

    processor: Processor
    devices: tuple[Found, ...]
    absent: tuple[Absent, ...]


def search(
    sysfs_root: Path | str = "/sys", procfs_root: Path | str = "/proc", dev_root: Path | str = "/dev"
) -> Machine:
    """All devices of this machine. Never fails: what cannot be asked is absent with the reason.

    Args:
        sysfs_root, procfs_root, dev_root: where to look instead of in /sys, /proc and /dev.
    """
    found = processor(sysfs_root, procfs_root)
    memory = Told(found.memory_bytes, "/proc/meminfo") if found.memory_bytes else None
    nvidia, absent = cuda_gpus(found.product, memory)
    intel, missing, openvino = openvino_devices(dev_root, memory)
    absent += missing
    reasons = {runtime: why_not(runtime) for runtime in (_CPU, _QNN)}
    absent += [Absent(_NAMES[runtime], reason) for runtime, reason in reasons.items() if reason]
    qualcomm = Found("npu", "npu", "Qualcomm Hexagon", (_QNN,), memory_bytes=memory, shares_memory=True)
    runtimes = (_CPU,) * (not reasons[_CPU]) + (f"{OPENVINO}:CPU",) * openvino
    devices = [cpu(found, runtimes), *nvidia, *intel, *((qualcomm,) if not reasons[_QNN] else ())]
    return Machine(found, tuple(_named(devices)), tuple(absent))


def cpu(found: Processor, runtimes: tuple[str, ...]) -> Found:
    """The processor as a device; its speeds are upper bounds from clock, cores and instructions."""
    clock_hz = sum(found.clocks_hz) / len(found.clocks_hz) if found.clocks_hz else 0.0
    peak = found.usable_cores * clock_hz * found.flops_per_cycle
    speeds: dict[Precision, Told] = {}
    if peak:
        how = f"{found.flops_per_cycle:g} FLOP x {clock_hz / 1e9:.3g} GHz x {found.usable_cores:g} cores"
        speeds["fp32"] = Told(peak, how, derived=True)
        times, by = max(
            ((times, name) for name, times in _INT8_TIMES_FP32.items() if name in found.isa),
            default=(0, ""),
        )
        if times:
            speeds["int8"] = Told(times * peak, f"{times} x fp32 ({by})", derived=True)
    limited = "" if math.isinf(found.quota) else f", {found.quota:g} granted by its control group"
    return Found(
        "cpu",
        "cpu",
        found.product,
        runtimes,
        cores=Told(found.usable_cores, f"the kernel: {found.cores} core{'s' * (found.cores > 1)}{limited}"),
        clock_hz=Told(clock_hz, found.clock_source) if clock_hz else None,
        flops_per_cycle=Told(found.flops_per_cycle, "two multiply-adds of its vectors", derived=True)
        if found.flops_per_cycle
        else None,
        flops_s=speeds,
        memory_bytes=Told(found.memory_bytes, "/proc/meminfo") if found.memory_bytes else None,
        shares_memory=True,
        cpus=found.cpus,
    )


def _named(devices: Iterable[Found]) -> Iterable[Found]:
    """No two of the same name: "gpu", "gpu1"."""
    seen: dict[str, int] = {}
    for device in devices:
        number = seen.get(device.name, 0)
        seen[device.name] = number + 1
        yield replace(device, name=f"{device.name}{number}") if number else device
