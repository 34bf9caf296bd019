"""Who answers a frame, and when: exactly one answer per frame, by its deadline, whatever happens elsewhere.

The rules, for a frame that must be answered by `give_up` (its deadline less the margin):

* The first good answer is published, the offboard computer's or the local model's. Later ones are counted.
* While the caller is `eager` (link down, or told to be local) the local model answers, and an offboard answer
  that comes before it is kept as a spare: a server that has just come back answers some frames faster than
  the robot does and others not, and who consumes the answers shall not see two sources alternate. The spare
  is published, in time, where the local model fails, is not there for the frame or cannot be done by
  `give_up`; and at once when the caller stops being eager.
* The local model is started as late as it can be: at `give_up` less the 99th percentile of its run time, and
  earlier by what the other waiting frames will need of it, since it runs one frame at a time. It is started
  at once when the caller is eager; a frame with a spare then makes way for those without one.
* Answers of one run leave in the order of their frames. When the answer to a later frame is there first, the
  earlier frame's is taken to be lost: the local model is started for it at once and the later answer is held
  for that time, at most until its own `give_up`. Without a local model that can make it, the earlier frame
  gets "no answer".
* At `give_up` a frame that is still waiting gets "no answer" with the reason. So does the oldest frame when
  more than `most_pending` wait (unless it has a spare), and a frame that comes too late, or after a later
  one was answered.

"No answer" is published the moment it is certain, out of turn if need be: nothing in it could be stale.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from .cost import Cost

__all__ = ["COUNTS", "Arbiter", "ArbiterConfig", "Key", "Publish", "RunLocal", "Source"]

F = TypeVar("F")
A = TypeVar("A")


COUNTS = (
    "frames",
    "frames_repeated",
    "frames_stale",
    "frames_crowded_out",
    "answers_none",
    "answers_offboard",
    "answers_local",
    "answers_held_up",
    "offboard_late",
    "offboard_repeated",
    "offboard_early",
    "offboard_unneeded",
    "local_failed",
    "local_late",
    "local_unneeded",
)


class Source(IntEnum):
    """The numbers are those of InferenceResult.SOURCE_*."""

    NONE = 0
    OFFBOARD = 1
    LOCAL = 2


class Key(NamedTuple):
    """A frame: the encoder's run and the number within it."""

    run: int
    sequence: int


@dataclass(frozen=True)
class ArbiterConfig:
    """
    Attributes:
        margin_s: how long before the deadline a frame must be answered [s].
        slack_s: how much later than asked the local model may come to start [s].
        most_pending: frames waiting at most.
        remembered: answered frames remembered, to know a repetition and a late answer.
        longest_s: no frame waits longer, whatever it claims to have left [s].
    """

    margin_s: float = 0.02
    slack_s: float = 0.005
    most_pending: int = 64
    remembered: int = 4096
    longest_s: float = 60.0


@dataclass(frozen=True)
class Publish(Generic[F, A]):
    """Publish this now. `waited`: the offboard computer was given its chance, and has used or missed it."""

    key: Key
    frame: F
    source: Source
    answer: A | None
    reason: str
    waited: bool = True


@dataclass(frozen=True)
class RunLocal(Generic[F]):
    """Run the local model on this frame now, and report with `Arbiter.local_done`."""

    key: Key
    frame: F


@dataclass
class _Pending(Generic[F, A]):
    key: Key
    frame: F
    give_up_s: float
    cost: Cost | None
    held: Publish[F, A] | None = None  # its answer, waiting for its turn
    spare: A | None = None  # the offboard answer, while it has none
    running: bool = False
    failed: str = ""
    overtaken: bool = False
    why_local: str = ""
    hurried: bool = False

    def fits(self, run_s: float, now_s: float) -> bool:
        return now_s + run_s <= self.give_up_s


class Arbiter(Generic[F, A]):
    """Takes events, gives actions. Times are of one monotonic clock and do not run backwards between calls.

    The caller performs the actions in their order, and calls `tick` at `next_s`. `counts` says what happened.
    """

    def __init__(self, config: ArbiterConfig) -> None:
        self.config = config
        self.eager = ""
        """Why not to wait for the offboard computer; empty: wait. Takes effect with the next call."""
        # All names from the start: another thread may copy the counts at any time.
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._pending: OrderedDict[Key, _Pending[F, A]] = OrderedDict()  # in the order of arrival
        self._answered: OrderedDict[Key, tuple[Source, bool]] = OrderedDict()  # source and `waited`
        self._newest: OrderedDict[int, int] = OrderedDict()  # last sequence answered with content, by run
        self._early: OrderedDict[Key, A] = OrderedDict()  # answers whose frame has not been seen
        self._busy = False  # the local model

    def __len__(self) -> int:
        return len(self._pending)

    # --- events

    def frame(
        self,
        key: Key,
        frame: F,
        time_left_s: float,
        cost: Cost | None,
        arrived_s: float,
        now_s: float,
        refusal: str = "",
    ) -> list[Publish[F, A] | RunLocal[F]]:
        """A frame has arrived.

        Args:
            time_left_s: what the frame had left of its deadline when it arrived [s].
            cost: of a local run on it; None where no local model can answer it.
            refusal: why it cannot be answered by anybody; it gets "no answer" at once.
        """
        newest = self._newest.get(key.run)
        if key in self._pending or key in self._answered:
            self.counts["frames_repeated"] += 1
            return self.tick(now_s)
        if newest is not None and key.sequence <= newest - self.config.remembered:
            # So old that a repetition of an answered one would look the same.
            self.counts["frames_stale"] += 1
            return self.tick(now_s)
        self.counts["frames"] += 1
        entry: _Pending[F, A] = _Pending(key, frame, -math.inf, cost)
        actions: list[Publish[F, A] | RunLocal[F]] = []
        if not refusal and not math.isfinite(time_left_s):
            refusal = f"the frame says that it has {time_left_s} s left"
        if not refusal:
            entry.give_up_s = arrived_s + min(time_left_s, self.config.longest_s) - self.config.margin_s
            if entry.give_up_s <= now_s:
                refusal = f"too late when it was received, {now_s - entry.give_up_s:.3f} s past its time"
            elif newest is not None and key.sequence < newest:
                refusal = "arrived after a later frame had been answered"
        if refusal:
            entry.hurried = True  # whatever the offboard computer does with it: this is none of its failures
            return [self._none(entry, refusal), *self.tick(now_s)]
        self._pending[key] = entry
        entry.spare = self._early.pop(key, None)
        entry.overtaken = any(
            other.held and other.key.run == key.run and other.key.sequence > key.sequence
            for other in self._pending.values()
        )
        if len(self._pending) > self.config.most_pending:
            # The first frame of a run is never held: if it had its answer, it would be gone.
            run = next(entry.key.run for entry in self._pending.values() if not entry.held)
            self.counts["frames_crowded_out"] += 1
            first = next(entry for entry in self._in_order() if entry.key.run == run)
            actions.append(self._end(first, "too many frames were waiting"))
        return actions + self.tick(now_s)

    def offboard(self, key: Key, answer: A, now_s: float) -> list[Publish[F, A] | RunLocal[F]]:
        """A good answer of the offboard computer has arrived.

        It may be handed over before its frame, when both waited for the caller: then it is kept a while.
        """
        entry = self._pending.get(key)
        given = (entry.held.source, entry.held.waited) if entry and entry.held else self._answered.get(key)
        if given is not None:
            unneeded = given == (Source.LOCAL, False)
            repeated = given[0] == Source.OFFBOARD
            name = "unneeded" if unneeded else "repeated" if repeated else "late"
            self.counts[f"offboard_{name}"] += 1
        elif entry is not None and entry.spare is not None:
            self.counts["offboard_repeated"] += 1
        elif entry is not None:
            entry.spare = answer  # for as long as it takes `tick` to see whether it must stay one
        else:
            self.counts["offboard_early"] += 1
            self._early[key] = answer
            if len(self._early) > self.config.most_pending:
                self._early.popitem(last=False)
        return self.tick(now_s)

    def local_done(
        self, key: Key, answer: A | None, now_s: float, problem: str = ""
    ) -> list[Publish[F, A] | RunLocal[F]]:
        """The local run that was asked for has ended, with an answer or with a problem."""
        self._busy = False
        entry = self._pending.get(key)
        if entry is not None:
            entry.running = False
        if problem or answer is None:
            self.counts["local_failed"] += 1
            if entry is not None:
                entry.failed = problem or "gave no answer"
        elif entry is None or entry.held:
            late = entry is None and self._answered.get(key, (None,))[0] == Source.NONE
            self.counts["local_late" if late else "local_unneeded"] += 1
        else:
            self._settle(entry, Source.LOCAL, answer, entry.why_local)
        return self.tick(now_s)

    def flush(self, reason: str) -> list[Publish[F, A]]:
        """Ends all waiting: what has an answer gets it, the rest "no answer"."""
        return [self._end(entry, reason) for entry in self._in_order()]

    def tick(self, now_s: float) -> list[Publish[F, A] | RunLocal[F]]:
        """Time has passed."""
        actions: list[Publish[F, A] | RunLocal[F]] = []
        self._expire(now_s, actions)
        self._release(actions)
        if not self._busy and (chosen := self._choose(now_s)) is not None:
            self._busy = chosen.running = True
            chosen.hurried = bool(self.eager)
            chosen.why_local = self.eager or (
                "a later frame was answered first" if chosen.overtaken else "no offboard answer in time"
            )
            actions.append(RunLocal(chosen.key, chosen.frame))
        return actions

    def next_s(self, now_s: float) -> float:
        """When `tick` has something to do even if nothing happens [s]; inf: never."""
        next_s = min((entry.give_up_s for entry in self._pending.values()), default=math.inf)
        if not self._busy:
            next_s = min(next_s, self._latest_start(self._candidates(now_s)))
        return next_s

    # --- answers

    def _settle(self, entry: _Pending[F, A], source: Source, answer: A, reason: str) -> None:
        """The frame has its answer. Those before it have had their chance with the offboard computer."""
        if source == Source.LOCAL and entry.spare is not None:
            self.counts["offboard_unneeded"] += 1
        waited = source == Source.OFFBOARD or not entry.hurried
        entry.held = Publish(entry.key, entry.frame, source, answer, reason, waited)
        entry.spare = None
        for other in self._pending.values():
            if other.key.run == entry.key.run and other.key.sequence < entry.key.sequence:
                other.overtaken = True

    def _use_spare(self, entry: _Pending[F, A], why: str) -> None:
        assert entry.spare is not None
        self._settle(
            entry, Source.OFFBOARD, entry.spare, "offboard in time" + (f", since {why}" if why else "")
        )

    def _expire(self, now_s: float, actions: list[Publish[F, A] | RunLocal[F]]) -> None:
        """Ends the waiting of those for whom there is nothing to wait for: with their spare, or else with
        "no answer".
        """
        # Backwards, so that each frame knows whether a later one of its run can wait no longer.
        pressed: set[int] = set()
        given_up: list[Publish[F, A]] = []
        for entry in reversed(self._in_order()):
            if entry.spare is not None and not self.eager:
                self._use_spare(entry, "")
            reason = ""
            if (entry.held or entry.spare is not None) and now_s >= entry.give_up_s + self.config.margin_s:
                # Past the deadline itself: something stopped this process. Late answers are not published.
                self.counts["answers_held_up"] += 1
                entry.held = entry.spare = None
                reason = "the answer was there, but this process was held up"
            if not entry.held:
                reason = reason or self._hopeless(entry, entry.key.run in pressed, now_s)
                if reason and entry.spare is not None:
                    self._use_spare(entry, reason)
                elif reason:
                    given_up.append(self._end(entry, reason))
            if entry.held and entry.give_up_s <= now_s:
                pressed.add(entry.key.run)
        actions += reversed(given_up)

    def _hopeless(self, entry: _Pending[F, A], pressed: bool, now_s: float) -> str:
        """Why there is nothing to wait for: its time is up, or that of a later frame that it holds up, or it
        waits for the local model alone, which cannot answer it any more. Empty: there is.
        """
        if entry.give_up_s <= now_s:
            missed = "" if entry.spare is not None else "no offboard answer came in time, and "
            return missed + self._excuse(entry)
        if pressed:
            return "a later frame was answered first and could not wait"
        if entry.running or self._can_run(entry, now_s):
            return ""
        if entry.spare is not None:
            return self._excuse(entry)
        return f"a later frame was answered first, and {self._excuse(entry)}" if entry.overtaken else ""

    def _release(self, actions: list[Publish[F, A] | RunLocal[F]]) -> None:
        blocked: set[int] = set()
        for entry in self._in_order():
            if not entry.held:
                blocked.add(entry.key.run)
            elif entry.key.run not in blocked:
                actions.append(self._end(entry, ""))

    def _end(self, entry: _Pending[F, A], reason: str) -> Publish[F, A]:
        """The frame leaves: with the answer it has, with its spare, or with "no answer" for that reason."""
        del self._pending[entry.key]
        if entry.spare is not None:
            self._use_spare(entry, reason)
        if entry.held is None:
            return self._none(entry, reason)
        self._remember(entry.held)
        self._newest[entry.key.run] = entry.key.sequence
        self._newest.move_to_end(entry.key.run)
        if len(self._newest) > self.config.most_pending:
            self._newest.popitem(last=False)
        return entry.held

    def _none(self, entry: _Pending[F, A], reason: str) -> Publish[F, A]:
        publish: Publish[F, A] = Publish(entry.key, entry.frame, Source.NONE, None, reason, not entry.hurried)
        self._remember(publish)
        return publish

    def _remember(self, publish: Publish[F, A]) -> None:
        self.counts[f"answers_{publish.source.name.lower()}"] += 1
        self._answered[publish.key] = publish.source, publish.waited
        if len(self._answered) > self.config.remembered:
            self._answered.popitem(last=False)

    def _excuse(self, entry: _Pending[F, A]) -> str:
        if entry.running:
            return "the local model was not done in time"
        if entry.failed:
            return f"the local model failed: {entry.failed}"
        if entry.cost is None:
            return "there is no local model for it"
        return "the local model could not have been done in time"

    def _in_order(self) -> list[_Pending[F, A]]:
        return sorted(self._pending.values(), key=lambda entry: entry.key)

    # --- the local model, which runs one frame at a time

    def _can_run(self, entry: _Pending[F, A], now_s: float) -> bool:
        return entry.cost is not None and not entry.failed and entry.fits(entry.cost.typical_s, now_s)

    def _candidates(self, now_s: float) -> list[_Pending[F, A]]:
        """Frames that the local model alone can answer, even in its 99th percentile; earliest first."""
        return sorted(
            (
                entry
                for entry in self._pending.values()
                if not (entry.held or entry.running or entry.failed)
                and entry.spare is None
                and entry.cost is not None
                and entry.fits(entry.cost.worst_s, now_s)
            ),
            key=lambda entry: entry.give_up_s,
        )

    def _latest_start(self, candidates: Iterable[_Pending[F, A]]) -> float:
        """When the first must start for all of them, one after the other, to be done in time [s]."""
        start_s = math.inf
        for entry in sorted(candidates, key=lambda entry: -entry.give_up_s):
            assert entry.cost is not None
            start_s = min(entry.give_up_s - self.config.slack_s, start_s) - entry.cost.worst_s
        return start_s

    def _choose(self, now_s: float) -> _Pending[F, A] | None:
        """The frame to run now, if any: one that is due; else one in a hurry, if all others can wait."""
        candidates = self._candidates(now_s)
        if candidates and self._latest_start(candidates) <= now_s:
            return candidates[0]
        for entry in sorted(self._pending.values(), key=lambda entry: entry.give_up_s):
            if entry.held or entry.running or entry.cost is None or not self._can_run(entry, now_s):
                continue
            # One that only its usual run time still fits has no later moment to hope for.
            last_chance = not entry.fits(entry.cost.worst_s, now_s)
            if self.eager or entry.overtaken or last_chance:
                others = [other for other in candidates if other is not entry]
                if now_s + entry.cost.worst_s <= self._latest_start(others):
                    return entry
        return None
