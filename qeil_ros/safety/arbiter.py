"""Who answers a frame, and when: exactly one answer per frame, by its deadline, whatever happens elsewhere.

The rules, for a frame that must be answered by `give_up` (its deadline less the margin):

* The first good answer is published, the offboard computer's or the local model's. Later ones are counted.
* While the caller is `eager` (link down, or told to be local) the local model answers, and an offboard answer
  that comes before it is kept as a spare: a server that has just come back answers some frames faster than
  the robot does and others not, and who consumes the answers shall not see two sources alternate. The spare
  is published, in time, where the local model fails, is not there for the frame or cannot be done by
  `give_up`; and at once when the caller stops being eager.
* The local model is started as late as it can be: at `give_up` less the 99th percentile of its run time, and
  earlier by what the other waiting frames will need of it, since it runs one frame at a time (`local_turn`).
  It is started at once when the caller is eager; a frame with a spare then makes way for those without one.
* A frame is hedged where its offboard answer has become doubtful, by the caller's word or by how long answers
  took of late (`hedging`), and the local model has the time and the allowance for it: the local model is
  started early, and what it says is kept in reserve. The offboard answer is still the better one and is taken
  until shortly before `give_up`; then, or when a later frame is answered, the reserve is published.
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
from typing import Generic, TypeVar

from .arbiter_types import COUNTS, ArbiterConfig, Key, Pending, Publish, RunLocal, Source
from .cost import Cost
from .local_turn import LocalTurn, can_run

__all__ = ["COUNTS", "Arbiter", "ArbiterConfig", "Key", "Publish", "RunLocal", "Source"]

F = TypeVar("F")
A = TypeVar("A")


class Arbiter(Generic[F, A]):
    """Takes events, gives actions. Times are of one monotonic clock and do not run backwards between calls.

    The caller performs the actions in their order, and calls `tick` at `next_s`. `counts` says what happened.
    """

    def __init__(self, config: ArbiterConfig) -> None:
        self.config = config
        self.eager = ""
        """Why not to wait for the offboard computer; empty: wait. Takes effect with the next call."""
        self.doubtful = ""
        """Why to hedge every frame, as far as the allowance goes; empty: no reason. As `eager`."""
        # All names from the start: another thread may copy the counts at any time.
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self._pending: OrderedDict[Key, Pending[F, A]] = OrderedDict()  # in the order of arrival
        self._answered: OrderedDict[Key, tuple[Source, bool]] = OrderedDict()  # source and `waited`
        self._newest: OrderedDict[int, int] = OrderedDict()  # last sequence answered with content, by run
        self._early: OrderedDict[Key, A] = OrderedDict()  # answers whose frame has not been seen
        self._local = LocalTurn(config, self.counts)

    def __len__(self) -> int:
        return len(self._pending)

    def configure(self, config: ArbiterConfig) -> None:
        """Other terms, from the next call on."""
        self.config = config
        self._local.configure(config)

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
        entry: Pending[F, A] = Pending(key, frame, arrived_s, -math.inf, cost)
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
        self._local.frame(entry, now_s)
        entry.spare = self._early.pop(key, None)
        if entry.spare is not None:
            self._local.heard(entry, now_s)
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
        if entry is not None:
            self._local.heard(entry, now_s)
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
        self._local.busy = False
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
        elif entry.hedged:
            entry.reserve = answer  # for as long as it takes `tick` to see whether it must stay one
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
        self._local.eager, self._local.doubtful = self.eager, self.doubtful
        if (chosen := self._local.choose(self._pending.values(), now_s)) is not None:
            chosen.why_local = self._why(chosen)
            actions.append(RunLocal(chosen.key, chosen.frame))
        return actions

    def next_s(self, now_s: float) -> float:
        """When `tick` has something to do even if nothing happens [s]; inf: never."""
        pending = self._pending.values()
        ends_s = (entry.give_up_s for entry in pending)
        reserves_s = (
            entry.give_up_s - self.config.slack_s
            for entry in pending
            if entry.reserve is not None and not entry.held
        )
        return min(*ends_s, *reserves_s, self._local.next_s(pending, now_s), math.inf)

    # --- answers

    def _settle(self, entry: Pending[F, A], source: Source, answer: A, reason: str) -> None:
        """The frame has its answer. Those before it have had their chance with the offboard computer."""
        if source == Source.LOCAL and entry.spare is not None:
            self.counts["offboard_unneeded"] += 1
        waited = source == Source.OFFBOARD or not entry.hurried
        entry.held = Publish(entry.key, entry.frame, source, answer, reason, waited)
        entry.spare = entry.reserve = None
        for other in self._pending.values():
            if other.key.run == entry.key.run and other.key.sequence < entry.key.sequence:
                other.overtaken = True

    def _use_spare(self, entry: Pending[F, A], why: str) -> None:
        assert entry.spare is not None
        self._settle(
            entry, Source.OFFBOARD, entry.spare, "offboard in time" + (f", since {why}" if why else "")
        )

    def _use_reserve(self, entry: Pending[F, A]) -> None:
        assert entry.reserve is not None
        entry.hurried = bool(self.eager)
        self._settle(entry, Source.LOCAL, entry.reserve, self._why(entry))

    def _why(self, entry: Pending[F, A]) -> str:
        """Why the local model answers it."""
        first = "a later frame was answered first" if entry.overtaken else "no offboard answer in time"
        return self.eager or first

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
            elif entry.reserve is not None and self._reserve_is_due(entry, now_s):
                self._use_reserve(entry)
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

    def _reserve_is_due(self, entry: Pending[F, A], now_s: float) -> bool:
        return bool(self.eager) or entry.overtaken or now_s >= entry.give_up_s - self.config.slack_s

    def _hopeless(self, entry: Pending[F, A], pressed: bool, now_s: float) -> str:
        """Why there is nothing to wait for: its time is up, or that of a later frame that it holds up, or it
        waits for the local model alone, which cannot answer it any more. Empty: there is.
        """
        if entry.give_up_s <= now_s:
            missed = "" if entry.spare is not None else "no offboard answer came in time, and "
            return missed + self._excuse(entry)
        if pressed:
            return "a later frame was answered first and could not wait"
        if entry.running or can_run(entry, now_s):
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

    def _end(self, entry: Pending[F, A], reason: str) -> Publish[F, A]:
        """The frame leaves: with the answer it has, with its spare, or with "no answer" for that reason."""
        del self._pending[entry.key]
        if entry.spare is not None:
            self._use_spare(entry, reason)
        elif entry.reserve is not None:
            self._use_reserve(entry)
        if entry.held is None:
            return self._none(entry, reason)
        self._remember(entry, entry.held)
        self._newest[entry.key.run] = entry.key.sequence
        self._newest.move_to_end(entry.key.run)
        if len(self._newest) > self.config.most_pending:
            self._newest.popitem(last=False)
        return entry.held

    def _none(self, entry: Pending[F, A], reason: str) -> Publish[F, A]:
        publish: Publish[F, A] = Publish(entry.key, entry.frame, Source.NONE, None, reason, not entry.hurried)
        self._remember(entry, publish)
        return publish

    def _remember(self, entry: Pending[F, A], publish: Publish[F, A]) -> None:
        self._local.ended(entry, publish.source)
        self.counts[f"answers_{publish.source.name.lower()}"] += 1
        self._answered[publish.key] = publish.source, publish.waited
        if len(self._answered) > self.config.remembered:
            self._answered.popitem(last=False)

    def _excuse(self, entry: Pending[F, A]) -> str:
        if entry.running:
            return "the local model was not done in time"
        if entry.failed:
            return f"the local model failed: {entry.failed}"
        if entry.cost is None:
            return "there is no local model for it"
        return "the local model could not have been done in time"

    def _in_order(self) -> list[Pending[F, A]]:
        return sorted(self._pending.values(), key=lambda entry: entry.key)
