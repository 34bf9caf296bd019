"""A cut's features of some pictures, whether an answer is right for each, and the basis that they code in."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models import tabletop
from qeil_ros.models.answering import Answering
from qeil_ros.models.datasets import Dataset, Example
from qeil_ros.models.evaluate import prepared
from qeil_ros.models.features import FeatureReader, FeatureWriter
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.image_baseline import Pixels
from qeil_ros.models.parts import AgentPart
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.rotate import rotate
from qeil_ros.models.scores import exact_matches

from .progress import Tell

__all__ = ["Cut", "halves", "training_scenes", "views", "with_basis", "without_basis"]

_CHUNK = 32


@dataclass(frozen=True)
class Cut:
    """One cut of a model, and pictures to try it with.

    Attributes:
        features: [N, *shape] of the N pictures, as the agent part gives them.
        truth: the right answers to each: its captions, or else the label that the model has first for the
            features as they are.
    """

    folder: ModelFolder
    name: str
    pictures: Sequence[Example]
    features: NDArray[Any]
    truth: Sequence[tuple[str, ...]]
    agent: AgentPart
    server: Answering

    @classmethod
    def of(cls, folder: ModelFolder, split: str, pictures: Sequence[Example]) -> Cut:
        agent, server, prepare = folder.agent(split), folder.server(split), Preprocessor(folder.input)
        features = np.stack([agent.run(prepared(prepare, example.pixels))[0] for example in pictures])
        truth = [example.captions for example in pictures]
        if not all(truth):
            truth = [(text,) for text in _texts(server, features)]
        return cls(folder, folder.split(split).name, pictures, features, truth, agent, server)

    @property
    def deviation(self) -> float:
        """Standard deviation of the features as they are coded: what steps are multiples of."""
        coded = np.stack([self.writer().coded(features) for features in self.features])
        return float(np.std(coded, dtype=np.float64))

    def writer(self) -> FeatureWriter:
        return FeatureWriter(self.folder, self.name)

    def reader(self) -> FeatureReader:
        return FeatureReader(self.folder, self.name)

    def right(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """[N]: 1 where the answer to features [N, *shape], in the pictures' order, is right, else 0."""
        return exact_matches(_texts(self.server, features), self.truth).astype(np.float64)

    def right_for_pictures(self, pictures: Sequence[Pixels]) -> NDArray[np.float64]:
        """The same for pictures that were already cut to the model's view, through the whole model."""
        prepare = Preprocessor(replace(self.folder.input, resize="stretch", shortest_edge=0))
        return self.right(np.stack([self.agent.run(prepared(prepare, pixels))[0] for pixels in pictures]))

    def part(self, rows: Sequence[int]) -> Cut:
        """The same of some of the pictures."""
        pictures, truth = [self.pictures[row] for row in rows], [self.truth[row] for row in rows]
        return replace(self, pictures=pictures, features=self.features[list(rows)], truth=truth)


def _texts(server: Answering, features: NDArray[Any]) -> list[str]:
    """What is said first about each, on all cores."""
    chunks = [features[start : start + _CHUNK] for start in range(0, len(features), _CHUNK)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        said = [answer for some in pool.map(server.run, chunks) for answer in some]
    return [answer.labels[0] if answer.labels else answer.text for answer in said]


def with_basis(
    folder: ModelFolder, split: str, pictures: Dataset, out: Path, tell: Tell | None = None
) -> ModelFolder:
    """The model with a basis for that cut, learned from pictures. ModelError: too few of them."""
    return rotate(folder, pictures, out, split=split, overwrite=True, progress=tell).folder


def without_basis(folder: ModelFolder, split: str) -> ModelFolder:
    """The model whose features at that cut travel as they are."""
    plain = replace(folder.split(split), basis=None)
    return replace(folder, splits={**folder.splits, plain.name: plain})


def training_scenes(count: int) -> Dataset:
    """Scenes that the shipped model was trained on; none of them is a frozen one."""
    return Dataset("training scenes", [partial(_training_scene, index) for index in range(count)])


def _training_scene(index: int) -> Example:
    return Example(str(index), tabletop.photograph(index, tabletop.TRAINING_STREAM)[1])


def halves(count: int) -> tuple[list[int], list[int]]:
    """The even and the odd rows: what is learned from the one half is tried on the other."""
    return list(range(0, count, 2)), list(range(1, count, 2))


def views(pictures: Sequence[Example]) -> Dataset:
    """Each picture whole, mirrored, and its four quarters: more to learn a covariance from."""
    cuts: list[Callable[[Pixels], Pixels]] = [lambda pixels: pixels, lambda pixels: pixels[:, ::-1]]
    cuts += [partial(_quarter, down=down, across=across) for down in (0, 1) for across in (0, 1)]

    def view(example: Example, cut: Callable[[Pixels], Pixels]) -> Example:
        return Example(example.name, np.ascontiguousarray(cut(example.pixels)))

    return Dataset("views", [partial(view, example, cut) for example in pictures for cut in cuts])


def _quarter(pixels: Pixels, down: int, across: int) -> Pixels:
    height, width = (size // 2 for size in pixels.shape[:2])
    return pixels[down * height :, across * width :][:height, :width]
