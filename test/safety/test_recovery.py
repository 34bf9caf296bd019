from __future__ import annotations

import math

import pytest

from qeil_ros.safety.recovery import Recovery


def test_half_first_then_a_ramp():
    recovery = Recovery(first=0.5, stage_s=2.0, ramp_s=4.0)
    assert recovery.share(0.0) == 1.0, "nothing to recover from"
    recovery.begin(10.0)
    shares = [recovery.share(10.0 + passed_s) for passed_s in (0.0, 2.0, 3.0, 4.0, 6.0, 100.0)]
    assert shares == pytest.approx([0.5, 0.5, 0.625, 0.75, 1.0, 1.0])
    recovery.begin(20.0)
    assert recovery.share(20.0) == 0.5


def test_without_a_ramp_it_is_a_step():
    recovery = Recovery(first=0.25, stage_s=1.0, ramp_s=0.0)
    recovery.begin(0.0)
    assert [recovery.share(now_s) for now_s in (0.0, 0.99, 1.0)] == [0.25, 0.25, 1.0]


@pytest.mark.parametrize("bad", [(0.0, 1.0, 1.0), (1.5, 1.0, 1.0), (0.5, -1.0, 1.0), (0.5, 1.0, math.nan)])
def test_nonsense_is_refused(bad):
    with pytest.raises(ValueError, match="recovery"):
        Recovery(*bad)
