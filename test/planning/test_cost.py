"""The cost model: the paper's where it is one, closed forms, and a simulated link and queue."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.planning import co_inference as co
from qeil_ros.planning.cost import Cut, Factors, Side, WidthCurve, Work, packed_bytes
from qeil_ros.planning.link import Link, Load, waiting_s

AGENT, SERVER = co.PAPER
CLOCKS = ((1e9, 5e9), (2e9, 10e9))


def cut(name="cut", agent_flop=1e9, server_flop=2e9, feature_bytes=(100.0, 200.0), weights=1, **more):
    return Cut(name, agent_flop, server_flop, feature_bytes, np.zeros((weights, len(feature_bytes))), **more)


def work(*cuts, weight_bits=(0,), widths=None, tokens=1.0):
    sides = [Side.paper(p, [c[i] for c in CLOCKS]) for i, p in enumerate((AGENT, SERVER))]
    return Work.of(cuts, weight_bits, widths or WidthCurve.linear(32), *sides, tokens=tokens)


def test_the_papers_preset_is_equations_4_to_9():
    """A perfect link, linear time, one robot: delay and energy of problem P1."""
    widths = (2, 8, 16)
    p1 = co.Workload(100e9, 300e9, stored_bits=32, max_bits=16)
    made = work(cut(agent_flop=100e9, server_flop=300e9, weights=3), weight_bits=widths).tables(
        Link(1e12), rate_hz=0.01
    )
    delay, energy = made.delay()[0], made.energy()[0]
    for w, bits in enumerate(widths):
        for p, clocks in enumerate(CLOCKS):
            assert delay[0, w, p] == pytest.approx(co.delay_s(p1, AGENT, SERVER, bits, *clocks))
            assert energy[0, w, p] == pytest.approx(co.energy_j(p1, AGENT, SERVER, bits, *clocks))
    assert made.link_s.max() < 1e-6


def test_a_measured_curve_runs_a_width_in_the_next_wider_kernel():
    curve = WidthCurve.measured({4: 0.3, 8: 0.5}, stored_s=1.0)
    np.testing.assert_allclose(curve.at([0, 1, 4, 5, 8, 16]), [1, 0.3, 0.3, 0.5, 0.5, 1])
    np.testing.assert_allclose(WidthCurve.linear(16).at([1, 8, 16]), [1 / 16, 0.5, 1])
    with pytest.raises(ValueError, match="want ascending widths"):
        WidthCurve((8, 4), (1.0, 0.5))
    with pytest.raises(ValueError, match="must be positive"):
        WidthCurve((4, 8), (0.0, 1.0))


def test_a_cut_may_have_a_curve_of_its_own():
    own = cut("own", weights=2, widths=WidthCurve((4, 8), (0.25, 0.5)))
    made = work(cut(weights=2), own, weight_bits=(4, 8)).tables(Link(1e6), rate_hz=1)
    np.testing.assert_allclose(made.agent_s[0] / made.agent_s[1], [[0.5, 0.5], [0.5, 0.5]])


def test_a_loss_is_the_distortion_unless_it_is_given():
    given = cut("given", loss=np.array([[0.2, 0.1]]), floor=0.05)
    made = work(cut(), given).tables(Link(1e6), rate_hz=1)
    np.testing.assert_allclose(made.loss, [[[0, 0]], [[0.2, 0.1]]])
    with pytest.raises(ValueError, match="loss"):
        cut(loss=np.zeros((2, 2)))


def test_every_token_counts():
    one, ten = (
        work(cut(server_token_flop=5e8, agent_token_flop=1e8), tokens=tokens).tables(Link(1e6), rate_hz=1)
        for tokens in (1, 10)
    )
    speed = np.array([1 / (c[1] * SERVER.flop_per_cycle) for c in CLOCKS])
    np.testing.assert_allclose(ten.server_s - one.server_s, [9 * 5e8 * speed])
    assert (ten.agent_s > one.agent_s).all()
    with pytest.raises(ValueError, match="0 tokens"):
        work(cut(), tokens=0)


def test_a_cut_without_features_uses_neither_link_nor_queue():
    local = cut("local", 3e9, 0.0, (0.0, 0.0))
    made = work(local, cut()).tables(Link(0.0), rate_hz=1, load=Load(1e3, 1.0))
    assert made.link_s[0].tolist() == [0, 0] and made.radio_j[0].tolist() == [0, 0]
    assert made.server_s[0].tolist() == [0, 0]
    assert np.isinf(made.link_s[1]).all() and np.isinf(made.server_s[1]).all()


def test_what_cannot_keep_up_takes_for_ever():
    made = work(cut(agent_flop=64e9), weight_bits=(0,)).tables(Link(1e3), rate_hz=1.5)
    assert np.isinf(made.agent_s).all()  # 2 s and 1 s at 1.5 Hz
    assert np.isfinite(made.agent_j).all()  # energy is not what forbids it
    assert np.isfinite(made.link_s[0, 0]) and np.isfinite(made.link_s[0, 1])
    assert np.isinf(work(cut()).tables(Link(1e3), rate_hz=9).link_s[0, 1])


def test_corrections_reach_what_they_should():
    plain = work(cut()).tables(Link(1e4, joules_per_bit=1e-6), rate_hz=1)
    factors = Factors(*np.array([[2.0], [3.0], [5.0], [7.0], [1.0], [11.0]]))
    made = work(cut()).tables(Link(1e4, joules_per_bit=1e-6), rate_hz=1, factors=factors)
    np.testing.assert_allclose(made.agent_s, 2 * plain.agent_s)
    np.testing.assert_allclose(made.link_s, 3 * plain.link_s)
    np.testing.assert_allclose(made.server_s, 5 * plain.server_s)
    np.testing.assert_allclose(made.agent_j, 2 * 7 * plain.agent_j)
    np.testing.assert_allclose(made.radio_j, 7 * plain.radio_j)
    more = Factors(*np.array([[1.0], [1.0], [1.0], [1.0], [4.0], [1.0]]))
    made = work(cut()).tables(Link(1e4, header_bytes=0), rate_hz=1, factors=more)
    np.testing.assert_allclose(made.payload_bytes, [[400, 800]])
    np.testing.assert_allclose(made.link_s, [[0.04, 0.08]])


def test_packed_bytes():
    assert packed_bytes(100, (1, 3, 8), overhead_bytes=10) == (13 + 10, 38 + 10, 100 + 10)


# --- the link


def test_the_link_loses_and_repeats_as_simulated():
    link = Link(1e6, 0.02, loss=0.2)
    rng = np.random.default_rng(0)
    for packets in (1, 10, 100):
        sendings = rng.geometric(0.8, (20_000, packets))
        assert link.rounds(packets) == pytest.approx((sendings.max(axis=1) - 1).mean(), rel=0.05)
        size = packets * link.packet_bytes
        sent = sendings.sum(axis=1).mean() * (link.packet_bytes + link.header_bytes)
        assert link.sent_bytes(size) == pytest.approx(sent, rel=0.01)
    assert Link(1e6).rounds(100) == 0
    assert link.rounds(np.array([0.0]))[0] == 0


def test_the_delay_of_a_payload():
    link = Link(1e6, 0.03, busy=0.5, header_bytes=100, packet_bytes=1000)
    assert link.delay_s(5000, 1.0) == pytest.approx(5500 / 5e5 + 0.03)
    swinging = Link(1e6, 0.03, variability=1.0, header_bytes=0)
    service = 0.05
    assert swinging.delay_s(5e4, 10) == pytest.approx(0.03 + service + 0.5 / 0.5 / 2 * service)
    assert math.isinf(link.delay_s(1e6, 10)) and math.isinf(Link(0.0).delay_s(10, 1))


def test_the_radios_energy():
    link = Link(1e6, joules_per_bit=1e-7, tail_w=2.0, tail_s=0.1, header_bytes=0)
    assert link.energy_j(1000, 1.0) == pytest.approx(8000 * 1e-7 + 0.2)
    assert link.energy_j(1000, 20.0) == pytest.approx(8000 * 1e-7 + 2 * (0.05 - 0.001))  # cut short
    assert link.energy_j(0, 1.0) == 0


@given(st.floats(0, 0.5), st.floats(1e4, 1e7), st.floats(0, 1e5), st.floats(0.1, 30), st.floats(0, 0.8))
def test_more_bytes_never_come_sooner(loss, rate, size, rate_hz, busy):
    link = Link(rate, 0.01, loss=loss, busy=busy, variability=0.5)
    a, b = link.delay_s(size, rate_hz), link.delay_s(size * 1.5 + 1, rate_hz)
    assert a <= b and a >= 0.01
    assert link.energy_j(size, rate_hz) >= 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"loss": 1.0}, "loss is 1"),
        ({"rate_bytes_s": -1}, "rate_bytes_s"),
        ({"busy": -0.1}, "busy is"),
        ({"packet_bytes": 0}, "packets of 0"),
    ],
)
def test_impossible_links_are_refused(more, said):
    with pytest.raises(ValueError, match=said):
        Link(**{"rate_bytes_s": 1e6, **more})


# --- the queue


def simulated_wait(arrivals, services):
    """Mean wait before a single server, by Lindley's recursion."""
    wait, total = 0.0, 0.0
    for gap, service in zip(np.diff(arrivals), services, strict=False):
        wait = max(0.0, wait + service - gap)
        total += wait
    return total / (len(arrivals) - 1)


def test_waiting_as_simulated():
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(0.1, 200_000))
    assert waiting_s(0.06, 10, 1.0, 0.0) == pytest.approx(
        simulated_wait(arrivals, np.full(200_000, 0.06)), rel=0.05
    )
    assert waiting_s(0.06, 10, 1.0, 1.0) == pytest.approx(
        simulated_wait(arrivals, rng.exponential(0.06, 200_000)), rel=0.1
    )
    assert waiting_s(0.06, 10, 0.0, 0.0) == 0 and math.isinf(waiting_s(0.1, 10, 1.0, 0.0))


def test_many_robots_on_one_server():
    """Twenty cameras with phases of their own, against the formula; alone there is no wait at all."""
    rng = np.random.default_rng(2)
    robots, rate_hz, service_s = 20, 2.0, 0.015
    waits = []
    for _ in range(200):
        phases = rng.uniform(0, 1 / rate_hz, robots)
        arrivals = np.sort(np.add.outer(np.arange(30) / rate_hz, phases).ravel())
        waits.append(simulated_wait(arrivals, np.full(len(arrivals), service_s)))
    predicted = float(Load.robots(robots - 1, rate_hz, service_s).wait_s(service_s, rate_hz))
    measured = float(np.mean(waits))
    assert measured <= predicted <= 3 * measured  # regular cameras disturb each other less than random ones
    assert Load().wait_s(0.2, 4.0) == 0
    assert math.isinf(Load.robots(40, rate_hz, service_s).wait_s(service_s, rate_hz))
    assert math.isinf(Load().wait_s(0.5, 2.0))
    with pytest.raises(ValueError, match="rate_hz is -1"):
        Load(rate_hz=-1)


def test_wrong_cuts_are_refused():
    with pytest.raises(ValueError, match="distortion"):
        Cut("a", 1, 1, (1.0,), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="agent_flop is -1"):
        cut(agent_flop=-1)
    with pytest.raises(ValueError, match="feature_bytes"):
        cut(feature_bytes=(-1.0, 2.0))
    with pytest.raises(ValueError, match=r"distortion \(1, 1\); want \(1, 2\)"):
        work(cut(), cut("other", feature_bytes=(1.0,)))
    with pytest.raises(ValueError, match="the rate is 0 Hz"):
        work(cut()).tables(Link(1.0), rate_hz=0)
    with pytest.raises(ValueError, match="2 speeds and 1 powers"):
        Side((1.0, 2.0), (1.0,))
    with pytest.raises(ValueError, match="1 profiles of the agent, 2 of the server"):
        Work.of([cut()], (0,), WidthCurve.linear(8), Side((1.0,), (1.0,)), Side((1.0, 1.0), (1.0, 1.0)))
