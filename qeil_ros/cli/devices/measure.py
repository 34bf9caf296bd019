"""Each device under load: its speed, the bandwidth of its memory, and its power where that can be read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from qeil_ros.planning.placement.devices import Figure, Measured
from qeil_ros.planning.placement.devices import Precision as Known
from qeil_ros.platform import Memory, Quality
from qeil_ros.platform.devices import (
    Found,
    Precision,
    Processor,
    ProductError,
    Speed,
    flops,
    read_bandwidth,
    stream,
)

from ..profile.power import PowerMeter
from .torch_gpus import any_product

__all__ = ["Bench", "Progress"]

Progress = Callable[[str], None]
"""(what is being done)"""

_PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "cpu": ("fp32", "int8"),
    "gpu": ("fp32", "fp16"),
    "npu": ("fp16",),
}
_MATRIX_BYTES = {"gpu": 256 << 20, "npu": 64 << 20}
"""Beyond the caches of a GPU; an NPU has next to none, and takes minutes to compile as much."""
_SECONDS = {False: 1.0, True: 0.2}
_POWER_SIDE = 1024


class Bench:
    """Measures devices one after another, all with this machine's meter.

    Attributes:
        notes: what could not be measured, and why.
    """

    def __init__(
        self,
        processor: Processor,
        sysfs_root: Path | str = "/sys",
        procfs_root: Path | str = "/proc",
        quick: bool = False,
        progress: Progress = lambda what: None,
    ) -> None:
        self.notes: list[str] = []
        self._processor, self._progress = processor, progress
        self._seconds = _SECONDS[quick]
        self._procfs_root = procfs_root
        self._meter = PowerMeter(str(sysfs_root), str(procfs_root))

    def __enter__(self) -> Bench:
        self._progress("power at rest")
        try:
            self._rest = self._meter.mean(self._seconds)
        except BaseException:  # an interrupt, too: `__exit__` is not called then
            self._meter.close()
            raise
        if not self._rest.good:
            self.notes.append(f"power is not measured: {self._rest.reason}; --power states it")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._meter.close()

    def measured(self, found: Found) -> Measured:
        """What can be measured of a device, by the first of its runtimes that computes there."""
        cores = found.cpus or self._processor.cpus
        with _on(cores):
            threads = max(int(min(self._processor.usable_cores, len(cores))), 1)
            runtime, speeds = self._speeds(found, threads)
            bandwidth = self._bandwidth(found, runtime, speeds, threads)
            return Measured(bandwidth, self._power(found, runtime, speeds, threads), speeds)

    def _speeds(self, found: Found, threads: int) -> tuple[str, dict[Known, Figure]]:
        problems: list[str] = []
        for runtime in found.runtimes:
            speeds: dict[Known, Figure] = {}
            problems = []
            for precision in _PRECISIONS[found.kind]:
                self._progress(f"{found.name}: {precision} by {runtime}")
                try:
                    speed = flops(
                        runtime,
                        precision,
                        threads=threads,
                        seconds=self._seconds,
                        prepare=any_product,
                    )
                    speeds[precision] = _figure(speed)
                except ProductError as error:
                    problems.append(f"{found.name}: {precision} is not measured: {error}")
            if speeds:
                self.notes += problems
                return runtime, speeds
        self.notes += problems or [f"{found.name}: nothing here runs networks on it; not measured"]
        return "", {}

    def _bandwidth(
        self, found: Found, runtime: str, speeds: dict[Known, Figure], threads: int
    ) -> Figure | None:
        self._progress(f"{found.name}: memory bandwidth")
        if found.kind == "cpu":
            caches = self._processor.last_cache_bytes
            return _figure(stream(threads, caches, self._available(), self._seconds))
        if not runtime:
            return None
        try:
            speed = read_bandwidth(
                runtime,
                "fp16" if "fp16" in speeds else "fp32",
                matrix_bytes=_MATRIX_BYTES[found.kind],
                seconds=self._seconds,
                prepare=any_product,
            )
        except ProductError as error:
            self.notes.append(f"{found.name}: bandwidth is not measured: {error}")
            return None
        return _figure(speed)

    def _power(self, found: Found, runtime: str, speeds: dict[Known, Figure], threads: int) -> Figure | None:
        """Above rest, of a device on the board: the machine's meters do not see into cards."""
        if not (runtime and found.shares_memory and self._rest.good):
            return None
        self._progress(f"{found.name}: power")
        precision: Precision = "fp16" if "fp16" in speeds else "fp32"
        work = any_product(runtime, (_POWER_SIDE,) * 3, precision, threads)
        busy = self._meter.mean(2 * self._seconds, work)
        above_w = busy.value - self._rest.value
        if not (busy.good and above_w > 0):
            said = busy.reason if not busy.good else f"{above_w:.3g} W above rest"
            self.notes.append(f"{found.name}: power is not measured: {said}")
            return None
        return Figure(
            float(f"{above_w:.4g}"),
            f"{busy.source}, {precision} products by {runtime}, above the {self._rest.value:.3g} W of rest",
            "measured" if busy.quality is Quality.MEASURED else "derived",
        )

    def _available(self) -> float:
        """Bytes of memory that can be had now; without the kernel's word, a quarter of what there is."""
        for reading in Memory(self._procfs_root).read(0.0):
            if reading.name == "memory/available" and reading.good:
                return reading.value
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 4


@contextmanager
def _on(cpus: Sequence[int]) -> Iterator[None]:
    """Keeps this thread, and those that it starts, to these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _figure(speed: Speed) -> Figure:
    return Figure(float(f"{speed.best:.4g}"), str(speed), "measured")
