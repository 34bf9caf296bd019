"""Where a stage can run: a runtime, one of its devices, and the cores that it may use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from ..runtime import Bound, Runtime, TensorInfo
from ..schema import ModelError

__all__ = ["Place", "StageRuntime"]

RUNTIMES = {"onnxruntime": "cpu", "openvino": "CPU"}
"""The runtimes, and the device of each where none is named."""


class StageRuntime(Protocol):
    """What runs a stage: `runtime.Runtime` or `runtime_openvino.OpenVinoRuntime`."""

    device: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]

    def run_all(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]: ...

    def bound(self, feeds: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Bound: ...


@dataclass(frozen=True)
class Place:
    """A device as stages see it. Written `RUNTIME[:DEVICE][@CORES]`: `openvino`, `onnxruntime:cuda`,
    `onnxruntime@0-1`, `openvino:GPU`.

    Attributes:
        name: unique among the places of a placement.
        runtime: `onnxruntime` or `openvino`.
        device: as that runtime names it; "cpu" and "CPU" are the processor.
        cores: that its process may run on; empty: all.
        threads: of one operator; 0: as many as there are cores.
    """

    name: str
    runtime: str = "onnxruntime"
    device: str = ""
    cores: tuple[int, ...] = ()
    threads: int = 0

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise ModelError(
                f"place {self.name!r}: no runtime {self.runtime!r}; want {' or '.join(RUNTIMES)}"
            )
        if self.threads < 0 or any(core < 0 for core in self.cores):
            raise ModelError(f"place {self.name!r}: threads and cores cannot be negative")
        object.__setattr__(self, "device", self.device or RUNTIMES[self.runtime])

    @classmethod
    def parse(cls, text: str, name: str = "") -> Place:
        """ModelError: it is not `RUNTIME[:DEVICE][@CORES]`, cores as 0, 0-3 or 0,2."""
        found = re.fullmatch(r"(\w+)(?::([\w.]+))?(?:@(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*))?", text)
        if found is None or found[1] not in RUNTIMES:
            raise ModelError(
                f"{text!r} is no place; want RUNTIME[:DEVICE][@CORES], for example openvino:CPU@0-1; "
                f"runtimes are {', '.join(RUNTIMES)}"
            )
        return cls(name or text, found[1], found[2] or "", _cores(found[3] or "", text))

    @property
    def thread_count(self) -> int:
        return self.threads or max(1, len(self.cores))

    @property
    def on_processor(self) -> bool:
        return self.device.lower() == "cpu"

    def open(self, model: bytes, what: str = "stage") -> StageRuntime:
        """The stage, ready to run in this process. Raises ModelError where it cannot be loaded."""
        if self.runtime == "openvino":
            from ..runtime_openvino import OpenVinoRuntime

            return OpenVinoRuntime(model, name=what, threads=self.thread_count, device=self.device)
        runtime = Runtime(
            model, name=what, threads=self.thread_count, device=self.device, pooled=self.on_processor
        )
        if not self.on_processor and runtime.device.endswith("CPUExecutionProvider"):
            raise ModelError(
                f"place {self.name!r}: onnxruntime cannot start on {self.device!r}, it would use the "
                "processor"
            )
        return runtime


def _cores(text: str, whole: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise ModelError(f"{whole!r}: cores {part} end before they begin")
        found += range(int(first), int(last or first) + 1)
    if len(set(found)) != len(found):
        raise ModelError(f"{whole!r}: a core is named twice")
    return tuple(found)
