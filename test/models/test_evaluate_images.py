"""Compressed pictures as the peer: their bytes are counted right, their curve is what it must be."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import tiny_models
from tiny_data import pictures

from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.image_baseline import CODERS, decode, jpeg_parts, rate_curve, shrunk, webp_parts
from qeil_ros.models.preprocess import InputSpec, Preprocessor

pillow = pytest.importorskip("PIL.Image", reason="compresses pictures with Pillow")


@pytest.fixture(scope="module")
def photo():
    """Something with edges, gradients and noise: uint8 RGB [48, 64, 3]."""
    rows, columns = np.mgrid[:48, :64]
    noise = np.random.default_rng(0).normal(0, 6, (48, 64, 3))
    base = np.stack([rows * 5, columns * 4, 255 * ((rows // 8 + columns // 8) % 2)], axis=-1)
    return np.clip(base + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", CODERS)
def test_every_coder_gives_the_picture_back_and_more_bytes_for_more_quality(name, photo):
    sizes, errors = [], []
    for quality in (10, 50, 95):
        data = CODERS[name].encode(photo, quality)
        parts = CODERS[name].parts(data)
        assert parts.file == len(data) > parts.stripped >= parts.scan > 0
        sizes.append(parts.scan)
        errors.append(np.abs(decode(data).astype(int) - photo).mean())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)


def test_a_stripped_jpeg_with_the_standards_tables_is_its_scan(photo):
    parts = jpeg_parts(CODERS["jpeg 4:4:4"].encode(photo, 50), own_tables=False)
    assert parts.stripped == parts.scan
    # Markers, JFIF header, two quantization tables, four Huffman tables, frame header, scan header.
    assert parts.file - parts.scan == 2 + 18 + 2 * 69 + 2 * 33 + 2 * 183 + 19 + 14 + 2


def test_tables_of_a_pictures_own_are_sent_with_it(photo):
    data = CODERS["jpeg 4:4:4 optimized"].encode(photo, 50)
    tables = sum(
        2 + int.from_bytes(data[at + 2 : at + 4], "big")
        for at in range(data.index(b"\xff\xda"))
        if data[at : at + 2] == b"\xff\xc4"
    )
    parts = jpeg_parts(data, own_tables=True)
    assert parts.stripped == parts.scan + tables
    plain = CODERS["jpeg 4:4:4"].encode(photo, 50)
    assert parts.scan < jpeg_parts(plain, own_tables=False).scan
    np.testing.assert_array_equal(decode(data), decode(plain))


def test_all_scans_of_a_progressive_jpeg_count_with_their_headers(photo):
    data = CODERS["jpeg 4:2:0 progressive"].encode(photo, 50)
    assert data.count(b"\xff\xda") > 3
    parts = jpeg_parts(data, own_tables=True)
    assert parts.scan < parts.stripped < parts.file


def test_what_is_no_such_file_is_refused():
    with pytest.raises(ValueError, match="no JPEG"):
        jpeg_parts(b"RIFF", own_tables=False)
    with pytest.raises(ValueError, match="no JPEG"):
        jpeg_parts(b"\xff\xd8\xff\xe0\x40\x00", own_tables=False)
    lossless = io.BytesIO()
    pillow.new("RGB", (8, 8)).save(lossless, "WEBP", lossless=True)
    with pytest.raises(ValueError, match="no lossy WebP"):
        webp_parts(lossless.getvalue())


@pytest.mark.parametrize(
    "resize",
    [
        {"resize": "stretch"},
        {"resize": "crop"},
        {"resize": "fit"},
        {"resize": "shortest", "shortest_edge": 40},
    ],
)
def test_a_picture_shrunk_to_the_input_is_what_the_model_would_see(photo, resize):
    spec = InputSpec(32, 32, channels="bgr", dtype="uint8", antialias=True, **resize)
    (seen,) = Preprocessor(spec)(photo, 64, 48, 3 * 64, "rgb8")
    np.testing.assert_array_equal(shrunk(photo, spec, 1.0), seen[::-1].transpose(1, 2, 0))
    assert shrunk(photo, spec, 0.5).shape == (16, 16, 3)
    assert shrunk(photo, spec, "camera") is photo


def test_a_curve_has_a_point_for_each_coder_size_and_quality(tmp_path):
    folder = ModelFolder.load(tiny_models.classifier(tmp_path / "tiny"))
    seen = []
    points = rate_curve(
        folder,
        pictures(count=40),
        coders=("jpeg 4:4:4", "webp"),
        qualities=(20, 90),
        sizes=("camera", 1.0, 0.5),
        progress=lambda done, total, what: seen.append((done, total)),
    )
    assert len(points) == 2 * 2 * 3 and seen[-1][0] <= seen[-1][1]
    for point in points:
        assert point.scores["agreement"].value == 1  # one colour survives any quality
        assert point.scores["top_1"].value == pytest.approx(38 / 39)
        assert point.bytes_p99 >= point.bytes_mean > point.stripped_bytes >= point.scan_bytes > 0
        assert not math.isnan(point.to_json()["scores"]["top_1"]["error"])
