"""Answers to scores: against what is true in each frame, and against what the uncompressed model said."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import scores
from .answering import read_words
from .datasets import Example
from .folder import ModelFolder
from .scores import Boxes, Score
from .tasks import Answer, ClassifyTask

__all__ = ["MAIN_SCORES", "BoxReader", "Judge", "matching_labels"]

BoxReader = Callable[[Answer, int, int], Boxes]
"""(answer, width, height of the picture) -> the boxes in it, in pixels: how a detector's output reads."""

MAIN_SCORES = ("exact_match", "top_1", "map", "agreement", "cosine", "agreement_map")
"""Of the scores that a task has, the first one here is the one to plot. A truth comes before an agreement."""

_SURE = 0.3
"""Boxes of the uncompressed model from this score on are what a split detector must find again."""


class Judge:
    """Scores answers for the frames that were shown to `see`, in that order."""

    def __init__(self, folder: ModelFolder, boxes: BoxReader | None = None) -> None:
        task = folder.task
        known = read_words(folder, task.labels, task.sha256) if isinstance(task, ClassifyTask) else []
        self._known, self._boxes = known, boxes
        self._captions: list[tuple[str, ...]] = []
        self._labels: list[frozenset[str]] = []
        self._true_boxes: list[Boxes | None] = []
        self._sizes: list[tuple[int, int]] = []

    def see(self, example: Example) -> None:
        height, width = example.pixels.shape[:2]
        self._captions.append(example.captions)
        right = (matching_labels(words, self._known) for words in example.labels)
        self._labels.append(frozenset().union(*right))
        self._true_boxes.append(example.boxes)
        self._sizes.append((width, height))

    def scores(self, answers: Sequence[Answer], reference: Sequence[Answer]) -> dict[str, Score]:
        """The scores that the answers' kind and the known truth allow; frames without truth are left out.

        exact_match, cider, bleu_4, rouge_l of texts; top_1, top_5 of labels; map, ap50 of boxes. Against the
        reference: agreement (share of equal texts or first labels), cosine (mean similarity of embeddings),
        agreement_map (its boxes of a score of 0.3 and more as truth). Boxes' scores come without an error.
        """
        if self._boxes is not None:
            return self._of_boxes(answers, reference)
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

    def _of_boxes(self, answers: Sequence[Answer], reference: Sequence[Answer]) -> dict[str, Score]:
        assert self._boxes is not None
        found, whole = (
            [self._boxes(a, *size) for a, size in zip(several, self._sizes, strict=True)]
            for several in (answers, reference)
        )
        result: dict[str, Any] = {}
        rows = [row for row, boxes in enumerate(self._true_boxes) if boxes is not None]
        if rows:
            true = scores.detection_map([found[row] for row in rows], [self._true_boxes[row] for row in rows])
            result |= {"map": Score(true.map, np.nan, len(rows)), "ap50": Score(true.ap50, np.nan, len(rows))}
        sure = [boxes.of(boxes.scores >= _SURE) for boxes in whole]
        same = scores.detection_map(found, sure)
        result["agreement_map"] = Score(same.map, np.nan, len(found))
        return result


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
