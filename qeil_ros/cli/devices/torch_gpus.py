"""GPUs that torch runs networks on. Here and not in `platform`, which never imports torch."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from qeil_ros.platform.devices import Absent, Found, Precision, ProductError, Told, Work, product

__all__ = ["TORCH", "any_product", "torch_gpus"]

TORCH = "torch"


def torch_gpus() -> tuple[list[Found], list[Absent]]:
    """The GPUs that torch's CUDA sees, or why there are none. Imports torch only where it could see one."""
    try:
        built = version("torch")
    except PackageNotFoundError:
        return [], [Absent("CUDA (torch)", "torch is not installed (pip install 'qeil-ros[torch]')")]
    if built.endswith("+cpu"):
        return [], [Absent("CUDA (torch)", f"this torch, {built}, is built for processors only")]
    try:
        import torch
    except (ImportError, OSError) as error:  # a library of CUDA that is missing is an OSError
        return [], [Absent("CUDA (torch)", f"torch {built} cannot be imported: {error}")]
    if not torch.cuda.is_available():
        return [], [Absent("CUDA (torch)", f"torch {built} sees no GPU that it can use")]
    return [_gpu(torch, index) for index in range(torch.cuda.device_count())], []


def _gpu(torch: Any, index: int) -> Found:
    told = torch.cuda.get_device_properties(index)
    return Found(
        "gpu",
        "gpu",
        told.name,
        (f"{TORCH}:cuda:{index}",),
        memory_bytes=Told(float(told.total_memory), "torch"),
        shares_memory=bool(getattr(told, "is_integrated", False)),
    )


def any_product(
    runtime: str, shape: tuple[int, int, int], precision: Precision = "fp32", threads: int = 1
) -> Work:
    """As `platform.devices.product`, for torch's devices too.

    Raises:
        ProductError: as there.
    """
    kind, _, device = runtime.partition(":")
    if kind != TORCH:
        return product(runtime, shape, precision, threads)
    if precision == "int8":
        raise ProductError("int8 by torch wants a quantized network, not a bare product")
    import torch

    rows, inner, columns = shape
    dtype = {"fp32": torch.float32, "fp16": torch.float16}[precision]
    try:
        a = torch.full((rows, inner), 0.5, dtype=dtype, device=device)
        b = torch.full((inner, columns), 0.25, dtype=dtype, device=device)
        c = torch.empty((rows, columns), dtype=dtype, device=device)
    except RuntimeError as error:
        raise ProductError(f"{runtime}, {precision}: {error}") from error

    def work() -> None:
        torch.matmul(a, b, out=c)
        if a.is_cuda:
            torch.cuda.synchronize(a.device)

    return work
