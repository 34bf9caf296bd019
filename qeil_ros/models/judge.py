"""Answers to scores: against what is true in each frame, and against what the uncompressed model said."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np

from . import scores
from .answering import read_words
from .datasets import Dataset, Example
from .detection import DetectTask
from .folder import ModelFolder
from .scores import Boxes, Score
from .tasks import Answer, ClassifyTask

__all__ = ["MAIN_SCORES", "Judge", "for_scoring", "matching_labels"]

MAIN_SCORES = ("exact_match", "top_1", "map", "agreement", "cosine", "agreement_map")
"""Of the scores that a task has, the first one here is the one to plot. A truth comes before an agreement."""

_LEAST = 0.01
"""Boxes below this score change no average precision worth telling, and are many."""


def for_scoring(folder: ModelFolder) -> ModelFolder:
    """The model as it is scored: a detector tells unsure boxes too, which average precision weighs itself."""
    if not isinstance(folder.task, DetectTask):
        return folder
    task = dataclasses.replace(folder.task, threshold=min(_LEAST, folder.task.threshold))
    return dataclasses.replace(folder, task=task)


class Judge:
    """Scores answers for the frames that were shown to `see`, in that order."""

    def __init__(self, folder: ModelFolder, dataset: Dataset) -> None:
        task = folder.task
        known: list[str] = []
        if isinstance(task, (ClassifyTask, DetectTask)):
            known = read_words(folder, task.labels, task.sha256)
        self._known, self._categories = known, dataset.categories
        self._threshold = task.threshold if isinstance(task, DetectTask) else None
        self._captions: list[tuple[str, ...]] = []
        self._labels: list[frozenset[str]] = []
        self._true_boxes: list[Boxes | None] = []
        self._sizes: list[tuple[int, int]] = []

    def see(self, example: Example) -> None:
        height, width = example.pixels.shape[:2]
        self._captions.append(example.captions)
        right = (matching_labels(words, self._known) for words in example.labels)
        self._labels.append(frozenset().union(*right))
        self._true_boxes.append(None if example.boxes is None else self._as_known(example.boxes))
        self._sizes.append((width, height))

    def scores(self, answers: Sequence[Answer], reference: Sequence[Answer]) -> dict[str, Score]:
        """The scores that the answers' kind and the known truth allow; frames without truth are left out.

        exact_match, cider, bleu_4, rouge_l of texts; top_1, top_5 of labels; map, ap50 of boxes. Against the
        reference: agreement (share of equal texts or first labels), cosine (mean similarity of embeddings),
        agreement_map (its boxes from the model's own threshold on as truth). Boxes' scores have no error.
        """
        if self._threshold is not None:
            return self._of_boxes(answers, reference, self._threshold)
        first = answers[0]
        if first.labels:
            found = self._of_labels(answers)
            same = [a.labels[:1] == b.labels[:1] for a, b in zip(answers, reference, strict=True)]
        elif first.embedding.size:
            if first.embedding.shape != reference[0].embedding.shape:
                return {}
            return {
                "cosine": scores.mean_score([_cosine(a, b) for a, b in zip(answers, reference, strict=True)])
            }
        else:
            found = self._of_texts([answer.text for answer in answers])
            same = [a.text == b.text for a, b in zip(answers, reference, strict=True)]
        if bool(first.labels) == bool(reference[0].labels):  # a local part may have a task of its own
            found["agreement"] = scores.mean_score(np.array(same, float))
        return found

    def _of_texts(self, texts: list[str]) -> dict[str, Score]:
        rows = [row for row, captions in enumerate(self._captions) if captions]
        if not rows:
            return {}
        said, true = [texts[row] for row in rows], [self._captions[row] for row in rows]
        counts = scores.bleu_counts(said, true)
        return {
            "exact_match": scores.mean_score(scores.exact_matches(said, true)),
            "cider": scores.mean_score(scores.cider_each(said, true)),
            "bleu_4": scores.resampled_score(
                lambda drawn: scores.bleu_from_counts(counts[drawn])[3], len(rows)
            ),
            "rouge_l": scores.mean_score(scores.rouge_l_each(said, true)),
        }

    def _of_labels(self, answers: Sequence[Answer]) -> dict[str, Score]:
        rows = [row for row, labels in enumerate(self._labels) if labels]
        if not rows:
            return {}
        ranked, true = [answers[row].labels for row in rows], [self._labels[row] for row in rows]
        most = max(map(len, ranked))
        return {
            f"top_{k}": scores.mean_score(scores.top_k_hits(ranked, true, k)) for k in (1, 5) if k <= most
        }

    def _of_boxes(
        self, answers: Sequence[Answer], reference: Sequence[Answer], threshold: float
    ) -> dict[str, Score]:
        found, whole = self._boxes(answers), self._boxes(reference)
        result: dict[str, Score] = {}
        known = [(ours, true) for ours, true in zip(found, self._true_boxes, strict=True) if true is not None]
        if known:
            true = scores.detection_map([ours for ours, _ in known], [true for _, true in known])
            result["map"] = Score(true.map, math.nan, len(known))
            result["ap50"] = Score(true.ap50, math.nan, len(known))
        sure = [boxes.of(boxes.scores >= threshold) for boxes in whole]
        same = scores.detection_map(found, sure)
        result["agreement_map"] = Score(same.map, math.nan, len(found))
        return result

    def _boxes(self, answers: Sequence[Answer]) -> list[Boxes]:
        """The answers' boxes in pixels; classes are the labels' numbers."""
        number = {label: row for row, label in enumerate(self._known)}
        return [
            Boxes(
                answer.boxes * [width, height, width, height],
                np.array([number[label] for label in answer.labels], np.int64),
                np.array(answer.scores),
            )
            for answer, (width, height) in zip(answers, self._sizes, strict=True)
        ]

    def _as_known(self, boxes: Boxes) -> Boxes:
        """True boxes with classes numbered as the model's labels; those that it does not know are left out.

        A data set with as many classes as the model has labels has the same ones, whatever they are called.
        """
        if len(self._categories) == len(self._known):
            return boxes
        number = {_plain(label): row for row, label in enumerate(self._known)}
        classes = np.array(
            [number.get(_plain(self._categories[int(c)]), -1) for c in boxes.classes], np.int64
        )
        return Boxes(boxes.corners, classes, boxes.scores, boxes.crowd).of(classes >= 0)


def matching_labels(words: str, known: Sequence[str]) -> frozenset[str]:
    """The labels of a list that mean what a few words say.

    The label itself if the list has it. Else, case and punctuation aside, those of which one of the names
    (between commas) is the words or ends in them as its noun: "owl" means "great grey owl, great gray owl",
    "cat" means "tabby, tabby cat" but not "cat bear".
    """
    if words in known:
        return frozenset([words])
    wanted = _plain(words)
    return frozenset(
        label
        for label in known
        if wanted
        and any(name == wanted or name.endswith(f" {wanted}") for name in map(_plain, label.split(",")))
    )


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _cosine(a: Answer, b: Answer) -> float:
    x, y = a.embedding.astype(np.float64), b.embedding.astype(np.float64)
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / size if size else float(np.array_equal(x, y))
