from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models.compressed import decode, image_size

PICTURE = np.random.default_rng(1).integers(0, 256, (30, 47, 3), np.uint8)


def encoded(kind: str, picture=PICTURE) -> bytes:
    good, data = cv2.imencode(kind, picture)
    assert good
    return data.tobytes()


def test_a_png_comes_back_exactly():
    np.testing.assert_array_equal(decode(encoded(".png")), PICTURE)


@pytest.mark.parametrize("picture", [PICTURE, PICTURE[:, :, 0]])
def test_a_jpeg_is_what_opencv_makes_of_it(picture):
    data = encoded(".jpg", picture)
    image = decode(memoryview(data))
    assert image.shape == (30, 47, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_padding_after_a_jpeg_is_no_fault():
    decode(encoded(".jpg") + bytes(1000))


@pytest.mark.parametrize("kind", [".jpg", ".png"])
def test_a_cut_off_image_is_refused(kind):
    data = encoded(kind)
    for size in (0, 1, 2, 10, 23, len(data) // 2, len(data) - 2):
        with pytest.raises(ValueError, match=r"cut off|neither JPEG nor PNG"):
            decode(data[:size])


def test_other_data_is_refused_with_what_it_starts_with():
    with pytest.raises(ValueError, match=r"neither JPEG nor PNG: 20 bytes .* start with 47 49 46"):
        decode(b"GIF89a".ljust(20))


def test_an_enormous_image_is_refused_before_it_is_decoded():
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk + bytes(4) + b"IEND\xaeB`\x82"
    with pytest.raises(ValueError, match="60000x60000, more than 64000000 pixels"):
        decode(bomb)
    with pytest.raises(ValueError, match="47x30, more than 100 pixels"):
        decode(encoded(".jpg"), max_pixels=100)


def test_the_size_is_read_off_every_kind_of_jpeg():
    for flags in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]):
        data = cv2.imencode(".jpg", PICTURE, flags)[1]
        assert image_size(data.reshape(-1)) == (47, 30)


@settings(deadline=None)
@given(st.data())
def test_damaged_images_raise_value_error_or_give_an_image_of_the_stated_size(data):
    original = encoded(data.draw(st.sampled_from([".jpg", ".png"])))
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(damaged), max_pixels=1_000_000)
    except ValueError:
        return
    width, height = image_size(np.frombuffer(bytes(damaged), np.uint8))
    assert image.shape == (height, width, 3)
