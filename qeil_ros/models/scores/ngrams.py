"""Runs of words and how often each occurs, which BLEU and CIDEr are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .tokenizer import tokenize

Sentence = str | Sequence[str]
"""Text, which is tokenized, or the words themselves."""

Ngram = tuple[str, ...]


def words_of(sentence: Sentence) -> list[str]:
    return tokenize(sentence) if isinstance(sentence, str) else list(sentence)


def ngrams(words: Sequence[str], longest: int) -> Counter[Ngram]:
    """How often each run of 1 to `longest` words occurs."""
    return Counter(
        tuple(words[at : at + size]) for size in range(1, longest + 1) for at in range(len(words) - size + 1)
    )


def check_pairs(hypotheses: Sequence[object], references: Sequence[Sequence[object]]) -> None:
    """ValueError unless there is at least one hypothesis, and for each at least one reference."""
    if isinstance(hypotheses, str) or len(hypotheses) != len(references) or not hypotheses:
        raise ValueError(
            f"{len(hypotheses)} hypotheses and {len(references)} lists of references; want as many of both, "
            "at least one"
        )
    for at, several in enumerate(references):
        if isinstance(several, str) or not len(several):
            raise ValueError(
                f"the references of hypothesis {at} are {several!r}; want a list of at least one sentence"
            )
