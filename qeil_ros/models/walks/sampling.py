"""Samples from a decoder: many at a time to count right answers, one after another to take the time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sampling import draw_tokens
from .decoder import Cache, Decoder
from .questions import BLANK, END, Questions

__all__ = ["Timed", "coverage", "draw", "question"]

Tokens = NDArray[np.int64]
_ROWS = 512
"""Sequences that are decoded together, at most."""


@dataclass(frozen=True)
class Timed:
    """Seconds of one question: the prompt's pass, and all of it."""

    prefill_s: float
    whole_s: float


def coverage(
    decoder: Decoder,
    questions: Questions,
    samples: int,
    tokens: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
) -> int:
    """How many of the questions one at least of their samples answers."""
    per_block = max(1, _ROWS // samples)
    found = 0
    for start in range(0, len(questions), per_block):
        which = np.arange(start, min(start + per_block, len(questions)))
        given = draw(decoder, questions.prompts[which], samples, tokens, rng, temperature)
        right = questions.right(given.reshape(-1, tokens), np.repeat(which, samples))
        found += int(right.reshape(len(which), samples).any(axis=1).sum())
    return found


def draw(
    decoder: Decoder,
    prompts: Tokens,
    samples: int,
    tokens: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
) -> Tokens:
    """Answers [Q, samples, tokens]; after its end an answer is blank.

    Args:
        prompts: [Q, P]; each is read once, all its samples go on from there.
    """
    logits, cache = decoder.read(prompts, decoder.empty(len(prompts)))
    logits, cache = np.repeat(logits, samples, axis=0), np.repeat(cache, samples, axis=2)
    given = np.full((len(logits), tokens), BLANK, np.int64)
    going = np.arange(len(logits))
    for at in range(tokens):
        chosen = draw_tokens(logits, temperature, rng)
        given[going, at] = chosen
        still = chosen != END
        if not still.any() or at == tokens - 1:
            break
        if not still.all():
            going, chosen, cache = going[still], chosen[still], cache[:, :, still]
        logits, cache = decoder.read(chosen[:, None], cache)
    return given.reshape(len(prompts), samples, tokens)


def question(
    decoder: Decoder,
    prompt: Tokens,
    samples: int,
    tokens: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
) -> Timed:
    """The time of one question [P]: its prompt, then samples of exactly so many tokens, one after another.

    An end is decoded past: how long an answer is must not hide what a token takes.
    """
    start_s = time.perf_counter()
    logits, cache = decoder.read(prompt[None], decoder.empty(1))
    prefill_s = time.perf_counter() - start_s
    for _ in range(samples):
        _sample(decoder, logits, cache, tokens, rng, temperature)
    return Timed(prefill_s, time.perf_counter() - start_s)


def _sample(
    decoder: Decoder, logits: Any, cache: Cache, tokens: int, rng: np.random.Generator, temperature: float
) -> None:
    for _ in range(tokens):
        logits, cache = decoder.read(draw_tokens(logits, temperature, rng)[:, None], cache)
