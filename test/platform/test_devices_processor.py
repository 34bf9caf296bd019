"""The processor as the kernel tells it: x86 with two kinds of cores, Arm boards, containers, or nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from fake_machine import FakeMachine

from qeil_ros.platform.devices import Cache, processor

X86 = """processor\t: 0
model name\t: Some Core 9
cpu MHz\t\t: 1800.5
flags\t\t: fpu sse2 avx2 fma avx_vnni rdtscp

processor\t: 1
model name\t: Some Core 9
flags\t\t: fpu avx512f"""
ARM = "processor\t: 0\nFeatures\t: fp asimd crc32 asimdhp asimddp\nCPU part\t: 0xd0b"
CPU = "devices/system/cpu/cpu{}"


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    machine = FakeMachine(tmp_path)
    machine.memory(total=8000000, available=4000000)
    return machine


def core(machine: FakeMachine, number: int, siblings: str, clock_khz: int = 0, midr: str = "") -> None:
    folder = CPU.format(number)
    machine.write(f"{folder}/topology/thread_siblings_list", siblings)
    if clock_khz:
        machine.write(f"{folder}/cpufreq/cpuinfo_max_freq", clock_khz)
    if midr:
        machine.write(f"{folder}/regs/identification/midr_el1", midr)


def cache(
    machine: FakeMachine, number: int, index: int, level: int, kind: str, size: str, shared: str
) -> None:
    folder = f"{CPU.format(number)}/cache/index{index}"
    for name, value in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
        machine.write(f"{folder}/{name}", value)


def test_threads_of_one_core_are_one_core_and_clocks_may_differ(machine: FakeMachine) -> None:
    machine.write_proc("cpuinfo", X86)
    for number, siblings, khz in ((0, "0-1", 5000000), (1, "0-1", 5000000), (2, "2", 3000000)):
        core(machine, number, siblings, khz)
        cache(machine, number, 0, 1, "Data", "48K", siblings)
        cache(machine, number, 1, 3, "Unified", "36M", "0-2")
    found = processor(machine.sys, machine.proc, cpus=(0, 1, 2), architecture="x86_64")
    assert (found.product, found.architecture) == ("Some Core 9", "x86_64")
    assert (found.cores, found.threads, found.quota) == (2, 3, math.inf)
    assert found.clocks_hz == (5e9, 3e9) and found.clock_source == "cpufreq/cpuinfo_max_freq"
    # The flags of the first processor count: the second one's are another's.
    assert found.isa == ("AVX2", "FMA", "AVX-VNNI") and found.flops_per_cycle == 32
    assert found.caches == (Cache(1, "data", 48 << 10, 2), Cache(3, "unified", 36 << 20, 1))
    assert found.last_cache_bytes == 36 << 20
    assert found.memory_bytes == 8000000 * 1024


def test_only_the_cores_that_may_be_used_count(machine: FakeMachine) -> None:
    machine.write_proc("cpuinfo", X86)
    for number in range(4):
        core(machine, number, str(number), 1000000)
    assert processor(machine.sys, machine.proc, cpus=(1, 3)).cores == 2


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"fs/cgroup/cpu.max": "150000 100000"}, 1.5),
        ({"fs/cgroup/cpu.max": "max 100000"}, math.inf),
        ({"fs/cgroup/cpu/cpu.cfs_quota_us": 200000, "fs/cgroup/cpu/cpu.cfs_period_us": 100000}, 2.0),
        ({"fs/cgroup/cpu/cpu.cfs_quota_us": -1, "fs/cgroup/cpu/cpu.cfs_period_us": 100000}, math.inf),
        ({"fs/cgroup/cpu.max": "lots of it"}, math.inf),
    ],
)
def test_a_control_group_grants_part_of_the_machine(
    machine: FakeMachine, files: dict[str, object], quota: float
) -> None:
    machine.write_proc("cpuinfo", X86)
    for number in range(4):
        core(machine, number, str(number))
    for path, value in files.items():
        machine.write(path, value)
    machine.write("fs/cgroup/memory.max", 1 << 30)
    found = processor(machine.sys, machine.proc, cpus=range(4))
    assert found.quota == quota and found.usable_cores == min(4, quota)
    assert found.memory_bytes == 1 << 30
    # No cpufreq, as in most virtual machines: the present clock, and it says so.
    assert found.clocks_hz == (1800.5e6,) * 4 and "present clock" in found.clock_source


def test_an_arm_board_is_known_by_its_part_and_its_device_tree(machine: FakeMachine) -> None:
    machine.write_proc("cpuinfo", ARM)
    machine.write_proc("device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    for number in range(4):
        core(machine, number, str(number), 2400000, "0x00000000414fd0b1")
    found = processor(machine.sys, machine.proc, cpus=range(4), architecture="aarch64")
    assert found.product == "Cortex-A76 (Raspberry Pi 5 Model B Rev 1.0)"
    assert found.isa == ("NEON", "NEON FP16", "NEON dot product")
    assert found.flops_per_cycle == 16 and found.clocks_hz == (2.4e9,) * 4


def test_cores_of_two_kinds_have_the_mean(machine: FakeMachine) -> None:
    machine.write_proc("cpuinfo", ARM)
    core(machine, 0, "0", 1800000, "0x412fd050")
    core(machine, 1, "1", 2400000, "0x414fd0b1")
    found = processor(machine.sys, machine.proc, cpus=(0, 1), architecture="aarch64")
    assert found.product == "Cortex-A55, Cortex-A76" and found.flops_per_cycle == 12


def test_a_core_of_another_maker_is_not_guessed(machine: FakeMachine) -> None:
    machine.write_proc("cpuinfo", ARM)
    core(machine, 0, "0", 2000000, "0x614fd0b1")
    found = processor(machine.sys, machine.proc, cpus=(0,), architecture="aarch64")
    assert found.product == "aarch64" and found.flops_per_cycle == 0


def test_where_the_kernel_tells_nothing_nothing_is_told(tmp_path: Path) -> None:
    found = processor(tmp_path, tmp_path, cpus=(0, 1), architecture="riscv64")
    assert (found.product, found.cores, found.threads, found.quota) == ("riscv64", 2, 2, math.inf)
    assert (found.clocks_hz, found.isa, found.caches) == ((), (), ())
    assert (found.flops_per_cycle, found.memory_bytes, found.last_cache_bytes) == (0, 0, 0)


def test_this_machine_is_told() -> None:
    found = processor()
    assert found.product and found.cores >= 1 and found.memory_bytes > 1 << 28
