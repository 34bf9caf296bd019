"""How large the recording's images are, raw and as JPEG: what the features are held against."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Any

from qeil_ros.cli.demo.sources import COMPRESSED, Source
from qeil_ros.cli.demo.summary import ImageSizes

JPEG_QUALITY = 75
SAMPLE_FRAMES = 60


def image_sizes(
    source: Source, model_size: tuple[int, int] | None, frames: int = SAMPLE_FRAMES
) -> ImageSizes:
    """Mean sizes [bytes] over the recording's first `frames`.

    Args:
        model_size: width and height of the model's input; None: no JPEG at that size.
    """
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    raw: list[float] = []
    jpeg: list[float] = []
    small: list[float] = []
    for frame in itertools.islice(source.frames(), frames):
        message: Any = store.deserialize_cdr(frame.payload, source.type_name)
        pixels = _pixels(message, source.type_name)
        if source.type_name != COMPRESSED:
            raw.append(len(message.data))
        if pixels is None:
            continue
        if source.type_name == COMPRESSED:
            raw.append(pixels.size)
        jpeg.append(len(message.data) if _is_jpeg(message, source.type_name) else _jpeg_bytes(pixels))
        if model_size is not None:
            small.append(_jpeg_bytes(_resized(pixels, model_size)))
    return ImageSizes(_mean(raw), _mean(jpeg), _mean(small))


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _is_jpeg(message: Any, type_name: str) -> bool:
    return type_name == COMPRESSED and bytes(message.data[:2]) == b"\xff\xd8"


def _pixels(message: Any, type_name: str) -> Any:
    """The image as OpenCV has it: BGR or grey, [height, width(, 3)] uint8; None where OpenCV cannot tell."""
    import cv2
    import numpy as np

    data = np.asarray(message.data, np.uint8)
    if type_name == COMPRESSED:
        return cv2.imdecode(data, cv2.IMREAD_COLOR)
    conversions = {
        "bgr8": (3, None),
        "rgb8": (3, cv2.COLOR_RGB2BGR),
        "bgra8": (4, cv2.COLOR_BGRA2BGR),
        "rgba8": (4, cv2.COLOR_RGBA2BGR),
        "mono8": (1, None),
        "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
        "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
        "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
        "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2),
        # OpenCV names a Bayer pattern by its second row.
        "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR),
        "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR),
        "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR),
        "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR),
    }
    if message.encoding not in conversions:
        return None
    channels, code = conversions[message.encoding]
    rows = data[: message.height * message.step].reshape(message.height, message.step)
    image = rows[:, : message.width * channels].reshape(message.height, message.width, channels)
    return image if code is None else cv2.cvtColor(image, code)


def _jpeg_bytes(pixels: Any) -> int:
    import cv2

    encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not encoded:
        raise RuntimeError(f"OpenCV could not encode an image of shape {pixels.shape} as JPEG")
    return len(data)


def _resized(pixels: Any, size: tuple[int, int]) -> Any:
    import cv2

    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
