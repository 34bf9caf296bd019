from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.safety.traffic import LinkFigures, Traffic, nearest_rank

SERVER_S = 0.012


def link(sizes, *, rate_bytes_s=1e6, round_trip_s=0.05, jitter_s=0.0, lost=(), hz=30.0, seed=0):
    """Traffic over a link of that rate, and the time at its end."""
    random = np.random.default_rng(seed)
    traffic = Traffic(window_s=5.0, lost_after_s=1.0)
    events = []
    for number, size_bytes in enumerate(sizes):
        sent_s = number / hz
        took_s = round_trip_s + size_bytes / rate_bytes_s + SERVER_S + jitter_s * random.exponential()
        events.append((sent_s, "sent", number, int(size_bytes)))
        if number not in lost:
            events.append((sent_s + took_s, "answered", number, 0))
    for at_s, what, number, size_bytes in sorted(events):
        if what == "sent":
            traffic.sent(number, size_bytes, at_s)
        else:
            traffic.answered(number, SERVER_S, at_s)
    return traffic, max(at_s for at_s, *_ in events)


def test_nothing_is_known_of_nothing():
    figures = Traffic().figures(10.0)
    assert figures == LinkFigures() or math.isnan(figures.round_trip_s)
    assert figures.source == "nothing was sent yet" and figures.sent_hz == 0.0
    assert math.isnan(figures.loss) and math.isnan(figures.rate_bytes_s)


def test_round_trip_is_without_the_servers_time():
    traffic, end_s = link([1000] * 60, rate_bytes_s=math.inf, round_trip_s=0.05)
    figures = traffic.figures(end_s)
    assert figures.round_trip_s == pytest.approx(0.05)
    assert figures.round_trip_p99_s == pytest.approx(0.05)
    assert figures.round_trip_least_s == pytest.approx(0.05)
    assert figures.jitter_s == pytest.approx(0.0, abs=1e-12)


def test_rates_are_over_the_window():
    traffic, end_s = link([1000] * 300)
    figures = traffic.figures(end_s)
    assert figures.span_s == pytest.approx(5.0, abs=0.05)
    assert figures.sent_hz == pytest.approx(30.0, rel=0.02)
    assert figures.sent_bytes_s == pytest.approx(30_000, rel=0.02)
    assert figures.confirmed_bytes_s == pytest.approx(30_000, rel=0.02)
    idle = traffic.figures(end_s + 60.0)
    assert idle.sent_hz == 0.0 and math.isnan(idle.round_trip_s)


def test_lost_frames_count_once_they_are_overdue():
    traffic, end_s = link([1000] * 100, lost=range(0, 100, 10))
    assert traffic.figures(end_s + 1.5).loss == pytest.approx(0.1, abs=0.02)
    traffic = Traffic(lost_after_s=1.0)
    traffic.sent(0, 1000, 0.0)
    assert math.isnan(traffic.figures(0.9).loss)
    assert traffic.figures(1.1).loss == 1.0
    traffic.answered(0, SERVER_S, 1.2)
    assert traffic.figures(1.3).loss == 0.0, "late is not lost"


@pytest.mark.parametrize("rate_bytes_s", [125_000.0, 625_000.0, 5e6])
def test_rate_from_frames_of_different_sizes(rate_bytes_s):
    sizes = np.random.default_rng(1).integers(800, 16_000, 150)
    traffic, end_s = link(sizes, rate_bytes_s=rate_bytes_s, jitter_s=0.001, hz=10.0)
    figures = traffic.figures(end_s)
    assert not figures.rate_is_bound
    assert figures.rate_bytes_s == pytest.approx(rate_bytes_s, rel=0.25)


def test_rate_of_equal_frames_is_only_bounded():
    traffic, end_s = link([4000] * 100, rate_bytes_s=1e6, round_trip_s=0.05)
    figures = traffic.figures(end_s)
    assert figures.rate_is_bound
    assert figures.rate_bytes_s == pytest.approx(max(4000 / 0.054, 4000 * 30), rel=0.05)


def test_size_that_makes_no_difference_bounds_the_rate():
    sizes = np.random.default_rng(1).integers(800, 2000, 150)
    traffic, end_s = link(sizes, rate_bytes_s=1e9, jitter_s=0.03)
    assert traffic.figures(end_s).rate_is_bound


def test_heartbeats_time_round_trips_and_are_no_frames():
    traffic = Traffic()
    for number in range(10):
        traffic.sent(number, 40, 0.1 * number, frame=False)
        traffic.echoed(number, 0.07, 0.1 * number + 0.1)
    figures = traffic.figures(1.0)
    assert figures.round_trip_s == pytest.approx(0.03)
    assert figures.sent_hz == 0.0 and math.isnan(figures.loss)


def test_server_that_claims_too_much_time_leaves_none_for_the_link():
    traffic = Traffic()
    traffic.sent(0, 40, 0.0)
    traffic.answered(0, 9.0, 0.1)
    assert traffic.figures(0.2).round_trip_s == 0.0


@pytest.mark.parametrize("server_s", [math.nan, -1.0])
def test_impossible_server_time_gives_no_round_trip_but_an_answer(server_s):
    traffic = Traffic()
    traffic.sent(0, 1000, 0.0)
    traffic.answered(0, server_s, 0.1)
    figures = traffic.figures(1.2)
    assert math.isnan(figures.round_trip_s) and figures.loss == 0.0


def test_silence_of_the_other_side():
    traffic = Traffic()
    traffic.sent("a", 500, 0.0)
    traffic.answered("a", 0.0, 0.1)
    assert traffic.unheard_s(1.0) == 0.0, "nothing was sent since"
    traffic.sent("b", 500, 1.0)
    assert traffic.unheard_s(1.05) == 0.0, "it may still be under way"
    assert traffic.unheard_s(1.5) == pytest.approx(0.4)
    traffic.echoed("b", 0.2, 1.6)
    assert traffic.unheard_s(1.6) == 0.0


def test_memory_is_bounded_and_strangers_are_left_alone():
    traffic = Traffic(window_s=1e6, lost_after_s=1.0)
    for number in range(5000):
        traffic.sent(number, 10, 0.001 * number)
        traffic.answered("made up", 0.0, 0.001 * number)
    figures = traffic.figures(5.0)
    assert figures.source.startswith("0 of 1024 frames")


def test_window_must_be_longer_than_the_wait_for_an_answer():
    with pytest.raises(ValueError, match="lost_after_s"):
        Traffic(window_s=1.0, lost_after_s=1.0)


def test_nearest_rank():
    assert math.isnan(nearest_rank([], 0.5))
    assert nearest_rank([1.0, 2.0, 3.0], 0.5) == 2.0
    assert nearest_rank([1.0, 2.0, 3.0], 0.99) == 3.0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sent", "beat", "answered", "echoed"]),
            st.integers(0, 12),
            st.integers(0, 10**6),
            st.floats(0.0, 0.8),
            st.sampled_from([0.0, 0.01, 5.0, -1.0, math.nan]),
        ),
        max_size=60,
    )
)
def test_figures_are_sound_whatever_comes(events):
    traffic, now_s = Traffic(window_s=3.0, lost_after_s=0.5), 0.0
    for what, key, size_bytes, gap_s, server_s in events:
        now_s += gap_s
        if what in ("sent", "beat"):
            traffic.sent(key, size_bytes, now_s, frame=what == "sent")
        else:
            getattr(traffic, what)(key, server_s, now_s)
        figures = traffic.figures(now_s)
        assert math.isnan(figures.loss) or 0.0 <= figures.loss <= 1.0
        assert 0.0 <= figures.confirmed_bytes_s <= figures.sent_bytes_s
        assert math.isnan(figures.round_trip_s) or (
            0.0 <= figures.round_trip_least_s <= figures.round_trip_s <= figures.round_trip_p99_s
        )
        assert math.isnan(figures.rate_bytes_s) or figures.rate_bytes_s > 0
        assert traffic.unheard_s(now_s) >= 0.0
