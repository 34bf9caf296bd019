"""One ONNX model run by onnxruntime, set up for a robot: few threads, and none that spins while it waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from .schema import ModelError

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}

_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
}

DEVICES = ("auto", *_PROVIDERS)


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of the graph; a dimension that the graph leaves open is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class GraphRuntime(Protocol):
    """What runs a graph, whoever made it."""

    path: Path
    device: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]

    def input(self, name: str = "") -> TensorInfo: ...
    def output(self, name: str = "") -> TensorInfo: ...
    def run(self, feeds: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]: ...


class Bound(Protocol):
    """Runs a graph from arrays into arrays, in place, again and again.

    `feeds` given with a call are read in the place of those of that name, from that call on.
    """

    def __call__(self, feeds: Mapping[str, NDArray[Any]] | None = None, /) -> None: ...


class Runtime:
    """An onnxruntime session on one model.

    Args:
        model: the ONNX file, or the serialized model itself.
        name: what messages call a serialized model.
        threads: threads for one operator, 1 or more; a session never uses more and never spins.
        device: `cpu`, `cuda`, `tensorrt`, or `auto` for the fastest that this onnxruntime offers.
        pooled: its intermediate values lie in one pool of memory with those of all other such sessions: where
            sections of a network run one after another, the next one's lie where the cache holds the last
            one's. Otherwise it has a pool of its own.

    Raises:
        ModelError: the file is no model that onnxruntime can load, or the device is not there.
    """

    def __init__(
        self,
        model: Path | bytes,
        *,
        name: str | Path = "",
        threads: int = 1,
        device: str = "cpu",
        pooled: bool = False,
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin for up to half a second after each frame burn the energy that splitting is to
        # save.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if pooled:
            _make_pool()
            options.add_session_config_entry("session.use_env_allocators", "1")
        self.path = model if isinstance(model, Path) else Path(name)
        source = str(model) if isinstance(model, Path) else model
        try:
            self._session = ort.InferenceSession(source, options, providers=_providers(device))
        except ModelError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise ModelError(f"{self.path}: onnxruntime cannot load it: {error}") from error
        self.device = f"onnxruntime {self._session.get_providers()[0]}"
        self.inputs = [_info(node) for node in self._session.get_inputs()]
        self.outputs = [_info(node) for node in self._session.get_outputs()]

    def input(self, name: str = "") -> TensorInfo:
        """The input of that name; without a name the only one. Raises ModelError."""
        return named(self.inputs, name, "input", self.path)

    def output(self, name: str = "") -> TensorInfo:
        """The output of that name; without a name the only one. Raises ModelError."""
        return named(self.outputs, name, "output", self.path)

    def run(self, feeds: Mapping[str, NDArray[Any]], output: str) -> NDArray[Any]:
        """Runs the graph. Contiguous inputs are read in place. Safe to call from several threads."""
        return self.run_all(feeds, [output])[0]

    def run_all(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """The same for several outputs."""
        results: list[NDArray[Any]] = self._session.run(list(outputs), dict(feeds))
        return results

    def bound(self, feeds: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]) -> Bound:
        """A call that runs the graph from these arrays into those.

        All must be contiguous, of the graph's types and of the shapes that a run gives.
        """
        binding = self._session.io_binding()
        held = {**feeds, **outputs}  # the binding knows their addresses only

        def bind(to: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
            for name, array in arrays.items():
                to(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

        def run(feeds: Mapping[str, NDArray[Any]] | None = None, /) -> None:
            if feeds:
                bind(binding.bind_input, feeds)
                held.update(feeds)
            self._session.run_with_iobinding(binding)

        bind(binding.bind_input, feeds)
        bind(binding.bind_output, outputs)
        return run


@cache
def _make_pool() -> None:
    """The pool of this process's sessions that share one: onnxruntime has room for one."""
    where = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(where, None)


def named(among: Sequence[TensorInfo], name: str, what: str, path: Path) -> TensorInfo:
    """The tensor of that name; without a name the only one. Raises ModelError."""
    found = [info for info in among if info.name == name] if name else list(among)
    if len(found) != 1:
        raise ModelError(
            f"{path}: {f'no {what} {name!r}' if name else f'more than one {what}, name one'}; "
            f"it has {', '.join(info.name for info in among)}"
        )
    return found[0]


def fits(info: TensorInfo, shape: tuple[int, ...]) -> bool:
    """Whether a tensor of that shape agrees with what the graph declares; open dimensions agree with all."""
    if len(info.shape) != len(shape):
        return False
    return all(want is None or want == have for want, have in zip(info.shape, shape, strict=True))


def _providers(device: str) -> list[str]:
    available = ort.get_available_providers()
    if device == "auto":
        device = next(name for name in ("cuda", "cpu") if _PROVIDERS[name][0] in available)
    if device not in _PROVIDERS:
        raise ModelError(f"no device {device!r}; there are {', '.join(DEVICES)}")
    if _PROVIDERS[device][0] not in available:
        raise ModelError(
            f"device {device!r}: this onnxruntime has only {', '.join(available)}; "
            "for an NVIDIA GPU install onnxruntime-gpu"
        )
    return [name for name in _PROVIDERS[device] if name in available]


def _info(node: Any) -> TensorInfo:
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorInfo(node.name, shape, _DTYPES.get(node.type, node.type))


def zeros(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    return np.zeros(shape, np.dtype(dtype))
