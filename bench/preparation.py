"""Image preparation beside what a user would write instead, interleaved in one run on one core."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.preprocess import InputSpec, Preprocessor

from .harness import Report, Result, against, at_most, figure, median, percentile
from .preparation_peers import CV2_CHAINS, DECODERS, Chain, cv2_resize, pillow_numpy, torch_uint8
from .ros import BenchError

DESCRIPTION = "camera image to normalised tensor, beside chains of OpenCV, Pillow and torch"

SIZES = {"vga": (640, 480), "720p": (1280, 720)}
SIDE = 224
FRAMES = 4
"""Images that take turns, so that none is found where the last call left it."""
ROUNDS, QUICK_ROUNDS = 200, 40
SEED = 20240607

BILINEAR = InputSpec(
    width=SIDE, height=SIDE, scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
BICUBIC = replace(BILINEAR, interpolation="bicubic", antialias=True)

# Limits of time / peer's time.
RESIZE_ALONE = 1.0
BGR_CHAIN = 1 / 1.7
YUV_CHAIN = {"vga": 1 / 2.5, "720p": 1 / 4}
PILLOW = {"vga": 1 / 4, "720p": None}
TORCH = {"vga": None, "720p": 1.0}


def run(quick: bool) -> Report:
    config = {
        "quick": quick,
        "sizes": {name: list(size) for name, size in SIZES.items()},
        "tensor": list(BILINEAR.shape),
        "dtype": BILINEAR.dtype,
        "frames": FRAMES,
        "rounds": QUICK_ROUNDS if quick else ROUNDS,
        "threads": 1,
        "seed": SEED,
    }
    return Report("preparation", config, [], results(quick))


def results(quick: bool) -> list[Result]:
    """Every comparison: median time and ratio of paired runs, and how far the result is from the oracle.

    Raises:
        BenchError: a library to compare with is not installed.
    """
    rounds = QUICK_ROUNDS if quick else ROUNDS
    found = []
    with _one_core():
        for size in SIZES:
            for encoding in DECODERS:
                found += _bilinear(size, encoding, rounds)
            found += _bicubic(size, rounds)
    return found


def _bilinear(size: str, encoding: str, rounds: int) -> list[Result]:
    frames = _frames(size, encoding)
    chains = {name: make(BILINEAR, encoding) for name, make in CV2_CHAINS.items()}
    oracle = chains["resize, split, LUT"]
    peers = dict(chains)
    alone = DECODERS[encoding] is None
    if alone:
        peers["cv2.resize alone"] = cv2_resize(BILINEAR)
    name, ours = f"bilinear_{encoding}_{size}", _Ours(BILINEAR, encoding, size)
    times = _interleaved({"ours": ours, **peers}, frames, rounds)
    best = min(chains, key=lambda chain: median(times[chain]))
    limit = BGR_CHAIN if alone else YUV_CHAIN[size]
    return [
        *([_beside(name, times, "cv2.resize alone", RESIZE_ALONE)] if alone else []),
        _beside(name, times, best, limit),
        figure(f"{name}_p99", percentile(times["ours"], 99) * 1e6, "us"),
        _distance(name, ours, oracle, frames),
    ]


def _bicubic(size: str, rounds: int) -> list[Result]:
    frames = _frames(size, "rgb8")
    name, ours = f"bicubic_antialias_rgb8_{size}", _Ours(BICUBIC, "rgb8", size)
    peers = {"Pillow + numpy": pillow_numpy(BICUBIC), "torch uint8 alone": torch_uint8(BICUBIC)}
    times = _interleaved({"ours": ours, **peers}, frames, rounds)
    return [
        _beside(name, times, "Pillow + numpy", PILLOW[size]),
        _beside(name, times, "torch uint8 alone", TORCH[size]),
        figure(f"{name}_p99", percentile(times["ours"], 99) * 1e6, "us"),
        _distance(name, ours, peers["Pillow + numpy"], frames),
    ]


def _beside(name: str, times: Mapping[str, Sequence[float]], peer: str, limit: float | None) -> Result:
    ratio = median(a / b for a, b in zip(times["ours"], times[peer], strict=True))
    return against(name, median(times["ours"]) * 1e6, "us", peer, median(times[peer]) * 1e6, ratio, limit)


def _distance(name: str, ours: Chain, oracle: Chain, frames: Sequence[Any]) -> Result:
    """The largest difference of a pixel, on the scale of 0 to 255; a little is the tensors' own rounding."""
    std = np.array(BILINEAR.std)[:, None, None]
    apart = (np.abs(ours(frame).astype(np.float64) - oracle(frame)) * std for frame in frames)
    return at_most(f"{name}_distance", max(float(d.max()) for d in apart) * 255, "/255", 1.0001)


class _Ours:
    def __init__(self, spec: InputSpec, encoding: str, size: str) -> None:
        self.width, self.height = SIZES[size]
        self.encoding = encoding
        self.prepare = Preprocessor(spec)

    def __call__(self, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        step = frame.strides[0]
        tensor: NDArray[np.float32] = self.prepare(frame, self.width, self.height, step, self.encoding)[0]
        return tensor


def _frames(size: str, encoding: str) -> list[NDArray[np.uint8]]:
    """Smooth pictures with noise, in the form that OpenCV takes; of YUV the values are just as good."""
    width, height = SIZES[size]
    random = np.random.default_rng(SEED)
    rows, channels = {"nv12": (height * 3 // 2, 1), "nv21": (height * 3 // 2, 1)}.get(
        encoding, (height, 3 if DECODERS[encoding] is None else 2)
    )
    frames = []
    for _ in range(FRAMES):
        coarse = random.integers(0, 230, (12, 16, channels), dtype=np.uint8)
        smooth = cv2.resize(coarse, (width, rows), interpolation=cv2.INTER_LINEAR).reshape(
            rows, width, channels
        )
        frame = smooth + random.integers(0, 25, smooth.shape, dtype=np.uint8)
        frames.append(np.ascontiguousarray(frame[..., 0] if channels == 1 else frame))
    return frames


def _interleaved(runs: Mapping[str, Chain], frames: Sequence[Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of every run in every round. Each starts with another one: none profits from its place."""
    order = list(runs)
    times: dict[str, list[float]] = {name: [] for name in order}
    for run in runs.values():
        run(frames[0])
    for number in range(rounds):
        turn = number % len(order)
        for place, name in enumerate(order[turn:] + order[:turn]):
            frame = frames[(number + place) % len(frames)]
            start_s = time.perf_counter()
            runs[name](frame)
            times[name].append(time.perf_counter() - start_s)
    return times


@contextmanager
def _one_core() -> Iterator[None]:
    """One thread on one core, for us and for the peers alike."""
    try:
        import torch
    except ImportError:
        raise BenchError("the benchmark compares with torch; install it: pip install torch") from None
    cores, cv2_threads, torch_threads = os.sched_getaffinity(0), cv2.getNumThreads(), torch.get_num_threads()
    os.sched_setaffinity(0, {max(cores)})
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        cv2.setNumThreads(cv2_threads)
        torch.set_num_threads(torch_threads)
