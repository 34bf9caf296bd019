"""What this machine's processor is: cores, clocks, caches, instructions, as far as the kernel tells."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..readings import SensorError

__all__ = ["Cache", "Processor", "processor"]

_MOST_BYTES = 1 << 16  # of /proc/cpuinfo: the first processor's part is what is read
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

# What the kernel calls it: what people call it.
_X86 = {
    "avx2": "AVX2",
    "fma": "FMA",
    "avx_vnni": "AVX-VNNI",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_fp16": "AVX-512 FP16",
    "amx_int8": "AMX INT8",
    "amx_bf16": "AMX BF16",
}
_ARM = {
    "asimd": "NEON",
    "asimdhp": "NEON FP16",
    "asimddp": "NEON dot product",
    "i8mm": "NEON I8MM",
    "bf16": "NEON BF16",
    "sve": "SVE",
    "sve2": "SVE2",
}
# Arm's part numbers: (name, 128-bit multiply-adds a cycle), by Arm's software optimization guides.
_ARM_PARTS = {
    0xD03: ("Cortex-A53", 1),
    0xD04: ("Cortex-A35", 1),
    0xD05: ("Cortex-A55", 1),
    0xD07: ("Cortex-A57", 1),
    0xD08: ("Cortex-A72", 1),
    0xD09: ("Cortex-A73", 1),
    0xD0B: ("Cortex-A76", 2),
    0xD0C: ("Neoverse N1", 2),
    0xD40: ("Neoverse V1", 4),
    0xD41: ("Cortex-A78", 2),
    0xD42: ("Cortex-A78AE", 2),
    0xD44: ("Cortex-X1", 4),
    0xD49: ("Neoverse N2", 2),
    0xD4F: ("Neoverse V2", 4),
}


@dataclass(frozen=True)
class Cache:
    """Caches of one kind: how large each is, and how many of them there are."""

    level: int
    kind: str
    size_bytes: int
    count: int

    @property
    def total_bytes(self) -> int:
        return self.size_bytes * self.count


@dataclass(frozen=True)
class Processor:
    """The processor, as far as this process may use it.

    Attributes:
        cores: those with their own arithmetic. cpus: numbers of what the kernel schedules on.
        quota: processors' worth of time that its control group grants; inf: all.
        clocks_hz: of each core, the highest that it is driven at, or where only that is told, the present
            one (`clock_source`); empty: not told.
        flops_per_cycle: in fp32 of one core at most, two multiply-adds of the widest vectors a cycle; where
            cores differ, their mean. 0: not known.
        isa: the vector and matrix instructions that networks are computed with.
        memory_bytes: of the machine, or what its control group grants.
    """

    product: str
    architecture: str
    cores: int
    cpus: tuple[int, ...]
    quota: float
    clocks_hz: tuple[float, ...]
    clock_source: str
    flops_per_cycle: float
    caches: tuple[Cache, ...]
    isa: tuple[str, ...]
    memory_bytes: int

    @property
    def threads(self) -> int:
        return len(self.cpus)

    @property
    def usable_cores(self) -> float:
        """Cores, or what the quota leaves of them."""
        return min(float(self.cores), self.quota)

    @property
    def last_cache_bytes(self) -> int:
        """All caches of the highest level together; 0: not told."""
        last = max((cache.level for cache in self.caches), default=0)
        return sum(cache.total_bytes for cache in self.caches if cache.level == last)


def processor(
    sysfs_root: Path | str = "/sys",
    procfs_root: Path | str = "/proc",
    cpus: Collection[int] | None = None,
    architecture: str = "",
) -> Processor:
    """The processor of this machine. What the kernel does not tell is left empty, nothing is guessed.

    Args:
        sysfs_root, procfs_root: where to look instead of in /sys and /proc.
        cpus: numbers of those that may be used; None: this process's own.
        architecture: as `uname -m` has it; empty: this machine's.
    """
    sysfs, procfs = Path(sysfs_root), Path(procfs_root)
    used = sorted(os.sched_getaffinity(0) if cpus is None else cpus)
    machine = architecture or platform.machine()
    folders = [sysfs / f"devices/system/cpu/cpu{number}" for number in used]
    fields = _cpuinfo(procfs)
    siblings = {_text(folder / "topology/thread_siblings_list") or folder.name: folder for folder in folders}
    ours = list(siblings.values())  # one folder for each core
    clocks, clock_source = _clocks(ours, fields)
    isa, parts = _isa(fields), [_part(folder) for folder in ours]
    product = fields.get("model name", "") or ", ".join(dict.fromkeys(name for name, _ in parts if name))
    board = _text(procfs / "device-tree/model").rstrip("\0")
    return Processor(
        product=f"{product} ({board})" if product and board else product or board or machine,
        architecture=machine,
        cores=len(ours),
        cpus=tuple(used),
        quota=_quota(sysfs / "fs/cgroup"),
        clocks_hz=clocks,
        clock_source=clock_source,
        flops_per_cycle=_flops_per_cycle(isa, [ports for _, ports in parts]),
        caches=_caches(folders),
        isa=isa,
        memory_bytes=_memory(sysfs, procfs),
    )


def _cpuinfo(procfs: Path) -> dict[str, str]:
    """The lines of the first processor."""
    lines = _text(procfs / "cpuinfo", _MOST_BYTES).partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _isa(fields: dict[str, str]) -> tuple[str, ...]:
    names = {**_X86, **_ARM}
    flags = set(f"{fields.get('flags', '')} {fields.get('Features', '')}".split())
    return tuple(name for flag, name in names.items() if flag in flags)


def _clocks(cores: list[Path], fields: dict[str, str]) -> tuple[tuple[float, ...], str]:
    highest = [_number(core / "cpufreq/cpuinfo_max_freq") for core in cores]
    if all(highest):
        return tuple(1e3 * khz for khz in highest), "cpufreq/cpuinfo_max_freq"
    try:
        present = 1e6 * float(fields.get("cpu MHz", ""))
    except ValueError:
        return (), ""
    return (present,) * len(cores), "the present clock (/proc/cpuinfo); the highest is not told"


def _part(core: Path) -> tuple[str, int]:
    """(name, multiply-adds a cycle) of an Arm core; ("", 0): another one, or not known."""
    try:
        register = int(_text(core / "regs/identification/midr_el1"), 16)
    except ValueError:
        return "", 0
    if register >> 24 & 0xFF != 0x41:  # designed by Arm
        return "", 0
    return _ARM_PARTS.get(register >> 4 & 0xFFF, ("", 0))


def _flops_per_cycle(isa: tuple[str, ...], arm_ports: list[int]) -> float:
    if "AVX-512" in isa:
        return 2.0 * 2 * 16
    if "AVX2" in isa and "FMA" in isa:
        return 2.0 * 2 * 8
    if arm_ports and all(arm_ports):
        return 2.0 * 4 * sum(arm_ports) / len(arm_ports)
    return 0.0


def _caches(folders: list[Path]) -> tuple[Cache, ...]:
    found: dict[tuple[int, str, int], set[str]] = {}
    for folder in folders:
        for index in files.entries(folder / "cache", "index*"):
            size = _size(_text(index / "size"))
            level = _number(index / "level")
            if size and level:
                key = level, _text(index / "type").lower(), size
                found.setdefault(key, set()).add(_text(index / "shared_cpu_list") or folder.name)
    return tuple(Cache(*key, len(shared)) for key, shared in sorted(found.items()))


def _size(text: str) -> int:
    """Bytes of "48K"; 0 where it says nothing of the kind."""
    digits, unit = (text[:-1], text[-1]) if text and text[-1] in _UNITS else (text, "")
    return int(digits) * _UNITS.get(unit, 1) if digits.isdigit() else 0


def _quota(cgroup: Path) -> float:
    """Processors' worth of time: control groups of version 2, else 1."""
    limit, _, period = _text(cgroup / "cpu.max").partition(" ")
    if not limit:
        limit = str(_number(cgroup / "cpu/cpu.cfs_quota_us"))
        period = str(_number(cgroup / "cpu/cpu.cfs_period_us"))
    if limit.isdigit() and period.isdigit() and int(limit) and int(period):
        return int(limit) / int(period)
    return math.inf


def _memory(sysfs: Path, procfs: Path) -> int:
    lines = {
        key: value.split()[0]
        for key, _, value in (line.partition(":") for line in _text(procfs / "meminfo").splitlines())
        if value.split()
    }
    total = int(lines["MemTotal"]) * 1024 if lines.get("MemTotal", "").isdigit() else 0
    granted = _number(sysfs / "fs/cgroup/memory.max")
    return min(total, granted) if total and granted else total


def _number(path: Path) -> int:
    """0 where the file is missing or holds no number above 0."""
    return max(files.optional(path) or 0, 0)


def _text(path: Path, most_bytes: int = 8192) -> str:
    """Empty where the file is missing: that the kernel does not tell something is no fault."""
    try:
        return files.text(path, most_bytes)
    except SensorError:
        return ""
