"""GPUs and NPUs that OpenVINO runs networks on, and why one that it could is not here.

API: OpenVINO's "Query Device Properties". Speeds are DEVICE_GOPS, which the driver calculates from units and
clock; memory is the *_DEVICE_TOTAL_MEM_SIZE of a device.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from .found import Absent, Found, Told
from .product import OPENVINO, Precision

__all__ = ["openvino_devices"]

_KINDS = ("GPU", "NPU")
# The device file that a driver makes, and what to do where there is none.
_NODES = {
    "GPU": ("dri", "renderD*", "no GPU, or its kernel driver is not loaded"),
    "NPU": ("accel", "accel*", "no NPU, or its kernel driver (intel_vpu) is not loaded"),
}
_GOPS: dict[str, Precision] = {"f32": "fp32", "f16": "fp16", "i8": "int8"}
_SIZES = {"GPU": "GPU_DEVICE_TOTAL_MEM_SIZE", "NPU": "NPU_DEVICE_TOTAL_MEM_SIZE"}


def openvino_devices(
    dev_root: Path | str = "/dev", memory: Told | None = None
) -> tuple[list[Found], list[Absent], bool]:
    """GPUs and NPUs, what of them is not here, and whether OpenVINO is.

    Args:
        memory: of the machine, which devices on the board share.
    """
    try:
        openvino: Any = importlib.import_module("openvino")
    except ImportError as error:
        said = f"OpenVINO cannot be imported ({error}): pip install 'qeil-ros[openvino]'"
        return [], [Absent(f"{kind} ({OPENVINO})", said) for kind in _KINDS], False
    core = openvino.Core()
    listed = list(core.available_devices)
    found = [_device(core, name, memory) for name in listed if name.partition(".")[0] in _KINDS]
    missing = [kind for kind in _KINDS if not any(name.partition(".")[0] == kind for name in listed)]
    absent = [Absent(f"{kind} ({OPENVINO})", _why(core, kind, Path(dev_root))) for kind in missing]
    return found, absent, "CPU" in listed


def _device(core: Any, name: str, memory: Told | None) -> Found:
    kind = name.partition(".")[0]
    integrated = kind == "NPU" or "INTEGRATED" in str(_property(core, name, "DEVICE_TYPE")).upper()
    size = _property(core, name, _SIZES[kind])
    gops = _property(core, name, "DEVICE_GOPS")
    speeds: dict[Precision, Told] = {}
    for element, value in dict(gops or {}).items():
        precision = _GOPS.get(_element(element))
        if precision is not None and float(value) > 0:
            speeds[precision] = Told(1e9 * float(value), "OpenVINO: DEVICE_GOPS", derived=True)
    own = Told(float(size), f"OpenVINO: {_SIZES[kind]}") if size else None
    return Found(
        "npu" if kind == "NPU" else "igpu" if integrated else "gpu",
        "npu" if kind == "NPU" else "gpu",
        str(_property(core, name, "FULL_DEVICE_NAME") or f"Intel {kind}"),
        (f"{OPENVINO}:{name}",),
        flops_s=speeds,
        memory_bytes=own or (memory if integrated else None),
        shares_memory=integrated,
    )


def _element(element: Any) -> str:
    """ "f16" of an element type, which prints as <Type: 'float16'>, or of its name."""
    name = element.get_type_name() if hasattr(element, "get_type_name") else str(element)
    return str(name)


def _property(core: Any, device: str, name: str) -> Any:
    """None where the device does not tell it: they differ, and by version."""
    try:
        return core.get_property(device, name)
    except Exception:  # OpenVINO's exceptions share no base class but this one
        return None


def _why(core: Any, kind: str, dev_root: Path) -> str:
    folder, pattern, advice = _NODES[kind]
    nodes = sorted((dev_root / folder).glob(pattern))
    if not nodes:
        return f"no {dev_root / folder / pattern}: {advice}"
    closed = [str(node) for node in nodes if not os.access(node, os.R_OK | os.W_OK)]
    if closed:
        return f"{', '.join(closed)}: not permitted for this user; add the user to the file's group"
    try:
        core.get_property(kind, "FULL_DEVICE_NAME")
    except Exception as error:  # as above
        lines = [line.strip() for line in str(error).splitlines()]
        said = [line for line in lines if line and not line.startswith("Exception from")]
        return f"its device file is here, its library is not: {' '.join(said)[:300] or 'no reason given'}"
    return "its driver is here and OpenVINO lists no device of it"
