"""Publishing and subscribing."""

from __future__ import annotations

import threading

import pytest
import rclpy
from rclpy.exceptions import InvalidHandle, NoTypeSupportImportedException
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rclpy.wait_for_message import wait_for_message
from sensor_msgs.msg import Image
from std_msgs.msg import Int32, String
from std_srvs.srv import Trigger
from support import REAL_RCLPY

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_messages_arrive_in_order(make_node, spin_until):
    talker, listener = make_node("talker"), make_node("listener")
    received = []
    listener.create_subscription(Int32, "count", lambda message: received.append(message.data), 100)
    publisher = talker.create_publisher(Int32, "count", 100)
    spin_until(lambda: publisher.get_subscription_count() == 1, talker, listener)
    for number in range(50):
        publisher.publish(Int32(data=number))
    spin_until(lambda: len(received) == 50, listener)
    assert received == list(range(50))


def test_large_messages_arrive_whole(make_node, spin_until):
    talker, listener = make_node("talker"), make_node("listener")
    received = []
    listener.create_subscription(Image, "image", received.append, 1)
    publisher = talker.create_publisher(Image, "image", 1)
    spin_until(lambda: publisher.get_subscription_count() == 1, talker, listener)
    data = bytes(range(256)) * 3600
    publisher.publish(Image(height=480, width=640, encoding="rgb8", step=1920, data=data))
    spin_until(lambda: received, listener)
    assert bytes(memoryview(received[0].data)) == data
    assert received[0].encoding == "rgb8"


def test_bytes_are_published_and_received_raw(node, spin_until):
    raw, parsed = [], []
    node.create_subscription(String, "chatter", raw.append, 1, raw=True)
    node.create_subscription(String, "chatter", parsed.append, 1)
    publisher = node.create_publisher(String, "chatter", 1)
    spin_until(lambda: publisher.get_subscription_count() == 2, node)
    message = String(data="hällo")
    publisher.publish(serialize_message(message))
    spin_until(lambda: raw and parsed, node)
    assert parsed == [message]
    assert deserialize_message(raw[0], String) == message


def test_callbacks_may_take_what_is_known_about_the_message(node, spin_until):
    infos = []
    node.create_subscription(String, "chatter", lambda message, info: infos.append(info), 1)
    publisher = node.create_publisher(String, "chatter", 1)
    spin_until(lambda: publisher.get_subscription_count() == 1, node)
    publisher.publish(String())
    spin_until(lambda: infos, node)
    sent_ns, received_ns = (infos[0][name] for name in ("source_timestamp", "received_timestamp"))
    # Not every middleware says when it received a message.
    assert sent_ns > 0 and (received_ns >= sent_ns or (REAL_RCLPY and received_ns == 0))


def test_callbacks_must_take_one_or_two_arguments(node):
    with pytest.raises(RuntimeError):
        node.create_subscription(String, "chatter", lambda: None, 1)


def test_a_queue_keeps_the_newest(make_node, spin_until):
    talker, listener = make_node("talker"), make_node("listener")
    received, seen = [], []
    listener.create_subscription(Int32, "count", lambda message: received.append(message.data), 2)
    # Arrives after the others and tells that they have arrived.
    watcher = make_node("watcher")
    watcher.create_subscription(Int32, "count", lambda message: seen.append(message.data), 100)
    publisher = talker.create_publisher(Int32, "count", 100)
    spin_until(lambda: publisher.get_subscription_count() == 2, talker, watcher)
    for number in range(10):
        publisher.publish(Int32(data=number))
    spin_until(lambda: len(seen) == 10, watcher)
    found = [False]
    marker = make_node("marker")
    marker.create_timer(0.5, lambda: found.__setitem__(0, True))
    spin_until(lambda: found[0], listener, marker)
    assert received == [8, 9]


def test_late_subscribers_get_what_is_latched(make_node, spin_until):
    publisher = make_node("talker").create_publisher(String, "state", LATCHED)
    publisher.publish(String(data="old"))
    publisher.publish(String(data="new"))
    received = []
    listener = make_node("listener")
    listener.create_subscription(String, "state", lambda message: received.append(message.data), LATCHED)
    spin_until(lambda: received, listener)
    assert received == ["new"]


def test_best_effort_subscribers_hear_reliable_publishers(node, spin_until):
    received = []
    qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(String, "chatter", received.append, qos)
    publisher = node.create_publisher(String, "chatter", 5)
    spin_until(lambda: publisher.get_subscription_count() == 1, node)
    node.create_timer(0.1, lambda: publisher.publish(String(data="x")))
    spin_until(lambda: received, node)


def test_other_types_are_refused(node):
    publisher = node.create_publisher(String, "chatter", 1)
    with pytest.raises(TypeError):
        publisher.publish(Int32())
    with pytest.raises(TypeError):
        publisher.publish("text")
    for not_a_message in (int, Trigger):
        with pytest.raises((RuntimeError, AttributeError, TypeError, NoTypeSupportImportedException)):
            node.create_publisher(not_a_message, "chatter", 1)


def test_depth_and_profile(node):
    assert node.create_publisher(String, "a", 7).qos_profile.depth == 7
    with pytest.raises(ValueError):
        node.create_publisher(String, "a", -1)
    with pytest.raises(TypeError):
        node.create_publisher(String, "a", "reliable")


def test_destroyed_entities_are_silent(make_node, spin_until):
    talker, listener = make_node("talker"), make_node("listener")
    first, second = [], []
    subscription = listener.create_subscription(String, "chatter", first.append, 1)
    listener.create_subscription(String, "chatter", second.append, 1)
    publisher = talker.create_publisher(String, "chatter", 1)
    spin_until(lambda: publisher.get_subscription_count() == 2, talker, listener)
    listener.destroy_subscription(subscription)
    spin_until(lambda: publisher.get_subscription_count() == 1, talker, listener)
    publisher.publish(String())
    spin_until(lambda: second, listener)
    assert first == []
    talker.destroy_publisher(publisher)
    with pytest.raises(InvalidHandle):
        publisher.publish(String())


def test_publishing_after_shutdown_is_an_error(ros_graph):
    rclpy.init(args=[])
    node = rclpy.create_node("node")
    publisher = node.create_publisher(String, "chatter", 1)
    rclpy.shutdown()
    with pytest.raises(RuntimeError):
        publisher.publish(String())
    node.destroy_node()


def test_wait_for_message(make_node):
    talker, listener = make_node("talker"), make_node("listener")
    found, message = wait_for_message(String, listener, "chatter", time_to_wait=0.1)
    assert (found, message) == (False, None)
    publisher = talker.create_publisher(String, "chatter", LATCHED)
    publisher.publish(String(data="here"))
    found, message = wait_for_message(String, listener, "chatter", qos_profile=LATCHED, time_to_wait=20.0)
    assert found
    assert message.data == "here"


def test_any_thread_may_publish(node, spin_until):
    received = []
    node.create_subscription(Int32, "count", lambda message: received.append(message.data), 1000)
    publisher = node.create_publisher(Int32, "count", 1000)
    spin_until(lambda: publisher.get_subscription_count() == 1, node)

    def publish(base: int) -> None:
        for number in range(50):
            publisher.publish(Int32(data=base + number))

    threads = [threading.Thread(target=publish, args=(base,)) for base in (0, 100, 200)]
    for thread in threads:
        thread.start()
    spin_until(lambda: len(received) == 150, node)
    for thread in threads:
        thread.join()
    for base in (0, 100, 200):
        assert [number for number in received if base <= number < base + 100] == list(range(base, base + 50))


def test_a_message_loop_that_publishes_from_callbacks(make_node, spin_until):
    ping, pong = make_node("ping"), make_node("pong")
    back = pong.create_publisher(Int32, "back", 1)
    pong.create_subscription(Int32, "there", lambda message: back.publish(Int32(data=message.data + 1)), 1)
    there = ping.create_publisher(Int32, "there", 1)
    last = [0]

    def on_back(message: Int32) -> None:
        last[0] = message.data
        there.publish(message)

    ping.create_subscription(Int32, "back", on_back, 1)
    spin_until(lambda: there.get_subscription_count() and back.get_subscription_count(), ping, pong)
    there.publish(Int32(data=0))
    spin_until(lambda: last[0] >= 100, ping, pong)
