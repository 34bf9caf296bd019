"""Image preparation against OpenCV and Pillow, for every encoding, with padding in the rows, odd sizes,
borders and tiny images.

Pixels are compared on the scale of 0 to 255: a tolerance of 1 is 1/255 of the range.
"""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qeil_ros.models.preprocess import ENCODINGS, InputSpec, Preprocessor, placement

SIZES = [
    ((640, 480), (224, 224)),
    ((33, 17), (224, 100)),
    ((5, 7), (3, 2)),
    ((3, 3), (64, 64)),
    ((320, 180), (96, 96)),
    ((61, 47), (61, 47)),
]
COLOUR = ["rgb8", "bgr8", "rgba8", "bgra8", "8UC3", "8UC4"]
YUV = ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21"]
BAYER = ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).integers(0, 256, shape, dtype=np.uint8)


def padded(rows: np.ndarray, padding: int) -> tuple[np.ndarray, int]:
    """Rows of bytes with `padding` bytes of rubbish after each, and their step."""
    flat = rows.reshape(rows.shape[0], -1)
    image = np.concatenate([flat, noise(flat.shape[0], padding, seed=9)], axis=1)
    return image, image.shape[1]


def sample(encoding: str, width: int, height: int, padding: int = 0) -> tuple[np.ndarray, int, np.ndarray]:
    """A random image of an encoding: its bytes, its step, and what OpenCV makes of it in RGB (or grey)."""
    if encoding in ("nv12", "nv21"):
        chroma_width, chroma_height = -(-width // 2), -(-height // 2)
        rows = noise(height + chroma_height, 2 * chroma_width)
        even = rows  # OpenCV wants even sizes: repeat the last luma row and column, whose chroma exists
        if height % 2:
            even = np.insert(rows, height, rows[height - 1], axis=0)
        code = cv2.COLOR_YUV2RGB_NV12 if encoding == "nv12" else cv2.COLOR_YUV2RGB_NV21
        image = cv2.cvtColor(np.ascontiguousarray(even), code)[:height, :width]
    elif encoding in YUV:
        rows = noise(height, 2 * (-(-width // 2)), 2)
        code = cv2.COLOR_YUV2RGB_UYVY if encoding in ("yuv422", "uyvy") else cv2.COLOR_YUV2RGB_YUY2
        image = cv2.cvtColor(rows, code)[:, :width]
    elif encoding in BAYER:
        rows = noise(height, width)
        image = cv2.cvtColor(rows, getattr(cv2, f"COLOR_Bayer{encoding[6:10].upper()}2RGB"))
    elif encoding in ("mono8", "8UC1"):
        rows = image = noise(height, width)
    elif encoding.endswith("16"):
        rows = noise(height, width, 2 * {"mono": 1, "rgb": 3, "bgr": 3}.get(encoding[:-2], 4))
        values = cv2.convertScaleAbs(rows.view("<u2"), alpha=255 / 65535).reshape(height, width, -1)
        image = {"mono": values[..., 0], "bgr": values[..., 2::-1]}.get(
            encoding[:-2].rstrip("a"), values[..., :3]
        )
    else:
        rows = noise(height, width, 4 if encoding in ("rgba8", "bgra8", "8UC4") else 3)
        image = rows[..., :3] if encoding.startswith("rgb") else rows[..., 2::-1]
    data, step = padded(rows, padding)
    return data, step, np.ascontiguousarray(image)


def prepare(
    data: Any, width: int, height: int, step: int, encoding: str, target: tuple[int, int], **fields: Any
) -> np.ndarray:
    spec = InputSpec(width=target[0], height=target[1], **{"layout": "NHWC", **fields})
    return Preprocessor(spec)(data, width, height, step, encoding)[0]


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max())


def rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("size", [(64, 48), (63, 47), (6, 4), (5, 3), (3, 3)])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decoding_without_resizing_equals_opencv_exactly(
    encoding: str, size: tuple[int, int], padding: int
) -> None:
    data, step, image = sample(encoding, *size, padding)
    assert apart(prepare(data, *size, step, encoding, size), rgb(image)) == 0


@pytest.mark.parametrize(("size", "target"), SIZES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bilinear_equals_opencv_within_one_level(
    encoding: str, size: tuple[int, int], target: tuple[int, int]
) -> None:
    data, step, image = sample(encoding, *size, 4)
    assert apart(prepare(data, *size, step, encoding, target), rgb(cv2.resize(image, target))) < 1


@pytest.mark.parametrize(("size", "target"), SIZES)
@pytest.mark.parametrize("encoding", ["rgb8", "mono8", "nv12", "bayer_gbrg8"])
def test_nearest_equals_opencv_exactly(encoding: str, size: tuple[int, int], target: tuple[int, int]) -> None:
    data, step, image = sample(encoding, *size)
    ours = prepare(data, *size, step, encoding, target, interpolation="nearest")
    assert apart(ours, rgb(cv2.resize(image, target, interpolation=cv2.INTER_NEAREST))) == 0


def test_nearest_at_every_ratio() -> None:
    for source in range(1, 200, 3):
        row = np.arange(source, dtype=np.uint8)[None]
        for target in range(1, 200, 7):
            ours = prepare(
                row, source, 1, source, "mono8", (target, 1), channels="mono", interpolation="nearest"
            )
            expected = cv2.resize(row, (target, 1), interpolation=cv2.INTER_NEAREST)
            assert np.array_equal(ours[..., 0], expected), (source, target)


def pillow(image: np.ndarray, target: tuple[int, int], interpolation: str) -> np.ndarray:
    """Horizontally, then vertically. (In one call, versions from 13 on go vertically first where that is
    faster, which rounds differently.)"""
    method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    return np.asarray(
        Image.fromarray(image).resize((target[0], image.shape[0]), method).resize(target, method)
    )


@pytest.mark.parametrize(("size", "target"), [*SIZES, ((640, 480), (7, 300)), ((4, 200), (90, 3))])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_antialiased_equals_pillow_exactly(
    encoding: str, interpolation: str, size: tuple[int, int], target: tuple[int, int]
) -> None:
    data, step, image = sample(encoding, *size, 2)
    ours = prepare(data, *size, step, encoding, target, interpolation=interpolation, antialias=True)
    assert apart(ours, rgb(pillow(image, target, interpolation))) == 0


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    target=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    encoding=st.sampled_from([name for name in ENCODINGS if name not in BAYER]),
    how=st.sampled_from([("bilinear", False), ("nearest", False), ("bilinear", True), ("bicubic", True)]),
    padding=st.integers(0, 5),
)
def test_any_size_to_any_size(
    size: tuple[int, int], target: tuple[int, int], encoding: str, how: tuple[str, bool], padding: int
) -> None:
    data, step, image = sample(encoding, *size, padding)
    interpolation, antialias = how
    ours = prepare(data, *size, step, encoding, target, interpolation=interpolation, antialias=antialias)
    if antialias:
        assert apart(ours, rgb(pillow(image, target, interpolation))) == 0
    elif interpolation == "nearest":
        assert apart(ours, rgb(cv2.resize(image, target, interpolation=cv2.INTER_NEAREST))) == 0
    else:
        assert apart(ours, rgb(cv2.resize(image, target))) < 1


def test_ros_and_opencv_name_bayer_images_differently() -> None:
    """ROS names the first two rows; OpenCV's old constants the pixels from (1, 1) on. A red picture must come
    out red."""
    raw = np.zeros((8, 8), np.uint8)
    raw[0::2, 0::2] = 200  # the red pixels of RGGB
    ours = prepare(raw, 8, 8, 8, "bayer_rggb8", (8, 8))
    assert (ours[..., 0] == 200).all() and (ours[..., 1:] == 0).all()
    assert np.array_equal(ours, cv2.cvtColor(raw, cv2.COLOR_BayerBG2RGB))


def test_mono16_big_endian() -> None:
    rows = noise(9, 11, 2)
    little, big = (
        Preprocessor(InputSpec(width=11, height=9, channels="mono"))(data, 11, 9, 22, "mono16", order).copy()
        for data, order in ((rows, False), (rows[..., ::-1].copy(), True))
    )
    assert np.array_equal(little, big)
    every = np.arange(65536, dtype="<u2").reshape(256, 256)
    ours = prepare(every.view(np.uint8), 256, 256, 512, "mono16", (256, 256), channels="mono")[..., 0]
    assert np.array_equal(ours, np.rint(every * (255 / 65535)))


@pytest.mark.parametrize("encoding", ["rgb8", "bgra8", "nv21", "yuyv", "bayer_bggr8"])
def test_grey_from_colour_equals_opencv(encoding: str) -> None:
    data, step, image = sample(encoding, 40, 30)
    ours = prepare(data, 40, 30, step, encoding, (40, 30), channels="mono")[..., 0]
    assert apart(ours, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) <= 0.51


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("channels", ["rgb", "bgr", "mono"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8"])
def test_layout_channels_and_normalisation(
    layout: str, channels: str, antialias: bool, encoding: str
) -> None:
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if channels != "mono" else ((0.45,), (0.226,))
    how: dict[str, Any] = {"channels": channels, "antialias": antialias}
    data, step, _ = sample(encoding, 50, 40)
    plain = prepare(data, 50, 40, step, encoding, (31, 23), **how).astype(np.float64)
    spec = InputSpec(width=31, height=23, layout=layout, scale=1 / 255, mean=mean, std=std, **how)
    ours = Preprocessor(spec)(data, 50, 40, step, encoding)
    assert ours.shape == spec.shape and ours.dtype == np.float32
    expected = (plain / 255 - mean) / std
    np.testing.assert_allclose(
        ours[0].transpose(1, 2, 0) if layout == "NCHW" else ours[0], expected, atol=3e-6
    )
    colour = prepare(data, 50, 40, step, encoding, (31, 23), antialias=antialias)
    if channels == "bgr":
        assert np.array_equal(plain, colour[..., ::-1])


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_output_types(layout: str, antialias: bool) -> None:
    data, step, _ = sample("rgb8", 50, 40)
    how: dict[str, Any] = {"layout": layout, "antialias": antialias}
    plain = prepare(data, 50, 40, step, "rgb8", (31, 23), **how)
    assert np.array_equal(
        prepare(data, 50, 40, step, "rgb8", (31, 23), dtype="float16", **how), plain.astype(np.float16)
    )
    assert np.array_equal(prepare(data, 50, 40, step, "rgb8", (31, 23), dtype="uint8", **how), np.rint(plain))
    shifted = prepare(data, 50, 40, step, "rgb8", (31, 23), dtype="int8", mean=128, **how)
    assert np.array_equal(shifted, np.rint(plain - np.float32(128)))
    wide = {"scale": 2.0, "mean": 100.0}
    for dtype in ("uint8", "int8"):  # saturate
        limits = np.iinfo(dtype)
        real = prepare(data, 50, 40, step, "rgb8", (31, 23), **wide, **how)
        ours = prepare(data, 50, 40, step, "rgb8", (31, 23), dtype=dtype, **wide, **how)
        assert np.array_equal(ours, np.rint(np.clip(real, limits.min, limits.max)))


@pytest.mark.parametrize("encoding", [*COLOUR, *YUV, *BAYER, "mono8", "mono16"])
@pytest.mark.parametrize("size", [(65, 40), (40, 67), (41, 41)])
def test_crop_takes_the_centre_of_the_targets_shape(encoding: str, size: tuple[int, int]) -> None:
    data, step, image = sample(encoding, *size, 2)
    (x, y, width, height), _ = placement("crop", size, (24, 24))
    assert width == height == min(size)
    assert (x, y) == ((size[0] - width) // 2, (size[1] - height) // 2)
    part = np.ascontiguousarray(image[y : y + height, x : x + width])
    assert (
        apart(prepare(data, *size, step, encoding, (24, 24), resize="crop"), rgb(cv2.resize(part, (24, 24))))
        < 1
    )
    ours = prepare(
        data, *size, step, encoding, (24, 24), resize="crop", interpolation="bicubic", antialias=True
    )
    assert apart(ours, rgb(pillow(part, (24, 24), "bicubic"))) == 0


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(64, 32), (32, 64), (100, 3)])
def test_fit_shows_the_whole_image_and_pads(size: tuple[int, int], antialias: bool, layout: str) -> None:
    data, step, image = sample("rgb8", *size)
    _, (x, y, width, height) = placement("fit", size, (40, 40))
    spec = InputSpec(
        width=40, height=40, layout=layout, resize="fit", pad=114, antialias=antialias, mean=10, std=2
    )
    out = np.full(spec.shape, np.nan, np.float32)
    ours = Preprocessor(spec)(data, *size, step, "rgb8", out=out)[0]
    ours = (ours.transpose(1, 2, 0) if layout == "NCHW" else ours) * 2 + 10
    inside = np.zeros((40, 40), bool)
    inside[y : y + height, x : x + width] = True
    assert (ours[~inside] == 114).all()
    expected = pillow(image, (width, height), "bilinear") if antialias else cv2.resize(image, (width, height))
    assert apart(ours[inside].reshape(height, width, 3), expected) < 1


def test_placement_keeps_at_least_one_pixel() -> None:
    assert placement("crop", (1000, 1), (1, 1000))[0] == (499, 0, 1, 1)
    assert placement("fit", (1000, 1), (10, 10))[1] == (0, 4, 10, 1)
    assert placement("stretch", (7, 5), (3, 2)) == ((0, 0, 7, 5), (0, 0, 3, 2))


def test_a_preprocessor_follows_changes_of_size_and_encoding() -> None:
    prepare_one = Preprocessor(InputSpec(width=20, height=10, layout="NHWC"))
    for encoding, size in [
        ("rgb8", (30, 20)),
        ("mono8", (30, 20)),
        ("rgb8", (31, 20)),
        ("nv12", (32, 20)),
        ("rgb8", (30, 20)),
    ]:
        data, step, image = sample(encoding, *size)
        assert apart(prepare_one(data, *size, step, encoding)[0], rgb(cv2.resize(image, (20, 10)))) < 1


def test_the_output_is_reused_unless_one_is_given() -> None:
    data, step, _ = sample("rgb8", 30, 20)
    spec = InputSpec(width=20, height=10)
    prepare_one = Preprocessor(spec)
    first = prepare_one(data, 30, 20, step, "rgb8")
    assert prepare_one(data, 30, 20, step, "rgb8") is first
    out = np.empty(spec.shape, np.float32)
    assert prepare_one(data, 30, 20, step, "rgb8", out=out) is out
    assert np.array_equal(out, first)
    with pytest.raises(ValueError, match="out is float64"):
        prepare_one(data, 30, 20, step, "rgb8", out=np.empty(spec.shape))


def test_any_buffer_of_bytes_will_do() -> None:
    data, step, _ = sample("rgb8", 30, 20)
    expected = prepare(data, 30, 20, step, "rgb8", (20, 10)).copy()
    for buffer in (
        data.tobytes(),
        bytearray(data),
        memoryview(data),
        array.array("B", data.tobytes()),
        data.reshape(-1),
    ):
        assert np.array_equal(prepare(buffer, 30, 20, step, "rgb8", (20, 10)), expected)
    with pytest.raises(TypeError, match="buffer protocol"):
        prepare([1, 2, 3], 30, 20, step, "rgb8", (20, 10))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_last_rows_padding_may_be_missing_but_no_pixel(encoding: str) -> None:
    data, step, image = sample(encoding, 33, 21, 8)
    whole = data.tobytes()[:-8]
    assert apart(prepare(whole, 33, 21, step, encoding, (33, 21)), rgb(image)) == 0
    with pytest.raises(ValueError, match="bytes, but there are"):
        prepare(whole[:-1], 33, 21, step, encoding, (33, 21))
    with pytest.raises(ValueError, match="step is"):
        prepare(whole, 33, 21, step - 9, encoding, (33, 21))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((b"", 4, 4, 12, "rgb8"), "there are 0"),
        ((bytes(48), 0, 4, 12, "rgb8"), "0x4"),
        ((bytes(48), 4, -1, 12, "rgb8"), "4x-1"),
        ((bytes(48), 40_000, 4, 12, "rgb8"), "40000x4"),
        ((bytes(48), 4, 4, 11, "rgb8"), "step is 11"),
        ((bytes(48), 4, 4, -12, "rgb8"), "step is -12"),
        ((bytes(48), 4, 4, 1 << 40, "rgb8"), "step is"),
        ((bytes(48), 4, 4, 12, "nv24"), "encoding is 'nv24'; possible are rgb8"),
        ((bytes(48), 4, 4, 12, "32FC1"), "encoding is '32FC1'"),
        ((bytes(48), 5, 4, 10, "yuv422"), "12 bytes"),
        ((bytes(4), 2, 2, 2, "bayer_rggb8"), "at least 3x3"),
    ],
)
def test_impossible_images_are_refused_with_the_reason(arguments: Any, message: str) -> None:
    prepare_one = Preprocessor(InputSpec(width=8, height=8))
    with pytest.raises(ValueError, match=message):
        prepare_one(*arguments)
    assert prepare_one(bytes(48), 4, 4, 12, "rgb8").shape == (1, 3, 8, 8)  # it works on


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"height": 1.5}, "height is 1.5"),
        ({"width": True}, "width is True"),
        ({"channels": "yuv"}, "channels is 'yuv'; possible are rgb, bgr, mono"),
        ({"layout": "CHW"}, "layout"),
        ({"dtype": "float64"}, "dtype"),
        ({"resize": "pad"}, "resize"),
        ({"interpolation": "lanczos"}, "interpolation"),
        ({"interpolation": "bicubic"}, "antialias"),
        ({"interpolation": "nearest", "antialias": True}, "antialias"),
        ({"antialias": 1}, "antialias is 1"),
        ({"scale": 0}, "scale is 0"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"mean": [1, 2]}, "mean has 2 entries"),
        ({"mean": "0.5"}, "mean is '0.5'"),
        ({"std": [1, 0, 1]}, "std"),
        ({"pad": 256}, "pad is 256"),
        ({"colour": "rgb"}, "unknown 'colour'; possible are antialias"),
    ],
)
def test_specs_are_validated(fields: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        InputSpec.from_dict({"width": 8, "height": 8, **fields})


def test_a_spec_from_a_file_needs_its_size_and_takes_numbers_for_all_channels() -> None:
    with pytest.raises(ValueError, match="height must be given"):
        InputSpec.from_dict({"width": 8})
    spec = InputSpec.from_dict({"width": 8, "height": 6, "mean": 1, "std": [2]})
    assert spec.mean == (1.0, 1.0, 1.0) and spec.std == (2.0, 2.0, 2.0)
    assert spec.shape == (1, 3, 6, 8)
    assert InputSpec(width=8, height=6, channels="mono", layout="NHWC").shape == (1, 6, 8, 1)
