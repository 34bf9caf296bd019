"""Whether an answer can be one: what another machine sent is believed only as far as it makes sense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["AnswerLimits", "answer_problem", "duration"]

_LONGEST_S = 3600.0


@dataclass(frozen=True)
class AnswerLimits:
    """What an answer may hold at most."""

    text_characters: int = 4096
    labels: int = 1024
    label_characters: int = 256
    embedding: int = 65536


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
    return ""


def duration(value_s: float) -> float:
    """A duration that another machine states [s]; NaN where it cannot be one."""
    return value_s if 0.0 <= value_s <= _LONGEST_S else math.nan


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))
