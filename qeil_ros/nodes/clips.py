"""The last frames of every robot, for models that look at several together."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Clips"]


@dataclass
class _Past:
    run: int
    frames: list[tuple[float, NDArray[Any]]] = field(default_factory=list)


class Clips:
    """Makes clips of `frames` frames, the newest last, the earlier ones at least `interval_s` apart.

    A clip that is not full yet begins with its first frame repeated. What a robot sent before it started anew
    (another `run`), or before its recording began anew (an earlier stamp), is forgotten.
    """

    def __init__(self, frames: int, interval_s: float) -> None:
        self._count, self._interval_s = frames, interval_s
        self._past: dict[Hashable, dict[Hashable, _Past]] = {}

    def forget(self, source: Hashable) -> None:
        """The robot has gone."""
        self._past.pop(source, None)

    def add(
        self, source: Hashable, key: Hashable, run: int, stamp_s: float, features: NDArray[Any]
    ) -> NDArray[Any]:
        """The clip [frames, ...] that ends with `features` [...] of an image taken at `stamp_s`.

        Args:
            source: the robot. key: what can be in one clip: frames of one cut.
        """
        of_source = self._past.setdefault(source, {})
        past = of_source.get(key)
        if past is None or past.run != run or (past.frames and stamp_s < past.frames[-1][0]):
            past = of_source[key] = _Past(run)
        frames = [*past.frames, (stamp_s, features)][-self._count :]
        frames = [frames[0]] * (self._count - len(frames)) + frames
        if not past.frames or stamp_s - past.frames[-1][0] >= self._interval_s:
            past.frames = [*past.frames, (stamp_s, np.array(features))][-self._count :]
        return np.stack([kept for _, kept in frames])
