"""Which devices are found with which runtimes and drivers, what is told of them, and why others are not."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from qeil_ros.platform.devices import Found, Processor, Told, search
from qeil_ros.platform.devices.search import cpu


class FakeRuntime(ModuleType):
    """As much of onnxruntime as a search uses. `starts`: the providers that get a session."""

    def __init__(self, providers: list[str], starts: list[str] | None = None) -> None:
        super().__init__("onnxruntime")
        self.providers, self.starts = providers, providers if starts is None else starts
        self.OrtValue = SimpleNamespace(ortvalue_from_numpy=lambda value, place, index: value)

    def get_available_providers(self) -> list[str]:
        return self.providers

    def SessionOptions(self) -> Any:
        return SimpleNamespace(add_session_config_entry=lambda key, value: None)

    def InferenceSession(self, model: bytes, options: Any, providers: list[str]) -> Any:
        if providers[0] not in self.starts:
            raise RuntimeError("libcudnn.so.9: cannot open\nshared object file")
        binding = SimpleNamespace(bind_ortvalue_input=lambda *_: None, bind_output=lambda *_: None)
        return SimpleNamespace(get_providers=lambda: providers, io_binding=lambda: binding)


class FakeNvml(ModuleType):
    """A card whose driver does not tell its power limit."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    class NVMLError(Exception):
        pass

    def __init__(self, count: int = 1) -> None:
        super().__init__("pynvml")
        self.count = count

    def nvmlInit(self) -> None:
        if self.count < 0:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA GeForce RTX 3090"

    def nvmlDeviceGetNumGpuCores(self, handle: int) -> int:
        return 10496

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:
        return {1: 1695, 2: 9751}[kind]

    def nvmlDeviceGetMemoryBusWidth(self, handle: int) -> int:
        return 384

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(total=24 << 30)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: int) -> int:
        raise self.NVMLError("Not Supported")

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle: int) -> int:
        return 16

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle: int) -> int:
        return 4


class FakeType:
    """OpenVINO's name of a type of numbers."""

    def get_type_name(self) -> str:
        return "f16"


class FakeCore:
    """OpenVINO's core with these devices and their properties."""

    def __init__(self, devices: dict[str, dict[str, Any]]) -> None:
        self.devices = devices
        self.available_devices = ["CPU", *devices]

    def get_property(self, device: str, name: str) -> Any:
        if device not in self.devices:
            raise RuntimeError("Exception from core.cpp:268:\nCannot load library x.so: libOpenCL.so.1\n")
        return self.devices[device][name]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts stand-ins in the places of the packages; None: it is not installed."""

    def install(
        runtime: FakeRuntime | None, nvml: FakeNvml | None = None, openvino: dict[str, Any] | None = None
    ) -> None:
        found = None
        if openvino is not None:
            found = ModuleType("openvino")
            found.Core = lambda: FakeCore(openvino)  # type: ignore[attr-defined]
        for name, module in (("onnxruntime", runtime), ("pynvml", nvml), ("openvino", found)):
            monkeypatch.setitem(sys.modules, name, module)

    return install


def names(devices: tuple[Found, ...]) -> list[str]:
    return [device.name for device in devices]


CPU_ONLY = ["CPUExecutionProvider"]


def test_nothing_installed_leaves_the_processor_and_a_reason_for_each(install: Any, tmp_path: Path) -> None:
    install(None)
    machine = search(dev_root=tmp_path)
    assert names(machine.devices) == ["cpu"] and machine.devices[0].runtimes == ()
    reasons = {absent.name: absent.reason for absent in machine.absent}
    assert set(reasons) == {
        "CPU (onnxruntime)",
        "CUDA (onnxruntime)",
        "TensorRT (onnxruntime)",
        "NPU of Qualcomm (onnxruntime)",
        "CUDA (driver's library)",
        "GPU (openvino)",
        "NPU (openvino)",
    }
    assert "onnxruntime cannot be imported" in reasons["CPU (onnxruntime)"]
    assert "pip install 'qeil-ros[gpu]'" in reasons["CUDA (driver's library)"]
    assert "pip install 'qeil-ros[openvino]'" in reasons["NPU (openvino)"]


def test_a_provider_that_is_not_built_in_says_which_package_has_it(install: Any, tmp_path: Path) -> None:
    install(FakeRuntime(CPU_ONLY))
    machine = search(dev_root=tmp_path)
    assert machine.devices[0].runtimes == ("onnxruntime:cpu",)
    reasons = {absent.name: absent.reason for absent in machine.absent}
    assert reasons["CUDA (onnxruntime)"] == (
        "this onnxruntime has only CPUExecutionProvider; the package onnxruntime-gpu has it"
    )
    assert "onnxruntime-qnn" in reasons["NPU of Qualcomm (onnxruntime)"]


def test_a_card_is_told_by_its_driver(install: Any, tmp_path: Path) -> None:
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", *CPU_ONLY]
    install(FakeRuntime(providers, ["CUDAExecutionProvider", *CPU_ONLY]), FakeNvml())
    machine = search(dev_root=tmp_path)
    card = machine.devices[1]
    assert (card.name, card.kind, card.product) == ("gpu", "gpu", "NVIDIA GeForce RTX 3090")
    assert card.runtimes == ("onnxruntime:cuda",)
    assert card.flops_s["fp32"].value == pytest.approx(35.6e12, rel=1e-3) and card.flops_s["fp32"].derived
    assert card.bandwidth_bytes_s is not None
    assert card.bandwidth_bytes_s.value == pytest.approx(936e9, rel=1e-3)
    assert card.memory_bytes == Told(float(24 << 30), "NVML") and not card.shares_memory
    assert card.wire_bytes_s is not None and card.wire_bytes_s.value == pytest.approx(31.5e9, rel=1e-3)
    assert card.power_w is None
    reasons = {absent.name: absent.reason for absent in machine.absent}
    assert reasons["TensorRT (onnxruntime)"].endswith("libcudnn.so.9: cannot open shared object file")
    assert "CUDA (onnxruntime)" not in reasons


def test_two_cards_have_names_of_their_own_and_sessions_on_the_first(install: Any, tmp_path: Path) -> None:
    install(FakeRuntime(["CUDAExecutionProvider", *CPU_ONLY]), FakeNvml(2))
    devices = search(dev_root=tmp_path).devices
    assert names(devices) == ["cpu", "gpu", "gpu1"]
    assert devices[1].runtimes and not devices[2].runtimes


@pytest.mark.parametrize(("count", "said"), [(-1, "driver not loaded"), (0, "lists no GPU")])
def test_a_driver_without_a_card_says_so(install: Any, tmp_path: Path, count: int, said: str) -> None:
    install(FakeRuntime(CPU_ONLY), FakeNvml(count))
    machine = search(dev_root=tmp_path)
    assert names(machine.devices) == ["cpu"]
    assert said in next(a.reason for a in machine.absent if a.name == "CUDA (driver's library)")


def test_a_gpu_on_the_board_counts_when_a_session_starts_on_it(install: Any, tmp_path: Path) -> None:
    install(FakeRuntime(["CUDAExecutionProvider", *CPU_ONLY]))
    gpu = search(dev_root=tmp_path).devices[1]
    assert gpu.name == "gpu" and gpu.shares_memory and gpu.memory_bytes is not None
    assert gpu.runtimes == ("onnxruntime:cuda",)


def test_a_qualcomm_npu_is_found(install: Any, tmp_path: Path) -> None:
    install(FakeRuntime(["QNNExecutionProvider", *CPU_ONLY]))
    npu = search(dev_root=tmp_path).devices[1]
    assert (npu.name, npu.runtimes) == ("npu", ("onnxruntime:qnn",))


def test_openvino_tells_of_its_gpu_and_npu(install: Any, tmp_path: Path) -> None:
    element = FakeType()
    gpu = {
        "FULL_DEVICE_NAME": "Intel(R) Graphics (iGPU)",
        "DEVICE_TYPE": "Type.INTEGRATED",
        "DEVICE_GOPS": {element: 4608.0},
        "GPU_DEVICE_TOTAL_MEM_SIZE": 16 << 30,
    }
    npu = {"FULL_DEVICE_NAME": "Intel(R) AI Boost", "DEVICE_GOPS": {"i8": 13000.0, "u1": 1.0}}
    install(FakeRuntime(CPU_ONLY), openvino={"GPU": gpu, "NPU": npu})
    machine = search(dev_root=tmp_path)
    cpu_, igpu, found = machine.devices
    assert cpu_.runtimes == ("onnxruntime:cpu", "openvino:CPU")
    assert (igpu.name, igpu.product, igpu.runtimes) == ("igpu", "Intel(R) Graphics (iGPU)", ("openvino:GPU",))
    assert igpu.flops_s == {"fp16": Told(4.608e12, "OpenVINO: DEVICE_GOPS", derived=True)}
    assert igpu.memory_bytes == Told(float(16 << 30), "OpenVINO: GPU_DEVICE_TOTAL_MEM_SIZE")
    assert (found.name, found.product, found.kind) == ("npu", "Intel(R) AI Boost", "npu")
    assert found.flops_s == {"int8": Told(13e12, "OpenVINO: DEVICE_GOPS", derived=True)}
    # It does not tell its memory, and has none of its own.
    assert found.memory_bytes == cpu_.memory_bytes and found.shares_memory
    assert not [absent for absent in machine.absent if "openvino" in absent.name]


def test_why_openvino_has_no_gpu(install: Any, tmp_path: Path) -> None:
    install(FakeRuntime(CPU_ONLY), openvino={})

    def why(kind: str) -> str:
        found = search(dev_root=tmp_path).absent
        return next(absent.reason for absent in found if absent.name == f"{kind} (openvino)")

    assert why("NPU").startswith(f"no {tmp_path}/accel/accel*: no NPU, or its kernel driver")
    node = tmp_path / "dri" / "renderD128"
    node.parent.mkdir()
    node.touch()
    assert why("GPU") == (
        "its device file is here, its library is not: Cannot load library x.so: libOpenCL.so.1"
    )
    node.chmod(0)
    if os.geteuid():  # root may open any file
        assert why("GPU").startswith(f"{node}: not permitted for this user")


def test_the_processor_as_a_device() -> None:
    told = Processor(
        "Some Arm",
        "aarch64",
        4,
        (0, 1, 2, 3),
        2.0,
        (2e9,) * 4,
        "cpufreq",
        16.0,
        (),
        ("NEON", "NEON dot product"),
        8 << 30,
    )
    device = cpu(told, ("onnxruntime:cpu",))
    assert device.cores == Told(2.0, "the kernel: 4 cores, 2 granted by its control group")
    assert device.flops_s["fp32"].value == 2 * 2e9 * 16 and device.flops_s["int8"].value == 4 * 2 * 2e9 * 16
    silent = Processor("x", "riscv64", 1, (0,), 9.0, (), "", 0.0, (), (), 0)
    device = cpu(silent, ())
    assert (device.clock_hz, device.flops_s, device.memory_bytes, device.flops_per_cycle) == (
        None,
        {},
        None,
        None,
    )
