"""The compiled kernels by themselves, and the promises on which equal bytes on all machines rest."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qeil_ros import _kernels
from qeil_ros.codec import reference


def test_crc32c_check_value() -> None:
    assert _kernels.crc32c(b"123456789") == _kernels.crc32c_portable(b"123456789") == 0xE3069283
    assert reference.crc32c(b"123456789") == 0xE3069283


# RFC 3720, B.4
@pytest.mark.parametrize(
    ("data", "expected"),
    [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E), (b"", 0)],
)
def test_crc32c_published_values(data: bytes, expected: int) -> None:
    assert _kernels.crc32c(data) == _kernels.crc32c_portable(data) == expected


def test_crc32c_by_instruction_and_by_table_agree_at_every_length_and_alignment() -> None:
    data = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8)
    for length in [*range(40), 1023, 1024, 3071, 3072, 3073, 6144, 9999, 19_000]:
        for start in (0, 1, 7):
            piece = data[start : start + length]
            assert _kernels.crc32c(piece) == _kernels.crc32c_portable(piece)
    assert _kernels.crc32c(data[5000:], _kernels.crc32c(data[:5000])) == _kernels.crc32c(data)


def test_the_build_does_not_fuse_multiply_and_add() -> None:
    assert not _kernels.contracts(), (
        "build with -ffp-contract=off: the encoder's bytes must not depend on the processor"
    )


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("n", [1, 7, 8, 9, 63, 64, 511, 512, 513, 519, 520, 1024, 1100])
def test_packing_equals_the_reference(bits: int, n: int) -> None:
    """With a step of 1 and the first level at 0, values are their own codes."""
    codes = np.random.default_rng(bits * 10_000 + n).integers(0, 1 << bits, n).astype(np.float32)
    uniform = _kernels.Quantizer()
    grid = 1 << (8 - bits)
    unit = np.float16(1 / grid).view(np.uint16).item()
    assert uniform.load(bytes([0]) + unit.to_bytes(2, "little") + bytes(2), 1, 1, bits) == -1
    packed = np.empty(-(-n * bits // 8), np.uint8)
    uniform.encode(codes.view(np.uint8), 1, n, packed)
    assert packed.tobytes() == reference.pack(codes.astype(np.uint8), bits)
    assert np.array_equal(reference.unpack(packed.tobytes(), n, bits), codes)
    out = np.empty_like(codes)
    assert uniform.decode(packed, 1, n, out.view(np.uint8))
    assert np.array_equal(out, codes)


def test_wrong_sizes_raise_instead_of_writing_past_a_buffer() -> None:
    uniform = _kernels.Quantizer()
    data, parameters = np.zeros(40, np.uint8), np.zeros(5, np.uint8)
    with pytest.raises(ValueError, match="no parameters"):
        uniform.encode(data, 1, 10, np.empty(10, np.uint8))
    with pytest.raises(ValueError, match="no parameters"):
        uniform.decode(data, 1, 10, data)
    for dtype, inner, count, bits in [
        (0, 10, 1, 8),
        (5, 10, 1, 8),
        (1, 0, 1, 8),
        (1, 10, 0, 8),
        (1, 10, 1, 0),
        (1, 10, 1, 9),
    ]:
        with pytest.raises(ValueError):
            uniform.choose(data, dtype, inner, count, 1, bits, "range", 0, 0, parameters)
    with pytest.raises(ValueError, match="parameters"):
        uniform.choose(data, 1, 10, 1, 1, 8, "range", 0, 0, np.empty(4, np.uint8))
    with pytest.raises(ValueError, match="parameters"):
        uniform.choose(
            data, 1, 8, 3, 1, 8, "range", 0, 0, np.empty(13, np.uint8)
        )  # a third set without elements
    assert uniform.load(parameters, 1, 1, 8) == -1
    with pytest.raises(ValueError):
        uniform.encode(data[:39], 1, 10, np.empty(10, np.uint8))
    with pytest.raises(ValueError):
        uniform.encode(data, 1, 10, np.empty(9, np.uint8))
    with pytest.raises(ValueError):
        uniform.decode(np.empty(11, np.uint8), 1, 10, data)
    with pytest.raises(ValueError):
        uniform.load(parameters, 2, 1, 8)


def test_without_the_kernels_the_import_says_how_to_build_them() -> None:
    code = "import sys; sys.modules['qeil_ros._kernels'] = None; import qeil_ros.codec"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode != 0
    assert "pip install" in run.stderr and "colcon build" in run.stderr and "compiler" in run.stderr
