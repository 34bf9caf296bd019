"""Inter-frame coding: what is lost costs itself alone, and nothing is ever decoded to something else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.codec import (
    REFERENCES,
    CorruptError,
    Decoder,
    Encoder,
    MissingReferenceError,
    Options,
    TemporalEncoder,
    decode,
    encode,
    is_key,
    peek,
)
from qeil_ros.codec.predictor import Reference

RANS = Options(bits=4, coder="rans")


def moving(frames: int, shape: tuple[int, ...] = (12, 40), seed: int = 0) -> list[np.ndarray]:
    """A scene that changes slowly."""
    random = np.random.default_rng(seed)
    x = random.laplace(size=shape)
    out = []
    for _ in range(frames):
        x = 0.97 * x + 0.2 * random.laplace(size=shape)
        out.append(x.astype(np.float32))
    return out


def squared_error(x: np.ndarray, y: np.ndarray) -> float:
    return float(((x.astype(np.float64) - y) ** 2).mean())


@pytest.mark.parametrize("coder", ["packed", "rans"])
def test_differences_follow_once_a_frame_was_acknowledged_and_decode_to_the_encoders_own_tensor(
    coder: str,
) -> None:
    encoder, decoder = TemporalEncoder(Options(bits=4, coder=coder)), Decoder(references=REFERENCES)
    for number, x in enumerate(moving(12)):
        stream = bytes(encoder.encode(x))
        assert encoder.key == is_key(stream) == peek(stream).key == (number < 3)
        assert np.array_equal(decoder.decode(stream), encoder.decoded)
        if number >= 2:
            assert encoder.acknowledge(encoder.checksum)


def test_differences_are_smaller_at_no_more_distortion() -> None:
    inter, intra = TemporalEncoder(RANS.but(rdo=0.0), chained=True), 0
    size = error = intra_error = 0.0
    for x in moving(20):
        size += len(inter.encode(x))
        error += squared_error(x, inter.decoded)
        alone = encode(x, bits=4, coder="rans", rdo=0.0)
        intra += len(alone)
        intra_error += squared_error(x, decode(alone))
    assert size < 0.6 * intra
    assert error < 1.05 * intra_error


def test_errors_do_not_add_up() -> None:
    encoder, errors = TemporalEncoder(RANS, key_interval=0, chained=True), []
    for x in moving(200):
        encoder.encode(x)
        errors.append(squared_error(x, encoder.decoded))
    assert np.mean(errors[150:]) < 1.2 * np.mean(errors[1:50])


def test_integers_at_eight_bits_stay_without_loss() -> None:
    for dtype in (np.uint8, np.int8):
        encoder, decoder = (
            TemporalEncoder(Options(coder="rans"), chained=True),
            Decoder(references=REFERENCES),
        )
        x = np.random.default_rng(1).integers(0, 256, (9, 30)).astype(np.uint8).view(dtype)
        sizes = []
        for step in range(5):
            x = x.copy()
            x[step] ^= 1
            stream = encoder.encode(x)
            assert np.array_equal(decoder.decode(stream), x)
            sizes.append(len(stream))
        assert max(sizes[1:]) < 0.5 * sizes[0]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_over_any_lossy_link_a_loss_costs_the_lost_frame_alone(data: st.DataObject) -> None:
    """Frames and receipts are lost and delayed at will; every frame that arrives is decoded, and exactly."""
    encoder, decoder = (
        TemporalEncoder(RANS, key_interval=data.draw(st.integers(0, 9))),
        Decoder(references=REFERENCES),
    )
    receipts: list[tuple[int, int]] = []
    predicted = 0
    for now, x in enumerate(moving(24, (4, 9), seed=data.draw(st.integers(0, 3)))):
        while receipts and receipts[0][0] <= now:
            encoder.acknowledge(receipts.pop(0)[1])
        stream = bytes(encoder.encode(x))
        predicted += not encoder.key
        if data.draw(st.booleans(), label="arrives"):
            assert np.array_equal(decoder.decode(stream), encoder.decoded)
            if data.draw(st.booleans(), label="receipt arrives"):
                receipts.append((now + data.draw(st.integers(1, 12)), encoder.checksum))
                receipts.sort()


def test_a_receiver_that_starts_late_says_what_it_lacks_and_is_served_after_one_request() -> None:
    encoder, late = TemporalEncoder(RANS, key_interval=0, chained=True), Decoder(references=REFERENCES)
    frames = moving(6)
    encoder.encode(frames[0])
    first = encoder.checksum
    stream = encoder.encode(frames[1])
    with pytest.raises(MissingReferenceError, match="a stream without a reference is needed") as caught:
        late.decode(stream)
    assert caught.value.checksum == first
    encoder.request_key()
    assert is_key(encoder.encode(frames[2]))
    for x in frames[3:]:
        encoder.encode(x)
    # Only what it can decode: the key frame was lost as well.
    with pytest.raises(MissingReferenceError):
        late.decode(encoder.encode(frames[3]))


def test_acknowledgements_of_before_a_request_count_no_more() -> None:
    encoder = TemporalEncoder(RANS)
    x = moving(1)[0]
    encoder.encode(x)
    before = encoder.checksum
    encoder.request_key()
    assert not encoder.acknowledge(before)
    encoder.encode(x * 1.01)
    assert encoder.key


def test_an_old_reference_is_not_used_and_a_newer_one_not_replaced_by_an_older() -> None:
    encoder, checksums = TemporalEncoder(RANS, key_interval=0), []
    for x in moving(REFERENCES + 1):
        encoder.encode(x)
        checksums.append(encoder.checksum)
    assert not encoder.acknowledge(checksums[0])
    assert encoder.acknowledge(checksums[4]) and encoder.acknowledge(checksums[3])
    assert peek(encoder.encode(x)).prediction.reference == checksums[4]


def test_key_frames_come_at_the_interval_and_on_request() -> None:
    encoder = TemporalEncoder(RANS, key_interval=5, chained=True)
    keys = []
    for number, x in enumerate(moving(16)):
        encoder.encode(x, key=number == 7)
        keys.append(encoder.key)
    assert [number for number, key in enumerate(keys) if key] == [0, 5, 7, 12]


def test_another_scene_is_not_predicted_and_another_shape_neither() -> None:
    encoder = TemporalEncoder(RANS, chained=True)
    encoder.encode(moving(1, seed=1)[0])
    encoder.encode(moving(1, seed=2)[0])
    assert encoder.key
    encoder.encode(moving(1, (3, 3), seed=2)[0])
    assert encoder.key
    encoder.encode(np.float16(moving(1, (3, 3), seed=2)[0]))
    assert encoder.key


def test_a_reference_of_another_shape_is_corrupt_not_misused() -> None:
    encoder, decoder = TemporalEncoder(RANS, chained=True), Decoder(references=REFERENCES)
    first, second = moving(2)
    encoder.encode(first)
    decoder.remember(encoder.checksum, np.zeros((2, 2), np.float32))
    with pytest.raises(CorruptError, match="its reference"):
        decoder.decode(encoder.encode(second))


def test_a_decoder_keeps_no_more_references_than_it_was_told() -> None:
    encoder, decoder = TemporalEncoder(RANS, key_interval=0, chained=True), Decoder(references=2)
    checksums = []
    for x in moving(5):
        decoder.decode(encoder.encode(x))
        checksums.append(encoder.checksum)
    assert [decoder.reference(checksum) is not None for checksum in checksums] == [False] * 3 + [True] * 2
    decoder.forget()
    assert decoder.reference(checksums[-1]) is None


def test_values_at_the_end_of_the_range_stay_finite() -> None:
    encoder, decoder = TemporalEncoder(RANS, chained=True), Decoder(references=REFERENCES)
    x = np.full((4, 8), 2.0**100, np.float32)
    for scale in (1.0, 0.9, 2.0**6, -1.0):
        decoded = decoder.decode(encoder.encode((x * np.float32(scale)).astype(np.float32)))
        assert np.isfinite(decoded).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="key_interval is -1"):
        TemporalEncoder(key_interval=-1)
    encoder = TemporalEncoder(RANS, chained=True)
    encoder.encode(np.ones((3, 3), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        encoder.encode(np.full((3, 3), np.nan, np.float32))
    encoder.encode(np.ones((3, 3), np.float32))


def panned(frames: int, seed: int = 0) -> list[np.ndarray]:
    """A feature map [8, 10, 12] over which the camera moves by a third of a position a frame."""
    random = np.random.default_rng(seed)
    field = np.cumsum(random.normal(size=(8, 16, 24)), axis=2)
    out = []
    for number in range(frames):
        column, part = divmod(number / 3, 1)
        left, right = (field[:, 3:13, int(column) + k : int(column) + k + 12] for k in (0, 1))
        x = (1 - part) * left + part * right + 0.05 * np.cumsum(random.normal(size=left.shape), axis=2)
        out.append(x.astype(np.float32))
    return out


def test_a_map_that_moves_is_predicted_from_its_neighbourhood() -> None:
    encoder, decoder = (
        TemporalEncoder(RANS.but(axis=0, step=0.2), chained=True),
        Decoder(references=REFERENCES),
    )
    plain, sizes, shares = Encoder(), 0, 0
    previous: list[Reference] = []
    for number, x in enumerate(panned(8)):
        stream = encoder.encode(x)
        assert np.array_equal(decoder.decode(stream), encoder.decoded)
        if number:
            prediction = peek(stream).prediction
            assert prediction is not None and prediction.filter is not None
            assert prediction.filter.axis == 2 and len(prediction.references) == min(number, 2)
            sizes += len(stream)
            flat = RANS.but(step=0.2)
            near = [Reference(1, one.tensor.reshape(8, -1)) for one in previous]
            shares += len(plain.write(x.reshape(8, -1), flat.but(axis=0), references=near))
        previous = [Reference(encoder.checksum, encoder.decoded.copy())]
    assert sizes < 0.75 * shares


@pytest.mark.parametrize("seed", range(4))
def test_a_second_reference_is_one_that_the_receiver_has(seed: int) -> None:
    encoder, decoder = TemporalEncoder(RANS.but(axis=0), key_interval=0), Decoder(references=REFERENCES)
    arrives, seen = np.random.default_rng(seed).random(14) < 0.7, 0
    for x, here in zip(panned(14, seed=1), arrives, strict=True):
        stream = bytes(encoder.encode(x))
        prediction = peek(stream).prediction
        seen += prediction is not None and len(prediction.references) == 2
        if here:
            assert np.array_equal(decoder.decode(stream), encoder.decoded)
            encoder.acknowledge(encoder.checksum)
    assert seen >= 3


def test_integers_far_from_zero_take_their_step_from_what_they_vary() -> None:
    x = (120 + 10 * np.random.default_rng(0).normal(size=(40, 30))).astype(np.uint8)
    for bits, most in ((4, 2.0), (3, 4.0)):
        error = np.sqrt(squared_error(x, decode(encode(x, bits=bits, coder="rans"))))
        assert error < most  # a third of a step; about zero the step would be twelve times as large
    still = np.full((4, 4), 130, np.uint8)
    assert np.array_equal(decode(encode(still, bits=3, coder="rans")), still)


def test_integers_with_a_step_are_rounded_with_the_bits_in_mind_in_differences_too() -> None:
    random = np.random.default_rng(3)
    x = (100 + 20 * random.normal(size=(30, 40))).astype(np.uint8)
    y = np.clip(x + 6 * random.normal(size=x.shape), 0, 255).astype(np.uint8)
    sizes = []
    for rdo in (0.0, 1.0):
        encoder = TemporalEncoder(Options(coder="rans", step=8.0, rdo=rdo), chained=True)
        encoder.encode(x)
        sizes.append(len(encoder.encode(y)))
    assert sizes[1] < 0.9 * sizes[0]
