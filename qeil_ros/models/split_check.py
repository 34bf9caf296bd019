"""Whether the halves of a cut network give together what the whole network gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detection import Detector, DetectTask
from .extras import require
from .graph import Graph
from .graph_shapes import Shapes, feeds_for, load_session, measure
from .schema import ModelError
from .split import Halves, split, why_not

__all__ = [
    "TOLERANCE",
    "CutCheck",
    "Join",
    "Whole",
    "check_all_cuts",
    "compare",
    "join",
    "same_boxes",
    "same_top_1",
]

TOLERANCE: Mapping[str, float] = {"float32": 1e-5, "float16": 5e-3, "float64": 1e-12}
"""Largest difference between join and whole, against the largest magnitude of the whole's output.

The runtime fuses other nodes when a graph ends at a cut, and so rounds elsewhere. Integer outputs get none:
they must be equal.
"""

Same = Callable[[list[NDArray[Any]], list[NDArray[Any]]], bool]
"""Whether the outputs of the join and of the whole for one image mean the same."""


@dataclass(frozen=True)
class Join:
    """How the join of two halves compares with the whole, over some images.

    Attributes:
        images: how many were run.
        exact: images whose outputs were equal to the bit.
        worst: the largest difference, against the largest magnitude of the whole's output.
        same_answer: images for which both mean the same.
        problem: empty where the join may stand for the whole, else what speaks against it.
    """

    images: int
    exact: int
    worst: float
    same_answer: int
    problem: str = ""


@dataclass(frozen=True)
class CutCheck:
    """One cut of `check_all_cuts`: where, and how its halves did. `skipped`: why it cannot be made."""

    name: str
    tensor: str
    shape: tuple[int, ...]
    dtype: str
    join: Join | None
    skipped: str = ""


class Whole:
    """The uncut network and its outputs for some images [1, ...], which are computed once."""

    def __init__(self, graph: Graph, images: Sequence[NDArray[Any]]) -> None:
        self.graph, self.images = graph, list(images)
        session = load_session(graph.model, "the whole model")
        self.outputs = [session.run(graph.outputs, feeds_for(graph, image)) for image in self.images]

    def compare(self, halves: Halves, shapes: Shapes, same: Same | None = None) -> Join:
        """Runs the halves on the same images. `same`: whether two outputs mean the same; None: same top-1.

        Where the graph takes any batch, the server part also runs on all rows together; the answers for a row
        must then be those for the row alone, within the tolerance.
        """
        same = same or same_top_1
        first, second = (
            load_session(halves.agent, "the agent part"),
            load_session(halves.server, "the server part"),
        )
        asks = {value.name for value in second.get_inputs()}
        exact = alike = 0
        worst, problem, rows = 0.0, "", []
        for number, (image, whole) in enumerate(zip(self.images, self.outputs, strict=True)):
            (features,) = first.run([halves.sent], {halves.image: image})
            if features.shape != (1, *halves.shape):
                return Join(number + 1, exact, worst, alike, f"the features are {features.shape}")
            rows.append(features)
            others = {
                n: x for n, x in feeds_for(self.graph, image).items() if n in asks and n != halves.image
            }
            joined = second.run(self.graph.outputs, {halves.received: features, **others})
            equal = all(map(_equal, joined, whole))
            exact += equal
            alike += equal or same(joined, whole)
            found, differs = compare(joined, whole)
            worst = max(worst, found)
            problem = problem or differs
        if not problem and shapes.dynamic and len(rows) > 1 and not _takes_one(second, halves):
            problem = self._together(second, halves, rows[:4], asks)
        return Join(len(self.images), exact, worst, alike, problem)

    def _together(self, server: Any, halves: Halves, rows: list[NDArray[Any]], asks: set[str]) -> str:
        images = np.concatenate(self.images[: len(rows)])
        others = {n: x for n, x in feeds_for(self.graph, images).items() if n in asks and n != halves.image}
        outputs = server.run(self.graph.outputs, {halves.received: np.concatenate(rows), **others})
        for index, whole in enumerate(self.outputs[: len(rows)]):
            if differs := compare([x[index : index + 1] for x in outputs], whole, slack=10)[1]:
                return f"in a batch of {len(rows)}: {differs}"
        return ""


def check_all_cuts(
    model: Path | Any,
    images: Sequence[NDArray[Any]],
    *,
    same: Same | None = None,
    every: int = 1,
    max_tensors: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[CutCheck]:
    """Makes every listed cut of the network and runs its halves beside the whole.

    Args:
        model: an ONNX file, or an onnx.ModelProto.
        images: prepared inputs [1, ...] of the network.
        same: whether the outputs of join and whole mean the same; None: the same top-1. `same_boxes` makes
            one for detectors.
        every: take each n-th cut only, for a first impression.
        max_tensors: tensors of a cut at most.
        progress: called with (cuts done, cuts in all) after each.
    """
    graph = Graph.load(model) if isinstance(model, Path) else Graph(model)
    shapes = measure(graph)
    whole = Whole(graph, images)
    cuts = graph.cuts(max_tensors)[::every]
    rows = []
    for done, cut in enumerate(cuts, 1):
        name = "+".join(graph.labels[tensor] for tensor in cut.tensors)
        if skipped := why_not(graph, shapes, cut.tensors):
            rows.append(CutCheck(name, " ".join(cut.tensors), (), "", None, skipped))
        else:
            halves = split(graph, shapes, cut.tensors)
            found = whole.compare(halves, shapes, same)
            rows.append(CutCheck(name, " ".join(cut.tensors), halves.shape, halves.dtype, found))
        if progress is not None:
            progress(done, len(cuts))
    return rows


def compare(
    joined: Sequence[NDArray[Any]], whole: Sequence[NDArray[Any]], slack: float = 1
) -> tuple[float, str]:
    """(largest relative difference, why the outputs are too far apart or empty); TOLERANCE times `slack`."""
    worst = 0.0
    for ours, theirs in zip(joined, whole, strict=True):
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return np.inf, f"output {ours.dtype} {ours.shape}, the whole's is {theirs.dtype} {theirs.shape}"
        if _equal(ours, theirs):
            continue
        if not np.issubdtype(ours.dtype, np.number):
            return np.inf, f"outputs of {ours.dtype} differ"
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return np.inf, "one has values that are not finite where the other has none"
        finite = np.isfinite(b)
        scale = np.abs(b[finite]).max(initial=0.0) or 1.0
        difference = float(np.abs(a[finite] - b[finite]).max(initial=0.0) / scale)
        worst = max(worst, difference)
        allowed = slack * TOLERANCE.get(str(ours.dtype), 0.0)
        if difference > allowed:
            count = int((a != b).sum())
            return worst, (
                f"{count} of {a.size} output values differ, by up to {difference:.3g} of the largest value; "
                f"{ours.dtype} may differ by {allowed:g}"
            )
    return worst, ""


def join(first: Path, second: Path) -> Any:
    """The network (onnx.ModelProto) whose halves, of one output and one input, lie in two files.

    Raises:
        ModelError: a file cannot be read, or the halves do not fit.
    """
    compose = require("onnx.compose", extra="models")
    models = [
        compose.add_prefix(Graph.load(path).model, f"{number}/")
        for number, path in enumerate((first, second))
    ]
    ends = models[0].graph.output[0].name, models[1].graph.input[0].name
    try:
        return compose.merge_models(*models, io_map=[ends])
    except ValueError as error:
        raise ModelError(f"{first} and {second} do not fit each other: {error}") from error


def same_top_1(ours: list[NDArray[Any]], theirs: list[NDArray[Any]]) -> bool:
    """Whether the largest value of the first output is at the same place."""
    return int(np.argmax(ours[0])) == int(np.argmax(theirs[0]))


def same_boxes(task: DetectTask, labels: list[str]) -> Same:
    """Whether a detector finds the same: as many boxes, the same labels in the same order, and scores and
    corners (fractions of the image) that differ by 1e-4 at most.
    """
    detector = Detector(task, labels)

    def same(ours: list[NDArray[Any]], theirs: list[NDArray[Any]]) -> bool:
        a, b = detector.answer(ours[0][0]), detector.answer(theirs[0][0])
        return (
            a.labels == b.labels
            and np.allclose(a.scores, b.scores, rtol=0, atol=1e-4)
            and np.allclose(a.boxes, b.boxes, rtol=0, atol=1e-4)
        )

    return same


def _takes_one(session: Any, halves: Halves) -> bool:
    """Whether the server part takes one row at a time only."""
    info = next(value for value in session.get_inputs() if value.name == halves.received)
    return isinstance(info.shape[0], int)


def _equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
