"""How the output of a detector reads as boxes, by the detector's name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .judge import BoxReader
from .scores import Boxes, iou_matrix
from .tasks import Answer

__all__ = ["DETECTORS", "fastestdet", "suppress"]

_LEAST = 0.01
"""Boxes below this score change no average precision worth telling, and are many."""


def fastestdet(answer: Answer, width: int, height: int) -> Boxes:
    """FastestDet's grid (github.com/dog-qiuqiu/FastestDet) as boxes in a picture of that size [pixels].

    The embedding holds [85, side, side]: objectness, then the centre's offset from the cell through tanh and
    the size as a share of the picture through the logistic function, then a chance for each of 80 classes. A
    box's score is objectness ** 0.6 * chance ** 0.4; of boxes of one class that overlap by more than 0.45
    only the best stays.

    ValueError: the answer holds no such grid.
    """
    grid = answer.embedding.astype(np.float64)
    side = round((grid.size / 85) ** 0.5)
    if not side or grid.size != 85 * side * side:
        raise ValueError(f"an answer of {grid.size} values is no FastestDet output: want 85 x side x side")
    grid = grid.reshape(85, side, side)
    rows, columns = np.mgrid[:side, :side]
    centre = np.stack([columns + np.tanh(grid[1]), rows + np.tanh(grid[2])], axis=-1) / side
    size = 1 / (1 + np.exp(-grid[3:5])).transpose(1, 2, 0)
    corners = np.concatenate([centre - size / 2, centre + size / 2], axis=-1) * [width, height, width, height]
    chances = grid[5:]
    scores = np.clip(grid[0], 0, 1) ** 0.6 * np.clip(chances.max(axis=0), 0, 1) ** 0.4
    there = scores >= _LEAST
    return suppress(Boxes(corners[there], chances.argmax(axis=0)[there], scores[there]), 0.45)


def suppress(boxes: Boxes, overlap: float) -> Boxes:
    """The boxes, best first, without those that overlap a better one of their class by more (greedy NMS)."""
    boxes = boxes.of(np.argsort(-boxes.scores, kind="stable"))
    near = iou_matrix(boxes.corners, boxes.corners) > overlap
    near &= boxes.classes[:, None] == boxes.classes[None]
    keep: NDArray[np.bool_] = np.ones(len(boxes), bool)
    for row in range(len(boxes)):
        if keep[row]:
            keep[row + 1 :] &= ~near[row, row + 1 :]
    return boxes.of(keep)


DETECTORS: Mapping[str, BoxReader] = {"fastestdet": fastestdet}
