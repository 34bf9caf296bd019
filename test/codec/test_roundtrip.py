"""The fast path against the reference, to the byte, and the errors that quantization may make."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.codec import Decoder, Encoder, decode, encode, peek, reference

DTYPES = ("float32", "float16", "uint8", "int8")


@st.composite
def tensors(draw: st.DrawFn) -> np.ndarray:
    shape = draw(
        st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple) | st.tuples(st.integers(1, 1500))
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["normal", "laplace", "relu", "offset", "constant", "integers", "outlier"]))
    x = random.normal(size=shape)
    if kind == "laplace":
        x = random.laplace(size=shape) * 10.0 ** draw(st.integers(-30, 30))
    elif kind == "relu":
        x = np.maximum(x, 0)
    elif kind == "offset":
        x += draw(st.floats(-1e4, 1e4))
    elif kind == "constant":
        x = np.full(shape, draw(st.floats(-1e6, 1e6)))
    elif kind == "integers":
        x = random.integers(-3, 4, shape)
    elif kind == "outlier":
        x.reshape(-1)[0] = 1e3
    dtype = draw(st.sampled_from(DTYPES))
    if dtype == "float16":
        x = np.clip(x, -65504, 65504)
    elif dtype != "float32":
        limits = np.iinfo(dtype)
        x = np.clip(np.rint(x * 30), limits.min, limits.max)
    return np.asarray(x).astype(dtype)


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        "bits": draw(st.integers(1, 8)),
        "granularity": draw(st.sampled_from(["tensor", "channel", "group"])),
    }
    if chosen["granularity"] == "channel":
        chosen["axis"] = draw(st.sampled_from([-1, 0]))
    elif chosen["granularity"] == "group":
        chosen["group_size"] = draw(st.integers(8, 128))
    chosen["clip"] = draw(st.sampled_from(["auto", "range", "mse", (-1.0, 2.0)]))
    return chosen


@settings(max_examples=300, deadline=None)
@given(x=tensors(), how=arguments())
def test_bytes_and_values_equal_the_reference(x: np.ndarray, how: dict[str, Any]) -> None:
    stream = encode(x, **how)
    assert stream == reference.encode(x, **how)
    decoded = decode(stream)
    assert decoded.dtype == x.dtype and decoded.shape == x.shape
    assert decoded.tobytes() == reference.decode(stream).tobytes()
    info = peek(stream)
    assert (info.shape, info.dtype, info.bits, info.stream_bytes) == (
        x.shape,
        x.dtype,
        how["bits"],
        len(stream),
    )


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_search_on_a_sample_equals_the_reference(bits: int) -> None:
    x = np.random.default_rng(bits).laplace(size=(30, 401)).astype(np.float32)
    x[7, 7] = 400  # seldom in the sample
    assert encode(x, bits=bits) == reference.encode(x, bits=bits)


def sets_of(stream: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every element the step, the lowest and the highest level of its set, from the stream itself."""
    info = peek(stream)
    start = info.header_bytes
    exponent = int.from_bytes(stream[start : start + 1], "little", signed=True)
    table = np.frombuffer(stream, [("unit", "<f2"), ("zero", "<i2")], info.parameter_sets, start + 1)
    unit = table["unit"].astype(np.float64) * 2.0**exponent
    step = unit * 2 ** (8 - info.bits)
    low = table["zero"] * unit
    sets = np.arange(info.elements) // info.inner % info.parameter_sets
    return tuple(
        (values[sets]).reshape(info.shape) for values in (step, low, low + step * (2**info.bits - 1))
    )


@settings(max_examples=300, deadline=None)
@given(x=tensors().filter(lambda x: x.dtype == np.float32), how=arguments())
def test_error_is_at_most_half_a_step_inside_the_clip(x: np.ndarray, how: dict[str, Any]) -> None:
    stream = encode(x, **how)
    step, low, high = sets_of(stream)
    exact, decoded = x.astype(np.float64), decode(stream).astype(np.float64)
    slack = 1e-6 * (step + np.abs(exact)) + 1e-44  # the rounding of binary32
    inside = (exact >= low - step / 2) & (exact <= high + step / 2)
    assert (np.abs(exact - decoded) <= step / 2 + slack)[inside].all()
    outside = np.where(exact < low, low, high)
    assert (np.abs(decoded - outside) <= slack)[~inside].all()
    if how["clip"] == "range":
        assert (np.abs(exact - decoded) <= step / 2 + slack).all()


@settings(max_examples=150, deadline=None)
@given(x=tensors().filter(lambda x: x.dtype == np.float32), bits=st.integers(5, 8))
def test_the_step_of_a_covered_range_is_hardly_wider_than_it_must_be(x: np.ndarray, bits: int) -> None:
    step, _, _ = sets_of(encode(x, bits=bits, clip="range"))
    span, largest = float(x.max()) - float(x.min()), float(np.abs(x).max())
    ideal = max(span / (2**bits - 1), 2 ** (8 - bits) * largest / 32750)
    assert step.max() <= ideal * (1 + 2**-9) + 2.0**-116


@settings(max_examples=150, deadline=None)
@given(
    x=tensors().filter(lambda x: x.dtype.kind == "f"), bits=st.integers(5, 8), axis=st.sampled_from([0, -1])
)
def test_zero_stays_zero_from_five_bits_on(x: np.ndarray, bits: int, axis: int) -> None:
    decoded = decode(encode(x, bits=bits, granularity="channel", axis=axis))
    other = tuple(k for k in range(x.ndim) if k != axis % x.ndim)
    spans_zero = (x.min(axis=other, keepdims=True) <= 0) & (x.max(axis=other, keepdims=True) >= 0)
    assert (decoded[(x == 0) & spans_zero] == 0).all()


@pytest.mark.parametrize("source", ["normal", "laplace"])
@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_clipping_by_squared_error_beats_the_range_and_nears_the_optimum(source: str, bits: int) -> None:
    """Optimal uniform quantizers' signal-to-noise ratios [dB]: Max (1960) for the Gaussian; numerically for
    the Laplacian."""
    best = {"normal": (4.40, 9.25, 14.27, 19.38), "laplace": (3.01, 7.07, 11.44, 15.96)}[source][bits - 1]
    x = getattr(np.random.default_rng(5), source)(size=60_000).astype(np.float32)
    ratio = {}
    for clip in ("range", "mse"):
        error = x - decode(encode(x, bits=bits, clip=clip))
        ratio[clip] = 10 * np.log10((x**2).mean() / (error**2).mean())
    assert ratio["mse"] > ratio["range"] + 0.3
    assert ratio["mse"] > best - 0.15
    assert encode(x, bits=bits) == encode(x, bits=bits, clip="mse")
    assert encode(x, bits=bits + 4) == encode(x, bits=bits + 4, clip="range")


def test_one_sided_and_sparse_features_are_not_spent_on_levels_below_zero() -> None:
    x = np.maximum(np.random.default_rng(3).normal(size=20_000), 0).astype(np.float32)
    error = {
        clip: float(((x - decode(encode(x, bits=2, clip=clip))) ** 2).mean()) for clip in ("range", "mse")
    }
    assert error["mse"] < 0.65 * error["range"]


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_integers_at_eight_bits_are_lossless(dtype: str) -> None:
    x = np.arange(256, dtype=np.uint8).view(dtype).reshape(16, 16)
    stream = encode(x, granularity="channel")
    assert np.array_equal(decode(stream), x)
    assert len(stream) == 8 + 2 + 256 + 4  # fixed fields, two dimensions, the bytes, the checksum


def test_small_streams_stay_small() -> None:
    assert len(encode(np.ones((17, 128), np.float32), bits=2)) == 544 + 8 + 3 + 5 + 4


def test_buffers_are_reused_and_outputs_may_be_given() -> None:
    encoder, decoder = Encoder(), Decoder()
    large, small = np.random.default_rng(0).normal(size=(2, 50, 50)).astype(np.float32)
    first = encoder.encode(large, bits=8)
    kept = bytes(first)
    second = encoder.encode(small, bits=3)
    assert bytes(second) == encode(small, bits=3)
    assert bytes(first) != kept  # the view is into the buffer that was used again
    out = np.empty_like(large)
    assert decoder.decode(kept, out) is out
    assert np.array_equal(out, decode(kept))
    assert decoder.decode(kept) is not decoder.decode(kept)


def test_streams_may_come_in_any_buffer_and_at_any_alignment() -> None:
    x = np.random.default_rng(0).normal(size=99).astype(np.float32)
    stream = encode(x, bits=5)
    expected = decode(stream)
    shifted = memoryview(b"\0" + stream)[1:]
    for buffer in (
        bytearray(stream),
        memoryview(stream),
        shifted,
        np.frombuffer(stream, np.uint8),
        array.array("B", stream),
    ):
        assert np.array_equal(decode(buffer), expected)


def test_tensors_may_be_strided_big_endian_or_misaligned() -> None:
    x = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)
    expected = encode(x.T.copy(), bits=6)
    assert encode(x.T, bits=6) == expected
    assert encode(x.T.astype(">f4"), bits=6) == expected
    raw = np.empty(x.nbytes + 1, np.uint8)[1:]
    misaligned = raw.view(np.float32).reshape(30, 20)
    misaligned[:] = x.T
    assert encode(misaligned, bits=6) == expected


@pytest.mark.parametrize(
    ("x", "how", "message"),
    [
        (np.array([1.0, np.nan], np.float32), {}, "NaN"),
        (np.array([1.0, np.inf], np.float32), {"bits": 2}, "NaN, infinite"),
        (np.array([-np.inf], np.float16), {"granularity": "channel"}, "infinite"),
        (np.array([2e38], np.float32), {}, "2\\*\\*126"),
        (np.zeros((3, 0), np.float32), {}, "shape"),
        (np.float32(1), {}, "0 dimensions"),
        (np.zeros((1,) * 9, np.float32), {}, "9 dimensions"),
        (np.zeros(3, np.float32), {"bits": 0}, "bits is 0"),
        (np.zeros(3, np.float32), {"bits": 9}, "bits is 9"),
        (np.zeros(3, np.float32), {"bits": 2.5}, "bits is 2.5"),
        (np.zeros(3, np.float32), {"granularity": "row"}, "granularity is 'row'"),
        (np.zeros(3, np.float32), {"granularity": "channel", "axis": 1}, "axis is 1"),
        (np.zeros(3, np.float32), {"granularity": "group", "group_size": 7}, "group_size is 7"),
        (np.zeros(3, np.float32), {"clip": "max"}, "clip is 'max'"),
        (np.zeros(3, np.float32), {"clip": (1.0, 1.0)}, "ascending"),
        (np.zeros(3, np.float32), {"clip": (0.0, np.inf)}, "finite"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_the_reason(
    x: np.ndarray, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        encode(x, **how)


def test_other_element_types_are_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        encode(np.zeros(3))


def test_extreme_but_valid_values_come_back_finite_and_close() -> None:
    for x in (
        np.array([-(2.0**126), 2.0**126], np.float32),
        np.array([0, 1e-45, 2e-45], np.float32),
        np.array([1e-38, 1.0], np.float32),
    ):
        for bits in range(1, 9):
            for clip in ("range", "mse"):
                decoded = decode(encode(x, bits=bits, clip=clip)).astype(np.float64)
                span = float(x.max()) - float(x.min())
                assert np.isfinite(decoded).all()
                assert np.abs(decoded - x).max() <= max(span, 2.0**-116)


def test_float16_levels_beyond_its_range_saturate() -> None:
    x = np.array([-65504, 0, 65504], np.float16)
    assert np.isfinite(decode(encode(x, bits=8))).all()
