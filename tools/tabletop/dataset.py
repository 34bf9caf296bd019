"""Pictures as the robot's model sees them, with the tokens of their captions, kept in one cache file."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from qeil_ros.models import tabletop

SIDE = 64
GRID = 4  # patches along a side
ATTRIBUTES = (*tabletop.COLOURS, *tabletop.SHAPES, *tabletop.SIZES)
_CHUNK = 500


@dataclass
class Samples:
    """Cached samples: images [N, 64, 64, 3] uint8, tokens [N, 16] int64, attributes [N, 16, 15] uint8.

    `attributes` says for each patch which colours, shapes and sizes have their centre in it.
    """

    images: NDArray[np.uint8]
    tokens: NDArray[np.int64]
    attributes: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.images)


def shrink(picture: NDArray[np.uint8], width: int = SIDE, height: int = SIDE) -> NDArray[np.uint8]:
    """Antialiased bilinear reduction (triangle filter over the whole footprint), rounded to 8 bits."""
    rows = _triangle(picture.shape[0], height) @ picture.reshape(picture.shape[0], -1).astype(np.float32)
    columns = _triangle(picture.shape[1], width) @ rows.reshape(height, picture.shape[1], 3)
    return np.clip(np.rint(columns), 0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=16)
def _triangle(source: int, target: int) -> NDArray[np.float32]:
    """Weights [target, source] of the triangle filter, as Pillow and torchvision define it."""
    ratio = source / target
    support = max(ratio, 1.0)
    centres = (np.arange(target) + 0.5) * ratio
    distance = np.abs(np.arange(source)[None, :] + 0.5 - centres[:, None]) / support
    weights = np.clip(1 - distance, 0, None)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def tokens_of(text: str) -> NDArray[np.int64]:
    """Token ids of a caption, filled up with padding."""
    ids = tabletop.encode_caption(text)
    return np.array(ids + [tabletop.PAD] * (tabletop.MAX_TOKENS - len(ids)), np.int64)


def attributes_of(scene: tabletop.Scene) -> NDArray[np.uint8]:
    """Which attributes have their thing's centre in which patch: [16, 15], 0 or 1."""
    found = np.zeros((GRID * GRID, len(ATTRIBUTES)), np.uint8)
    for i, thing in enumerate(scene.things):
        u, v = tabletop.locate(scene, i)
        column, row = (min(max(int(c * GRID), 0), GRID - 1) for c in (u, v))
        for name in (thing.colour, thing.shape, thing.size):
            found[row * GRID + column, ATTRIBUTES.index(name)] = 1
    return found


def _chunk(
    start: int, stop: int, stream: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8]]:
    cv2.setNumThreads(1)
    images, tokens, attributes = [], [], []
    for index in range(start, stop):
        scene, picture = tabletop.photograph(index, stream)
        images.append(shrink(picture))
        tokens.append(tokens_of(tabletop.caption(scene)))
        attributes.append(attributes_of(scene))
    return np.stack(images), np.stack(tokens), np.stack(attributes)


def load_samples(
    count: int, stream: int, cache: Path, workers: int, progress: Callable[[int, int], None] | None = None
) -> Samples:
    """The first `count` scenes of a stream, drawn once by a process pool and then read from `cache`.

    A larger cache of the same stream is reused. Raises ValueError for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}; at least one scene is needed")
    files = [cache / f"{stream}-{part}.npy" for part in ("images", "tokens", "attributes")]
    if all(file.is_file() for file in files):
        images, tokens, attributes = (np.load(file, mmap_mode="r") for file in files)
        if len(images) >= count:
            if progress:
                progress(count, count)
            return Samples(images[:count], tokens[:count], attributes[:count])
    starts = range(0, count, _CHUNK)
    jobs = [(start, min(start + _CHUNK, count), stream) for start in starts]
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    tokens = np.empty((count, tabletop.MAX_TOKENS), np.int64)
    attributes = np.empty((count, GRID * GRID, len(ATTRIBUTES)), np.uint8)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the pool is the parallelism
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        results = [pool.apply_async(_chunk, job) for job in jobs]
        for (start, stop, _), result in zip(jobs, results, strict=True):
            images[start:stop], tokens[start:stop], attributes[start:stop] = result.get()
            if progress:
                progress(stop, count)
    cache.mkdir(parents=True, exist_ok=True)
    for file, array in zip(files, (images, tokens, attributes), strict=True):
        partial = file.with_suffix(".partial.npy")
        np.save(partial, array)
        partial.replace(file)
    return Samples(images, tokens, attributes)
