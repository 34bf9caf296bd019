"""Answers drawn at random instead of the likeliest one: several to a question, of which one is chosen."""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .tasks import Answer

__all__ = ["Drawn", "SampleEngine", "Sampling", "draw_tokens"]


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn, token by token.

    Attributes:
        temperature: the logits are divided by it; 1: as the model was trained, towards 0: the likeliest only.
        seed: the same seed and features give the same answers, on the same machine.
    """

    temperature: float
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.temperature <= 100:
            raise ValueError(f"temperature is {self.temperature}; want above 0, 100 at most")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; want 0 or more")


@dataclass
class Drawn(Answer):
    """The chosen answer, and what it took. Its confidence is that of its own tokens, whatever the others say.

    Attributes:
        samples: that were drawn for it. agreeing: those that say the same, itself included.
        energy_j: that the model took for all of them [J]; NaN where nothing meters it.
        energy_source: what that rests on.
        energy_quality: one of InferenceResult.QUALITY_*.
    """

    samples: int = 0
    agreeing: int = 0
    energy_j: float = math.nan
    energy_source: str = ""
    energy_quality: int = 0


@runtime_checkable
class SampleEngine(Protocol):
    """An engine (`engine.Engine`) that can draw answers, too."""

    can_sample: bool
    """False: the answers of this model leave nothing to draw."""

    def sample(self, split: str, features: NDArray[Any], sampling: Sampling) -> Future[list[Answer]]:
        """As `submit`, with one answer a row drawn; rows with the same features draw apart."""
        ...


def draw_tokens(
    logits: NDArray[Any], temperature: float, generator: np.random.Generator
) -> NDArray[np.int64]:
    """A token a row of `logits` [B, V], in proportion to exp(logits / temperature): the Gumbel-max trick.

    A row that holds a NaN or nothing but -inf gives the first such token, as argmax does.
    """
    noise = generator.gumbel(size=logits.shape)
    return np.asarray((logits / temperature + noise).argmax(axis=1), np.int64)
