"""Several answers to a question, of which one is chosen: an engine that draws them from another engine.

The first answer is the model's likeliest one, so that sampling never makes an answer worse than none would;
the others are drawn. Drawing ends for one of `planning.orchestrator.Stop`: the answers agree, a verifier
accepts one, the question's energy or its share of the time is spent, or other questions wait. Questions that
came together are answered together: each round is one run of the model for all that are still open.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from importlib.metadata import entry_points
from typing import Any

from numpy.typing import NDArray

from qeil_ros.models.engine import Engine
from qeil_ros.models.sampling import Drawn, SampleEngine, Sampling
from qeil_ros.models.schema import ModelError
from qeil_ros.models.tasks import Answer
from qeil_ros.planning.allowance import Allowance
from qeil_ros.planning.orchestrator import Budget, SampleLoop, Stop
from qeil_ros.platform.energy import Meter, energy_meter
from qeil_ros.platform.readings import Quality

from .co_inference_parameters import CoInferenceParameters
from .recent import Recent

__all__ = ["Sampler", "Verifier", "make_sampler"]

Verifier = Callable[[Answer], bool]
"""Whether an answer is right, as far as it can tell."""

_RECENT_S = 10.0
_LEAST_J = 1e-12
"""A budget that pays for nothing: the first answer is given all the same."""
_SEEDS = 2**32


class Sampler:
    """An `Engine`; it runs one batch of questions at a time, since what it meters is the whole machine's.

    Args:
        engine: what answers; `close` closes it, and the meter.
        params: live; all `sampling_*` and `samples` but what is said to wait for the next configuration.
        meter: of energy; None: nothing does.
        verify: ends a question with an answer that it accepts, beside `sampling_accept`.
        others_wait: whether there are questions that wait for this one's end.
    """

    depth = 1

    def __init__(
        self,
        engine: Any,
        params: CoInferenceParameters,
        meter: Meter | None = None,
        verify: Verifier | None = None,
        others_wait: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.device: str = engine.device
        self.splits: list[str] = engine.splits
        self.meter = meter
        self._engine, self._params, self._verify = engine, params, verify
        self._others_wait, self._clock = others_wait, clock
        self._allowance: Allowance | None = None
        if params.sampling_budget_j > 0:
            self._allowance = Allowance(params.sampling_budget_j, params.sampling_budget_s)
        self._rounds = 0
        self._lock = threading.Lock()
        self._first_s, self._samples, self._energy_j = (Recent(_RECENT_S) for _ in range(3))
        self._stops: Counter[Stop] = Counter(dict.fromkeys(Stop, 0))
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sampler")

    def submit(
        self, split: str, features: NDArray[Any], deadline_s: float = math.inf
    ) -> Future[list[Answer]]:
        """As `Engine.submit`; each answer is a `Drawn`."""
        return self._worker.submit(self._answers, split, features, deadline_s)

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._engine.close()
        if self.meter is not None:
            self.meter.close()

    def service_s(self) -> float:
        """What a batch takes at least, its first answers [s]; 0 where none ran lately."""
        with self._lock:
            (first_s,) = self._first_s.quantiles(0.5, now_s=self._clock())
        return 0.0 if math.isnan(first_s) else first_s

    def figures(self) -> dict[str, float | int | str]:
        """For diagnostics: medians over the last seconds, why drawing ended since the start."""
        with self._lock:
            now_s = self._clock()
            (samples,) = self._samples.quantiles(0.5, now_s=now_s)
            (energy_j,) = self._energy_j.quantiles(0.5, now_s=now_s)
            stops = dict(self._stops)
        found: dict[str, float | int | str] = {
            "samples_p50": samples,
            "question_energy_p50_j": energy_j,
            "question_energy_source": "nothing meters it" if self.meter is None else self.meter.source,
            "question_energy_quality": self._quality.name.lower(),
            **{f"stopped_{stop.name.lower()}": count for stop, count in stops.items()},
        }
        if self._allowance is not None:
            found["sampling_budget_left_j"] = self._allowance.left_j
        return found

    # --- on the worker's thread

    def _answers(self, split: str, features: NDArray[Any], deadline_s: float) -> list[Answer]:
        questions = [_Question(SampleLoop(budget)) for budget in self._budgets(len(features), deadline_s)]
        while rows := [i for i, question in enumerate(questions) for _ in range(self._room(question))]:
            first = not questions[rows[0]].answers
            answers, energy_j, took_s = self._round(split, features[rows], first)
            counts = Counter(rows)
            for row, answer in zip(rows, answers, strict=True):
                questions[row].drew(answer, energy_j / len(rows), took_s / counts[row], self._right(answer))
            others_wait = self._others_wait()
            for question in questions:
                if math.isnan(energy_j) and question.loop.budget.energy_j < math.inf:
                    question.loop.end(Stop.ENERGY)  # what nobody meters may be anything
                elif others_wait:
                    question.loop.end(Stop.OTHERS)
        return [self._chosen(question) for question in questions]

    def _budgets(self, questions: int, deadline_s: float) -> list[Budget]:
        params, now_s = self._params, self._clock()
        left_s = (deadline_s - now_s) * params.sampling_time_share
        limits_j = [params.sampling_energy_j or math.inf] * questions
        if self._allowance is not None:
            limits_j = [max(min(j, self._allowance.ask(now_s)), _LEAST_J) for j in limits_j]
        return [
            Budget(params.samples, limit_j, max(left_s, _LEAST_J), params.sampling_certainty)
            for limit_j in limits_j
        ]

    def _room(self, question: _Question) -> int:
        return question.loop.room(self._params.sampling_together)

    def _round(self, split: str, features: NDArray[Any], first: bool) -> tuple[list[Answer], float, float]:
        """An answer a row, the energy of the round [J] and its time [s]."""
        params, meter = self._params, self.meter
        before_j = math.nan if meter is None else meter.read()
        started_s = self._clock()
        if first:
            done = self._engine.submit(split, features)
        else:
            seed = params.sampling_seed * _SEEDS + self._rounds % _SEEDS
            self._rounds += 1
            done = self._engine.sample(split, features, Sampling(params.sampling_temperature, seed))
        answers: list[Answer] = done.result()
        ended_s = self._clock()
        energy_j = math.nan if meter is None else meter.read() - before_j
        if self._allowance is not None:
            self._allowance.spend(energy_j)
        if first:
            with self._lock:
                self._first_s.add(ended_s - started_s, ended_s)
        return answers, energy_j, ended_s - started_s

    def _right(self, answer: Answer) -> bool:
        if answer.confidence >= self._params.sampling_accept < 1.0:
            return True
        return self._verify is not None and self._verify(answer)

    def _chosen(self, question: _Question) -> Drawn:
        outcome = question.loop.outcome()
        answer = question.answers[outcome.answers.index(outcome.answer)]
        now_s = self._clock()
        with self._lock:
            self._stops[outcome.stop] += 1
            self._samples.add(len(outcome.answers), now_s)
            if math.isfinite(question.energy_j):
                self._energy_j.add(question.energy_j, now_s)
        metered = self.meter is not None and math.isfinite(question.energy_j)
        return Drawn(
            **{field.name: getattr(answer, field.name) for field in fields(Answer)},
            samples=len(outcome.answers),
            agreeing=outcome.answers.count(outcome.answer),
            energy_j=question.energy_j,
            energy_source=self.meter.source if self.meter is not None and metered else "",
            energy_quality=self._quality if metered else Quality.NONE,
        )

    @property
    def _quality(self) -> Quality:
        return Quality.NONE if self.meter is None else self.meter.quality


class _Question:
    """One question's answers, by their texts in the loop."""

    def __init__(self, loop: SampleLoop[str]) -> None:
        self.loop = loop
        self.answers: list[Answer] = []
        self.energy_j = 0.0

    def drew(self, answer: Answer, energy_j: float, took_s: float, right: bool) -> None:
        self.answers.append(answer)
        self.energy_j += energy_j
        self.loop.drew(answer.text, energy_j, took_s, accepted=right)


def make_sampler(engine: Engine, params: CoInferenceParameters, others_wait: Callable[[], bool]) -> Sampler:
    """A sampler as the parameters want it, with this machine's best meter.

    Raises:
        ModelError: the model's answers cannot be drawn, there is no such verifier, or energy is limited and
            nothing meters it.
    """
    if not isinstance(engine, SampleEngine) or not engine.can_sample:
        raise ModelError(
            f"samples is {params.samples}, but answers of this model cannot be drawn: only text can that an "
            "engine builds token by token; set samples to 1"
        )
    verify = _verifier(params.sampling_verifier)
    meter = energy_meter(params.active_core_w)
    if meter is None and (params.sampling_energy_j > 0 or params.sampling_budget_j > 0):
        raise ModelError(
            "sampling_energy_j or sampling_budget_j limits energy, but nothing here meters it: set "
            "active_core_w (processor time is then counted), or let this user read the energy counters"
        )
    return Sampler(engine, params, meter, verify, others_wait)


def _verifier(name: str) -> Verifier | None:
    if not name:
        return None
    found = {point.name: point for point in entry_points(group="qeil_ros.verifiers")}
    if name not in found:
        raise ModelError(
            f"sampling_verifier is {name!r}; installed are {', '.join(sorted(found)) or 'none'} "
            "(entry points of the group qeil_ros.verifiers)"
        )
    verifier: Verifier = found[name].load()
    return verifier
