"""Whose turn it is with the local model, which runs one frame at a time. Pure.

A frame that the local model alone can still answer is started as late as it can be: when the 99th percentile
of its run would else no longer fit before `give_up_s` less the slack, and earlier by what the frames after it
will need. Frames in a hurry, after them hedges, and after those rehearsals take the time that is left over.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from .arbiter_types import ArbiterConfig, Pending, Source
from .hedging import Allowance, AnswerTimes

__all__ = ["LocalTurn", "can_run"]

Frame = Pending[Any, Any]


class LocalTurn:
    """Chooses the frame to run, and keeps what that rests on: how long answers took, and the allowance."""

    def __init__(self, config: ArbiterConfig, counts: Counter[str]) -> None:
        self.busy = False
        self.eager = ""
        self.doubtful = ""
        self._config, self._counts = config, counts
        self._answer_times = AnswerTimes()
        self._allowance = Allowance(config.hedge_share, config.hedge_burst)
        self._ran_s: float | None = None  # when a run began last

    def configure(self, config: ArbiterConfig) -> None:
        self._config = config
        self._allowance.change(config.hedge_share, config.hedge_burst)

    # --- what it learns from

    def frame(self, entry: Frame, now_s: float) -> None:
        """A frame begins to wait."""
        if self._ran_s is None:
            self._ran_s = now_s
        self._allowance.frame()
        within_s = entry.give_up_s - entry.arrived_s
        entry.doubtful_s = entry.arrived_s + self._answer_times.doubtful_after_s(
            within_s, self._config.hedge_below
        )

    def heard(self, entry: Frame, now_s: float) -> None:
        """An offboard answer to a frame that waits has come."""
        if not entry.heard:
            entry.heard = True
            self._answer_times.add(max(0.0, now_s - entry.arrived_s))

    def ended(self, entry: Frame, source: Source) -> None:
        """A frame waits no longer."""
        if not (entry.heard or entry.hurried):
            self._answer_times.add(math.inf)
        if entry.paid and source == Source.LOCAL:
            self._counts["hedges_needed"] += 1
            self._allowance.put_back()

    # --- what it decides

    def choose(self, pending: Collection[Frame], now_s: float) -> Frame | None:
        """The frame to run now, if any; it counts as started."""
        if self.busy:
            return None
        candidates = _must_run(pending, now_s)
        if self._latest_start(candidates) <= now_s:
            chosen: Frame | None = candidates[0]
        else:
            chosen = self._hurried(pending, candidates, now_s)
            if chosen is None:
                chosen = self._hedge(candidates, now_s) or self._rehearsal(pending, candidates, now_s)
                if chosen is not None:
                    chosen.hedged = True
        if chosen is not None:
            self.busy, self._ran_s = True, now_s
            chosen.running = True
            chosen.hurried = bool(self.eager)
        return chosen

    def next_s(self, pending: Collection[Frame], now_s: float) -> float:
        """When `choose` will have something even if nothing happens [s]; inf: never."""
        if self.busy:
            return math.inf
        candidates = _must_run(pending, now_s)
        next_s = self._latest_start(candidates)
        if self._allowance.allows:
            doubts_s = (entry.doubtful_s for entry in candidates if entry.doubtful_s > now_s)
            next_s = min(next_s, min(doubts_s, default=math.inf))
        return next_s

    def _hurried(self, pending: Iterable[Frame], candidates: list[Frame], now_s: float) -> Frame | None:
        for entry in sorted(pending, key=lambda entry: entry.give_up_s):
            if not can_run(entry, now_s) or entry.cost is None:
                continue
            # One that only its usual run time still fits has no later moment to hope for.
            last_chance = not entry.fits(entry.cost.worst_s, now_s)
            hurried = self.eager or entry.overtaken or last_chance
            if hurried and self._is_time_left(entry, candidates, now_s):
                return entry
        return None

    def _hedge(self, candidates: list[Frame], now_s: float) -> Frame | None:
        for entry in candidates:
            if not (self.doubtful or entry.doubtful_s <= now_s) or not self._leaves_room(entry):
                continue
            if not self._allowance.allows:
                self._counts["hedges_denied"] += not entry.denied
                entry.denied = True
            elif self._is_time_left(entry, candidates, now_s):
                self._allowance.take()
                entry.paid = True
                self._counts["hedges"] += 1
                return entry
        return None

    def _rehearsal(self, pending: Iterable[Frame], candidates: list[Frame], now_s: float) -> Frame | None:
        """A run for the sake of its time: so that the estimate is of now. Where runs were so slow of late
        that no frame waits long enough for one, it is how a local model that has become fast again is found.
        """
        if self._ran_s is None or not 0 < self._config.rehearse_s <= now_s - self._ran_s:
            return None
        fitting = [entry for entry in candidates if self._leaves_room(entry)]
        hopeless = (entry for entry in pending if entry.runnable and entry.spare is None)
        for entry in fitting if candidates else hopeless:
            if self._is_time_left(entry, candidates, now_s):
                self._counts["rehearsals"] += 1
                return entry
        return None

    def _latest_start(self, candidates: Iterable[Frame]) -> float:
        """When the first must start for all of them, one after the other, to be done in time [s]."""
        start_s = math.inf
        for entry in sorted(candidates, key=lambda entry: -entry.give_up_s):
            assert entry.cost is not None
            start_s = min(entry.give_up_s - self._config.slack_s, start_s) - entry.cost.worst_s
        return start_s

    def _is_time_left(self, entry: Frame, candidates: Iterable[Frame], now_s: float) -> bool:
        """Whether a run on this frame now, even in its 99th percentile, leaves all others their time."""
        assert entry.cost is not None
        others = (other for other in candidates if other is not entry)
        return now_s + entry.cost.worst_s <= self._latest_start(others)

    def _leaves_room(self, entry: Frame) -> bool:
        """Whether a frame that comes right behind it, with as much time as it had itself, would still fit."""
        assert entry.cost is not None
        return entry.give_up_s - entry.arrived_s >= 2 * entry.cost.worst_s + self._config.slack_s


def can_run(entry: Frame, now_s: float) -> bool:
    """Whether the local model may be done with it in time, if it starts now."""
    return entry.runnable and entry.cost is not None and entry.fits(entry.cost.typical_s, now_s)


def _must_run(pending: Iterable[Frame], now_s: float) -> list[Frame]:
    """Frames that the local model alone can answer, even in its 99th percentile; earliest first."""
    return sorted(
        (e for e in pending if e.runnable and e.spare is None and e.cost and e.fits(e.cost.worst_s, now_s)),
        key=lambda entry: entry.give_up_s,
    )
