"""Right or wrong: whole captions, labels, and samples of which one must be right."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["exact_match", "exact_matches", "pass_at_k", "top_k", "top_k_hits"]

Truth = str | Collection[str]
"""What is right: one text, or several of which each is."""


def exact_match(answers: Sequence[str], truths: Sequence[Truth]) -> float:
    """The share of answers that are right to the last character."""
    return float(exact_matches(answers, truths).mean())


def exact_matches(answers: Sequence[str], truths: Sequence[Truth]) -> NDArray[np.float64]:
    """1 for each answer that is right to the last character, else 0: [N]. ValueError: not as many truths."""
    return top_k_hits([[answer] for answer in answers], truths, 1)


def top_k(ranked: Sequence[Sequence[str]], truths: Sequence[Truth], k: int) -> float:
    """The share of answers whose first `k` labels hold a right one."""
    return float(top_k_hits(ranked, truths, k).mean())


def top_k_hits(ranked: Sequence[Sequence[str]], truths: Sequence[Truth], k: int) -> NDArray[np.float64]:
    """1 for each list of labels, best first, of whose first `k` one is right, else 0: [N].

    ValueError: `k` below 1, none at all, or not as many truths as answers.
    """
    if k < 1:
        raise ValueError(f"k is {k}; want 1 or more")
    if len(ranked) != len(truths) or not len(ranked):
        raise ValueError(
            f"{len(ranked)} answers and {len(truths)} truths; want as many of both, at least one"
        )
    right = [{truth} if isinstance(truth, str) else set(truth) for truth in truths]
    return np.array(
        [not good.isdisjoint(labels[:k]) for labels, good in zip(ranked, right, strict=True)], float
    )


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that one of `k` samples is right, where `c` of `n` drawn samples were.

    The unbiased estimate 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, "Evaluating Large Language Models Trained
    on Code", equation 1), as a product, which does not overflow.

    ValueError: not 0 <= c <= n, or not 1 <= k <= n.
    """
    if not 0 <= c <= n:
        raise ValueError(f"c is {c}: of n = {n} samples, 0 to {n} can be right")
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}: of n = {n} samples, 1 to {n} can be drawn")
    if n - c < k:
        return 1.0
    return 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))
