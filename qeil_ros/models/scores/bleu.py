"""BLEU of a corpus (Papineni et al., ACL 2002, sections 2.1 to 2.3), as COCO's evaluation computes it.

Counts are clipped by the most generous reference; the brevity penalty takes, for each hypothesis, the length
of the reference that is closest to its own (the shorter one of two equally close), summed over the corpus. It
is what nlg-eval and multi-bleu.perl give, too, but for the words: those two take words as they stand.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .ngrams import Sentence, check_pairs, ngrams, words_of

__all__ = ["bleu", "bleu_counts", "bleu_each", "bleu_from_counts"]

# So that 0 matches of 0 possible ones give 0, as in COCO's evaluation.
_TINY, _SMALL = 1e-15, 1e-9


def bleu(hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]], n: int = 4) -> list[float]:
    """BLEU-1 to BLEU-n of the corpus, from 0 to 1; `references[i]` are those of `hypotheses[i]`.

    ValueError: no hypothesis, one without a reference, or `n` below 1.
    """
    return bleu_from_counts(bleu_counts(hypotheses, references, n))


def bleu_each(
    hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]], n: int = 4
) -> NDArray[np.float64]:
    """BLEU-1 to BLEU-n of each sentence as a corpus of its own: [len(hypotheses), n]."""
    return np.array([bleu_from_counts(row[None]) for row in bleu_counts(hypotheses, references, n)])


def bleu_counts(
    hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]], n: int = 4
) -> NDArray[np.float64]:
    """What a corpus' BLEU is computed from, a row a sentence: own length, reference length, then for each
    size of n-gram those that match, and after them those that could: [N, 2 + 2 n].

    Rows may be resampled: `bleu_from_counts` of any selection is the BLEU of that selection.
    """
    if n < 1:
        raise ValueError(f"n is {n}; n-grams have 1 word or more")
    check_pairs(hypotheses, references)
    rows = np.zeros((len(hypotheses), 2 + 2 * n))
    for row, hypothesis, several in zip(rows, hypotheses, references, strict=True):
        words, truths = words_of(hypothesis), [words_of(reference) for reference in several]
        row[0] = len(words)
        row[1] = min((abs(len(truth) - len(words)), len(truth)) for truth in truths)[1]
        known = [ngrams(truth, n) for truth in truths]
        for ngram, count in ngrams(words, n).items():
            row[1 + len(ngram)] += min(count, max(counts[ngram] for counts in known))
        row[2 + n :] = [max(0, len(words) - size + 1) for size in range(1, n + 1)]
    return rows


def bleu_from_counts(rows: NDArray[np.float64]) -> list[float]:
    """BLEU-1 to BLEU-n of the sentences whose counts these are."""
    total = rows.sum(axis=0)
    n = (len(total) - 2) // 2
    precision = (total[2 : 2 + n] + _TINY) / (total[2 + n :] + _SMALL)
    scores = np.cumprod(precision) ** (1 / np.arange(1, n + 1))
    ratio = (total[0] + _TINY) / (total[1] + _SMALL)
    if ratio < 1:
        scores = scores * np.exp(1 - 1 / ratio)
    return [float(score) for score in scores]
