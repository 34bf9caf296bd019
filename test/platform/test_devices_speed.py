"""What is counted where speed is measured, and that the product computed for it is one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from qeil_ros.platform.devices import ProductError, flops, product, read_bandwidth, stream
from qeil_ros.platform.devices.product import onnx_product
from qeil_ros.platform.devices.speed import Speed

CPU = "onnxruntime:cpu"
NAP_S = 0.012


class Sleeper:
    """Prepares work that takes at least NAP_S, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int, int]] = []

    def __call__(self, runtime: str, shape: tuple[int, int, int], precision: str, threads: int) -> Any:
        self.asked.append(shape)
        return lambda: time.sleep(NAP_S)


def test_a_square_product_counts_two_n_cubed() -> None:
    sleeper = Sleeper()
    speed = flops("x", seconds=0.0, prepare=sleeper)
    assert sleeper.asked == [(512, 512, 512)]
    # Sleeping takes at least its time, so the speed is at most this.
    assert 0 < speed.median <= speed.best <= 2 * 512**3 / NAP_S
    assert "fp32 product of 512 x 512 matrices, 1 thread" in speed.what


def test_a_fast_device_gets_larger_products() -> None:
    asked: list[int] = []

    def prepare(runtime: str, shape: tuple[int, int, int], precision: str, threads: int) -> Any:
        asked.append(shape[0])
        return (lambda: time.sleep(NAP_S)) if shape[0] == 2048 else (lambda: None)

    assert "2048 x 2048" in flops("x", seconds=0.0, prepare=prepare).what
    assert asked == [512, 1024, 2048]


def test_reading_counts_the_matrix_once() -> None:
    sleeper = Sleeper()
    speed = read_bandwidth("x", "fp16", matrix_bytes=1 << 20, seconds=0.0, prepare=sleeper)
    assert sleeper.asked == [(1, 4096, 128)]
    assert 0 < speed.best <= (1 << 20) / NAP_S


@pytest.mark.parametrize("threads", [1, 2])
def test_stream_keeps_to_the_memory_it_is_given(threads: int) -> None:
    speed = stream(threads, cache_bytes=1 << 30, memory_bytes=48 << 20, seconds=0.0)
    # An eighth of 48 MiB; far below what the caches hold, and it says so.
    assert "arrays of 6 MB" in speed.what and "may be too high" in speed.what
    assert 1e8 < speed.median <= speed.best
    assert "too high" not in stream(threads, cache_bytes=1 << 20, seconds=0.0).what


def test_a_speed_tells_its_median() -> None:
    said = str(Speed(2e9, 1.25e9, "B/s", "STREAM copy"))
    assert said == "STREAM copy; best of runs with a median of 1.25 GB/s"


@pytest.mark.parametrize(
    ("precision", "left", "right"),
    [("fp32", np.float32, np.float32), ("fp16", np.float16, np.float16), ("int8", np.uint8, np.int8)],
)
def test_the_graph_written_by_hand_is_a_product(precision: Any, left: Any, right: Any) -> None:
    ort = pytest.importorskip("onnxruntime")
    shape = (3, 200, 17000)  # sizes of one, two and three bytes
    session = ort.InferenceSession(onnx_product(precision, shape), providers=["CPUExecutionProvider"])
    assert [list(node.shape) for node in session.get_inputs()] == [[3, 200], [200, 17000]]
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (3, 200)).astype(left), rng.integers(-4, 4, (200, 17000)).astype(right)
    (c,) = session.run(None, {"a": a, "b": b})
    np.testing.assert_allclose(c, a.astype(np.int64) @ b.astype(np.int64), rtol=2e-3, atol=0.5)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_onnxruntime_does_the_work(precision: Any) -> None:
    product(CPU, (4, 8, 16), precision)()


def test_openvino_does_the_work() -> None:
    pytest.importorskip("openvino")
    product("openvino:CPU", (4, 8, 16))()
    with pytest.raises(ProductError, match="int8 by openvino wants a quantized network"):
        product("openvino:CPU", (4, 8, 16), "int8")


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ("abacus:CPU", "no runtime 'abacus:CPU'; there are onnxruntime, openvino"),
        ("onnxruntime:RknpuExecutionProvider", "this onnxruntime has only "),
        ("openvino:XPU", "openvino:XPU, fp32: .*XPU"),
    ],
)
def test_what_is_not_here_is_said(runtime: str, said: str) -> None:
    if runtime.startswith("openvino"):
        pytest.importorskip("openvino")
    with pytest.raises(ProductError, match=said):
        product(runtime, (1, 1, 1))
