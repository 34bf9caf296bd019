"""ROUGE-L (Lin, 2004, equations 2 to 4): the longest common subsequence, as COCO's evaluation computes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .ngrams import Sentence, check_pairs, words_of

__all__ = ["rouge_l", "rouge_l_each"]

_BETA = 1.2


def rouge_l(hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]]) -> float:
    """ROUGE-L of the corpus: the mean of `rouge_l_each`, from 0 to 1."""
    return float(rouge_l_each(hypotheses, references).mean())


def rouge_l_each(
    hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]]
) -> NDArray[np.float64]:
    """F-measure (beta 1.2) of the best precision and the best recall over a hypothesis' references: [N].

    A sentence without words scores 0. ValueError: no hypothesis, or one without a reference.
    """
    check_pairs(hypotheses, references)
    return np.array(
        [_score(words_of(h), [words_of(r) for r in s]) for h, s in zip(hypotheses, references, strict=True)]
    )


def _score(words: list[str], references: list[list[str]]) -> float:
    common = [(_common(words, reference), len(reference)) for reference in references]
    precision = max(length / max(1, len(words)) for length, _ in common)
    recall = max(length / max(1, size) for length, size in common)
    if not precision or not recall:
        return 0.0
    return (1 + _BETA**2) * precision * recall / (recall + _BETA**2 * precision)


def _common(a: list[str], b: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for at, other in enumerate(b, start=1):
            diagonal, row[at] = row[at], diagonal + 1 if word == other else max(row[at], row[at - 1])
    return row[-1]
