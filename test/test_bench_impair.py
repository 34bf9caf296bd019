"""The proxy that stands for a bad network: against closed forms, and with plain sockets through it."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import free_port, wait_until

from bench.impair import Conditions, Impaired, ImpairError
from bench.impair.line import HEADER_BYTES, MSS_BYTES, Flow, Line
from bench.impair.traces import Delays, Opportunities, delays_5g, opportunities

SEGMENT_BITS = 8 * (MSS_BYTES + HEADER_BYTES)


def arrivals(flow: Flow) -> list[float]:
    """When each segment is delivered [s], in order."""
    times = []
    while len(flow):
        times.append(max([flow.next_s(), *times[-1:]]))
        assert flow.take(times[-1]) is not None
    return times


def flow(conditions: Conditions, seed: int = 1) -> Flow:
    return Flow(Line(conditions, seed, 0.0))


def test_a_delay_moves_every_segment_by_itself() -> None:
    made = flow(Conditions(delay_s=0.05))
    for number in range(5):
        made.put(b"x", number / 10)
    assert arrivals(made) == pytest.approx([n / 10 + 0.05 for n in range(5)])


def test_a_rate_spaces_segments_by_their_bits_on_the_wire() -> None:
    made = flow(Conditions(rate_bit_s=1e6, delay_s=0.02))
    made.put(bytes(10 * MSS_BYTES), 0.0)
    expected = [0.02 + (n + 1) * SEGMENT_BITS / 1e6 for n in range(10)]
    assert arrivals(made) == pytest.approx(expected)
    made.put(b"x", 5.0)  # an idle line keeps nothing in store
    assert made.next_s() == pytest.approx(5.02 + 8 * (1 + HEADER_BYTES) / 1e6)


def test_jitter_stays_within_its_bounds_and_keeps_the_order() -> None:
    made = flow(Conditions(delay_s=0.05, jitter_s=0.04))
    for number in range(2000):
        made.put(b"x", float(number))
    late = [at_s - n for n, at_s in enumerate(arrivals(made))]
    assert 0.01 <= min(late) < 0.015 and 0.085 < max(late) <= 0.09
    assert sum(late) / len(late) == pytest.approx(0.05, abs=0.002)
    for number in range(200):
        made.put(b"x", 1e4 + number / 1e3)
    times = arrivals(made)
    assert times == sorted(times)


def test_a_lost_segment_of_a_stream_arrives_after_racks_time() -> None:
    """One and a quarter round trips after the next segment was sent, and half a round trip to get there."""
    made = flow(Conditions(delay_s=0.05, loss=0.5), seed=3)
    gap_s, stalls = 0.01, []
    for number in range(4000):
        made.put(b"x", number * gap_s)
    segments = list(made._way)
    for segment, after in itertools.pairwise(segments):
        if 0 < segment.recovery_s < 1e-3 and not after.recovery_s:
            stalls.append(segment.arrives_s - segment.sent_s)
    assert len(stalls) > 300
    assert stalls == pytest.approx([gap_s + 1.25 * 0.1 + 0.05] * len(stalls), abs=1e-5)


def test_a_lost_segment_with_nothing_after_it_waits_for_the_probe() -> None:
    line = Line(Conditions(delay_s=0.05, loss=0.3), 5, 0.0)
    late = []
    for number in range(5000):
        alone = Flow(line)
        alone.put(b"x", float(number))
        late.append(alone.next_s() - number)
    lost = [late_s for late_s in late if late_s > 0.051]
    assert len(lost) / len(late) == pytest.approx(0.3, abs=0.02)
    once = [late_s for late_s in lost if late_s < 0.26]
    assert once == pytest.approx([0.25] * len(once), abs=1e-5)  # two round trips, and the way
    twice = [late_s for late_s in lost if 0.26 <= late_s < 0.46]
    assert twice == pytest.approx([0.45] * len(twice), abs=1e-5)  # and a timeout of 200 ms
    assert len(twice) / len(lost) == pytest.approx(0.3 * 0.7, abs=0.03)


def test_the_same_seed_loses_the_same_segments() -> None:
    runs = []
    for seed in (7, 7, 8):
        made = flow(Conditions(delay_s=0.01, loss=0.1), seed)
        made.put(bytes(500 * MSS_BYTES), 0.0)
        runs.append(arrivals(made))
    assert runs[0] == runs[1] != runs[2]


def test_after_a_silent_cut_the_first_retransmission_that_gets_through_counts() -> None:
    made = flow(Conditions())
    made.hold(10.0)
    made.put(b"abc", 10.1)
    assert made.take(11.0) is None
    assert made.resume(11.0) == pytest.approx(10.1 + 0.2 + 0.4 + 0.8)
    made.put(b"def", 11.2)
    assert made.take(11.49) is None
    assert [made.take(11.51).data for _ in range(2)] == [b"abc", b"def"]  # type: ignore[union-attr]


def test_after_a_cut_that_nobody_met_there_is_nothing_to_wait_for() -> None:
    made = flow(Conditions())
    made.hold(10.0)
    assert made.resume(11.0) == 11.0
    made.put(b"abc", 11.0)
    assert made.next_s() == 11.0


def test_opportunities_carry_1500_bytes_each_and_come_again() -> None:
    trace = Opportunities((0.010, 0.010, 0.030, 0.050), 0.050)
    assert trace.mean_bit_s == pytest.approx(4 * 12000 / 0.05)
    assert [trace.at(n) for n in range(3, 6)] == pytest.approx([0.05, 0.06, 0.06])
    assert [trace.first_from(t) for t in (0.0, 0.010, 0.011, 0.050, 0.055)] == [0, 0, 2, 4, 4]


@pytest.mark.parametrize("text", ["", "a\n", "3\n2\n", "0\n0\n", "-1\n4\n"])
def test_another_file_is_no_mahimahi_trace(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(ValueError, match="no mahimahi trace"):
        opportunities(str(path))


def test_segments_leave_at_the_opportunities_of_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("10\n10\n30\n50\n")
    made = flow(Conditions(opportunities=str(path)))
    made.put(bytes(3 * MSS_BYTES), 0.0)  # one opportunity each
    assert arrivals(made) == pytest.approx([0.010, 0.010, 0.030])
    made.put(b"x" * 100, 0.040)
    made.put(b"x" * 100, 0.045)  # shares the one at 50 ms with the one before
    made.put(b"x" * 100, 0.051)  # what was left of that is gone
    assert arrivals(made) == pytest.approx([0.050, 0.050, 0.060])


def test_a_recorded_trace_gives_its_own_mean_rate(data_dir: Path) -> None:
    path = data_dir / "traces" / "mahimahi" / "TMobile-LTE-short.up"
    trace = opportunities(str(path))
    made = flow(Conditions(opportunities=str(path)))
    made.put(bytes(len(trace.times_s) // 2 * MSS_BYTES), 0.0)
    assert arrivals(made)[-1] == pytest.approx(trace.at(len(trace.times_s) // 2 - 1))


def test_a_recorded_5g_drive_delays_by_half_its_round_trips(data_dir: Path) -> None:
    path = str(data_dir / "traces" / "cicv5g" / "urban_n8_v30_run01.txt")
    recorded = delays_5g(path)
    assert (recorded.times_s[0], recorded.round_trips_s[0]) == (0.0, 0.032)
    made = flow(Conditions(delays=path))
    for at_s in (0.0, recorded.times_s[1], recorded.period_s):
        made.put(b"x", at_s)
        assert made.next_s() - at_s == pytest.approx(recorded.at(at_s) / 2)
        assert made.take(at_s + 10) is not None
    assert Delays((0.0, 1.0), (0.1, 0.2), 2.0).at(3.5) == 0.2


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 1.0},
        {"delay_s": -1},
        {"rate_bit_s": 1, "opportunities": "x"},
        {"queue_bytes": 0},
        {"ping": 1},
    ],
)
def test_impossible_conditions_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong)))):
        Conditions.from_json(wrong)


# ---- the process, with plain sockets


class Echo:
    """Sends back what it gets; one connection after the other, counted."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.received = b""
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    self.received += data
                    connection.sendall(data)
            except ConnectionError:
                return

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Impaired]:
    with Impaired() as made:
        yield made


def through(proxy: Impaired, link: str, echo: Echo) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", proxy.open(link, echo.port)), timeout=10)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def receive(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(65536)):
        data += more
    return data


def test_bytes_go_through_unchanged_and_are_counted(proxy: Impaired, echo: Echo) -> None:
    data = bytes(range(256)) * 2000
    with through(proxy, "plain", echo) as sock:
        threading.Thread(target=sock.sendall, args=(data,), daemon=True).start()
        assert receive(sock, len(data)) == data
        counts = proxy.count("plain")
        assert counts["up_bytes"] == counts["down_bytes"] == len(data)
        sock.shutdown(socket.SHUT_WR)  # the end is passed on, and comes back
        assert sock.recv(1) == b""
    wait_until(lambda: proxy.count("plain")["connections"] == 0, 5)
    assert proxy.count("plain")["accepted"] == 1


def test_a_round_trip_takes_both_delays(proxy: Impaired, echo: Echo) -> None:
    with through(proxy, "delay", echo) as sock:
        proxy.set("delay", Conditions(delay_s=0.03), "up")
        proxy.set("delay", Conditions(delay_s=0.05), "down")
        took_s = []
        for _ in range(5):
            start_s = time.monotonic()
            sock.sendall(b"ping")
            assert receive(sock, 4) == b"ping"
            took_s.append(time.monotonic() - start_s)
        assert min(took_s) >= 0.08
        assert min(took_s) < 0.2  # five at once cannot all be held up on a machine that works


def test_a_rate_holds_back_a_stream(proxy: Impaired, echo: Echo) -> None:
    size = 100 * MSS_BYTES
    with through(proxy, "rate", echo) as sock:
        proxy.set("rate", Conditions(rate_bit_s=2e6), "up")
        start_s = time.monotonic()
        threading.Thread(target=sock.sendall, args=(bytes(size),), daemon=True).start()
        assert len(receive(sock, size)) == size
        took_s = time.monotonic() - start_s
    exact_s = 100 * SEGMENT_BITS / 2e6
    assert exact_s <= took_s < 2 * exact_s + 1


def test_a_silent_cut_keeps_what_was_sent(proxy: Impaired, echo: Echo) -> None:
    with through(proxy, "silent", echo) as sock:
        sock.sendall(b"one")
        assert receive(sock, 3) == b"one"
        proxy.cut("silent")
        sock.sendall(b"two")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        assert echo.received == b"one"
        carries_s = proxy.mend("silent")
        sock.settimeout(10)
        assert receive(sock, 3) == b"two"
        assert time.monotonic() >= carries_s
    assert echo.connections == 1


def test_one_direction_can_be_cut_alone(proxy: Impaired, echo: Echo) -> None:
    with through(proxy, "one-way", echo) as sock:
        proxy.cut("one-way", "silent", "down")
        sock.sendall(b"there")
        wait_until(lambda: echo.received == b"there", 5, "what was sent to get there")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        proxy.mend("one-way")
        sock.settimeout(10)
        assert receive(sock, 5) == b"there"


def test_a_half_open_connection_swallows_and_is_reset_when_mended(proxy: Impaired, echo: Echo) -> None:
    with through(proxy, "half", echo) as sock:
        sock.sendall(b"x")
        assert receive(sock, 1) == b"x"
        proxy.cut("half", "half")
        for _ in range(40):  # far more than all buffers hold: nobody is held back
            sock.sendall(bytes(65536))
        assert echo.received == b"x"
        proxy.mend("half")
        with pytest.raises(ConnectionError):
            sock.sendall(b"x")
            sock.recv(1)
            sock.recv(1)
    port = proxy.open("half again", echo.port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"new")
        assert receive(sock, 3) == b"new"


def test_a_reset_ends_connections_and_refuses_new_ones(proxy: Impaired, echo: Echo) -> None:
    port = proxy.open("reset", echo.port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"x")
        assert receive(sock, 1) == b"x"
        proxy.cut("reset", "reset")
        with pytest.raises(ConnectionError):
            sock.recv(1)
        with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", port), 10) as refused:
            refused.sendall(b"x")
            refused.recv(1)
            raise AssertionError("a connection during the cut was served")
    proxy.mend("reset")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"y")
        assert receive(sock, 1) == b"y"


def test_a_dead_target_is_seen_as_one(proxy: Impaired) -> None:
    port = proxy.open("dead", free_port())
    with pytest.raises(ConnectionError):  # of the connection itself, where the proxy is quicker than we are
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.recv(1)
        raise AssertionError("closed politely")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({"do": "dance", "link": "plain"}, "no command 'dance'"),
        ({"do": "cut", "link": "nowhere"}, "no link 'nowhere'"),
        ({"do": "cut", "link": "known", "kind": "half", "direction": "up"}, "both directions"),
        ({"do": "set", "link": "known", "conditions": {"loss": 2}}, "loss is 2"),
        ({"do": "set", "link": "known", "conditions": {"opportunities": "/nowhere"}}, "/nowhere"),
        ({"do": "set", "link": "known", "direction": "left"}, "no direction 'left'"),
    ],
)
def test_a_wrong_command_is_refused_with_the_reason(command: dict[str, str], reason: str) -> None:
    with Impaired() as proxy:
        proxy.open("known", 9)
        proxy.open("plain", 9)
        with pytest.raises(ImpairError, match=reason):
            proxy._ask(**command)
        assert proxy.count("known")["accepted"] == 0  # and it goes on
