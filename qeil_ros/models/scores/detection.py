"""Average precision of boxes as COCO defines it: 101 recall points, IoU 0.50 to 0.95 in steps of 0.05.

The same numbers as pycocotools' COCOeval for boxes of all sizes and at most 100 detections an image (Lin et
al. 2014; cocodataset.org, "Detection Evaluation"), crowd regions included: what lies in one counts neither
way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["IOU_THRESHOLDS", "Boxes", "DetectionScore", "detection_map", "iou_matrix"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image.

    Attributes:
        corners: [N, 4], left, top, right, bottom, in any one unit.
        classes: [N] integers.
        scores: [N], higher is surer; of ground truth they are not looked at.
        crowd: [N], whether a true box is a region of many things; None: none is.
    """

    corners: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    crowd: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        corners = np.asarray(self.corners, np.float64).reshape(-1, 4)
        count = len(corners)
        classes = np.asarray(self.classes, np.int64).reshape(-1)
        scores = np.asarray(self.scores, np.float64).reshape(-1)
        scores = scores if scores.size or not count else np.ones(count)
        crowd = np.zeros(count, bool) if self.crowd is None else np.asarray(self.crowd, bool).reshape(-1)
        if not len(classes) == len(scores) == len(crowd) == count:
            raise ValueError(
                f"{count} boxes with {len(classes)} classes, {len(scores)} scores and {len(crowd)} crowd "
                "flags; want as many of each"
            )
        for name, value in (("corners", corners), ("classes", classes), ("scores", scores), ("crowd", crowd)):
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.corners)

    def of(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Boxes:
        """Some of them."""
        assert self.crowd is not None
        return Boxes(self.corners[rows], self.classes[rows], self.scores[rows], self.crowd[rows])

    @classmethod
    def none(cls) -> Boxes:
        return cls(np.zeros((0, 4)), np.zeros(0, np.int64))


@dataclass(frozen=True)
class DetectionScore:
    """`map`: over all thresholds and classes that have a true box; `ap50`, `ap75`: at that IoU alone.

    `by_class` is the mean over the thresholds for each class. NaN where no image has a true box.
    """

    map: float
    ap50: float
    ap75: float
    by_class: dict[int, float]


def detection_map(detections: Sequence[Boxes], truths: Sequence[Boxes]) -> DetectionScore:
    """How well the detections of each image cover its true boxes.

    To say how far a split model agrees with the whole one, give the whole one's boxes above a score as
    truths.

    ValueError: not as many images of both.
    """
    if len(detections) != len(truths):
        raise ValueError(
            f"detections of {len(detections)} images and truths of {len(truths)}; want as many of both"
        )
    known = sorted({int(c) for boxes in truths for c in boxes.classes})
    curves = {c: _precision_by_threshold(c, detections, truths) for c in known}
    scored = {c: curve for c, curve in curves.items() if curve is not None}
    if not scored:
        return DetectionScore(math.nan, math.nan, math.nan, {})
    table = np.stack(list(scored.values()))  # [classes, thresholds]
    return DetectionScore(
        map=float(table.mean()),
        ap50=float(table[:, 0].mean()),
        ap75=float(table[:, 5].mean()),
        by_class={c: float(curve.mean()) for c, curve in scored.items()},
    )


def iou_matrix(
    boxes: NDArray[np.float64], others: NDArray[np.float64], crowd: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Intersection over union of corners [N, 4] and [M, 4]: [N, M].

    Over the first box's area alone where the other is a crowd. Boxes without area have 0.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inside = np.prod(np.clip(high - low, 0, None), axis=2)
    first = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]
    union = first + np.prod(others[:, 2:] - others[:, :2], axis=1)[None] - inside
    if crowd is not None:
        union = np.where(crowd[None], first, union)
    overlap: NDArray[np.float64] = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
    return overlap


def _precision_by_threshold(
    kind: int, detections: Sequence[Boxes], truths: Sequence[Boxes]
) -> NDArray[np.float64] | None:
    """Average precision of one class at each threshold; None where no image has a true box that counts."""
    scores, hits, ignored, wanted = [], [], [], 0
    for found, true in zip(detections, truths, strict=True):
        mine = found.of(found.classes == kind)
        mine = mine.of(np.argsort(-mine.scores, kind="stable")[:MAX_DETECTIONS])
        there = true.of(true.classes == kind)
        assert there.crowd is not None
        there = there.of(np.argsort(there.crowd, kind="stable"))
        wanted += int((~there.crowd).sum())  # type: ignore[operator]
        hit, ignore = _match(mine, there)
        scores.append(mine.scores)
        hits.append(hit)
        ignored.append(ignore)
    if not wanted:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit, ignore = np.concatenate(hits, axis=1)[:, order], np.concatenate(ignored, axis=1)[:, order]
    right, wrong = np.cumsum(hit & ~ignore, axis=1), np.cumsum(~hit & ~ignore, axis=1)
    return np.array([_area(r, w, wanted) for r, w in zip(right, wrong, strict=True)])


def _match(found: Boxes, true: Boxes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each threshold and detection, best first: did it find a true box, and does it count neither way?

    A detection takes the free true box of largest overlap; a crowd only if no other box is left for it, and a
    crowd is never used up.
    """
    assert true.crowd is not None
    hit = np.zeros((len(IOU_THRESHOLDS), len(found)), bool)
    ignore = np.zeros_like(hit)
    if not len(true) or not len(found):
        return hit, ignore
    overlaps = iou_matrix(found.corners, true.corners, true.crowd)
    for t, threshold in enumerate(IOU_THRESHOLDS):
        free = np.ones(len(true), bool)
        for d, overlap in enumerate(overlaps):
            good = free & (overlap >= threshold)
            for crowd in (False, True):
                if len(rows := np.flatnonzero(good & (true.crowd == crowd))):
                    # The last of several equal ones, as pycocotools does.
                    best = rows[len(rows) - 1 - int(np.argmax(overlap[rows][::-1]))]
                    hit[t, d], ignore[t, d] = True, crowd
                    free[best] = crowd
                    break
    return hit, ignore


def _area(right: NDArray[np.intp], wrong: NDArray[np.intp], wanted: int) -> float:
    """Mean over 101 recalls of the best precision at that recall or a higher one; 0 past the last recall."""
    recall = right / wanted
    precision = right / np.maximum(right + wrong, np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return float(np.where(at < len(precision), np.append(precision, 0.0)[at], 0.0).mean())
