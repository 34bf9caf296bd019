"""Walks through a fixed random map: questions whose answers anyone can check, and whose length is their own.

The map has 256 places with ten roads from each; where they lead was drawn once. A question is a place and one
to sixteen roads to take from there, as many questions of each length; roads of low numbers are commoner, as
words are. The answer is the place after each road, then the end. It is right if it is all right: every place
but the last is only the way to it, but with one of them wrong the rest is luck.

What a decoder needs for it is to know the map, 2,560 facts of eight bits: the larger, the more of them it can
keep; and a walk asks for many.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEGIN", "BLANK", "END", "LONGEST_ANSWER", "PROMPT", "VOCABULARY", "Questions", "ask"]

Tokens = NDArray[np.int64]

PLACES = 256
ROADS = 10
MOST_STEPS = 16
BLANK, BEGIN, END = PLACES + ROADS, PLACES + ROADS + 1, PLACES + ROADS + 2
VOCABULARY = PLACES + ROADS + 3
"""Places, roads, blank, begin of the answer, its end."""
PROMPT = MOST_STEPS + 2
"""Tokens of a question: the place, the roads, blanks for those that it lacks, begin."""
LONGEST_ANSWER = MOST_STEPS + 1
"""Tokens: a place for each road, and the end."""
_MAP_SEED = 640


@dataclass(frozen=True, eq=False)
class Questions:
    """Q questions.

    Attributes:
        prompts: [Q, PROMPT]. answers: [Q, LONGEST_ANSWER], blank after the end.
    """

    prompts: Tokens
    answers: Tokens

    def __len__(self) -> int:
        return len(self.prompts)

    def right(self, given: Tokens, which: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
        """Whether each answer is right, [A].

        Args:
            given: [A, T] tokens, blank after the end; an answer that T cut off is wrong.
            which: [A], the question that each one answers; None: one for each question.
        """
        wanted = self.answers if which is None else self.answers[which]
        padded = np.full(wanted.shape, BLANK, np.int64)
        width = min(given.shape[1], LONGEST_ANSWER)
        padded[:, :width] = given[:, :width]
        return np.asarray((padded == wanted).all(axis=1))


def ask(rng: np.random.Generator, count: int) -> Questions:
    """`count` random questions."""
    steps = rng.integers(1, MOST_STEPS + 1, count)
    commonness = 1.0 / np.arange(1, ROADS + 1)
    roads = rng.choice(ROADS, (count, MOST_STEPS), p=commonness / commonness.sum())
    start = rng.integers(0, PLACES, count)
    places = np.empty((count, MOST_STEPS), np.int64)
    at = start
    for step in range(MOST_STEPS):
        at = _map()[at, roads[:, step]]
        places[:, step] = at
    there = np.arange(MOST_STEPS) < steps[:, None]
    prompts = np.full((count, PROMPT), BLANK, np.int64)
    prompts[:, 0], prompts[:, -1] = start, BEGIN
    prompts[:, 1:-1][there] = PLACES + roads[there]
    answers = np.full((count, LONGEST_ANSWER), BLANK, np.int64)
    answers[:, :-1][there] = places[there]
    answers[np.arange(count), steps] = END
    return Questions(prompts, answers)


@cache
def _map() -> Tokens:
    """Where each road leads, [PLACES, ROADS]."""
    return np.random.default_rng(_MAP_SEED).integers(0, PLACES, (PLACES, ROADS))
