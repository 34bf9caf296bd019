"""An arbiter in a simulated world: frames, answers, a local model and a clock, on virtual time."""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, field

from qeil_ros.safety.arbiter import Arbiter, ArbiterConfig, Key, Publish, RunLocal, Source
from qeil_ros.safety.cost import Cost

RUN = 7
CONFIG = ArbiterConfig(margin_s=0.02, slack_s=0.005, most_pending=16, remembered=256)
COST = Cost(typical_s=0.01, worst_s=0.015)


@dataclass
class World:
    """Runs an arbiter on virtual time: wakes it when it asks to be, runs its local model for `local_s`."""

    config: ArbiterConfig = CONFIG
    local_s: float = 0.01
    local_problem: str = ""
    published: list[tuple[float, Publish]] = field(default_factory=list)
    now_s: float = 0.0
    most_pending: int = 0

    def __post_init__(self) -> None:
        self.arbiter: Arbiter[str, str] = Arbiter(self.config)
        self._events: list = []
        self._order = itertools.count()
        self._running = 0
        self._woken = False

    def at(self, time_s: float, event) -> None:
        """`event(now_s)` returns the arbiter's actions."""
        heapq.heappush(self._events, (time_s, next(self._order), event))

    def frame(
        self, at_s: float, sequence: int, time_left_s: float = 0.2, cost=COST, run: int = RUN, refusal=""
    ):
        key = Key(run, sequence)
        self.at(at_s, lambda now: self.arbiter.frame(key, str(key), time_left_s, cost, at_s, now, refusal))

    def answer(self, at_s: float, sequence: int, run: int = RUN) -> None:
        self.at(at_s, lambda now: self.arbiter.offboard(Key(run, sequence), f"offboard {sequence}", now))

    def eager(self, at_s: float, reason: str) -> None:
        def switch(now):
            self.arbiter.eager = reason
            return self.arbiter.tick(now)

        self.at(at_s, switch)

    def stop_process(self, at_s: float, for_s: float) -> None:
        """Nothing is handled from `at_s` to `at_s + for_s`; what came meanwhile is handled then, at once."""

        def stopped(now):
            self.now_s = max(now, at_s + for_s)
            self._woken = True
            return []

        self.at(at_s, stopped)

    def run(self, until_s: float = 1e9) -> World:
        while True:
            wake_s = self.arbiter.next_s(self.now_s)
            assert wake_s > self.now_s or wake_s == math.inf or self._woken, "the caller would spin"
            self._woken = False
            due_s = self._events[0][0] if self._events else math.inf
            if min(due_s, wake_s) > until_s or min(due_s, wake_s) == math.inf:
                return self
            if due_s <= wake_s:
                time_s, _, event = heapq.heappop(self._events)
                self.now_s = max(self.now_s, time_s)
                self._perform(event(self.now_s))
            else:
                self.now_s = max(self.now_s, wake_s)
                self._perform(self.arbiter.tick(self.now_s))
            self.most_pending = max(self.most_pending, len(self.arbiter))

    def _perform(self, actions) -> None:
        for action in actions:
            if isinstance(action, Publish):
                self.published.append((self.now_s, action))
                continue
            assert isinstance(action, RunLocal)
            self._running += 1
            assert self._running == 1, "the local model runs one frame at a time"
            self.at(self.now_s + self.local_s, lambda now, key=action.key: self._local_done(key, now))

    def _local_done(self, key: Key, now: float):
        self._running -= 1
        return self.arbiter.local_done(key, f"local {key.sequence}", now, self.local_problem)

    def result(self, sequence: int, run: int = RUN) -> tuple[float, Publish]:
        (found,) = [entry for entry in self.published if entry[1].key == Key(run, sequence)]
        return found

    def sources(self) -> list[tuple[int, Source]]:
        return [(publish.key.sequence, publish.source) for _, publish in self.published]
