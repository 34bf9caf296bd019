"""Dropped tokens: which ones, what stands for them, and how the stream says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.codec import decode, encode, peek, reference
from qeil_ros.codec.tokens import Fill, Mask, choose, pack_mask, parse_mask, saliency

X = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float32)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_masks_come_back_in_the_fewest_bytes(data: st.DataObject) -> None:
    rows = data.draw(st.integers(2, 900))
    share = data.draw(st.sampled_from([0.002, 0.5, 0.998]))
    kept = np.random.default_rng(data.draw(st.integers(0, 99))).random(rows) < share
    kept[data.draw(st.integers(0, rows - 1))] = True
    if kept.all():
        kept[data.draw(st.integers(0, rows - 1))] = False
    fill = data.draw(st.sampled_from(list(Fill)))
    packed = pack_mask(Mask(kept, fill))
    assert len(packed) <= 1 + -(-rows // 8)
    few = min(int(kept.sum()), int((~kept).sum()))
    assert len(packed) <= 3 + few + rows // 255
    mask, end = parse_mask(memoryview(packed + b"rest"), 0, len(packed) + 4, rows)
    assert end == len(packed) and mask.fill is fill and np.array_equal(mask.kept, kept)


def test_kept_rows_are_coded_as_by_themselves_and_the_others_become_their_mean() -> None:
    kept = [1, 2, 5]
    dropped = [row for row in range(10) if row not in kept]
    decoded = decode(encode(X, bits=8, keep=kept))
    alone = decode(encode(np.concatenate([X[kept], X[dropped].mean(axis=0, keepdims=True)]), bits=8))
    assert np.array_equal(decoded[kept], alone[:3])
    assert (decoded[dropped] == alone[3]).all()
    assert (decode(encode(X, keep=kept, fill="zero"))[dropped] == 0).all()


@pytest.mark.parametrize("coder", ["packed", "rans"])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
def test_every_kind_of_stream_may_have_a_mask(coder: str, granularity: str, dtype: str) -> None:
    x = (X * 20 + (100 if dtype == "uint8" else 0)).astype(dtype)
    for axis in (0, 1):
        for fill in ("merged", "zero"):
            stream = encode(x, coder=coder, granularity=granularity, axis=axis, keep=0.4, fill=fill, bits=6)
            decoded = decode(stream)
            assert decoded.tobytes() == reference.decode(stream).tobytes()
            info = peek(stream)
            assert info.mask is not None and info.mask.kept_rows == 4 and info.shape == x.shape
            kept = info.mask.kept
            error = np.abs(decoded[kept].astype(float) - x[kept]).max()
            assert error <= 8


def test_a_mask_keeps_integers_at_eight_bits_without_loss() -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 7)).astype(np.uint8)
    for coder in ("packed", "rans"):
        decoded = decode(encode(x, keep=[3, 29], coder=coder))
        assert np.array_equal(decoded[[3, 29]], x[[3, 29]])


def test_rows_are_kept_that_differ_most_or_have_the_highest_scores() -> None:
    x = np.ones((8, 16), np.float32)
    x[[2, 6]] += np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    mask = choose(x, 2)
    assert mask is not None and np.flatnonzero(mask.kept).tolist() == [2, 6]
    assert saliency(x).argmax() in (2, 6)
    mask = choose(x, 0.25, scores=[0, 0, 0, 9, 0, 8, 0, 0])
    assert mask is not None and np.flatnonzero(mask.kept).tolist() == [3, 5]


def test_a_merged_mean_costs_less_distortion_than_zero() -> None:
    x = X + 3
    errors = {fill: ((decode(encode(x, keep=5, fill=fill)) - x) ** 2).mean() for fill in ("merged", "zero")}
    assert errors["merged"] < 0.2 * errors["zero"]


def test_keeping_all_or_all_but_one_needs_no_mask() -> None:
    for keep in (10, 1.0, 0.91, 9, list(range(10))):
        assert encode(X, keep=keep) == encode(X)
    assert peek(encode(X, keep=9, fill="zero")).mask is not None


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (0, "keep is 0"),
        (11, "keep is 11"),
        (0.0, "fraction"),
        (1.5, "fraction"),
        ([10], "row 10"),
        ([-11], "row -11"),
        ([], "list of rows"),
        ([0.5], "list of rows"),
    ],
)
def test_what_cannot_be_kept_is_refused(keep: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(X, keep=keep)


def test_scores_must_fit_and_vectors_have_no_rows() -> None:
    with pytest.raises(ValueError, match="one for each of 10"):
        encode(X, keep=3, scores=np.ones(9))
    with pytest.raises(ValueError, match="NaN"):
        encode(X, keep=3, scores=np.full(10, np.nan))
    with pytest.raises(ValueError, match="one dimension"):
        encode(X[0], keep=3)
