"""Differences between frames beside frames by themselves: bytes of a moving recording at equal distortion."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qeil_ros.codec import REFERENCES, Encoder, TemporalEncoder
from qeil_ros.models import tabletop
from qeil_ros.models.datasets import Dataset, Example
from qeil_ros.models.features import FeatureReader, FeatureWriter

from .codec_cut import Cut

__all__ = ["Sequenced", "compare", "log_interpolated", "operating_point", "sliding", "video"]

STREAM = 55_000_002
"""Scenes of the moving recording: neither trained nor scored on, nor in the shipped recording."""
RATE_HZ = 20.0
STEPS = (0.75, 0.9, 1.0)
"""Of the frames by themselves: between them lies the step at which differences lose as much."""
LATE = 2
"""Frames that an acknowledgement takes to come back, where one is waited for."""


@dataclass(frozen=True)
class Sequenced:
    """Bytes a frame of one recording at one cut, key frames included.

    Attributes:
        bits: the step is that of so many over +-4 standard deviations; fractions lie between two widths.
        snr_db: variance of the features over the mean square of their error; of the frames by themselves.
        intra: each frame by itself.
        inter: differences from the frame before, at the same squared error.
        late: differences from the last frame that was acknowledged, `LATE` frames late.
        key: share of key frames in `inter`.
        score: share of right answers of the frames by themselves; where nobody knows, of the uncoded ones.
    """

    name: str
    frames: int
    bits: float
    snr_db: float
    intra: float
    inter: float
    late: float
    key: float
    score: float

    @property
    def saved(self) -> float:
        return 1 - self.inter / self.intra

    @property
    def saved_late(self) -> float:
        return 1 - self.late / self.intra

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "saved": self.saved, "saved_late": self.saved_late}


def compare(name: str, cut: Cut, bits: float) -> Sequenced:
    """Codes the cut's features in their order, in the step of `bits` over +-4 standard deviations."""
    step = 8 * cut.deviation / 2**bits
    received: list[NDArray[Any]] = []
    intra, error, _ = _coded(cut, step, None, received)
    power = float(np.var(cut.features, dtype=np.float64))
    near = [_coded(cut, step * factor, 0) for factor in STEPS]
    late = [_coded(cut, step * factor, LATE) for factor in STEPS]
    return Sequenced(
        name,
        len(cut.features),
        bits,
        10 * math.log10(power / error) if error else math.inf,
        intra,
        log_interpolated([e for _, e, _ in near], [size for size, _, _ in near], error),
        log_interpolated([e for _, e, _ in late], [size for size, _, _ in late], error),
        near[STEPS.index(1.0)][2],
        float(cut.right(np.stack(received)).mean()),
    )


def operating_point(tried: Sequence[Sequenced], wanted: float) -> Sequenced:
    """The fewest bytes by themselves that keep the score, else the best score: what differences must beat."""
    enough = [one for one in tried if one.score >= wanted]
    return min(enough, key=lambda one: one.intra) if enough else max(tried, key=lambda one: one.score)


def _coded(
    cut: Cut, step: float, delay: int | None, out: list[NDArray[Any]] | None = None
) -> tuple[float, float, float]:
    """(bytes a frame, mean squared error, share of key frames) of the whole sequence at one step.

    Args:
        delay: frames until an acknowledgement comes back; None: every frame by itself.
        out: takes the decoded features.
    """
    temporal = TemporalEncoder() if delay is not None else None
    writer = FeatureWriter(cut.folder, cut.name, temporal or Encoder())
    reader = FeatureReader(cut.folder, cut.name, references=REFERENCES if temporal else 0)
    size, error, keys = 0, 0.0, 0
    coming: deque[int] = deque()
    for features in cut.features:
        stream = writer.encode(features, coder="rans", step=step)
        size += len(stream)
        received = reader.decode(stream)
        error += float(np.square(received.astype(np.float64) - features).mean())
        if out is not None:
            out.append(received)
        if temporal is not None and delay is not None:
            keys += temporal.key
            coming.append(temporal.checksum)
            if len(coming) > delay:
                temporal.acknowledge(coming.popleft())
    count = len(cut.features)
    return size / count, error / count, keys / count


def log_interpolated(errors: Sequence[float], sizes: Sequence[float], wanted: float) -> float:
    """Bytes at an error, straight between two points of both logarithms, and on beyond the last ones."""
    order = np.argsort(errors)
    x, y = (np.log(np.array(values, float)[order]) for values in (errors, sizes))
    at = min(max(int(np.searchsorted(x, math.log(wanted))), 1), len(x) - 1)
    slope = (y[at] - y[at - 1]) / (x[at] - x[at - 1])
    return float(np.exp(y[at - 1] + slope * (math.log(wanted) - x[at - 1])))


# ---------------------------------------------------------------- recordings


def sliding(frames: int) -> Dataset:
    """A camera over one table on which things slide and turn without a cut, 320x240 with sensor noise."""
    rng = np.random.default_rng(STREAM)
    scene = next(
        scene for number in range(100) if len((scene := tabletop.scene_from_seed(number, STREAM)).things) == 3
    )
    scene = replace(scene, surroundings=replace(scene.surroundings, noise=3.0))

    def moved(number: int) -> tabletop.Scene:
        phase = 2 * math.pi * number / RATE_HZ / 6  # around in six seconds
        things = [
            replace(
                thing,
                x=thing.x + 0.12 * math.cos(phase + place),
                depth=thing.depth + 0.12 * math.sin(phase + place),
                yaw=thing.yaw + 0.5 * phase,
            )
            for place, thing in enumerate(scene.things)
        ]
        return replace(scene, things=tuple(things))

    pictures = [tabletop.render(moved(number), 320, 240, rng) for number in range(frames)]
    return _dataset("sliding", pictures)


def video(file: Path, frames: int) -> Dataset:
    """The first frames of a video. ValueError: OpenCV cannot read one."""
    opened = cv2.VideoCapture(str(file))
    pictures: list[NDArray[np.uint8]] = []
    while len(pictures) < frames:
        there, bgr = opened.read()
        if not there:
            break
        pictures.append(np.ascontiguousarray(bgr[:, :, ::-1]))
    opened.release()
    if not pictures:
        raise ValueError(f"{file}: OpenCV reads no frame of it")
    return _dataset(file.stem, pictures)


def _dataset(name: str, pictures: Sequence[NDArray[np.uint8]]) -> Dataset:
    def example(number: int) -> Callable[[], Example]:
        return lambda: Example(str(number), pictures[number])

    return Dataset(name, [example(number) for number in range(len(pictures))])
