"""Task score against bytes a frame: our streams, and pictures with the whole model behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.image_baseline import CODERS, Pixels, decode, shrunk

from .codec_cut import Cut

__all__ = ["Line", "Saving", "best", "bytes_at", "join", "picture_lines", "saving", "stream_line"]

Floats = NDArray[np.float64]
RESAMPLES = 400


@dataclass(frozen=True)
class Line:
    """One way to send frames, from coarse to fine: a point each.

    Attributes:
        settings: what was asked for at each point.
        sizes: [points, frames] bytes.
        right: [points, frames], 1 where the answer was right.
    """

    name: str
    settings: Sequence[str]
    sizes: Floats
    right: Floats

    @property
    def bytes_mean(self) -> Floats:
        """[points]"""
        return np.asarray(self.sizes.mean(axis=1))

    @property
    def score(self) -> Floats:
        """[points]"""
        return np.asarray(self.right.mean(axis=1))

    @property
    def error(self) -> Floats:
        """[points] standard error of the score."""
        return np.asarray(np.sqrt(self.score * (1 - self.score) / self.right.shape[1]))

    def to_json(self, wanted: float) -> dict[str, Any]:
        """With the bytes at the wanted score; null where it is not reached."""
        reached = bytes_at(self.bytes_mean, self.score, wanted)
        points = zip(self.settings, self.bytes_mean, self.score, self.error, strict=True)
        named = ("setting", "bytes", "score", "standard_error")
        return {
            "name": self.name,
            "frames": self.right.shape[1],
            "bytes_at_wanted": reached if math.isfinite(reached) else None,
            "points": [dict(zip(named, (s, *map(float, rest)), strict=True)) for s, *rest in points],
        }


# ---------------------------------------------------------------- lines


def stream_line(cut: Cut, name: str, options: Sequence[Mapping[str, Any]]) -> Line:
    """Feature streams; each of `options` as of qeil_ros.codec.Options."""
    writer, reader = cut.writer(), cut.reader()
    sizes, right = [], []
    for option in options:
        size, received = [], []
        for features in cut.features:
            stream = writer.encode(features, **option)
            size.append(len(stream))
            received.append(reader.decode(stream))
        sizes.append(size)
        right.append(cut.right(np.stack(received)))
    return Line(name, [_spelt(option) for option in options], np.array(sizes, float), np.array(right))


def picture_lines(
    cut: Cut, coders: Sequence[str], qualities: Sequence[int], size: float = 1.0
) -> Iterator[Line]:
    """Pictures cut as the model's input is, of `size` times its resolution, by coders of image_baseline.

    A line of the whole files for each coder; for JPEG also of what its headers and tables leave, and of the
    entropy-coded data alone.
    """
    small = [shrunk(example.pixels, cut.folder.input, size) for example in cut.pictures]
    parts: dict[str, list[list[Any]]] = {name: [] for name in coders}
    right: dict[str, list[Floats]] = {name: [] for name in coders}
    for quality in qualities:
        said: list[tuple[list[Pixels], Floats]] = []  # coders that lose alike are asked once
        for name in coders:
            coder = CODERS[name]
            streams = [coder.encode(pixels, quality) for pixels in small]
            parts[name].append([coder.parts(stream) for stream in streams])
            seen = [decode(stream) for stream in streams]
            known = (scores for pictures, scores in said if all(map(np.array_equal, pictures, seen)))
            scores = next(known, None)
            if scores is None:
                scores = cut.right_for_pictures(seen)
                said.append((seen, scores))
            right[name].append(scores)
    settings = [f"quality {quality}" for quality in qualities]
    for name in coders:
        label = name if size == 1 else f"{name} at {size:g} of the size"
        counted = {"": "file"} | ({", stripped": "stripped", ", scan": "scan"} if "jpeg" in name else {})
        for suffix, attribute in counted.items():
            sizes = [[getattr(part, attribute) for part in row] for row in parts[name]]
            yield Line(label + suffix, settings, np.array(sizes, float), np.array(right[name]))


def join(lines: Sequence[Line]) -> Line:
    """The same line of one set of frames after the other."""
    return Line(
        lines[0].name,
        lines[0].settings,
        np.concatenate([line.sizes for line in lines], axis=1),
        np.concatenate([line.right for line in lines], axis=1),
    )


def _spelt(option: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in option.items()
    )


# ---------------------------------------------------------------- where they meet a score


def bytes_at(sizes: Floats, scores: Floats, wanted: float) -> float:
    """The fewest bytes a frame that reach the score, between two points on the logarithm of the bytes.

    A point that takes more bytes for a lower score than another is no choice of anybody's, so the score at so
    many bytes is the best one with at most as many. Below the first point nothing is guessed: its bytes are
    then an upper bound. Infinite where no point reaches the score.

    Args:
        sizes, scores: [points], in any order.
    """
    order = np.argsort(sizes, kind="stable")
    x, y = np.log(sizes[order]), np.maximum.accumulate(scores[order])
    at = int(np.searchsorted(y, wanted))
    if at == len(y):
        return math.inf
    if at == 0:
        return float(np.exp(x[0]))
    share = (wanted - y[at - 1]) / (y[at] - y[at - 1])
    return float(np.exp(x[at - 1] + share * (x[at] - x[at - 1])))


def best(lines: Sequence[Line], wanted: float) -> Line:
    """The line that reaches the score with the fewest bytes."""
    return min(lines, key=lambda line: bytes_at(line.bytes_mean, line.score, wanted))


@dataclass(frozen=True)
class Saving:
    """Bytes a frame of two lines at equal score, with the standard error of their ratio."""

    ours: float
    theirs: float
    ratio: float
    error: float


def saving(ours: Line, theirs: Line, wanted: float, seed: int = 0) -> Saving:
    """How the bytes of two lines over the same frames compare where both reach the score.

    The error is the bootstrap's over frames, drawn for both lines together: frames that are hard for the one
    are hard for the other.
    """
    frames = ours.right.shape[1]
    draws = np.random.default_rng(seed).multinomial(frames, np.full(frames, 1 / frames), RESAMPLES) / frames
    a, b = (bytes_at(line.bytes_mean, line.score, wanted) for line in (ours, theirs))
    ratios = [
        bytes_at(ours.sizes @ draw, ours.right @ draw, wanted)
        / bytes_at(theirs.sizes @ draw, theirs.right @ draw, wanted)
        for draw in draws
    ]
    finite = [ratio for ratio in ratios if math.isfinite(ratio) and ratio > 0]  # 0: theirs never reached it
    known = len(finite) > RESAMPLES // 2 and math.isfinite(a) and math.isfinite(b)
    return Saving(a, b, a / b if math.isfinite(b) else math.nan, float(np.std(finite)) if known else math.nan)
