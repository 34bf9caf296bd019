from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.safety.latch import Latch


class TestLatch:
    def test_rises_at_once_and_falls_a_step_at_a_time(self):
        latch = Latch(dwell_s=5.0)
        assert latch.update(3, 0.0) == 3
        levels = [latch.update(0, time_s) for time_s in range(1, 18)]
        assert levels == [3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0]

    def test_not_stepwise_falls_to_the_worst_that_was_wanted_meanwhile(self):
        latch = Latch(dwell_s=5.0, stepwise=False)
        latch.update(3, 0.0)
        latch.update(0, 1.0)
        latch.update(2, 2.0)
        assert latch.update(0, 6.0) == 2
        assert latch.update(0, 11.0) == 0

    def test_relapse_starts_the_dwell_again(self):
        latch = Latch(dwell_s=5.0)
        latch.update(1, 0.0)
        latch.update(0, 1.0)
        latch.update(1, 5.5)
        assert latch.update(0, 6.1) == 1
        assert latch.falls_at_s() == pytest.approx(11.1)
        assert latch.update(0, 11.1) == 0
        assert latch.falls_at_s() == math.inf

    @settings(max_examples=300, deadline=None)
    @given(
        steps=st.lists(st.tuples(st.floats(0.001, 3.0), st.integers(0, 3)), min_size=1, max_size=100),
        stepwise=st.booleans(),
    )
    def test_never_below_what_is_wanted_and_never_falls_faster_than_the_dwell(self, steps, stepwise):
        latch, dwell_s = Latch(2.0, stepwise=stepwise), 2.0
        now_s, level, fell_s = 0.0, 0, -math.inf
        for gap_s, wanted in steps:
            now_s += gap_s
            new = latch.update(wanted, now_s)
            assert new >= wanted
            if new < level:
                assert now_s - fell_s >= dwell_s
                fell_s = now_s
                assert new == level - 1 or not stepwise
            level = new
        # From every state the best one is reached again.
        for _ in range(40):
            now_s += 0.5
            level = latch.update(0, now_s)
        assert level == 0
