"""Whether an image can be what the camera sees now: range, content, freshness, noise that no camera makes.

QEIL's safety layer (arXiv 2602.06057 v2) names the validation of adversarial inputs without giving rules; all
of these are ours. They look at the model's own input, where a perturbation has to be to do harm, and at a
sample of it: blocks on a grid, in two channels, so that a large image costs no more than a small one.

**Range.** Shape, type, and every value between those of a black and a white pixel; NaN is neither.

**Blank.** The entropy of the pixels' histogram is under `least_entropy_bits`: a covered lens, a dead sensor.

**Noise alone.** Pixels differ from their neighbours as much as from any others: there is no picture.

**Frozen, replayed.** The same sample again and again for `frozen_s`, or sequences of frames that have been
there before, or stamps that go back. A real camera's noise makes every frame another one; a simulated camera
that stands still is rightly called frozen.

**Adversarial noise.** A perturbation within +-e grey levels lies over the whole image and differs from
channel to channel; a picture has flat places almost always, and the texture of its channels is much the same.
So the noise floor, the 10 % quantile over the blocks of Immerkaer's estimate (J. Immerkaer, Fast noise
variance estimation, CVIU 64(2), 1996) for the difference of two channels, is low for pictures however rich,
and about e / 3 for a perturbation that fools a network. It is held against `most_noise` and against what is
usual for this camera. `qeil bench screen` measures how often it raises a false alarm and what it finds. It is
a tripwire: a patch in the scene, or an attacker who knows it and leaves the flat places alone, passes.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from dataclasses import dataclass
from enum import Enum
from statistics import median

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

__all__ = ["Expected", "ImageScreen", "Problem", "ScreenConfig", "Suspicion"]

_BLOCK = 8
_MARGIN = 2  # the estimate's 3 x 3 mask shortens a block by two
_MOST_BLOCKS = 8  # along a side
_FEWEST_BLOCKS = 16  # of an image of 34 x 34; a smaller one may have no flat place
_BINS = 32
_GREYS = (np.arange(_BINS) + 0.5) * (256 / _BINS)
_FLOOR = 0.1
_IMMERKAER = math.sqrt(math.pi / 2) / 6
_USUAL_FRAMES = 64
_JUDGE_EVERY = 16
_RISE = 1.01
_MOST_RANGE_VALUES = 4096
_MOST_CHECKED_VALUES = 2048
_NOISE_ALONE = 0.6


class Problem(str, Enum):
    """What a frame is suspected of; the order is that of the tests."""

    RANGE = "range"
    BLANK = "blank"
    NOISE = "noise"
    ADVERSARIAL = "adversarial"
    FROZEN = "frozen"
    REPLAYED = "replayed"


@dataclass(frozen=True)
class Suspicion:
    problem: Problem
    reason: str


@dataclass(frozen=True)
class Expected:
    """What the model takes, one image: values = pixels (0 to 255) * gain + offset, channel by channel.

    Attributes:
        shape: [1, C, H, W], or with `channels_last` [1, H, W, C].
        gain, offset: one per channel.
    """

    shape: tuple[int, int, int, int]
    dtype: str
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    channels_last: bool = False

    def __post_init__(self) -> None:
        count = self.shape[3 if self.channels_last else 1]
        if not len(self.gain) == len(self.offset) == count or 0.0 in self.gain:
            raise ValueError(f"gain {self.gain} and offset {self.offset} for {count} channels; want one each")


@dataclass(frozen=True)
class ScreenConfig:
    """
    Attributes:
        least_entropy_bits: of the histogram of 32 bins that a picture has at least, 0 to 5 [bit].
        most_noise: noise floor that a picture has at most, as a channel's standard deviation in grey levels.
        most_noise_grey: the same without colour, where texture cannot be told from noise as well.
        usual_times, usual_levels: the floor may be so many times this camera's usual one and so many grey
            levels more, where that is less than `most_noise`.
        content_s: the tests of content are made so often at most [s]; 0: with every frame.
        frozen_s: how long a camera may give the very same image [s]; 0: for ever.
        replayed_frames: frames in a row that were there before, in the same order, until it is a replay.
        memory_frames: how far back that is looked for.
    """

    least_entropy_bits: float = 0.5
    most_noise: float = 1.8
    most_noise_grey: float = 4.5
    usual_times: float = 2.5
    usual_levels: float = 0.35
    content_s: float = 0.0
    frozen_s: float = 2.0
    replayed_frames: int = 10
    memory_frames: int = 4096


class ImageScreen:
    """Looks at a camera's frames, one after the other. One thread at a time."""

    def __init__(self, expected: Expected, config: ScreenConfig | None = None) -> None:
        self.config = config or ScreenConfig()
        self.noise = math.nan
        """Noise floor of the last frame, a standard deviation in grey levels; NaN: too little to be seen."""
        self.entropy_bits = math.nan
        """Of the last frame."""
        self._expected = expected
        self._dtype = np.dtype(expected.dtype)
        ends = [(o, 255.0 * g + o) for g, o in zip(expected.gain, expected.offset, strict=True)]
        slack = 1e-3 * max(abs(high - low) for low, high in ends)
        self._low, self._high = min(map(min, ends)) - slack, max(map(max, ends)) + slack
        self._colour = len(expected.gain) > 1
        self._floors: deque[float] = deque(maxlen=_USUAL_FRAMES)
        self._usual, self._judged = math.nan, 0
        self._content_at_s = -math.inf
        self._frames = 0
        self._seen: dict[int, int] = {}  # checksum -> number of the frame that had it last
        self._order: deque[int] = deque()
        self._same_since_s, self._same = math.inf, 0
        self._lag, self._run = 0, 0
        self._stamp_ns = 0

    def check(self, image: NDArray[np.generic], now_s: float, stamp_ns: int = 0) -> list[Suspicion]:
        """What speaks against a frame.

        Args:
            image: the model's input.
            now_s: when it came, on the monotonic clock [s].
            stamp_ns: its stamp; 0: it has none.
        """
        expected = self._expected
        if image.shape != expected.shape or image.dtype != self._dtype:
            got = f"{image.dtype} {list(image.shape)}, want {expected.dtype} {list(expected.shape)}"
            return [Suspicion(Problem.RANGE, f"the model's input is {got}")]
        return self._content(image, now_s) + self._freshness(_checksum(image), now_s, stamp_ns)

    def _content(self, image: NDArray[np.generic], now_s: float) -> list[Suspicion]:
        if now_s - self._content_at_s < self.config.content_s:
            return []
        self._content_at_s = now_s
        if self._dtype.kind == "f":
            values = _sample(image, _MOST_RANGE_VALUES)
            low, high = float(values.min()), float(values.max())
            if not (self._low <= low and high <= self._high):  # NaN goes through min and max
                said = f"values from {low:.4g} to {high:.4g}, want {self._low:.4g} to {self._high:.4g}"
                return [Suspicion(Problem.RANGE, said)]
        pixels = self._pixels(image, 1 if self._colour else 0)  # green, or the only channel
        share = _histogram(pixels)
        told = share[share > 0]
        self.entropy_bits, self.noise = float(-(told @ np.log2(told))), math.nan
        if self.entropy_bits < self.config.least_entropy_bits:
            text = f"next to nothing is to be seen: {self.entropy_bits:.2f} bit of entropy"
            return [Suspicion(Problem.BLANK, f"{text}, want {self.config.least_entropy_bits:g}")]
        if len(pixels) < _FEWEST_BLOCKS:
            return []
        difference = pixels - self._pixels(image, 0)
        colour = bool(difference.any())  # a grey camera's channels are alike
        self.noise = _lowest(_noise(difference)) / math.sqrt(2) if colour else _lowest(_noise(pixels))
        mean = float(share @ _GREYS)
        spread = math.sqrt(float(share @ (_GREYS - mean) ** 2))
        return self._floor(self.noise, spread, colour)

    def _pixels(self, image: NDArray[np.generic], channel: int) -> NDArray[np.float32]:
        """Blocks of a channel in grey levels, 0 to 255: [N, side, side]."""
        expected = self._expected
        plane = image[0, :, :, channel] if expected.channels_last else image[0, channel]
        pixels = _blocks(plane).astype(np.float32)
        pixels -= np.float32(expected.offset[channel])
        pixels *= np.float32(1.0 / expected.gain[channel])
        return pixels

    def _floor(self, floor: float, spread: float, colour: bool) -> list[Suspicion]:
        """Args: floor: of the noise; spread: of all pixels; standard deviations in grey levels."""
        config = self.config
        if floor > _NOISE_ALONE * spread:
            text = f"noise and no picture: {floor:.3g} grey levels of {spread:.3g} differ from the neighbours"
            return [Suspicion(Problem.NOISE, text)]
        most, than = config.most_noise if colour else config.most_noise_grey, "any picture's"
        usual = config.usual_times * self._usual + config.usual_levels
        if usual < most:  # never with NaN
            most, than = usual, "this camera's"
        if floor > most:
            text = f"noise of {floor:.3g} grey levels where a picture is flat, {than} is {most:.3g} at most"
            return [Suspicion(Problem.ADVERSARIAL, text)]
        self._floors.append(floor)
        self._judged += 1
        if self._judged % _JUDGE_EVERY == 0:
            # Up by 1 % each time at most: dusk may raise it, noise that came at once may not.
            risen = math.inf if math.isnan(self._usual) else _RISE * self._usual + 1e-3
            self._usual = min(median(self._floors), risen)
        return []

    def _freshness(self, checksum: int, now_s: float, stamp_ns: int) -> list[Suspicion]:
        config, found = self.config, []
        before = self._seen.get(checksum)
        lag = 0 if before is None else self._frames - before
        self._remember(checksum)
        if lag == 1:
            self._same += 1
        else:
            self._same_since_s, self._same = now_s, 0
        same_s = now_s - self._same_since_s
        if config.frozen_s and self._same > 1 and same_s >= config.frozen_s:
            text = f"the same image for {same_s:.1f} s, {self._same + 1} times"
            found.append(Suspicion(Problem.FROZEN, text))
        self._run = (self._run + 1 if lag == self._lag else 1) if lag > 1 else 0
        self._lag = lag
        if self._run >= config.replayed_frames:
            text = f"{self._run} images in a row were there {lag} images ago"
            found.append(Suspicion(Problem.REPLAYED, text))
        if 0 < stamp_ns < self._stamp_ns:
            back_s = (self._stamp_ns - stamp_ns) * 1e-9
            found.append(Suspicion(Problem.REPLAYED, f"the stamp went back by {back_s:.3g} s"))
        self._stamp_ns = stamp_ns
        return found

    def _remember(self, checksum: int) -> None:
        self._seen[checksum] = self._frames
        self._order.append(checksum)
        self._frames += 1
        if len(self._order) > self.config.memory_frames:
            oldest = self._order.popleft()
            if self._seen.get(oldest) == self._frames - 1 - self.config.memory_frames:
                del self._seen[oldest]


def _blocks(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """Square blocks on an even grid, at most 8 a side: [N, side, side], copied."""
    height, width = plane.shape
    side = min(_BLOCK + _MARGIN, height, width)
    counts = [min(_MOST_BLOCKS, max(1, (length - _MARGIN) // _BLOCK)) for length in (height, width)]
    steps = [
        (length - side) // (count - 1) if count > 1 else 0
        for length, count in zip((height, width), counts, strict=True)
    ]
    rows, columns = plane.strides
    view = as_strided(
        plane,
        (*counts, side, side),
        (steps[0] * rows, steps[1] * columns, rows, columns),
        writeable=False,
    )
    return view.reshape(-1, side, side)


def _sample(image: NDArray[np.generic], most: int) -> NDArray[np.generic]:
    """About `most` values at most, evenly spread over the image and its channels."""
    values = image.reshape(-1)
    return values[:: max(1, values.size // most) | 1]


def _checksum(image: NDArray[np.generic]) -> int:
    return zlib.crc32(_sample(image, _MOST_CHECKED_VALUES).tobytes())


def _histogram(pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shares of 32 bins. Of every second pixel of every second row. Rounding may leave 0 to 255 a little."""
    binned = (pixels[:, ::2, ::2] * np.float32(_BINS / 256)).astype(np.intp).ravel()
    return np.asarray(np.bincount(np.clip(binned, 0, _BINS - 1), minlength=_BINS) / binned.size)


def _lowest(noise: NDArray[np.float32]) -> float:
    """The quantile that the floor is."""
    place = int(_FLOOR * len(noise))
    return float(np.partition(noise, place)[place])


def _noise(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Immerkaer's estimate of the noise in each block, a standard deviation in grey levels. [N, s, s] -> [N]

    The mask is [1 -2 1] twice: second differences along the rows, of those along the columns.
    """
    down = pixels[:, :-2] + pixels[:, 2:]
    down -= 2 * pixels[:, 1:-1]
    across = down[:, :, :-2] + down[:, :, 2:]
    across -= 2 * down[:, :, 1:-1]
    np.abs(across, out=across)
    flat = across.reshape(len(across), -1)
    weights = np.full(flat.shape[1], _IMMERKAER / flat.shape[1], np.float32)
    return np.asarray(flat @ weights)
