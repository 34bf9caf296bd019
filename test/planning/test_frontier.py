"""The frontier against its definition."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.planning.frontier import frontier, thinned
from qeil_ros.planning.planner import OperatingPoint, Quantities

small = st.integers(0, 4)


def point(loss: float, delay_s: float, energy_j: float) -> OperatingPoint:
    taken = Quantities(delay_s, 0.0, 0.0, energy_j, 0.0, 0.0)
    return OperatingPoint("cut", 8, 8, "high", 1.0, True, taken, taken, energy_j, loss)


def values(p: OperatingPoint) -> tuple[float, float, float]:
    return p.loss, p.predicted.delay_s, p.energy_j


def beats(a: OperatingPoint, b: OperatingPoint) -> bool:
    return values(a) != values(b) and all(x <= y for x, y in zip(values(a), values(b), strict=True))


@given(st.lists(st.builds(point, small, small, small), max_size=40))
def test_what_stays_is_unbeaten_and_what_goes_is_beaten(points):
    kept = frontier(points)
    assert not any(beats(a, b) for a in points for b in kept)
    assert {values(p) for p in points if not any(beats(a, p) for a in points)} == {values(p) for p in kept}
    assert len({values(p) for p in kept}) == len(kept)
    assert [p.predicted.delay_s for p in kept] == sorted(p.predicted.delay_s for p in kept)


def test_losses_that_differ_by_less_than_the_resolution_are_the_same():
    slow, fast = point(0.10001, 2.0, 1.0), point(0.10002, 1.0, 1.0)
    assert frontier([slow, fast]) == [fast, slow]
    assert frontier([slow, fast], resolution=1e-3) == [fast]


@given(st.lists(st.builds(point, small, small, small), min_size=1, max_size=40), st.integers(3, 10))
def test_a_thinned_list_keeps_order_ends_and_the_chosen_one(points, most):
    points = [replace(p, rate_hz=i + 1.0) for i, p in enumerate(points)]
    keep = points[len(points) // 2]
    shown = thinned(points, most, keep)
    assert len(shown) <= max(most, min(most + 1, len(points))) and keep in shown
    assert [p.rate_hz for p in shown] == sorted(p.rate_hz for p in shown)
    losses = [p.loss for p in points]
    assert min(losses) in [p.loss for p in shown] and max(losses) in [p.loss for p in shown]
