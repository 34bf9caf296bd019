"""Compressed camera images, checked before they are decoded.

No small message may cause a large allocation, and a cut-off JPEG is refused instead of decoded half grey.
"""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 64_000_000

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START, _PNG_HEADER, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\rIHDR", b"IEND\xaeB`\x82"
# Frame headers: SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC).
_JPEG_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x01}
_PADDING_BYTES = 4096  # some cameras fill their buffer up after the end marker

# What is wrong with an image is in the exception; newer OpenCV would also write to the console each time.
if hasattr(cv2, "utils") and hasattr(cv2.utils, "logging"):
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)


def decode(data: Any, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """The image in a buffer of bytes as uint8 BGR [height, width, 3], a JPEG's orientation tag not applied.

    Raises:
        ValueError: neither JPEG nor PNG, corrupt, cut off, or of more than `max_pixels`.
    """
    buffer = np.frombuffer(data, np.uint8)
    width, height = image_size(buffer)
    if width * height > max_pixels:
        raise ValueError(f"the image is {width}x{height}, more than {max_pixels} pixels")
    try:
        image = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ValueError(f"the {width}x{height} image cannot be decoded: {error}") from error
    if image is None:
        raise ValueError(f"the {width}x{height} image of {buffer.size} bytes cannot be decoded")
    if image.shape[:2] != (height, width):
        raise ValueError(f"the header says {width}x{height}, the image is {image.shape[1]}x{image.shape[0]}")
    return image


def image_size(buffer: NDArray[Any]) -> tuple[int, int]:
    """(width, height) from the header of a whole JPEG or PNG file. Raises ValueError as `decode` does."""
    start = buffer[:8].tobytes()
    tail = buffer[-_PADDING_BYTES:].tobytes()
    if start.startswith(_JPEG_START):
        if _JPEG_END not in tail:
            raise ValueError(f"the JPEG of {buffer.size} bytes is cut off: it has no end marker")
        return _jpeg_size(buffer.data)
    if start == _PNG_START:
        if _PNG_END not in tail:
            raise ValueError(f"the PNG of {buffer.size} bytes is cut off: it has no end chunk")
        if buffer[8:16].tobytes() != _PNG_HEADER or buffer.size < 24:
            raise ValueError("the PNG is corrupt: it does not begin with its header chunk")
        width, height = struct.unpack(">II", buffer[16:24].tobytes())
        return _checked(width, height)
    raise ValueError(
        f"neither JPEG nor PNG: {buffer.size} bytes that start with {start.hex(' ') or 'nothing'}"
    )


def _jpeg_size(data: memoryview) -> tuple[int, int]:
    """Walks the marker segments up to the frame header (ITU-T T.81, B.1 and B.2.2)."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise ValueError(f"the JPEG is corrupt: no marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _JPEG_STANDALONE:
            at += 2
        elif marker in _JPEG_FRAME:
            if at + 9 > len(data):
                break
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return _checked(width, height)
        else:
            (length,) = struct.unpack(">H", data[at + 2 : at + 4])
            at += 2 + max(length, 2)
    raise ValueError("the JPEG is corrupt: it has no frame header")


def _checked(width: int, height: int) -> tuple[int, int]:
    if not width or not height:
        raise ValueError(f"the image's header says {width}x{height}")
    return width, height
