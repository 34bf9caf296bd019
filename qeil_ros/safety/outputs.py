"""Whether an answer can be one: what a model said, or another machine sent, is believed only as far as it
makes sense.

QEIL's safety layer (arXiv 2602.06057 v2) names output sanity without giving rules; these are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

__all__ = ["AnswerLimits", "answer_problem", "duration"]

_LONGEST_S = 3600.0
_LONGEST_PHRASE = 16
_LONGEST_RUN = 32
_SHOWN = 40


@dataclass(frozen=True)
class AnswerLimits:
    """What an answer may hold at most, and its confidence at least.

    Attributes:
        repeats: times that the same words may follow one another; 0: any. A language model that has lost
            its way says the same for ever.
        least_confidence: 0 to 1; an answer that states none passes.
    """

    text_characters: int = 4096
    labels: int = 1024
    label_characters: int = 256
    embedding: int = 65536
    repeats: int = 4
    least_confidence: float = 0.0


def answer_problem(answer: Any, limits: AnswerLimits | None = None) -> str:
    """Why an answer cannot be believed; empty where nothing speaks against it.

    Args:
        answer: anything with the fields text, labels, scores, boxes, embedding and confidence of
        InferenceResult.
    """
    limits = limits or AnswerLimits()
    if len(answer.text) > limits.text_characters:
        return f"text of {len(answer.text)} characters; at most {limits.text_characters} are taken"
    if not answer.text.isprintable() and not all(c.isprintable() or c in "\n\t" for c in answer.text):
        return "text with control characters"
    if limits.repeats and (phrase := _repeated(answer.text, limits.repeats)):
        return f"text that says {phrase!r} more than {limits.repeats} times on end"
    count = len(answer.labels)
    if count > limits.labels:
        return f"{count} labels; at most {limits.labels} are taken"
    if any(len(label) > limits.label_characters for label in answer.labels):
        return f"a label of more than {limits.label_characters} characters"
    if len(answer.scores) != count:
        return f"{len(answer.scores)} scores for {count} labels"
    if len(answer.boxes) not in (0, 4 * count):
        return f"{len(answer.boxes)} box coordinates for {count} labels; want none or four a label"
    if len(answer.embedding) > limits.embedding:
        return f"an embedding of {len(answer.embedding)} values; at most {limits.embedding} are taken"
    for name in ("scores", "boxes", "embedding"):
        if not _finite(getattr(answer, name)):
            return f"a value in {name} is not finite"
    if not (math.isnan(answer.confidence) or 0.0 <= answer.confidence <= 1.0):
        return f"confidence {answer.confidence} is not from 0 to 1"
    if answer.confidence < limits.least_confidence:
        return f"confidence {answer.confidence:.3g} is below {limits.least_confidence:g}"
    return ""


def duration(value_s: float) -> float:
    """A duration that another machine states [s]; NaN where it cannot be one."""
    return value_s if 0.0 <= value_s <= _LONGEST_S else math.nan


def _repeated(text: str, most: int) -> str:
    """Words that follow themselves more than `most` times, or a character without end; empty: none do."""
    words = text.split()
    for length in range(1, min(_LONGEST_PHRASE, len(words) // (most + 1)) + 1):
        run = 0
        for place in range(length, len(words)):
            run = run + 1 if words[place] == words[place - length] else 0
            if run == most * length:
                return " ".join(words[place - length + 1 : place + 1])[:_SHOWN]
    for character, same in groupby(text):
        if sum(1 for _ in same) > max(_LONGEST_RUN, most):
            return character
    return ""


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))
