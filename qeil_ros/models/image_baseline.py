"""What split inference must beat: compressed pictures on the link and the whole model behind it.

Every picture is compressed by JPEG or WebP at some quality, in the camera's size or already shrunk to the
model's input, decompressed, and answered by the whole uncompressed model. Three sizes are told: the whole
file; what a protocol of one's own would have to send (`stripped`: the file without headers and without tables
that both sides can know beforehand); and the entropy-coded picture data alone (`scan`), a bound for any use
of that coder, for tables made for each picture are not counted in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .datasets import Dataset
from .evaluate import Progress, prepared
from .extras import require
from .folder import ModelFolder
from .judge import Judge, for_scoring
from .preprocess import InputSpec, Preprocessor
from .scores import Score
from .tasks import Answer

__all__ = [
    "CODERS",
    "QUALITIES",
    "Coder",
    "Parts",
    "Point",
    "jpeg_parts",
    "rate_curve",
    "shrunk",
    "webp_parts",
]

QUALITIES = (5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 95)
_BATCH = 32

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Parts:
    """Where the bytes of one compressed picture go."""

    file: int
    stripped: int
    scan: int


@dataclass(frozen=True)
class Coder:
    """A way to compress pictures: format and options as Pillow names them, and how the bytes are counted."""

    format: str
    options: Mapping[str, Any]
    parts: Callable[[bytes], Parts]

    def encode(self, pixels: Pixels, quality: int) -> bytes:
        """RGB [height, width, 3] compressed. ModelError where Pillow is not installed."""
        image = require("PIL.Image", extra="bench")
        buffer = io.BytesIO()
        image.fromarray(pixels).save(buffer, self.format, quality=quality, **self.options)
        return buffer.getvalue()


def decode(data: bytes) -> Pixels:
    """RGB [height, width, 3] of a compressed picture."""
    image = require("PIL.Image", extra="bench")
    return np.asarray(image.open(io.BytesIO(data)).convert("RGB"))


def jpeg_parts(data: bytes, *, own_tables: bool) -> Parts:
    """The parts of a JPEG (ITU-T T.81, B.1). `own_tables`: its Huffman tables were made for this picture.

    Stripped of all that follows from size, quality and the standard's example tables: what remains are the
    scans, the Huffman tables where they are the picture's own, the scans' headers where there are several.
    ValueError: no JPEG.
    """
    at, scan, tables, headers, scans = 2, 0, 0, 0, 0
    if data[:2] != b"\xff\xd8":
        raise ValueError(f"no JPEG: starts with {data[:2].hex(' ')}")
    while data[at : at + 2] != b"\xff\xd9":
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or at + 2 + length > len(data):
            raise ValueError(f"no JPEG: no marker segment at byte {at}")
        at += 2 + length
        if marker == 0xC4:
            tables += 2 + length
        elif marker == 0xDA:
            end = _scan_end(data, at)
            scan, headers, scans, at = scan + end - at, headers + 2 + length, scans + 1, end
    return Parts(len(data), scan + tables * own_tables + headers * (scans > 1), scan)


def _scan_end(data: bytes, at: int) -> int:
    """Where the entropy-coded data ends: at a marker that is neither a stuffed byte nor a restart."""
    while True:
        at = data.index(b"\xff", at)
        if data[at + 1] != 0 and not 0xD0 <= data[at + 1] <= 0xD7:
            return at
        at += 2


def webp_parts(data: bytes) -> Parts:
    """The parts of a lossy WebP (RFC 9649): the VP8 chunk's data, without its 10 bytes of frame header.

    ValueError: no lossy WebP.
    """
    at = 12
    while data[at : at + 4] not in (b"VP8 ", b""):
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1) // 2 * 2
    if data[:4] != b"RIFF" or not data[at : at + 4]:
        raise ValueError(f"no lossy WebP: {len(data)} bytes that start with {data[:4]!r}")
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    return Parts(len(data), length - 10, length - 10)


def _jpeg(subsampling: str, **options: Any) -> Coder:
    own = bool(options)
    return Coder(
        "JPEG", {"subsampling": subsampling, **options}, lambda data: jpeg_parts(data, own_tables=own)
    )


CODERS: Mapping[str, Coder] = {
    "jpeg 4:2:0": _jpeg("4:2:0"),
    "jpeg 4:4:4": _jpeg("4:4:4"),
    "jpeg 4:2:0 optimized": _jpeg("4:2:0", optimize=True),
    "jpeg 4:4:4 optimized": _jpeg("4:4:4", optimize=True),
    "jpeg 4:2:0 progressive": _jpeg("4:2:0", optimize=True, progressive=True),
    "webp": Coder("WEBP", {"method": 6}, webp_parts),
}
"""The encoders that Pillow has (libjpeg-turbo, libwebp), at their thriftiest settings."""


@dataclass(frozen=True)
class Point:
    """One coder at one quality and size; bytes a frame."""

    coder: str
    size: str | float
    """`camera`, or the picture's size as a share of the model's input."""
    quality: int
    scores: Mapping[str, Score]
    bytes_mean: float
    bytes_p99: float
    stripped_bytes: float
    scan_bytes: float

    def to_json(self) -> dict[str, Any]:
        record = dataclasses.asdict(self)
        for score in record["scores"].values():
            score.update({key: None for key, value in score.items() if not math.isfinite(value)})
        return record


def rate_curve(
    folder: ModelFolder,
    dataset: Dataset,
    *,
    coders: Sequence[str] = tuple(CODERS),
    qualities: Sequence[int] = QUALITIES,
    sizes: Sequence[str | float] = ("camera", 1.0),
    split: str = "",
    threads: int = 1,
    progress: Progress | None = None,
) -> list[Point]:
    """Task score against bytes a frame of compressed pictures, for every coder, size and quality.

    Args:
        coders: of CODERS.
        qualities: 1 to 100, as the encoders count.
        sizes: "camera" for the picture as it is, a number for the model's input size times that number.
        split: which cut's parts make the whole model; they are the same model at every cut.

    Raises:
        KeyError: no such coder.
        ValueError: no picture.
        ModelError: a part of the model cannot be loaded, or Pillow is missing.
    """
    if not len(dataset):
        raise ValueError(f"{dataset.name} holds no picture")
    whole, judge = _Whole(for_scoring(folder), split, threads), Judge(folder, dataset)
    reference: list[Answer] = []
    tried = [
        _Tried(name, CODERS[name], size, quality)
        for name in coders
        for size in sizes
        for quality in qualities
    ]
    total, done = len(dataset) * (1 + len(tried)), 0
    for start in range(0, len(dataset), _BATCH):
        examples = [dataset[row] for row in range(start, min(start + _BATCH, len(dataset)))]
        for example in examples:
            judge.see(example)
        whole.forget()
        reference += whole.answers([example.pixels for example in examples], True)
        small = {
            size: [shrunk(e.pixels, folder.input, size) for e in examples] for size in dict.fromkeys(sizes)
        }
        for one in tried:
            streams = [one.coder.encode(pixels, one.quality) for pixels in small[one.size]]
            one.parts += [one.coder.parts(stream) for stream in streams]
            one.answers += whole.answers([decode(stream) for stream in streams], one.size == "camera")
            done += len(examples)
            if progress is not None:
                progress(done, total, f"{one.name} {one.size}")
        done += len(examples)
    return [one.point(judge.scores(one.answers, reference)) for one in tried]


class _Whole:
    """The whole model: both parts with nothing in between. It remembers what it said to which pixels."""

    def __init__(self, folder: ModelFolder, split: str, threads: int) -> None:
        self._agent = folder.agent(split, threads=threads)
        self._server = folder.server(split, threads=threads)
        self._camera = Preprocessor(folder.input)
        # A picture that the robot has cut and shrunk is not cut again.
        self._sized = Preprocessor(dataclasses.replace(folder.input, resize="stretch", shortest_edge=0))
        self._said: dict[tuple[bytes, bool], Answer] = {}

    def answers(self, pictures: Sequence[Pixels], camera: bool) -> list[Answer]:
        """For pictures of the camera's size, or sized by `shrunk`. Coders that lose alike are asked once."""
        keys = [
            (hashlib.sha256(pixels.tobytes() + repr(pixels.shape).encode()).digest(), camera)
            for pixels in pictures
        ]
        new = {key: pixels for key, pixels in zip(keys, pictures, strict=True) if key not in self._said}
        if new:
            prepare = self._camera if camera else self._sized
            rows = [self._agent.run(prepared(prepare, pixels))[0].copy() for pixels in new.values()]
            self._said |= zip(new, self._server.run(np.stack(rows)), strict=True)
        return [self._said[key] for key in keys]

    def forget(self) -> None:
        self._said.clear()


class _Tried:
    """One way to compress, and what came of it so far."""

    def __init__(self, name: str, coder: Coder, size: str | float, quality: int) -> None:
        self.name, self.coder, self.size, self.quality = name, coder, size, quality
        self.parts: list[Parts] = []
        self.answers: list[Answer] = []

    def point(self, found: Mapping[str, Score]) -> Point:
        files = [part.file for part in self.parts]
        return Point(
            coder=self.name,
            size=self.size,
            quality=self.quality,
            scores=found,
            bytes_mean=float(np.mean(files)),
            bytes_p99=float(np.percentile(files, 99, method="inverted_cdf")),
            stripped_bytes=float(np.mean([part.stripped for part in self.parts])),
            scan_bytes=float(np.mean([part.scan for part in self.parts])),
        )


def shrunk(pixels: Pixels, spec: InputSpec, size: str | float) -> Pixels:
    """The picture as the robot would send it: RGB, cut and resized as the model's input is, times `size`.

    Of size "camera" it stays as it is.
    """
    if size == "camera":
        return pixels
    height, width = pixels.shape[:2]
    own = dataclasses.replace(
        spec, channels="rgb", layout="NHWC", dtype="uint8", scale=1.0, mean=(0.0,), std=(1.0,)
    )
    (out,) = Preprocessor(own)(pixels, width, height, 3 * width, "rgb8")
    if size != 1:
        target = (max(1, round(float(size) * spec.width)), max(1, round(float(size) * spec.height)))
        small = InputSpec(*target, layout="NHWC", dtype="uint8", antialias=True)
        (out,) = Preprocessor(small)(out, spec.width, spec.height, 3 * spec.width, "rgb8")
    return np.asarray(out)
