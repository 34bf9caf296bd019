"""The entropy coder: equal to its reference, near the entropy, exact for every code, safe to decode."""

from __future__ import annotations

import functools
import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from qeil_ros import _kernels
from qeil_ros.codec import CorruptError
from qeil_ros.codec.entropy import FAMILIES, NEVER, SCALES, RansCoder, cost_table
from qeil_ros.codec.reference import entropy as reference

Codes = NDArray[np.int16] | NDArray[np.uint8]


def payload_of(codes: Codes, axis: int = -1, coder: RansCoder | None = None) -> bytes:
    coder = coder or RansCoder()
    out = bytearray(coder.encode(codes, axis))
    coder.copy_to(out)
    return bytes(out)


def decoded(payload: bytes, like: Codes) -> Codes:
    codes = np.empty_like(like)
    RansCoder().decode(payload, codes)
    return codes


def entropy_bits(codes: Codes) -> float:
    """Of all codes together, by their own frequencies."""
    counts = np.unique(codes, return_counts=True)[1]
    share = counts / codes.size
    return float(-(counts * np.log2(share)).sum())


def laplacian(shape: tuple[int, ...], scale: float | NDArray[np.float64], seed: int = 0) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(seed).laplace(0, scale, shape)).astype(np.int16)


def quantized(bits: int, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """What a uniform quantizer over +-4 sigma makes of Gaussian features."""
    x = np.random.default_rng(seed).normal(0, 1, shape)
    return np.clip(np.floor((x / 8 + 0.5) * 2**bits), 0, 2**bits - 1).astype(np.uint8)


@functools.cache
def cases() -> dict[str, Codes]:
    rng = np.random.default_rng(5)
    falling = 3.0 / (1 + np.arange(128) / 8)
    return {
        "one": np.array([3], np.int16),
        "zeros": np.zeros((17, 128), np.int16),
        "sorted axis": laplacian((17, 128), falling),
        "not negative": np.abs(laplacian((5, 9, 7), 1.0)),
        "every code": rng.integers(-32767, 32768, (4, 60)).astype(np.int16),
        "outliers": np.where(rng.random((40, 50)) < 0.004, 30000, laplacian((40, 50), 0.5)).astype(np.int16),
        "bytes": rng.integers(0, 256, (90, 70), dtype=np.uint8),
        "one byte": np.full((200, 200), 9, np.uint8),
        "few bytes": (rng.integers(0, 2, (70, 80)) * 255).astype(np.uint8),
        "four bits": quantized(4, (64, 100)),
        "wide": np.rint(rng.normal(0, 60, (100, 80))).astype(np.int16),
        "16 lanes": laplacian((150, 250), 2.0),
        "32 lanes": quantized(3, (4, 70, 950)),
        "unlike rows": np.rint(rng.laplace(0, rng.random((90, 1)) ** 3 * 9, (90, 1000))).astype(np.int16),
    }


@pytest.mark.parametrize("name", cases())
def test_the_reference_reads_and_writes_the_same(name: str) -> None:
    codes = cases()[name]
    signed = codes.dtype == np.int16
    payload = payload_of(codes)
    np.testing.assert_array_equal(decoded(payload, codes), codes)
    plain, layout = reference.decode(payload, codes.shape, signed)
    np.testing.assert_array_equal(np.array(plain).reshape(codes.shape), codes)
    assert reference.encode(plain, codes.shape, signed, layout) == payload


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_codes_on_any_axis(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=9))
    limit = data.draw(st.sampled_from([1, 3, 130, 32767]))
    codes = data.draw(
        st.one_of(
            hnp.arrays(np.int16, shape, elements=st.integers(-limit, limit), fill=st.just(0)),
            hnp.arrays(np.uint8, shape, elements=st.integers(0, min(limit, 255)), fill=st.just(0)),
        )
    )
    axis = data.draw(st.integers(-codes.ndim, codes.ndim - 1))
    payload = payload_of(codes, axis)
    np.testing.assert_array_equal(decoded(payload, codes), codes)
    plain, layout = reference.decode(payload, shape, codes.dtype == np.int16)
    assert plain == codes.ravel().tolist()
    assert reference.encode(plain, shape, codes.dtype == np.int16, layout) == payload


def test_layouts_that_the_encoder_does_not_choose_are_read_too() -> None:
    codes = laplacian((6, 10, 4), 1.5)
    signed = reference.Sent(5, 0, 3, (12, 11, 11, 9, 9, 4))
    for layout in (
        reference.Layout(0, 1, 0, (), (22,)),
        reference.Layout(0, 2, 1, (), tuple(range(15, 25))),
        reference.Layout(0, 4, 1, (signed, signed), (0, 25, 1)),
        reference.Layout(0, 0, 2, (signed,), (0, 0, 21, 21, 0)),
    ):
        payload = reference.encode(codes.ravel().tolist(), codes.shape, True, layout)
        np.testing.assert_array_equal(decoded(payload, codes), codes)


def test_the_example_of_the_specification() -> None:
    codes = np.array([[0], [1], [-2], [0], [0], [5]], np.int16)
    assert payload_of(codes).hex(" ") == "1a b0 9e 02"


def test_static_tables() -> None:
    digest = hashlib.sha256()
    for family in range(FAMILIES):
        for scale in range(SCALES):
            frequencies, escape, costs = _kernels.rans_static(family, scale)
            model = reference.static_model(family, scale)
            assert tuple(frequencies) == model.frequencies
            assert sum(frequencies) == 4096 and min(frequencies) > 0
            assert escape == (256 if model.escape is None else model.escape)
            for index in range(min(escape, len(frequencies))):
                assert abs(costs[index] / 256 + math.log2(frequencies[index] / 4096)) < 1.01 / 256
            digest.update(np.array(frequencies, "<u2").tobytes())
    assert digest.hexdigest() == "7fd25ab95b2d616447f3db55952e5e73c091f7c82fef2cc73ce48cb6f48c7de2"


def test_costs_are_what_coding_takes() -> None:
    codes = laplacian((1500, 1), 0.9)
    coder = RansCoder()
    size = coder.encode(codes)
    layout = coder.layout
    assert layout.sent == 0
    table = cost_table(layout.family, layout.tables[0])
    index = np.where(codes >= 0, 2 * codes, -2 * codes - 1)
    assert table[index].sum() / 256 / 8 == pytest.approx(size, abs=3)
    assert cost_table(0, 0)[0] == 0 and (cost_table(0, 0)[1:] == NEVER).all()


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("signed", [True, False])
def test_within_a_hundredth_of_a_bit_of_the_entropy(bits: int, signed: bool) -> None:
    codes: Codes = quantized(bits, (250, 400), seed=bits)
    if signed:
        codes = codes.astype(np.int16) - 2 ** (bits - 1)
    size = len(payload_of(codes))
    assert 8 * size - entropy_bits(codes) <= 0.01 * codes.size


def test_bands_of_a_sorted_axis_pay() -> None:
    falling = 4.0 * 0.95 ** np.arange(128)
    codes = laplacian((17, 128), falling)
    one_table = RansCoder().encode(codes.reshape(-1, 1))
    assert RansCoder().encode(codes) < 0.8 * one_table


def test_channels_of_unlike_statistics_share_a_few_tables() -> None:
    rng = np.random.default_rng(2)
    busy = rng.random(64)[:, None, None]
    codes = np.where(rng.random((64, 40, 40)) < busy, rng.geometric(0.3, (64, 40, 40)), 0).astype(np.int16)
    coder = RansCoder()
    by_channel = coder.encode(codes, axis=0)
    assert coder.layout.sent > 1
    ideal = sum(entropy_bits(channel) for channel in codes) / 8
    assert by_channel < 1.04 * ideal < coder.encode(codes.reshape(-1, 1))
    np.testing.assert_array_equal(decoded(payload_of(codes, 0), codes), codes)


def test_few_codes_cost_few_bytes() -> None:
    assert len(payload_of(np.zeros((17, 128), np.int16))) <= 5
    codes = np.zeros((17, 128), np.int16)
    codes[::4, 0] = 1
    codes[3, 1] = -1
    assert len(payload_of(codes)) <= 10


def test_no_larger_than_constriction_but_for_table_and_states() -> None:
    constriction = pytest.importorskip("constriction")
    codes = quantized(4, (197, 768)).astype(np.int32).ravel()
    share = np.bincount(codes, minlength=16) / codes.size
    model = constriction.stream.model.Categorical(share, perfect=False)
    ans = constriction.stream.stack.AnsCoder()
    ans.encode_reverse(codes, model)
    words = ans.get_compressed()
    np.testing.assert_array_equal(constriction.stream.stack.AnsCoder(words).decode(model, codes.size), codes)
    ours = codes.astype(np.uint8).reshape(197, 768)
    payload = payload_of(ours)
    np.testing.assert_array_equal(decoded(payload, ours), ours)
    assert len(payload) <= 4 * len(words) + 0.01 * codes.size / 8


def test_a_coder_is_used_again_and_again() -> None:
    coder = RansCoder()
    for codes in (
        quantized(4, (300, 300)),
        laplacian((3, 4), 1),
        laplacian((40, 50), 9),
        quantized(8, (7, 7)),
    ):
        fresh = payload_of(codes)
        assert payload_of(codes, coder=coder) == fresh
        back = np.empty_like(codes)
        coder.decode(fresh, back)
        np.testing.assert_array_equal(back, codes)


def test_wrong_calls_are_refused() -> None:
    coder = RansCoder()
    with pytest.raises(ValueError, match="-32768"):
        coder.encode(np.array([0, -32768], np.int16))
    with pytest.raises(TypeError, match="float32"):
        coder.encode(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="axis 2"):
        coder.encode(np.zeros((3, 3), np.int16), axis=2)
    with pytest.raises(ValueError, match="contiguous"):
        coder.encode(np.zeros((4, 6), np.int16)[:, ::2])
    with pytest.raises(ValueError, match="payload"):
        coder.copy_to(bytearray(4))
    size = coder.encode(np.ones(100, np.int16))
    with pytest.raises(ValueError, match="payload"):
        coder.copy_to(bytearray(size + 1))
    with pytest.raises(CorruptError, match="empty"):
        coder.decode(b"", np.zeros(3, np.int16))


@pytest.mark.parametrize("name", ["16 lanes", "32 lanes"])
def test_several_lanes_notice_each_cut(name: str) -> None:
    codes = cases()[name]
    payload = payload_of(codes)
    cuts = [payload[:-k] for k in (1, 2, 3, 4, 200, len(payload) - 8)]
    for wrong in (*cuts, payload + b"\0", payload + b"\0\0", payload[2:]):
        with pytest.raises(CorruptError):
            decoded(wrong, codes)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_hostile_payloads(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["sorted axis", "outliers", "bytes", "four bits", "not negative"]))
    codes = cases()[name]
    payload = bytearray(payload_of(codes))
    kind = data.draw(st.sampled_from(["made up", "cut", "mutated"]))
    if kind == "made up":
        payload = bytearray(data.draw(st.binary(min_size=1, max_size=400)))
    elif kind == "cut":
        payload = payload[: data.draw(st.integers(1, len(payload)))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    back = np.empty_like(codes)
    signed = codes.dtype == np.int16
    try:
        RansCoder().decode(bytes(payload), back)
    except CorruptError:
        with pytest.raises(CorruptError):
            reference.decode(bytes(payload), codes.shape, signed)
        return
    plain, _ = reference.decode(bytes(payload), codes.shape, signed)
    assert plain == back.ravel().tolist()
