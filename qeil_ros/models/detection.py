"""The task `detect`: a detector's output becomes labels, scores and boxes, best first.

    task: {kind: detect, labels: coco.names, decoder: fastestdet, threshold: 0.5, iou: 0.45}

Boxes are fractions of the image that the model got. They are fractions of the camera's image too, because a
model folder with this task must stretch the image (`input.resize`): a server does not know what was cut off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .schema import ModelError, Section

if TYPE_CHECKING:
    from .tasks import Answer, Forward, ReadWords

__all__ = ["DECODERS", "DetectTask", "Detector", "suppress"]

Candidates = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]
"""Boxes [N, 4] as x_min, y_min, x_max, y_max; scores [N]; classes [N]."""

_MAX_CANDIDATES = 1000
"""Boxes above the threshold that are compared with each other, the best ones: bounds the time it takes."""


@dataclass(frozen=True)
class DetectTask:
    """Boxes of at least the score `threshold`, without those that overlap a better one of their class.

    Attributes:
        decoder: how the output reads, one of DECODERS.
        iou: overlap (intersection over union) from which the worse box of a class goes; 1 keeps all, which is
            right for networks that suppress by themselves.
        max_boxes: in an answer, the best ones.
        extent: width and height in the output's units: 1 x 1 for fractions, the input's size for pixels.
            `fastestdet` has fractions by itself.
    """

    kind: ClassVar[str] = "detect"
    extra_inputs: ClassVar[tuple[str, ...]] = ()
    labels: str
    decoder: str
    threshold: float = 0.5
    iou: float = 0.45
    max_boxes: int = 100
    extent: tuple[int, ...] = (1, 1)
    sha256: str = ""

    @classmethod
    def parse(cls, section: Section) -> DetectTask:
        task = cls(
            labels=section.file_name("labels"),
            decoder=section.text("decoder", choices=DECODERS),
            threshold=section.number("threshold", cls.threshold),
            iou=section.number("iou", cls.iou),
            max_boxes=section.integer("max_boxes", cls.max_boxes, low=1, high=1000),
            extent=section.shape("extent") if "extent" in section else cls.extent,
            sha256=section.sha256("sha256", ""),
        )
        section.value("extent", None)
        for key in ("threshold", "iou"):
            if not 0 <= getattr(task, key) <= 1:
                raise section.error(key, f"want a number from 0 to 1, got {getattr(task, key)}")
        if len(task.extent) != 2:
            raise section.error("extent", f"want [width, height], got {list(task.extent)}")
        return task

    def reader(self, read: ReadWords) -> Detector:
        return Detector(self, read(self.labels, self.sha256))


class Detector:
    def __init__(self, task: DetectTask, labels: list[str]) -> None:
        self._task, self._labels = task, labels
        self._decode = DECODERS[task.decoder]

    def answers(self, forward: Forward, features: NDArray[Any]) -> list[Answer]:
        """Boxes best first; confidence: the best score, NaN where nothing was found.

        Raises:
            ModelError: the output is not what the decoder reads, or has more classes than there are labels.
        """
        return [self.answer(row) for row in forward(features, {})]

    def answer(self, output: NDArray[Any]) -> Answer:
        """The answer in one image's output, without the batch."""
        from .tasks import Answer

        task = self._task
        boxes, scores, classes = self._decode(np.asarray(output, np.float32))
        boxes = np.divide(boxes, np.array([*task.extent, *task.extent], np.float32), dtype=np.float32)
        # Not a number is below any threshold, and a box without an end is none.
        found = np.flatnonzero((scores >= task.threshold) & np.isfinite(boxes).all(axis=1))
        found = found[np.argsort(-scores[found], kind="stable")][:_MAX_CANDIDATES]
        kept = found[suppress(boxes[found], classes[found], task.iou)][: task.max_boxes]
        for index in classes[kept]:
            if not 0 <= index < len(self._labels):
                raise ModelError(f"the part gave class {index}, {task.labels} has {len(self._labels)} lines")
        best = float(scores[kept[0]]) if len(kept) else math.nan
        return Answer(
            labels=[self._labels[index] for index in classes[kept]],
            scores=[float(score) for score in scores[kept]],
            boxes=np.clip(boxes[kept], 0, 1).astype(np.float32),
            confidence=best if best <= 1 else math.nan,
        )


def suppress(boxes: NDArray[Any], classes: NDArray[Any], iou: float) -> NDArray[np.intp]:
    """Which of the boxes [N, 4] stay, best first as they come in: greedy, class by class."""
    alive = np.ones(len(boxes), bool)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    areas = sides[:, 0] * sides[:, 1]
    kept = []
    for best in range(len(boxes)):
        if not alive[best]:
            continue
        kept.append(best)
        rest = slice(best + 1, None)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        union = areas[best] + areas[rest] - shared
        alive[rest] &= ~((shared > iou * union) & (classes[rest] == classes[best]))
    return np.array(kept, np.intp)


def _fastestdet(output: NDArray[np.float32]) -> Candidates:
    """[5 + classes, H, W], one box a cell: objectness, x, y, width, height, then the classes' shares.

    As in github.com/dog-qiuqiu/FastestDet (example/onnx-runtime): the centre lies tanh(x), tanh(y) cells from
    the cell's corner, the sides are sigmoids of the image's, the score is objectness^0.6 * share^0.4.
    """
    if output.ndim != 3 or output.shape[0] < 6:
        raise _unreadable("fastestdet", "[5 + classes, height, width]", output)
    _, height, width = output.shape
    cells = output.reshape(len(output), -1)
    rows, columns = np.divmod(np.arange(height * width), width)
    x = (columns + np.tanh(cells[1])) / width
    y = (rows + np.tanh(cells[2])) / height
    half_width, half_height = 0.5 / (1 + np.exp(-np.clip(cells[3:5], -80, 80)))
    boxes = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
    share = cells[5:].max(axis=0)
    scores = np.maximum(cells[0], 0) ** 0.6 * np.maximum(share, 0) ** 0.4
    return boxes.astype(np.float32), scores.astype(np.float32), cells[5:].argmax(axis=0)


def _yolov8(output: NDArray[np.float32]) -> Candidates:
    """[4 + classes, N] as Ultralytics' YOLOv8 and later export it: centre, width, height, a score a class."""
    if output.ndim != 2 or output.shape[0] < 5:
        raise _unreadable("yolov8", "[4 + classes, N]", output)
    centre, half, scores = output[0:2], output[2:4] / 2, output[4:]
    boxes = np.concatenate([centre - half, centre + half]).T
    return boxes, scores.max(axis=0), scores.argmax(axis=0)


def _rows(output: NDArray[np.float32]) -> Candidates:
    """[N, 6], a box a row: x_min, y_min, x_max, y_max, score, class. Rows of score 0 or less fill up."""
    if output.ndim != 2 or output.shape[1] != 6:
        raise _unreadable("rows", "[N, 6]", output)
    output = output[output[:, 4] > 0]
    classes = np.where(np.isfinite(output[:, 5]), output[:, 5], -1)
    return output[:, :4], output[:, 4], classes.astype(np.intp)


def _unreadable(decoder: str, want: str, output: NDArray[Any]) -> ModelError:
    return ModelError(
        f"the decoder {decoder!r} reads {want} for an image; the part gave {list(output.shape)}"
    )


DECODERS: Mapping[str, Callable[[NDArray[np.float32]], Candidates]] = {
    "fastestdet": _fastestdet,
    "yolov8": _yolov8,
    "rows": _rows,
}
"""Output of one image -> its candidate boxes, before threshold and suppression."""
