"""Streams from a stranger: each fault has its class, the limits hold, no bytes crash a decoder."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.codec import (
    REFERENCES,
    BitstreamError,
    CorruptError,
    Decoder,
    LimitError,
    Limits,
    MissingReferenceError,
    TemporalEncoder,
    TruncatedError,
    UnsupportedError,
    decode,
    encode,
    peek,
    reference,
)

X = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
TENSOR = encode(X, bits=3)
CHANNEL = encode(X, bits=3, granularity="channel", axis=0)
GROUP = encode(X, bits=3, granularity="group", group_size=8)
IDENTITY = encode(np.arange(20, dtype=np.uint8))
STREAMS = [
    TENSOR,
    CHANNEL,
    GROUP,
    IDENTITY,
    encode(X.astype(np.float16), bits=7),
    encode(np.arange(9, dtype=np.int8), bits=4),
    RANS := encode(X, bits=4, coder="rans"),
    UNSIGNED := encode(X, bits=4, coder="rans", quantizer="uniform"),
    MASKED := encode(X, bits=3, keep=[0, 3]),
    GAPS := encode(np.ones((70, 2), np.float32), bits=1, keep=[8, 60], fill="zero"),
    encode(X, bits=3, quantizer="laplacian"),
    encode(np.arange(90, dtype=np.uint8).reshape(9, 10), coder="rans", keep=4),
]


def sequence(**options: object) -> tuple[bytes, bytes]:
    encoder, x = TemporalEncoder(chained=True), np.maximum(np.repeat(X, 20, axis=1), 0)
    how = {"coder": "rans", "bits": 4, **options}
    first = bytes(encoder.encode(x, **how))
    return first, bytes(encoder.encode(x + 0.4 * x**2, **how))


KEY, INTER = sequence()
"""A frame and the difference of the next one from it, its codes parted by the first."""
KEYS = [KEY]
for options in ({"coder": "packed"}, {"keep": [1, 4]}):
    first, second = sequence(**options)
    KEYS.append(first)
    STREAMS.append(second)
PLAIN_INTER, MASKED_INTER = STREAMS[-2:]


def filtered() -> tuple[bytes, bytes, bytes]:
    """Three frames of a map [3, 16, 12] that moves, the last one predicted from both others with a filter."""
    encoder, still = TemporalEncoder(chained=True), np.random.default_rng(1).normal(size=(3, 20, 16))
    smooth = np.cumsum(np.cumsum(still, 1), 2)
    x, y, z = (np.ascontiguousarray(smooth[:, n : n + 16, 2:14], np.float32) for n in range(3))
    options = {"coder": "rans", "bits": 6, "axis": 0}
    return tuple(bytes(encoder.encode(frame, **options)) for frame in (x, y, (y + z + 0.3 * x)))  # type: ignore[return-value]


*FILTER_KEYS, FILTERED = filtered()
_FILTER_AT = 8 + 3 + 5
"""Where the filter's axis stands."""


def sealed(body: bytes) -> bytes:
    """The body with its right checksum, so that what lies behind the checksum is tried."""
    return body + struct.pack("<I", reference.crc32c(body))


def changed(stream: bytes, at: int, value: bytes | int) -> bytes:
    body = bytearray(stream[:-4])
    new = bytes([value]) if isinstance(value, int) else value
    body[at : at + len(new)] = new
    return sealed(bytes(body))


def _referenced() -> dict[int, np.ndarray]:
    tensors: dict[int, np.ndarray] = {}
    for stream in (*KEYS, *FILTER_KEYS):
        tensors[int.from_bytes(stream[-4:], "little")] = reference.decode(stream, tensors)
    return tensors


REFERENCED = _referenced()


@pytest.mark.parametrize(
    ("stream", "kind", "message"),
    [
        (b"", TruncatedError, "0 bytes"),
        (TENSOR[:13], TruncatedError, "13 bytes"),
        (b"\x89PNG" + TENSOR[4:], CorruptError, "magic"),
        (changed(TENSOR, 2, 2), UnsupportedError, "version 2"),
        (TENSOR[:-1] + bytes([TENSOR[-1] ^ 1]), CorruptError, "checksum"),
        (TENSOR[:20] + bytes([TENSOR[20] ^ 128]) + TENSOR[21:], CorruptError, "checksum"),
        *((changed(TENSOR, 3, 1 << bit), UnsupportedError, "flags") for bit in range(2, 8)),
        (sealed(MASKED[:10]), TruncatedError, "before the token mask"),
        (sealed(MASKED[:11]), TruncatedError, "within the token mask"),
        (changed(MASKED, 10, 0x02), UnsupportedError, "mask of kind"),
        (changed(MASKED, 10, 0x0D), UnsupportedError, "mask of kind"),
        (changed(MASKED, 10, 0x10), UnsupportedError, "mask of kind"),
        (changed(MASKED, 11, 0x29), CorruptError, "unused bits at the end of the token mask"),
        (changed(MASKED, 11, 0x00), CorruptError, "keeps 0 of 5"),
        (changed(MASKED, 11, 0x1F), CorruptError, "keeps 5 of 5"),
        (changed(MASKED, 11, 0x0F), TruncatedError, "announces"),
        (changed(MASKED, 11, 0x01), CorruptError, "more than"),
        (sealed(IDENTITY[:3] + b"\x02" + IDENTITY[4:-4]), CorruptError, "one dimension"),
        (changed(GAPS, 11, 0x00), CorruptError, "gaps end without"),
        (changed(GAPS, 13, 0xFF), CorruptError, "gaps end without"),
        (changed(GAPS, 13, 0x3E), CorruptError, "marks row 71"),
        (changed(GAPS, 11, 0x7F), TruncatedError, "within the token mask"),
        (sealed(INTER[:12]), TruncatedError, "within the prediction"),
        (changed(INTER, 15, 0x80), UnsupportedError, "prediction byte"),
        (changed(INTER, 15, 0x40), CorruptError, "second reference without a filter"),
        (changed(INTER, 15, 0x21), CorruptError, "a filter and a factor"),
        (sealed(INTER[:15] + b"\x20"), TruncatedError, "within the prediction"),
        (sealed(FILTERED[:_FILTER_AT]), TruncatedError, "within the prediction"),
        (sealed(FILTERED[: _FILTER_AT + 9]), TruncatedError, "within the prediction"),
        (sealed(FILTERED[: _FILTER_AT + 10]), TruncatedError, "within the prediction"),
        (sealed(FILTERED[: _FILTER_AT + 15]), TruncatedError, "within the prediction"),
        (changed(FILTERED, _FILTER_AT, 3), CorruptError, "columns along axis 3"),
        (changed(FILTERED, 8, b"\x01\x24\x10\x00\x00\x00\x00\x60\x01"), CorruptError, "columns along axis 1"),
        (changed(FILTERED, _FILTER_AT + 10, 65), CorruptError, "spatial weight of 65"),
        (changed(FILTERED, 6, 1), CorruptError, "filtered by the reference"),
        (changed(INTER, 5, 0), CorruptError, "filtered by the reference"),
        (changed(INTER, 6, 1), CorruptError, "filtered by the reference"),
        (changed(INTER, 6, 0), CorruptError, "identity"),
        (INTER, MissingReferenceError, "not among the 0"),
        (changed(RANS, len(RANS) - 5, 0xFF), CorruptError, "payload"),
        (sealed(RANS[:13]), TruncatedError, "no room for a payload"),
        (changed(UNSIGNED, 5, 2), CorruptError, "with 3 bits"),
        (changed(TENSOR, 4, 0x20), UnsupportedError, "element type 0"),
        (changed(TENSOR, 4, 0x25), UnsupportedError, "element type 5"),
        (changed(TENSOR, 4, 0x01), CorruptError, "0 dimensions"),
        (changed(TENSOR, 4, 0x91), CorruptError, "9 dimensions"),
        (changed(TENSOR, 5, 0x22), UnsupportedError, "reserved bits"),
        (changed(TENSOR, 5, 0x1A), UnsupportedError, "granularity 3"),
        (changed(TENSOR, 6, 7), UnsupportedError, "quantizer 7"),
        (changed(TENSOR, 6, 0), CorruptError, "identity"),
        (changed(TENSOR, 7, 2), UnsupportedError, "coder 2"),
        (changed(TENSOR, 8, 0), CorruptError, "dimension 0 is 0"),
        (changed(TENSOR, 8, b"\x85\x00"), CorruptError, "shortest varint"),
        (changed(TENSOR, 8, b"\xff\xff\xff\xff\x1f"), CorruptError, "below 2\\*\\*32"),
        (changed(TENSOR, 8, b"\xff\xff\xff\xff\xff\x01"), CorruptError, "at most five"),
        (changed(TENSOR, 8, b"\xff\xff\xff\xff\x0f"), LimitError, "elements"),
        (changed(TENSOR, 8, b"\x80\x80\x80\x10\x01"), LimitError, "elements"),
        (changed(TENSOR, 8, 6), TruncatedError, "announces"),
        (changed(TENSOR, 8, 4), CorruptError, "more than"),
        (sealed(TENSOR[:8] + b"\xff" * 2), TruncatedError, "within dimension 0"),
        (sealed(TENSOR[:-5]), TruncatedError, "announces"),
        (sealed(TENSOR[:-4] + b"\0"), CorruptError, "1 bytes more"),
        (changed(CHANNEL, 10, 2), CorruptError, "axis 2"),
        (sealed(CHANNEL[:8] + b"\x81\x81"), TruncatedError, "within"),
        (changed(GROUP, 10, 7), CorruptError, "group size 7"),
        (changed(TENSOR, 10, 112), CorruptError, "exponent is 112"),
        (changed(TENSOR, 10, 256 - 101), CorruptError, "exponent is -101"),
        (changed(TENSOR, 11, b"\x00\x7c"), CorruptError, "unit inf"),
        (changed(TENSOR, 11, b"\x01\x7c"), CorruptError, "unit nan"),
        (changed(TENSOR, 11, b"\x00\x80"), CorruptError, "unit -0"),
        (changed(TENSOR, 11, b"\x00\xbc"), CorruptError, "unit -1"),
        (changed(TENSOR, 10, b"\x6f\xff\x7b\xff\x7f"), CorruptError, "parameter set 0"),
        (changed(CHANNEL, len(CHANNEL) - 4 - 17 - 2 - 2, b"\x00\xfc"), CorruptError, "parameter set 4"),
        (changed(TENSOR, len(TENSOR) - 5, 0xFF), CorruptError, "unused bits"),
    ],
)
def test_each_fault_has_its_class_and_is_named(
    stream: bytes, kind: type[BitstreamError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        decode(stream)
    assert type(caught.value) is kind
    with pytest.raises(BitstreamError):
        reference.decode(stream)


def test_a_filtered_stream_is_what_the_faults_above_are_made_of() -> None:
    prediction = peek(FILTERED).prediction
    assert prediction is not None and prediction.filter is not None
    assert prediction.filter.axis == FILTERED[_FILTER_AT] == 2 and prediction.filter.spatial > 0
    wanted = [int.from_bytes(key[-4:], "little") for key in reversed(FILTER_KEYS)]
    assert list(prediction.references) == wanted


def test_each_reference_of_a_filter_is_asked_for() -> None:
    tensors = {}
    for key in FILTER_KEYS:
        tensors[int.from_bytes(key[-4:], "little")] = reference.decode(key, tensors)
    for missing in tensors:
        decoder = Decoder(references=REFERENCES)
        for checksum, tensor in tensors.items():
            if checksum != missing:
                decoder.remember(checksum, tensor)
        with pytest.raises(MissingReferenceError) as caught:
            decoder.decode(FILTERED)
        assert caught.value.checksum == missing
        decoder.remember(missing, tensors[missing][:2])
        with pytest.raises(CorruptError, match="its reference"):
            decoder.decode(FILTERED)


def test_references_at_the_end_of_the_range_stay_finite() -> None:
    """Whatever a filter's weights are, and whatever was decoded before."""
    tensors = {
        int.from_bytes(key[-4:], "little"): np.full((3, 16, 12), sign * np.finfo(np.float32).max, np.float32)
        for key, sign in zip(FILTER_KEYS, (1, -1), strict=True)
    }
    for weight in (0x7F, 0x80):
        for spatial in (0, 64):
            stream = changed(FILTERED, _FILTER_AT + 1, bytes([weight] * 9 + [spatial]))
            both(stream, tensors)


def test_every_single_bit_flip_is_noticed() -> None:
    for stream in STREAMS:
        for bit in range(8 * len(stream)):
            damaged = bytearray(stream)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(BitstreamError):
                decode(damaged)


def test_every_truncation_is_noticed() -> None:
    for stream in STREAMS:
        for length in range(len(stream)):
            with pytest.raises(BitstreamError):
                decode(stream[:length])


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_bytes=len(TENSOR) - 1), f"limit is {len(TENSOR) - 1}"),
        (Limits(max_elements=44), "limit is 44"),
        (Limits(max_dimensions=1), "limit is 1"),
    ],
)
def test_limits_hold_for_decode_and_peek(limits: Limits, message: str) -> None:
    with pytest.raises(LimitError, match=message):
        Decoder(limits).decode(TENSOR)
    with pytest.raises(LimitError, match=message):
        peek(TENSOR, limits)


def test_the_limit_on_parameter_sets() -> None:
    with pytest.raises(LimitError, match="5 parameter sets; the limit is 4"):
        decode(CHANNEL, Limits(max_parameter_sets=4))
    decode(CHANNEL, Limits(max_parameter_sets=5, max_elements=45, max_dimensions=2, max_bytes=len(CHANNEL)))


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="max_elements is 0"):
        Limits(max_elements=0)


@pytest.mark.parametrize("dimensions", [b"\x80\x80\x80\x08", b"\x80\x80\x40\x10", b"\xff\xff\x03\xff\x7f"])
def test_a_header_that_announces_gigabytes_takes_no_memory(dimensions: bytes) -> None:
    count = sum(byte < 128 for byte in dimensions)
    stream = sealed(
        b"\xc5\x51\x01\x00" + bytes([1 | count << 4, 7, 1, 0]) + dimensions + bytes(5) + bytes(200)
    )
    decoder = Decoder(Limits(max_elements=2**31 - 1))
    tracemalloc.start()
    with pytest.raises(BitstreamError):
        decoder.decode(stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


def both(stream: bytes, references: dict[int, np.ndarray] | None = None) -> None:
    """Fast decoder and reference give the same bytes, or both refuse."""
    decoder = Decoder(references=REFERENCES)
    for checksum, tensor in (references or {}).items():
        decoder.remember(checksum, tensor)
    try:
        expected = reference.decode(stream, references)
    except BitstreamError:
        with pytest.raises(BitstreamError):
            decoder.decode(stream)
        return
    decoded = decoder.decode(stream)
    assert (decoded.dtype, decoded.shape, decoded.tobytes()) == (
        expected.dtype,
        expected.shape,
        expected.tobytes(),
    )
    if decoded.dtype.kind == "f":
        assert np.isfinite(decoded).all()


@settings(max_examples=1500, deadline=None)
@given(
    stream=st.sampled_from(STREAMS),
    edits=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.integers(-3, 3),
)
def test_mutated_streams_with_a_right_checksum(stream: bytes, edits: list[tuple[int, int]], cut: int) -> None:
    body = bytearray(stream[:-4])
    for at, value in edits:
        body[at % len(body)] = value
    body = body[:cut] if cut < 0 else body + bytes(cut)
    both(sealed(bytes(body)))


@settings(max_examples=1500, deadline=None)
@given(
    stream=st.sampled_from([INTER, PLAIN_INTER, MASKED_INTER, FILTERED]),
    edits=st.lists(st.tuples(st.integers(4, 400), st.integers(0, 255)), min_size=1, max_size=3),
    cut=st.integers(-3, 3),
)
def test_mutated_differences_with_a_right_checksum(
    stream: bytes, edits: list[tuple[int, int]], cut: int
) -> None:
    body = bytearray(stream[:-4])
    for at, value in edits:
        body[at % len(body)] = value
    body = body[:cut] if cut < 0 else body + bytes(cut)
    both(sealed(bytes(body)), dict(REFERENCED))


@settings(max_examples=1500, deadline=None)
@given(
    tensor=st.integers(0, 255),
    coding=st.integers(0, 31),
    quantizer=st.integers(0, 2),
    rest=st.binary(max_size=60),
)
def test_random_streams_with_a_valid_beginning(tensor: int, coding: int, quantizer: int, rest: bytes) -> None:
    both(sealed(b"\xc5\x51\x01\x00" + bytes([tensor, coding, quantizer, 0]) + rest))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=100))
def test_random_bytes(data: bytes) -> None:
    with pytest.raises(BitstreamError):
        decode(data)
    with pytest.raises(BitstreamError):
        decode(b"\xc5\x51\x01" + data)


def test_a_wrong_output_is_refused() -> None:
    decoder = Decoder()
    for out in (np.empty((9, 5), np.float32), np.empty((5, 9), np.float16), np.empty((9, 5), np.float32).T):
        with pytest.raises(ValueError, match="out"):
            decoder.decode(TENSOR, out)
    frozen = np.empty((5, 9), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        decoder.decode(TENSOR, frozen)
    with pytest.raises(TypeError, match="str"):
        decoder.decode("stream")  # type: ignore[arg-type]


def test_a_decoder_works_on_after_a_bad_stream() -> None:
    decoder = Decoder()
    expected = decoder.decode(TENSOR)
    for bad in (changed(CHANNEL, 12, b"\x00\x7c"), changed(TENSOR, len(TENSOR) - 5, 0xFF), b""):
        with pytest.raises(BitstreamError):
            decoder.decode(bad)
        assert np.array_equal(decoder.decode(TENSOR), expected)
