"""Questions timed, answers counted and passes timed, for every size of a family."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.walks import family
from qeil_ros.models.walks.decoder import Decoder, Size
from qeil_ros.models.walks.questions import PROMPT, ask
from qeil_ros.models.walks.sampling import coverage, question

from .energy import EnergyMeter

__all__ = ["FULL", "QUICK", "Grid", "measure"]

Record = dict[str, object]
Tell = Callable[[int, int, str], None]
"""(steps done, steps in all, what is being done)"""

PROMPTS = (PROMPT, 4 * PROMPT, 16 * PROMPT)
"""Lengths that prompts are timed at. Questions have the first; longer ones repeat it."""
_DECODES = 10
"""Single tokens that make up one timed pass."""


@dataclass(frozen=True)
class Grid:
    """What is measured.

    Attributes:
        sizes: of the family. samples, tokens: of timed questions; every combination, prompts in turn.
        answers_samples, answers_tokens: of counted answers. queries: for each combination, new ones.
        rounds: how often each thing is timed; the median counts.
    """

    sizes: tuple[Size, ...] = (*family.TRAINED, *family.SEEDED)
    samples: tuple[int, ...] = (1, 2, 4, 8)
    tokens: tuple[int, ...] = (2, 4, 8, 16)
    answers_samples: tuple[int, ...] = (1, 2, 4, 8, 16)
    answers_tokens: tuple[int, ...] = (3, 5, 9, 17)
    queries: int = 200
    rounds: int = 5
    temperature: float = 1.0
    seed: int = 0
    threads: int = 1
    steps: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        for name in ("sizes", "samples", "tokens", "answers_samples", "answers_tokens"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; want one at least")
        if self.queries < 1 or self.rounds < 1 or not self.temperature > 0:
            raise ValueError("queries and rounds want 1 or more, the temperature more than 0")
        trained = [size for size in self.sizes if size in family.TRAINED]
        answers = len(trained) * len(self.answers_samples) * len(self.answers_tokens)
        object.__setattr__(self, "steps", len(self.sizes) * (self.rounds + 1) + answers)


FULL = Grid()
QUICK = Grid(
    sizes=(*family.TRAINED, *family.SEEDED[:2]),
    samples=(1, 4),
    tokens=(4, 16),
    answers_samples=(1, 4, 16),
    answers_tokens=(5, 17),
    queries=60,
    rounds=3,
)


def measure(grid: Grid, meter: EnergyMeter, tell: Tell = lambda done, total, what: None) -> list[Record]:
    """The records, in the columns that `planning.scaling_table` fits laws to.

    Times are medians over rounds; in each round everything of a size is timed once, so that a change of the
    machine's mood reaches all alike. Coverage is of questions that no other row has, so that counts are
    independent.

    Raises:
        ModelError: weights are missing, or the package onnx.
    """
    records: list[Record] = []
    done = 0

    def step(what: str) -> None:
        nonlocal done
        tell(done, grid.steps, what)
        done += 1

    for size in grid.sizes:
        decoder = Decoder(size, family.load(size, grid.seed), threads=grid.threads)
        timed = _Timed(decoder, grid)
        for _ in range(grid.rounds):
            step(f"{size.name}: time")
            timed.once()
        step(f"{size.name}: energy")
        records += timed.questions(meter)
        records += timed.passes()
        if size in family.TRAINED:
            for samples, tokens in product(grid.answers_samples, grid.answers_tokens):
                step(f"{size.name}: {samples} samples of {tokens} tokens")
                records.append(_answers(decoder, grid, samples, tokens))
    tell(grid.steps, grid.steps, "")
    return records


def _answers(decoder: Decoder, grid: Grid, samples: int, tokens: int) -> Record:
    """The share of questions that one of the samples answers."""
    rng = np.random.default_rng([grid.seed, decoder.size.width, decoder.size.layers, samples, tokens])
    right = coverage(decoder, ask(rng, grid.queries), samples, tokens, rng, grid.temperature)
    return {
        **_size(decoder.size, "answers"),
        "samples": samples,
        "tokens": tokens,
        "coverage": right / grid.queries,
        "queries": grid.queries,
        "rests_on": f"counted: {right} of {grid.queries} questions, temperature {grid.temperature:g}",
    }


class _Timed:
    """Times of one size."""

    def __init__(self, decoder: Decoder, grid: Grid) -> None:
        self._decoder, self._grid = decoder, grid
        self._rng = np.random.default_rng(grid.seed)
        asked = ask(self._rng, 1).prompts[0]
        self._prompts = {length: np.tile(asked, length // PROMPT) for length in PROMPTS}
        self._cells = list(_cells(grid.samples, grid.tokens))
        self._runs: dict[tuple[int, int, int], list[tuple[float, float]]] = {c: [] for c in self._cells}
        self._passes: dict[int, list[float]] = {length: [] for length in (*PROMPTS, 1)}
        for length in PROMPTS:
            question(decoder, self._prompts[length], 1, 2, self._rng)  # the first run allocates

    def once(self) -> None:
        for cell in self._cells:
            begun_s = time.process_time()
            timed = self._ask(cell)
            self._runs[cell].append((timed.whole_s, time.process_time() - begun_s))
        for length, prompt in self._prompts.items():
            self._passes[length].append(self._read(prompt))
        self._passes[1].append(self._decode())

    def questions(self, meter: EnergyMeter) -> Iterator[Record]:
        """A record for each timed combination; energy with the shortest prompt."""
        for cell in self._cells:
            prompt, samples, tokens = cell
            latency_s = statistics.median(whole for whole, _ in self._runs[cell])
            core_s = statistics.median(core for _, core in self._runs[cell])

            def work(cell: tuple[int, int, int] = cell) -> object:
                return self._ask(cell)

            record = {
                **_size(self._decoder.size, "time"),
                "samples": samples,
                "tokens": tokens,
                "prompt_tokens": prompt,
                "latency_s": latency_s,
                "rests_on": f"timed: median of {self._grid.rounds}, samples one after another, "
                "all tokens decoded",
            }
            if prompt == PROMPT:  # the law of energy has no term for what a longer one takes
                energy = meter.of(work, latency_s, core_s)
                record |= {
                    "energy_j": energy.energy_j,
                    "energy_quality": energy.quality.name.lower(),
                    "energy_source": energy.source,
                }
            yield record

    def passes(self) -> Iterator[Record]:
        """A record for each length of a pass: two FLOP a weight and token, every weight read once."""
        size = self._decoder.size
        for length, seconds in self._passes.items():
            yield {
                **_size(size, "pass"),
                "flops": 2 * size.parameters * length,
                "moved_bytes": 4 * size.parameters,
                "pass_s": statistics.median(seconds),
                "rests_on": f"timed: median of {self._grid.rounds}, one pass over {length} tokens; FLOP and "
                "bytes counted from the weights",
            }

    def _ask(self, cell: tuple[int, int, int]) -> Any:
        prompt, samples, tokens = cell
        return question(
            self._decoder, self._prompts[prompt], samples, tokens, self._rng, self._grid.temperature
        )

    def _read(self, prompt: NDArray[np.int64]) -> float:
        cache = self._decoder.empty(1)
        begun_s = time.perf_counter()
        self._decoder.read(prompt[None], cache)
        return time.perf_counter() - begun_s

    def _decode(self) -> float:
        """Seconds of one token after a prompt, the mean of some."""
        _, cache = self._decoder.read(self._prompts[PROMPT][None], self._decoder.empty(1))
        token = np.zeros((1, 1), np.int64)
        begun_s = time.perf_counter()
        for _ in range(_DECODES):
            _, cache = self._decoder.read(token, cache)
        return (time.perf_counter() - begun_s) / _DECODES


def _cells(samples: Sequence[int], tokens: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """(prompt, samples, tokens): all combinations with the shortest prompt, then the longer prompts."""
    for s, t in product(samples, tokens):
        yield PROMPT, s, t
    for prompt, t in product(PROMPTS[1:], tokens[:2]):
        yield prompt, samples[0], t


def _size(size: Size, row: str) -> Record:
    return {"row": row, "model": size.name, "parameters": size.parameters}
