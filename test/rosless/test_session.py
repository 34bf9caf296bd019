"""Sessions on a router of the tests' own: topics, services, and what happens at the end."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zenoh
from support import REPO, wait_until

from qeil_ros.rosless import config
from qeil_ros.rosless.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
    qos_profile_services_default,
)
from qeil_ros.rosless.session import Publisher, Request, Sample, Session, SessionError
from qeil_ros.rosless.types import get_message, get_service, serialize, type_info

STRING = type_info(get_message("std_msgs/msg/String"))
TRIGGER = type_info(get_service("std_srvs/srv/Trigger"))
QOS = QoSProfile(depth=10)
LATCHED = QoSProfile(depth=3, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def two(ros_graph: dict[str, str]) -> Iterator[tuple[Session, Session]]:
    first, second = Session.open(), Session.open()
    yield first, second
    first.close()
    second.close()


def connected(first: Session, second: Session, topic: str) -> None:
    """Waits until both know of the topic's publisher and subscription, and data gets through."""
    for session in (first, second):
        assert session.graph.wait_until(
            lambda graph: graph.count_publishers(topic) and graph.count_subscribers(topic), 20
        )


def take(samples: queue.Queue[Any], timeout_s: float = 20) -> Any:
    return samples.get(timeout=timeout_s)


def flow(publisher: Any, samples: queue.Queue[Sample]) -> None:
    """Publishes until something arrives, then empties the queue: routes come a moment after discovery."""

    def arrived() -> bool:
        publisher.put(b"\x00\x01\x00\x00probe")
        try:
            samples.get(timeout=0.2)
        except queue.Empty:
            return False
        return True

    wait_until(arrived)
    publisher.put(b"last probe")
    while take(samples).payload != b"last probe":
        pass


@pytest.mark.parametrize("qos", [QOS, qos_profile_sensor_data, QoSProfile(history=HistoryPolicy.KEEP_ALL)])
@pytest.mark.parametrize("size_bytes", [0, 5, 40_000, 3_000_000])
def test_topics(two: tuple[Session, Session], qos: QoSProfile, size_bytes: int) -> None:
    here, there = two
    samples: queue.Queue[Sample] = queue.Queue()
    publisher = here.create_publisher(here.declare_node("talker"), "/chatter", STRING, qos)
    there.create_subscriber(there.declare_node("listener"), "/chatter", STRING, qos, samples.put)
    connected(here, there, "/chatter")
    flow(publisher, samples)

    before_ns = time.time_ns()
    payload = os.urandom(size_bytes)
    first = publisher.put(payload)
    second = publisher.put(payload, source_time_ns=123)
    got = [take(samples), take(samples)]
    assert [item.payload for item in got] == [payload, payload]
    assert [item.sequence for item in got] == [first, second] == [first, first + 1]
    assert before_ns <= got[0].source_time_ns <= got[0].received_time_ns
    assert got[1].source_time_ns == 123
    assert got[0].gid == publisher.gid == here.graph.publishers("/chatter")[0].gid


def test_a_publisher_may_be_destroyed_while_others_publish(ros_graph: dict[str, str]) -> None:
    session = Session.open()
    node = session.declare_node("busy")
    refused: list[str] = []

    def publish(publisher: Publisher) -> None:
        try:
            while True:
                publisher.put(bytes(100_000))
        except RuntimeError as error:
            refused.append(str(error))

    for _ in range(10):
        publisher = session.create_publisher(node, "/busy", STRING, QOS)
        threads = [threading.Thread(target=publish, args=(publisher,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.01)
        publisher.undeclare()
        for thread in threads:
            thread.join(10)
    session.close()
    assert len(refused) == 20
    assert all("/busy" in reason for reason in refused), refused


def test_a_session_hears_itself(ros_graph: dict[str, str]) -> None:
    session = Session.open()
    node = session.declare_node("both")
    samples: queue.Queue[Sample] = queue.Queue()
    session.create_subscriber(node, "/self", STRING, QOS, samples.put)
    session.create_publisher(node, "/self", STRING, QOS).put(b"x")
    assert take(samples).payload == b"x"
    session.close()


def test_late_subscriptions_get_what_was_latched(two: tuple[Session, Session]) -> None:
    here, there = two
    publisher = here.create_publisher(here.declare_node("map"), "/map", STRING, LATCHED)
    for number in range(5):
        publisher.put(bytes([number]))
    samples: queue.Queue[Sample] = queue.Queue()
    there.create_subscriber(there.declare_node("late"), "/map", STRING, LATCHED, samples.put)
    got = [take(samples).payload]
    while got[-1] != b"\x04":
        got.append(take(samples).payload)
    # At least what was kept; older ones too, where they were still on their way when the subscription came.
    assert got == [bytes([number]) for number in range(5 - len(got), 5)]
    assert len(got) >= LATCHED.depth
    publisher.put(b"new")
    assert take(samples).payload == b"new"


def test_late_publishers_of_latched_topics_are_heard(two: tuple[Session, Session]) -> None:
    here, there = two
    samples: queue.Queue[Sample] = queue.Queue()
    there.create_subscriber(there.declare_node("early"), "/map", STRING, LATCHED, samples.put)
    publisher = here.create_publisher(here.declare_node("map"), "/map", STRING, LATCHED)
    publisher.put(b"first")
    assert take(samples).payload == b"first"


def test_volatile_subscriptions_get_nothing_old(two: tuple[Session, Session]) -> None:
    here, there = two
    publisher = here.create_publisher(here.declare_node("map"), "/map", STRING, LATCHED)
    publisher.put(b"old")
    samples: queue.Queue[Sample] = queue.Queue()
    there.create_subscriber(there.declare_node("late"), "/map", STRING, QOS, samples.put)
    connected(here, there, "/map")

    def arrived() -> bool:
        publisher.put(b"new")
        try:
            return bool(samples.get(timeout=0.2).payload == b"new")
        except queue.Empty:
            return False

    wait_until(arrived)
    assert b"old" not in [item.payload for item in list(samples.queue)]


def test_services(two: tuple[Session, Session]) -> None:
    here, there = two
    requests: queue.Queue[Request] = queue.Queue()
    replies: queue.Queue[tuple[int, bytes | None, str | None]] = queue.Queue()
    client = here.create_client(
        here.declare_node("asks"),
        "/do",
        TRIGGER,
        qos_profile_services_default,
        lambda *item: replies.put(item),
    )
    assert not client.is_ready()
    service = there.create_service(
        there.declare_node("does"), "/do", TRIGGER, qos_profile_services_default, requests.put
    )
    assert here.graph.wait_until(lambda graph: client.is_ready(), 20)

    # Two at a time, answered in the other order.
    first, second = client.call(b"one"), client.call(b"two")
    by_payload = {item.payload: item for item in (take(requests), take(requests))}
    assert (by_payload[b"one"].sequence, by_payload[b"two"].sequence) == (first, second)
    assert by_payload[b"one"].gid == client.gid
    assert by_payload[b"two"].reply(b"TWO")
    assert take(replies) == (second, b"TWO", None)
    assert by_payload[b"one"].reply(b"ONE")
    assert take(replies) == (first, b"ONE", None)
    assert not by_payload[b"one"].reply(b"again")

    # Dropped by the service, and then nobody there: the client hears of both.
    client.call(b"three")
    request = take(requests)
    request.drop()
    request.drop()
    assert not request.reply(b"too late")
    sequence, payload, error = take(replies)
    assert (sequence, payload) == (3, None)
    assert "no answer" in error
    service.undeclare()
    assert here.graph.wait_until(lambda graph: not client.is_ready(), 20)
    client.call(b"four")
    assert take(replies)[1] is None


def test_every_call_ends_once_when_the_service_dies(two: tuple[Session, Session]) -> None:
    here, there = two
    requests: queue.Queue[Request] = queue.Queue()
    replies: list[tuple[int, bytes | None, str | None]] = []
    client = here.create_client(
        here.declare_node("asks"),
        "/do",
        TRIGGER,
        qos_profile_services_default,
        lambda *item: replies.append(item),
    )
    there.create_service(
        there.declare_node("does"), "/do", TRIGGER, qos_profile_services_default, requests.put
    )
    assert here.graph.wait_until(lambda graph: client.is_ready(), 20)
    calls = [client.call(b"x") for _ in range(3)]
    held = [take(requests) for _ in range(3)]
    assert held[0].reply(b"done")
    wait_until(lambda: len(replies) == 1)
    there.close()
    wait_until(lambda: len(replies) == 3)
    assert sorted(item[0] for item in replies) == calls
    held[1].reply(b"after the end")
    assert len(replies) == 3


def test_samples_without_attachment_are_counted_and_dropped(two: tuple[Session, Session]) -> None:
    here, there = two
    samples: queue.Queue[Sample] = queue.Queue()
    subscriber = there.create_subscriber(there.declare_node("n"), "/x", STRING, QOS, samples.put)
    publisher = here.create_publisher(here.declare_node("m"), "/x", STRING, QOS)
    connected(here, there, "/x")
    flow(publisher, samples)
    here._zenoh.put(publisher.key, b"no attachment")
    here._zenoh.put(publisher.key, b"bad attachment", attachment=b"x" * 33)
    publisher.put(b"good")
    assert take(samples).payload == b"good"
    assert subscriber.rejected == 2


def test_a_failing_callback_does_no_harm(
    two: tuple[Session, Session], caplog: pytest.LogCaptureFixture
) -> None:
    here, there = two
    samples: queue.Queue[Sample] = queue.Queue()

    def on_sample(sample: Sample) -> None:
        samples.put(sample)
        raise KeyError("boom")

    there.create_subscriber(there.declare_node("n"), "/x", STRING, QOS, on_sample)
    publisher = here.create_publisher(here.declare_node("m"), "/x", STRING, QOS)
    connected(here, there, "/x")
    flow(publisher, samples)
    publisher.put(b"still alive")
    assert take(samples).payload == b"still alive"
    wait_until(lambda: "receiving a sample of /x failed" in caplog.text)


def test_undeclared_endpoints_are_gone(two: tuple[Session, Session]) -> None:
    here, there = two
    node = here.declare_node("short")
    samples: queue.Queue[Sample] = queue.Queue()
    publisher = here.create_publisher(node, "/x", STRING, QOS)
    there.create_subscriber(there.declare_node("n"), "/x", STRING, QOS, samples.put)
    connected(here, there, "/x")
    node.undeclare()
    node.undeclare()
    assert there.graph.wait_until(
        lambda graph: not graph.count_publishers("/x") and len(graph.nodes()) == 1, 20
    )
    with pytest.raises(RuntimeError, match="was destroyed"):
        publisher.put(b"x")


def test_a_closed_session_refuses(ros_graph: dict[str, str]) -> None:
    session = Session.open()
    node = session.declare_node("n")
    publisher = session.create_publisher(node, "/y", STRING, QOS)
    client = session.create_client(node, "/do", TRIGGER, qos_profile_services_default, lambda *item: None)
    session.close()
    session.close()
    assert session.is_closed
    with pytest.raises(SessionError, match="closed"):
        session.create_publisher(node, "/x", STRING, QOS)
    with pytest.raises(SessionError, match="closed"):
        session.declare_node("m")
    with pytest.raises(RuntimeError, match="cannot publish on /y"):
        publisher.put(b"x")
    with pytest.raises(RuntimeError, match="cannot call /do"):
        client.call(b"x")
    node.undeclare()


def test_closing_amid_traffic(ros_graph: dict[str, str]) -> None:
    """Network threads are in callbacks while their session goes; nothing may hang or crash."""
    listener = Session.open()
    heard = threading.Event()
    listener.create_subscriber(
        listener.declare_node("l"), "/x", STRING, qos_profile_sensor_data, lambda sample: heard.set()
    )
    for _ in range(8):
        talker = Session.open()
        publisher = talker.create_publisher(talker.declare_node("t"), "/x", STRING, qos_profile_sensor_data)
        echo = Session.open()
        echo.create_subscriber(
            echo.declare_node("e"), "/x", STRING, qos_profile_sensor_data, lambda sample: time.sleep(0)
        )
        stop = threading.Event()

        def talk(publisher: Any = publisher, stop: threading.Event = stop) -> None:
            with contextlib.suppress(RuntimeError):  # until the session goes
                while not stop.is_set():
                    publisher.put(bytes(5000))

        threads = [threading.Thread(target=talk) for _ in range(2)]
        for thread in threads:
            thread.start()
        heard.clear()
        assert heard.wait(20)
        echo.close()
        talker.close()
        stop.set()
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
    listener.close()


def test_domains_do_not_mix(ros_graph: dict[str, str]) -> None:
    one = Session.open()
    other = Session.open(domain_id=(one.domain_id + 1) % 100)
    samples: queue.Queue[Sample] = queue.Queue()
    other.create_subscriber(other.declare_node("n"), "/x", STRING, QOS, samples.put)
    publisher = one.create_publisher(one.declare_node("m"), "/x", STRING, QOS)
    twin: queue.Queue[Sample] = queue.Queue()
    one.create_subscriber(one.declare_node("o"), "/x", STRING, QOS, twin.put)
    publisher.put(b"x")
    assert take(twin).payload == b"x"
    assert [node.name for node in other.graph.nodes()] == ["n"]
    assert samples.empty()
    one.close()
    other.close()


def test_images_at_30_hz_arrive_whole(two: tuple[Session, Session]) -> None:
    here, there = two
    arrived: list[int] = []
    image = get_message("sensor_msgs/msg/Image")
    info = type_info(image)
    got = threading.Event()

    def on_sample(sample: Sample) -> None:
        if len(sample.payload) > 900_000:
            arrived.append(sample.sequence)
        got.set()

    there.create_subscriber(there.declare_node("n"), "/image", info, qos_profile_sensor_data, on_sample)
    publisher = here.create_publisher(here.declare_node("m"), "/image", info, qos_profile_sensor_data)
    connected(here, there, "/image")
    wait_until(lambda: publisher.put(b"probe") and got.wait(0.2))
    payload = serialize(image(height=480, width=640, encoding="rgb8", step=1920, data=bytes(921_600)))
    sent = []
    for _ in range(60):
        sent.append(publisher.put(payload))
        time.sleep(1 / 30)
    wait_until(lambda: len(arrived) == len(sent), what=f"arrival of {len(sent)} images")
    assert arrived == sent


# Configuration


def test_without_a_router(ros_graph: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    environ = {"ZENOH_CONFIG_OVERRIDE": 'connect/endpoints=["tcp/127.0.0.1:9"]'}
    with pytest.raises(SessionError, match="no Zenoh router after 1 attempts"):
        Session.open(environ={**environ, "ZENOH_ROUTER_CHECK_ATTEMPTS": "1"})
    caplog.clear()
    Session.open(environ={**environ, "ZENOH_ROUTER_CHECK_ATTEMPTS": "-1"}).close()
    assert not caplog.records
    Session.open(environ=environ).close()
    assert "no Zenoh router found yet" in caplog.text
    with pytest.raises(config.ConfigError, match="ZENOH_ROUTER_CHECK_ATTEMPTS='x'"):
        Session.open(environ={**environ, "ZENOH_ROUTER_CHECK_ATTEMPTS": "x"})


# The end of a process

PROGRAM = """
import sys, threading, time
from qeil_ros.rosless.session import Session
from qeil_ros.rosless.types import get_message, type_info
from qeil_ros.rosless.qos import QoSProfile
session = Session.open()
node = session.declare_node("mortal")
info = type_info(get_message("std_msgs/msg/String"))
session.create_subscriber(node, "/x", info, QoSProfile(depth=1, durability=1), lambda sample: None)
session.create_publisher(node, "/x", info, QoSProfile(depth=1, durability=1)).put(b"x")
print("ready", flush=True)
{end}
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("", 0),
        ("raise KeyError('boom')", 1),
        ("sys.exit(3)", 3),
        ("session.close()", 0),
        ("del session, node", 0),
        ("threading.Thread(target=time.sleep, args=(0.2,)).start()", 0),
    ],
)
def test_no_process_hangs_at_exit(ros_graph: dict[str, str], end: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(end=end)],
        env=ros_graph,
        cwd=REPO,
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "ready\n"), done.stderr


def test_a_killed_process_leaves_the_graph(ros_graph: dict[str, str]) -> None:
    session = Session.open()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(end="time.sleep(60)")],
        env=ros_graph,
        cwd=REPO,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert session.graph.wait_until(lambda graph: graph.count_publishers("/x"), 30)
        process.send_signal(signal.SIGKILL)
        assert session.graph.wait_until(lambda graph: not graph.nodes() and not graph.endpoints(), 30)
    finally:
        process.kill()
        process.wait(10)
        session.close()


def test_reliability_reaches_zenoh(ros_graph: dict[str, str]) -> None:
    session = Session.open()
    node = session.declare_node("n")
    keep_all = QoSProfile(history=HistoryPolicy.KEEP_ALL)
    blocking = session.create_publisher(node, "/a", STRING, keep_all)
    dropping = session.create_publisher(node, "/b", STRING, QOS)
    lossy = session.create_publisher(
        node,
        "/c",
        STRING,
        QoSProfile(history=HistoryPolicy.KEEP_ALL, reliability=ReliabilityPolicy.BEST_EFFORT),
    )
    control = [item._entity.congestion_control for item in (blocking, dropping, lossy)]
    drop = zenoh.CongestionControl.DROP
    assert control == [zenoh.CongestionControl.BLOCK, drop, drop]
    session.close()
