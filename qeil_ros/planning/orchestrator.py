"""How many samples to draw for a question: until the budget is spent, the answers agree, or one is proved.

Paper: QEIL, arXiv 2602.06057, algorithm 2: after prefill, draw samples while S is not reached and the energy
spent plus the estimate of the next sample stays below E_max. The estimate from what samples took so far, the
limit on time, and both ways to stop early are ours. Placement cannot raise the chance that one of S samples
is right; joules saved on each can, by paying for more of them: `affordable`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from scipy.special import betainc

__all__ = ["Budget", "Outcome", "SampleLoop", "Stop", "affordable", "certainty", "run"]

Answer = TypeVar("Answer", bound=Hashable)


class Stop(Enum):
    """Why no further sample is drawn."""

    SAMPLES = "all samples that were asked for"
    ENERGY = "the next sample would exceed the energy budget"
    TIME = "the next sample would exceed the time limit"
    ACCEPTED = "the verifier accepted an answer"
    AGREED = "the answers agree"
    OTHERS = "other questions wait"


@dataclass(frozen=True)
class Budget:
    """For one question.

    Attributes:
        samples: S, the most that are drawn; one is drawn in any case.
        energy_j: E_max, prefill included. latency_s: from the question to the last sample.
        certainty: 0.5 to 1; from this chance on that the leading answer stays ahead, sampling ends; 1: never.
    """

    samples: int
    energy_j: float = math.inf
    latency_s: float = math.inf
    certainty: float = 1.0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ValueError(f"samples is {self.samples}; want 1 or more")
        if not (self.energy_j > 0 and self.latency_s > 0):
            raise ValueError(f"limits of {self.energy_j} J and {self.latency_s} s; both must be positive")
        if not 0.5 <= self.certainty <= 1:
            raise ValueError(f"certainty is {self.certainty}; want 0.5 to 1")


@dataclass(frozen=True)
class Outcome(Generic[Answer]):
    """What came of a question.

    Attributes:
        answer: the accepted one, else the most frequent one, of equals the first.
        answers: all, in the order drawn.
        energy_j, latency_s: metered, prefill included.
        stop: why it ended.
    """

    answer: Answer
    answers: tuple[Answer, ...]
    energy_j: float
    latency_s: float
    stop: Stop


class SampleLoop(Generic[Answer]):
    """The decisions of algorithm 2, sample by sample; the caller draws and meters.

    The next sample is expected to take what the largest one took so far, or `expected_j` and `expected_s`
    before the first: a budget that holds on average only would be broken every other time.

    Args:
        prefill_j, prefill_s: metered, spent already.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        prefill_j: float = 0.0,
        prefill_s: float = 0.0,
        expected_j: float = 0.0,
        expected_s: float = 0.0,
    ) -> None:
        self.budget = budget
        self.energy_j, self.latency_s = prefill_j, prefill_s
        self._next_j, self._next_s = expected_j, expected_s
        self._measured = False
        self._answers: list[Answer] = []
        self._accepted: Answer | None = None
        self._ended: Stop | None = None

    def end(self, why: Stop) -> None:
        """No further sample is to be drawn, for a reason of the caller's; the first one is all the same."""
        self._ended = why

    def stop(self) -> Stop | None:
        """Why there is to be no further sample; None: draw one."""
        budget, drawn = self.budget, len(self._answers)
        if not drawn:
            return None  # a question gets an answer, whatever it costs: refusing it is the caller's to decide
        if self._accepted is not None:
            return Stop.ACCEPTED
        if drawn >= budget.samples:
            return Stop.SAMPLES
        if self.energy_j + self._next_j > budget.energy_j:
            return Stop.ENERGY
        if self.latency_s + self._next_s > budget.latency_s:
            return Stop.TIME
        if budget.certainty < 1 and certainty(self._answers) >= budget.certainty:
            return Stop.AGREED
        return self._ended

    def room(self, together: int) -> int:
        """How many samples may be drawn at once, `together` at most; 0: `stop` says why.

        The first one is drawn alone unless its cost is expected: nobody knows yet what one takes.
        """
        if self.stop() is not None:
            return 0
        budget, drawn = self.budget, len(self._answers)
        if not drawn and not (self._next_j or self._next_s):
            return 1
        room = min(together, budget.samples - drawn)
        for limit, spent, each in (
            (budget.energy_j, self.energy_j, self._next_j),
            (budget.latency_s, self.latency_s, self._next_s),
        ):
            if each > 0 and limit < math.inf:
                room = min(room, math.floor((limit - spent) / each + 1e-9))
        return max(1, room)

    def drew(self, answer: Answer, energy_j: float, took_s: float, *, accepted: bool = False) -> None:
        """A sample was drawn.

        Args:
            energy_j, took_s: metered; NaN where nothing meters it: then what was expected counts.
            accepted: a verifier says that it is right.
        """
        spent_j = energy_j if math.isfinite(energy_j) else self._next_j
        spent_s = took_s if math.isfinite(took_s) else self._next_s
        self.energy_j += spent_j
        self.latency_s += spent_s
        self._next_j = max(self._next_j, spent_j) if self._measured else spent_j
        self._next_s = max(self._next_s, spent_s) if self._measured else spent_s
        self._measured = True
        self._answers.append(answer)
        if accepted and self._accepted is None:
            self._accepted = answer

    def outcome(self) -> Outcome[Answer]:
        """What came of it. ValueError: nothing was drawn, or `stop` says to go on."""
        stop = self.stop()
        if stop is None:
            raise ValueError("there is no outcome yet: draw another sample")
        best = Counter(self._answers).most_common(1)[0][0] if self._accepted is None else self._accepted
        return Outcome(best, tuple(self._answers), self.energy_j, self.latency_s, stop)


def run(
    loop: SampleLoop[Answer],
    draw: Callable[[], tuple[Answer, float, float]],
    verify: Callable[[Answer], bool] | None = None,
) -> Outcome[Answer]:
    """Draws until the loop says stop.

    Args:
        draw: gives an answer, its energy [J] and its time [s]. verify: whether an answer is right.
    """
    while loop.stop() is None:
        answer, energy_j, took_s = draw()
        loop.drew(answer, energy_j, took_s, accepted=verify is not None and verify(answer))
    return loop.outcome()


def certainty(answers: list[Answer]) -> float:
    """The chance that the most frequent answer is the likelier one of the leading two, given these samples.

    With v1 and v2 of the leading two, and nothing known before, their share is Beta(v1 + 1, v2 + 1)
    distributed; this is its part above one half. 0.5 without answers.
    """
    counts = [count for _, count in Counter(answers).most_common(2)]
    first, second = (*counts, 0, 0)[:2]
    return float(betainc(second + 1, first + 1, 0.5))


def affordable(energy_j: float, prefill_j: float, sample_j: float, most: int) -> int:
    """Samples that a budget pays for, 0 to `most`: what saved joules buy."""
    if not sample_j > 0:
        raise ValueError(f"sample_j is {sample_j}; want above 0")
    return max(0, min(most, math.floor((energy_j - prefill_j) / sample_j + 1e-9)))
