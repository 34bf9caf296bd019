"""Link monitor and arbiter together, on virtual time: hundreds of outages at random phases, and bad links."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
from safety.arbiter_world import RUN, World

from qeil_ros.safety.arbiter import ArbiterConfig, Key, Source
from qeil_ros.safety.cost import Cost
from qeil_ros.safety.link import Echo, Link, LinkConfig, LinkMonitor

HZ, DEADLINE_S, BEAT_S = 30.0, 0.2, 0.1
COST = Cost(0.008, 0.015)
CONFIG = ArbiterConfig(margin_s=0.02, slack_s=0.02, hedge_share=0.1)


@dataclass
class Robot:
    """Frames at 30 Hz from 0 s on, a server that answers after `way()` seconds, and what becomes of them.

    Attributes:
        way: delay from a frame's departure to the arrival of its answer [s]; inf: lost.
        away: (from, until): the server is dead, and what was on its way is lost [s].
    """

    way: object
    seconds: float
    away: tuple[float, float] = (1e9, 1e9)
    config: ArbiterConfig = CONFIG
    local_s: object = lambda: COST.typical_s
    states: list[tuple[float, Link]] = field(default_factory=list)

    def run(self) -> World:
        self.world = World(self.config)
        self.link = LinkMonitor(LinkConfig(), now_s=0.0)
        self.newest = None
        for sequence in range(int(self.seconds * HZ)):
            self._frame(sequence, sequence / HZ)
        for number in range(int(self.seconds / BEAT_S)):
            at_s = BEAT_S * (number + 0.37)
            if not self.away[0] <= at_s < self.away[1]:
                self.world.at(at_s, lambda now, n=number: self._beat(n, now))
        # The caller asks the link before each decision, and whenever the link wants to be asked.
        self._tick, next_s = self.world.arbiter.tick, self.world.arbiter.next_s
        self.world.arbiter.tick = self._look
        self.world.arbiter.next_s = lambda now: min(next_s(now), self.link.next_s(now))
        perform = self.world._perform

        def perform_with_run_time(actions) -> None:
            self.world.local_s = self.local_s()
            perform(actions)

        self.world._perform = perform_with_run_time
        return self.world.run()

    def _frame(self, sequence: int, at_s: float) -> None:
        key, delay_s = Key(RUN, sequence), self.way()
        world, arbiter, link = self.world, self.world.arbiter, self.link

        def sent(now):
            link.sent(key, 1000, now)
            if not self.away[0] <= now < self.away[1]:
                self.newest = key
            return arbiter.frame(key, str(key), DEADLINE_S, COST, now, now)

        def answered(now):
            link.answered(now, key, server_s=0.005)
            return arbiter.offboard(key, f"offboard {sequence}", now)

        world.at(at_s, sent)
        back_s = at_s + delay_s
        lost = any(self.away[0] <= moment < self.away[1] for moment in (at_s, back_s))
        lost = lost or (at_s < self.away[0] and back_s >= self.away[1])
        if delay_s < 10 and not lost:
            world.at(back_s, answered)

    def _beat(self, number: int, now: float):
        run = 1 + (now > self.away[0])
        self.link.hear(run, number, BEAT_S, now, echo=Echo(self.newest, 0.0))
        return self._look(now)

    def _look(self, now: float):
        state, reason = self.link.state(now)
        if not self.states or self.states[-1][1] != state:
            self.states.append((now, state))
        arbiter = self.world.arbiter
        arbiter.eager = reason if state == Link.DOWN else ""
        arbiter.doubtful = "" if state == Link.UP else reason
        return self._tick(now)

    def check(self) -> None:
        """What holds on every link."""
        results = self.world.published
        assert [p.key.sequence for _, p in results] == list(range(int(self.seconds * HZ))), "once, in order"
        assert all(at_s <= p.key.sequence / HZ + DEADLINE_S for at_s, p in results), "by the deadline"
        counts = self.world.arbiter.counts
        wasted = counts["hedges"] - counts["hedges_needed"]
        assert wasted <= self.config.hedge_burst + self.config.hedge_share * counts["frames"] + 1e-6

    def count(self, source: Source) -> int:
        return sum(publish.source == source for _, publish in self.world.published)


def test_hundreds_of_outages() -> None:
    """Each at another phase of frames and heartbeats."""
    noticed_s, back_s, flaps = [], [], 0
    for seed in range(200):
        chance = random.Random(seed)
        died_s = 0.5 + chance.random() * 0.3
        returned_s = died_s + 0.35 + chance.random() * 0.2
        robot = Robot(lambda chance=chance: 0.015 + 0.01 * chance.random(), 2.4, (died_s, returned_s))
        world = robot.run()
        robot.check()
        assert robot.count(Source.NONE) == 0
        assert not world.arbiter.counts["offboard_repeated"]
        down_s = next(at_s for at_s, state in robot.states if state == Link.DOWN and at_s >= died_s)
        noticed_s.append(down_s - died_s)
        again_s = next(
            at_s for at_s, p in world.published if at_s > returned_s and p.source == Source.OFFBOARD
        )
        back_s.append(again_s - returned_s)
        settled = [p.source for at_s, p in world.published if p.key.sequence / HZ > 0.1]
        flaps += len([source for source, _ in itertools.groupby(settled)]) - 3
    assert np.max(noticed_s) <= 0.3 + 1e-6
    assert np.max(back_s) <= 1.0
    assert flaps == 0, "offboard, local, offboard again"


@pytest.mark.parametrize("loss", [0.05, 0.3, 1.0])
def test_lossy_link_leaves_no_frame_without_content(loss: float) -> None:
    chance = random.Random(1)
    robot = Robot(lambda: 1e9 if chance.random() < loss else 0.05 + 0.02 * chance.random(), 20.0)
    robot.run()
    robot.check()
    assert robot.count(Source.NONE) == 0
    assert robot.count(Source.LOCAL) == pytest.approx(loss * 600, abs=30)


def test_hedging_saves_frames_where_the_local_model_is_unsteady() -> None:
    """Its runs take longer than their 99th percentile and the slack in one case out of ten."""

    def none(config: ArbiterConfig) -> int:
        way, local = random.Random(2), random.Random(3)
        robot = Robot(
            lambda: 1e9 if way.random() < 0.2 else 0.05 + 0.02 * way.random(),
            40.0,
            config=config,
            local_s=lambda: 0.045 if local.random() < 0.1 else 0.008,
        )
        robot.run()
        robot.check()
        return robot.count(Source.NONE)

    tight = {"margin_s": 0.02, "slack_s": 0.02, "rehearse_s": 0.0}
    assert none(ArbiterConfig(**tight, hedge_share=0.2)) < none(ArbiterConfig(**tight, hedge_share=0.0)) / 2


def test_slow_link_is_not_hedged_as_long_as_it_is_in_time() -> None:
    chance = random.Random(4)
    robot = Robot(lambda: 0.12 + 0.02 * chance.random(), 20.0)
    robot.run()
    robot.check()
    assert robot.count(Source.OFFBOARD) == 600
    assert robot.world.arbiter.counts["hedges"] <= 0.05 * 600
