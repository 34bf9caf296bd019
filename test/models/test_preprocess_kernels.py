"""What the image kernels promise beyond their oracles: the same bytes with and without wide vector
instructions, every YUV value right, and no byte read that is not the image's.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models.preprocess import ENCODINGS, InputSpec, Preprocessor

HOW = [("bilinear", False), ("nearest", False), ("bilinear", True), ("bicubic", True)]
PROT_NONE = 0


def row_bytes(encoding: str, width: int) -> int:
    pairs = -(-width // 2)
    if encoding in ("nv12", "nv21"):
        return 2 * pairs
    if "yuv" in encoding or "uyvy" in encoding or "yuyv" in encoding:
        return 4 * pairs
    channels = {"rgb": 3, "bgr": 3, "8UC3": 3, "rgba": 4, "bgra": 4, "8UC4": 4}
    return (
        width
        * channels.get(encoding.rstrip("0168"), channels.get(encoding, 1))
        * (2 if "16" in encoding else 1)
    )


def image_of(encoding: str, width: int, height: int, padding: int = 0, seed: int = 0) -> tuple[bytes, int]:
    """Random bytes of exactly the image's size, the last row without padding, and their step."""
    step = row_bytes(encoding, width) + padding
    rows = height + -(-height // 2) if encoding in ("nv12", "nv21") else height
    return np.random.default_rng([seed, width, height]).bytes(step * rows - padding), step


def both(spec: InputSpec, *image: Any) -> tuple[np.ndarray, np.ndarray]:
    return Preprocessor(spec)(*image), Preprocessor(spec, portable=True)(*image)


@settings(max_examples=300, deadline=None)
@given(
    size=st.tuples(st.integers(3, 400), st.integers(3, 40)),
    target=st.tuples(st.integers(1, 120), st.integers(1, 40)),
    encoding=st.sampled_from(ENCODINGS),
    how=st.sampled_from(HOW),
    resize=st.sampled_from(["stretch", "crop", "fit"]),
    channels=st.sampled_from(["rgb", "bgr", "mono"]),
    layout=st.sampled_from(["NCHW", "NHWC"]),
    dtype=st.sampled_from(["float32", "float16", "uint8", "int8"]),
    padding=st.integers(0, 5),
    big_endian=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_wide_and_portable_kernels_give_the_same_bytes(
    size: tuple[int, int],
    target: tuple[int, int],
    encoding: str,
    how: tuple[str, bool],
    resize: str,
    channels: str,
    layout: str,
    dtype: str,
    padding: int,
    big_endian: bool,
    seed: int,
) -> None:
    spec = InputSpec(
        width=target[0],
        height=target[1],
        channels=channels,
        layout=layout,
        dtype=dtype,
        mean=31.7,
        std=1.3,
        resize=resize,
        interpolation=how[0],
        antialias=how[1],
        pad=114,
    )
    data, step = image_of(encoding, *size, padding, seed)
    wide, portable = both(spec, data, *size, step, encoding, big_endian)
    assert wide.tobytes() == portable.tobytes()


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (1920, 1080), (3840, 60), (64, 64), (63, 64)])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "mono8", "yuyv", "nv21", "bayer_grbg8", "bgr16"])
def test_so_they_do_at_the_sizes_of_cameras(encoding: str, antialias: bool, size: tuple[int, int]) -> None:
    how: dict[str, Any] = {"interpolation": "bicubic", "antialias": True} if antialias else {}
    data, step = image_of(encoding, *size)
    wide, portable = both(InputSpec(width=224, height=224, **how), data, *size, step, encoding)
    assert wide.tobytes() == portable.tobytes()


def test_every_luma_and_chroma_is_decoded_as_opencv_does() -> None:
    """All 2^24 of them: red and blue are computed with fewer bits than OpenCV's, and must still be equal."""
    luma = np.arange(256, dtype=np.uint8)
    spec = InputSpec(width=4096, height=256, layout="NHWC", dtype="uint8")
    prepare, portable = Preprocessor(spec), Preprocessor(spec, portable=True)
    rows = np.empty((256, 4096, 2), np.uint8)  # v by row, 16 values of u by column
    rows[..., 0] = np.tile(luma, 16)
    rows[:, 1::2, 1] = luma[:, None]
    for first in range(0, 256, 16):
        rows[:, ::2, 1] = np.repeat(luma[first : first + 16], 128)
        expected = cv2.cvtColor(rows, cv2.COLOR_YUV2RGB_YUY2)
        assert np.array_equal(prepare(rows, 4096, 256, 8192, "yuyv")[0], expected)
        assert np.array_equal(portable(rows, 4096, 256, 8192, "yuyv")[0], expected)


@contextmanager
def between_guards(data: bytes, at_end: bool) -> Iterator[memoryview]:
    """A copy of `data` that ends, or starts, beside memory that may not be touched: who does crashes."""
    page = mmap.PAGESIZE
    room = -(-len(data) // page) * page
    memory = mmap.mmap(-1, room + 2 * page)
    view = memoryview(memory)
    held = ctypes.c_char.from_buffer(memory)
    start = ctypes.addressof(held)
    libc = ctypes.CDLL(None, use_errno=True)
    guards = [start, start + page + room]
    first = page + (room - len(data) if at_end else 0)
    view[first : first + len(data)] = data
    try:
        for guard in guards:
            assert libc.mprotect(ctypes.c_void_p(guard), page, PROT_NONE) == 0
        yield view[first : first + len(data)].toreadonly()
    finally:
        for guard in guards:
            libc.mprotect(ctypes.c_void_p(guard), page, mmap.PROT_READ | mmap.PROT_WRITE)
        del held


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_nothing_beside_the_image_is_read(encoding: str, at_end: bool, portable: bool) -> None:
    """A read past the image would end this process with a segmentation fault."""
    for size in [(3, 3), (33, 5), (64, 48), (65, 3), (131, 7), (641, 11)]:
        data, step = image_of(encoding, *size, padding=3)
        for interpolation, antialias in HOW:
            for resize in ("stretch", "crop"):
                how: dict[str, Any] = {
                    "interpolation": interpolation,
                    "antialias": antialias,
                    "resize": resize,
                }
                prepare = Preprocessor(InputSpec(width=37, height=21, **how), portable=portable)
                expected = prepare(data, *size, step, encoding).copy()
                with between_guards(data, at_end) as guarded:
                    assert np.array_equal(prepare(guarded, *size, step, encoding), expected)


def test_nothing_beside_the_tensor_is_written() -> None:
    data, step = image_of("bgr8", 640, 48)
    for layout in ("NCHW", "NHWC"):
        for dtype in ("float32", "float16", "uint8", "int8"):
            for width in (1, 5, 16, 37, 224):
                for antialias in (False, True):
                    spec = InputSpec(width=width, height=9, layout=layout, dtype=dtype, antialias=antialias)
                    count = int(np.prod(spec.shape))
                    room = np.full(count + 128, 77, dtype)
                    Preprocessor(spec)(data, 640, 48, step, "bgr8", out=room[64:-64].reshape(spec.shape))
                    assert (room[:64] == 77).all() and (room[-64:] == 77).all()


def test_an_output_that_cannot_be_written_as_it_is_is_refused() -> None:
    data, step = image_of("bgr8", 64, 48)
    spec = InputSpec(width=8, height=8)
    unaligned = np.empty(spec.shape[1] * 64 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(spec.shape)
    locked = np.empty(spec.shape, np.float32)
    locked.flags.writeable = False
    for out in (unaligned, locked, np.empty((1, 3, 8, 16), np.float32)[..., ::2]):
        with pytest.raises(ValueError, match="contiguous, aligned, writable"):
            Preprocessor(spec)(data, 64, 48, step, "bgr8", out=out)


@pytest.mark.parametrize("name", ["nv24", "bayer_rggb16", "16UC1", "8UC2", "32FC1", "jpeg", ""])
def test_other_encodings_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"encoding is '{name}'; possible are rgb8, .*bayer_grbg8"):
        Preprocessor(InputSpec(width=8, height=8))(bytes(1000), 4, 4, 100, name)
