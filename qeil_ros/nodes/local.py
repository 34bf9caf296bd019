"""The local parts of a model with the decoder before them: what the robot answers with alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.codec import REFERENCES
from qeil_ros.models.features import FeatureReader
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.tasks import Answer
from qeil_ros.safety.cost import Cost
from qeil_ros.safety.run_times import RunTimes

__all__ = ["LocalModel"]


class LocalModel:
    """The local parts that this machine holds. `run` is for one thread, `keep` for another, `cost` for any.

    Args:
        threads: threads of one part.
        warm_up_runs: runs timed at the start, for the first estimate of a run's time; one before them is not.

    Raises:
        ModelError: a part is there but cannot be loaded.
    """

    def __init__(self, folder: ModelFolder, *, threads: int = 1, warm_up_runs: int = 10) -> None:
        self._parts = {
            name: folder.local(name, threads=threads) for name in folder.splits if folder.has("local", name)
        }
        self._readers = {name: FeatureReader(folder, name) for name in self._parts}
        self._keepers = {name: FeatureReader(folder, name, REFERENCES) for name in self._parts}
        self._times = {name: RunTimes() for name in self._parts}
        self._lock = threading.Lock()
        for name, part in self._parts.items():
            # The very first run prepares what is kept for all others: it says nothing about them.
            for number, features in enumerate(
                _samples((1, *part.split.shape), part.split.dtype, warm_up_runs + 1)
            ):
                started_s = time.monotonic()
                part.run(features)
                ended_s = time.monotonic()
                if number:
                    self._times[name].add(ended_s - started_s, ended_s)

    @property
    def splits(self) -> list[str]:
        """The cuts whose features it can answer from; empty: this robot has no local model."""
        return list(self._parts)

    def cost(self, split: str) -> Cost | None:
        """What a run would take that begins now; None where there is no local part for that cut."""
        with self._lock:
            times = self._times.get(split)
            return times.cost(time.monotonic()) if times else None

    def figures(self) -> dict[str, float]:
        """Median and 99th percentile of a run's time [s], for each cut, warm and after a pause."""
        with self._lock:
            costs = {
                f"local_{split}{state}": cost
                for split, times in self._times.items()
                for state, cost in (("", times.warm()), ("_cold", times.cold()))
            }
        return {
            f"{name}_{which}_s": value
            for name, cost in costs.items()
            for which, value in (("p50", cost.typical_s), ("p99", cost.worst_s))
        }

    def keep(self, split: str, data: Any) -> Any:
        """Decodes a frame to which later ones may refer, and keeps it for them; gives what `run` takes.

        Raises:
            ValueError: the data cannot be decoded (MissingReferenceError: for want of an earlier frame), or
                is no tensor of that cut.
        """
        return self._keepers[split].read(data)

    def run(self, split: str, data: Any, coded: Any = None) -> tuple[Answer, float]:
        """The answer to one frame's coded features, and the time it took [s].

        Args:
            coded: what `keep` gave for it; without it `data` is decoded.

        Raises:
            ValueError: the data cannot be decoded, or is no tensor of that cut.
        """
        started_s = time.monotonic()
        reader = self._readers[split]
        features = reader.features(reader.read(data) if coded is None else coded)
        (answer,) = self._parts[split].run(features[None])
        ended_s = time.monotonic()
        took_s = ended_s - started_s
        with self._lock:
            self._times[split].add(took_s, ended_s)
        return answer, took_s


def _samples(shape: tuple[int, ...], dtype: str, count: int) -> Iterable[NDArray[Any]]:
    """Features for warm-up: noise, since a caption's length, and so its time, depends on what it sees."""
    random = np.random.default_rng(0)
    for _ in range(count):
        noise = random.standard_normal(shape)
        if np.issubdtype(np.dtype(dtype), np.integer):
            limits = np.iinfo(dtype)
            yield np.clip(noise * 40 + (limits.max + limits.min + 1) / 2, limits.min, limits.max).astype(
                dtype
            )
        else:
            yield noise.astype(dtype)
