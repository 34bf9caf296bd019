"""A matrix product on a device, in the runtimes that run networks there: what their speed is measured with.

The graph for onnxruntime is written here byte by byte, so that no package for writing graphs is wanted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

__all__ = [
    "ONNXRUNTIME",
    "OPENVINO",
    "Precision",
    "ProductError",
    "Work",
    "onnx_product",
    "product",
    "why_not",
]

ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "qnn": "QNNExecutionProvider",
}

Precision = Literal["fp32", "fp16", "int8"]
Work = Callable[[], object]
"""One product; returns when it is done."""

_PACKAGES = {
    "cuda": "onnxruntime-gpu has it",
    "tensorrt": "onnxruntime-gpu with TensorRT has it",
    "qnn": "onnxruntime-qnn has it",
}

_IR_VERSION, _OPSET = 8, 13
# onnx.TensorProto.DataType
_FLOAT, _UINT8, _INT8, _INT32, _FLOAT16 = 1, 2, 3, 6, 10
_TYPES: dict[Precision, tuple[str, int, int, int]] = {
    "fp32": ("MatMul", _FLOAT, _FLOAT, _FLOAT),
    "fp16": ("MatMul", _FLOAT16, _FLOAT16, _FLOAT16),
    "int8": ("MatMulInteger", _UINT8, _INT8, _INT32),
}
_DTYPES = {"fp32": np.float32, "fp16": np.float16}


class ProductError(Exception):
    """A runtime cannot compute it there; the message says why."""


def product(
    runtime: str, shape: tuple[int, int, int], precision: Precision = "fp32", threads: int = 1
) -> Work:
    """Prepares [rows, inner] x [inner, columns] on a device; both operands lie there beforehand.

    Args:
        runtime: as a device's `runtimes` have it, "onnxruntime:cuda", "openvino:NPU"; cores that are named
            behind an @ are the caller's to keep to.
        shape: rows, inner, columns.
        threads: on a processor.

    Raises:
        ProductError: the runtime is not here, has no such device, or cannot compute this there.
    """
    kind, _, device = runtime.partition("@")[0].partition(":")
    makers = {ONNXRUNTIME: _by_onnxruntime, OPENVINO: _by_openvino}
    if kind not in makers:
        raise ProductError(f"no runtime {runtime!r}; there are {', '.join(makers)}")
    try:
        return makers[kind](device, shape, precision, threads)
    except ProductError:
        raise
    except ImportError as error:
        raise ProductError(f"{kind} cannot be imported: {error}") from error
    except Exception as error:  # the runtimes' exceptions share no base class but this one
        raise ProductError(f"{runtime}, {precision}: {' '.join(str(error).split())[:300]}") from error


def why_not(runtime: str) -> str:
    """Why a runtime cannot start on its device here; empty where it can."""
    try:
        product(runtime, (1, 1, 1))
    except ProductError as error:
        return str(error)
    return ""


def _operands(shape: tuple[int, int, int], precision: Precision) -> tuple[Any, Any]:
    """Values that neither overflow nor become denormal."""
    rows, inner, columns = shape
    if precision == "int8":
        return np.full((rows, inner), 3, np.uint8), np.full((inner, columns), 2, np.int8)
    dtype = _DTYPES[precision]
    return np.full((rows, inner), 0.5, dtype), np.full((inner, columns), 0.25, dtype)


def _by_onnxruntime(device: str, shape: tuple[int, int, int], precision: Precision, threads: int) -> Work:
    ort: Any = importlib.import_module("onnxruntime")
    provider = _PROVIDERS.get(device, device)
    if provider not in ort.get_available_providers():
        advice = f"; the package {_PACKAGES[device]}" if device in _PACKAGES else ""
        raise ProductError(f"this onnxruntime has only {', '.join(ort.get_available_providers())}{advice}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # a provider that cannot start would say so at length
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if device != "cpu":  # what it cannot do must fail here, not run on the processor
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = ort.InferenceSession(onnx_product(precision, shape), options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise ProductError(f"{provider} cannot start here: its libraries or its device are missing")
    binding = session.io_binding()
    place = "cuda" if device in ("cuda", "tensorrt") else "cpu"
    for name, value in zip(("a", "b"), _operands(shape, precision), strict=True):
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value, place, 0))
    binding.bind_output("c", place, 0)

    def work() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return work


def _by_openvino(device: str, shape: tuple[int, int, int], precision: Precision, threads: int) -> Work:
    if precision == "int8":
        raise ProductError("int8 by openvino wants a quantized network, not a bare product")
    openvino: Any = importlib.import_module("openvino")
    ops: Any = importlib.import_module("openvino.opset8")
    a, b = _operands(shape, precision)
    # The second operand is a constant, as a network's weights are: compiled in, it lies on the device.
    given = ops.parameter(list(a.shape), a.dtype)
    model = openvino.Model([ops.matmul(given, ops.constant(b), False, False)], [given], "product")
    hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        kind = {"fp32": "f32", "fp16": "f16"}[precision]
        hints |= {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": kind}
        hints["ENABLE_CPU_PINNING"] = False  # the caller says on which cores
    request = openvino.Core().compile_model(model, device, hints).create_infer_request()
    request.set_input_tensor(openvino.Tensor(a))
    return lambda: request.infer()


def onnx_product(precision: Precision, shape: tuple[int, int, int]) -> bytes:
    """An ONNX model: c = a x b. Its shapes are fixed, since not every provider takes open ones."""
    rows, inner, columns = shape
    operator, a, b, c = _TYPES[precision]
    node = _field(1, "a") + _field(1, "b") + _field(2, "c") + _field(4, operator)
    graph = _field(1, node) + _field(2, "product")
    graph += _field(11, _value("a", a, (rows, inner))) + _field(11, _value("b", b, (inner, columns)))
    graph += _field(12, _value("c", c, (rows, columns)))
    return _field(1, _IR_VERSION) + _field(8, _field(2, _OPSET)) + _field(7, graph)


def _value(name: str, kind: int, sizes: tuple[int, int]) -> bytes:
    """ValueInfoProto of a matrix."""
    shape = b"".join(_field(1, _field(1, size)) for size in sizes)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def _field(number: int, value: int | str | bytes) -> bytes:
    """A field of a protobuf message: a number, or bytes with their length."""
    if isinstance(value, int):
        return bytes([number << 3]) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2]) + _varint(len(raw)) + raw


def _varint(value: int) -> bytes:
    low, high = value & 127, value >> 7
    return bytes([low | 128]) + _varint(high) if high else bytes([low])
