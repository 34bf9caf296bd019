"""The records of devices: which figure counts, what is missed, what is refused, and the shipped ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import REPO

from qeil_ros.planning import device as profiles
from qeil_ros.planning.placement.devices import (
    Figure,
    Measured,
    Record,
    Wire,
    as_devices,
    check_pools,
)
from qeil_ros.planning.placement.problem import Link, Refused

PRESETS = ("paper_a", "jetson_agx_orin", "jetson_orin_nano", "raspberry_pi_5")


def stated(value: float) -> Figure:
    return Figure(value, "its maker")


def record(name: str = "cpu", **changes: object) -> Record:
    known = Record(
        name,
        "cpu",
        cores=stated(4),
        clock_hz=stated(2e9),
        bandwidth_bytes_s=stated(2e10),
        memory_bytes=stated(8e9),
        power_w=stated(10),
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def test_speed_is_two_f_n_where_nothing_says_more() -> None:
    device = record(efficiency=stated(0.5)).device("fp16")
    assert device.flops_s == 2 * 2e9 * 4
    assert device.flops_j == 2 * 2e9 * 4 / (10 * 0.5)
    assert record(flops_per_cycle=stated(16)).device().flops_s == 16 * 2e9 * 4


def test_what_was_measured_goes_before_what_is_stated() -> None:
    said = Figure(5e10, "run", "measured")
    known = record(flops_s={"fp32": stated(1e11), "int8": stated(4e11)})
    assert known.peak("fp32") == stated(1e11)
    overridden = replace(known, measured=Measured(Figure(1e10, "run", "measured"), None, {"fp32": said}))
    assert overridden.peak("fp32") == said and overridden.peak("int8") == stated(4e11)
    assert overridden.device().bandwidth_bytes_s == 1e10 and overridden.device().power_w == 10


def test_a_precision_that_a_device_does_not_have_is_missed() -> None:
    known = record(flops_s={"fp16": stated(1e12)})
    assert known.device("fp16").flops_s == 1e12
    with pytest.raises(ValueError, match="'cpu': flops_s of fp32 not known; `qeil devices --measure`"):
        known.device("fp32")


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(
        ValueError, match="'npu': flops_s of fp32, bandwidth_bytes_s, power_w, memory_bytes not"
    ):
        Record("npu", "npu").device()


def test_devices_come_in_the_order_asked_for() -> None:
    both = (record("a"), record("b"))
    assert [device.name for device in as_devices(both)] == ["a", "b"]
    assert [device.name for device in as_devices(both, names=("b",))] == ["b"]
    with pytest.raises(ValueError, match="no device npu; there are a, b"):
        as_devices(both, names=("npu",))


def test_devices_of_one_pool_share_its_memory() -> None:
    shared = (record("cpu", pool="system"), record("gpu", pool="system"), record("card"))
    check_pools(shared, (4e9, 4e9, 8e9))
    with pytest.raises(
        Refused, match="cpu, gpu would hold 1e\\+10 bytes together and share 8e\\+09"
    ) as refused:
        check_pools(shared, (5e9, 5e9, 0))
    assert (refused.value.limit, refused.value.needed, refused.value.allowed) == ("memory", 1e10, 8e9)


def test_a_wire_is_a_link() -> None:
    assert Wire(stated(32e9)).link() == Link(32e9)
    assert Wire(stated(1e9), stated(1e-5), stated(1e-9)).link() == Link(1e9, 1e-5, 1e-9)


def test_records_are_written_and_read_again(tmp_path: Path) -> None:
    measured = Measured(None, stated(3), {"fp32": Figure(1e9, "here", "measured")})
    machine = profiles.Device("robot", devices=(record(measured=measured),), wire=Wire(stated(1e10)))
    profiles.write(tmp_path / "robot.yaml", machine)
    assert profiles.read(tmp_path / "robot.yaml") == machine


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devices: [{name: cpu}]", r"devices\[0\].kind: is missing"),
        ("devices: [{name: cpu, kind: tpu}]", r"devices\[0\].kind: want one of cpu, gpu, npu, got 'tpu'"),
        ("devices: [{name: '', kind: cpu}]", r"devices\[0\]: name is empty"),
        ("devices: [{name: a, kind: cpu, cores: 4}]", r"devices\[0\].cores: want a mapping"),
        ("devices: [{name: a, kind: cpu, cores: {value: 4}}]", r"devices\[0\].cores.source: is missing"),
        ("devices: [{name: a, kind: cpu, cores: {value: 4, source: ' '}}]", "cores: source is empty"),
        (
            "devices: [{name: a, kind: cpu, cores: {value: 0, source: x}}]",
            "cores: value is 0.0; want a finite",
        ),
        ("devices: [{name: a, kind: cpu, cores: {value: .inf, source: x}}]", "cores: value is inf"),
        (
            "devices: [{name: a, kind: cpu, cores: {value: 1, source: x, quality: wild}}]",
            "cores.quality: want one of measured, stated, derived, assumed",
        ),
        (
            "devices: [{name: a, kind: cpu, flops_s: {fp12: {value: 1, source: x}}}]",
            "flops_s: key: want one of fp32, fp16, bf16, fp8, int8, got 'fp12'",
        ),
        (
            "devices: [{name: a, kind: cpu}, {name: a, kind: gpu}]",
            r"devices \['a', 'a'\]; want different names",
        ),
        ("wire: {start_s: {value: 1, source: x}}", "wire.bytes_s: is missing"),
    ],
)
def test_wrong_records_are_refused_with_the_place(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(f"format: 1\nname: x\n{text}\n")
    with pytest.raises(profiles.FileError, match=said):
        profiles.read(path)


# --- the shipped ones


@pytest.mark.parametrize("preset", PRESETS)
def test_a_shipped_machine_can_be_placed_on(preset: str) -> None:
    machine = profiles.read(REPO / "config" / "devices" / f"{preset}.yaml")
    assert machine.devices and (machine.wire is not None) == (len(machine.devices) > 1)
    for known, device in zip(machine.devices, as_devices(machine.devices, "fp16"), strict=True):
        assert known.product and known.runtimes
        assert device.ridge > 1
        counted = known.by_cores()
        # What is stated by precision agrees with cores and clock, matrix units apart.
        assert counted is not None
        if "fp32" in known.flops_s and known.name != "cpu":
            assert known.flops_s["fp32"].value == pytest.approx(counted.value, rel=0.01)


def test_the_papers_platform_is_as_the_paper_has_it() -> None:
    machine = profiles.read(REPO / "config" / "devices" / "paper_a.yaml")
    cpu, gpu, npu = as_devices(machine.devices, "fp16", ("cpu", "gpu", "npu"))
    assert (cpu.power_w, gpu.power_w, npu.power_w) == (45, 300, 25)
    assert (cpu.bandwidth_bytes_s, npu.bandwidth_bytes_s) == (100e9, 50e9)
    assert (gpu.memory_bytes, npu.memory_bytes) == (96.2e9, 20e9)
    assert machine.wire is not None and machine.wire.link().bytes_s == 32e9
    # The ranking of algorithm 1, which reverses the paper's story.
    assert gpu.flops_j > npu.flops_j > cpu.flops_j
