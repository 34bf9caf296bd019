"""The arbiter as a state machine: frames, answers, words of the caller, run times and delays in any order.

The caller is a machine too: it comes late to what the arbiter asked for, within the margin, and sometimes not
at all for seconds.
"""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qeil_ros.safety.arbiter import Arbiter, ArbiterConfig, Key, Publish, RunLocal, Source
from qeil_ros.safety.cost import Cost

CONFIG = ArbiterConfig(
    margin_s=0.02,
    slack_s=0.005,
    most_pending=6,
    remembered=64,
    hedge_share=0.25,
    hedge_burst=2,
    rehearse_s=0.5,
)
COSTS = (Cost(0.01, 0.015), Cost(0.03, 0.08), Cost(1.0, 2.0), None)
LOCAL_S = (0.0, 0.01, 0.015, 0.2)


class ArbiterMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.arbiter: Arbiter[str, str] = Arbiter(CONFIG)
        self.now_s = 0.0
        self.last = 0
        self.keys: list[Key] = []
        self.deadline_s: dict[Key, float] = {}
        self.answers: Counter[Key] = Counter()
        self.newest: dict[int, int] = {}
        self.running: tuple[float, Key, str] | None = None
        self.local_s, self.problem = 0.01, ""
        self.waste = 0.0

    # --- the world

    @rule(
        skip=st.sampled_from([1, 1, 1, 1, 2, -1, -3]),
        run=st.sampled_from([1, 1, 1, 2]),
        time_left_s=st.sampled_from([0.2, 0.2, 0.1, 0.05, 0.0, math.nan, 1e9]),
        cost=st.sampled_from(COSTS),
        waited_s=st.sampled_from([0.0, 0.0, 0.01]),
    )
    def frame(self, skip: int, run: int, time_left_s: float, cost: Cost | None, waited_s: float) -> None:
        self.last = max(0, self.last + skip)
        key = Key(run, self.last)
        arrived_s = self.now_s - waited_s
        if key not in self.deadline_s:
            self.keys.append(key)
            left_s = 0.0 if math.isnan(time_left_s) else min(time_left_s, CONFIG.longest_s)
            # One that comes too late is told so at once, which cannot be in time.
            self.deadline_s[key] = max(arrived_s + left_s, self.now_s)
        self._perform(self.arbiter.frame(key, str(key), time_left_s, cost, arrived_s, self.now_s))

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), twice=st.booleans())
    def answer(self, data: st.DataObject, twice: bool) -> None:
        key = data.draw(st.sampled_from(self.keys[-10:]))
        for _ in range(1 + twice):
            self._perform(self.arbiter.offboard(key, f"offboard {key}", self.now_s))

    @rule(sequence=st.integers(0, 500))
    def answer_to_nothing(self, sequence: int) -> None:
        self._perform(self.arbiter.offboard(Key(9, sequence), "made up", self.now_s))

    @rule(eager=st.sampled_from(["", "heartbeat lost"]), doubtful=st.sampled_from(["", "", "heartbeat late"]))
    def word(self, eager: str, doubtful: str) -> None:
        self.arbiter.eager, self.arbiter.doubtful = eager, doubtful
        self._perform(self.arbiter.tick(self.now_s))

    @rule(local_s=st.sampled_from(LOCAL_S), problem=st.sampled_from(["", "", "", "unreadable"]))
    def local_model(self, local_s: float, problem: str) -> None:
        self.local_s, self.problem = local_s, problem

    @rule(gap_s=st.sampled_from([0.001, 0.01, 0.033, 0.1, 0.5]), late_s=st.floats(0.0, CONFIG.margin_s))
    def time_passes(self, gap_s: float, late_s: float) -> None:
        self._pass(self.now_s + gap_s, min(late_s, 0.99 * CONFIG.margin_s))

    @rule(for_s=st.floats(0.1, 3.0))
    def process_stops(self, for_s: float) -> None:
        self.now_s += for_s
        # Whatever was due meanwhile can only be said now; it may be no answer with content, see `_perform`.
        for key in self.deadline_s.keys() - self.answers.keys():
            self.deadline_s[key] = max(self.deadline_s[key], self.now_s)
        self._perform(self.arbiter.tick(self.now_s))

    # --- what must hold

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.arbiter) <= CONFIG.most_pending
        assert len(self.arbiter._early) <= CONFIG.most_pending
        assert len(self.arbiter._answered) <= CONFIG.remembered
        assert len(self.arbiter._newest) <= CONFIG.most_pending

    @invariant()
    def no_more_is_wasted_than_allowed(self) -> None:
        counts = self.arbiter.counts
        allowed = CONFIG.hedge_burst + CONFIG.hedge_share * counts["frames"]
        assert counts["hedges"] - counts["hedges_needed"] <= allowed + 1e-6
        assert counts["rehearsals"] <= 1 + self.now_s / CONFIG.rehearse_s

    @invariant()
    def it_does_not_spin(self) -> None:
        if self.now_s > getattr(self, "ticked_s", -1.0):
            self._perform(self.arbiter.tick(self.now_s))
            self.ticked_s = self.now_s
            assert self.arbiter.next_s(self.now_s) > self.now_s

    def teardown(self) -> None:
        self.problem = ""
        self._pass(self.now_s + CONFIG.longest_s + 1.0, 0.0)
        assert len(self.arbiter) == 0
        assert self.answers == Counter(self.keys), "one answer for each frame"

    # --- the caller

    def _pass(self, until_s: float, late_s: float) -> None:
        """Comes at most `late_s` late to whatever the arbiter asks for."""
        while True:
            wake_s = self.arbiter.next_s(self.now_s) + late_s
            done_s = self.running[0] if self.running else math.inf
            if min(wake_s, done_s) > until_s:
                self.now_s = max(self.now_s, until_s)
                return
            self.now_s = max(self.now_s, min(wake_s, done_s))
            if done_s <= wake_s and self.running is not None:
                _, key, problem = self.running
                self.running = None
                self._perform(self.arbiter.local_done(key, f"local {key}", self.now_s, problem))
            else:
                self._perform(self.arbiter.tick(self.now_s))

    def _perform(self, actions: list) -> None:
        for action in actions:
            if isinstance(action, RunLocal):
                assert self.running is None, "the local model runs one frame at a time"
                self.running = (self.now_s + self.local_s, action.key, self.problem)
                continue
            assert isinstance(action, Publish) and action.reason
            key = action.key
            self.answers[key] += 1
            assert self.answers[key] == 1, "no second answer"
            assert self.now_s <= self.deadline_s[key] + 1e-9, "by its deadline"
            if action.source == Source.NONE:
                assert action.answer is None
                continue
            assert action.answer == f"{action.source.name.lower()} {key}", "its own answer"
            assert key.sequence > self.newest.get(key.run, -1), "in order"
            self.newest[key.run] = key.sequence


ArbiterMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestArbiterMachine = ArbiterMachine.TestCase
