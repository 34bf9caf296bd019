from __future__ import annotations

from types import SimpleNamespace

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSCompatibility, QoSProfile
from support import wait_until

from qeil_ros.nodes import diagnostics as module
from qeil_ros.nodes.diagnostics import Diagnostics, qos_problems


@pytest.fixture
def node(ros_graph):
    rclpy.init(args=[])
    node = rclpy.create_node("talker", namespace="robot")
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def test_nothing_to_say_is_ok(node):
    report = Diagnostics(node, "thing").report()
    assert (report.level, report.message) == (DiagnosticStatus.OK, "OK")
    assert (report.name, report.hardware_id) == ("robot/talker", "thing")


def test_counters_and_values_are_shown(node):
    diagnostics = Diagnostics(node)
    diagnostics.count("frames", 0)
    diagnostics.count("answers")
    diagnostics.count("answers", 2)
    diagnostics.set("time_s", 1 / 3)
    diagnostics.set("name", "x")
    shown = {entry.key: entry.value for entry in diagnostics.report().values}
    assert shown == {"frames": "0", "answers": "3", "time_s": "0.333333", "name": "x"}
    assert diagnostics.counter("answers") == 3


def test_it_is_put_together_for_those_who_listen(node):
    diagnostics, asked, heard = Diagnostics(node), [], []
    diagnostics.sources.append(lambda: asked.append(1))
    diagnostics.publish()
    assert not asked
    node.create_subscription(DiagnosticArray, "/diagnostics", heard.append, 10)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spun() -> bool:
        executor.spin_once(timeout_sec=0.05)
        return bool(heard)

    wait_until(spun, what="a message")  # the timer's
    assert asked and heard[0].status[0].name == "robot/talker"


def test_the_worst_condition_comes_first_and_gives_the_level(node):
    diagnostics = Diagnostics(node)
    diagnostics.condition("a", "a little wrong")
    diagnostics.condition("b", "very wrong", DiagnosticStatus.ERROR)
    report = diagnostics.report()
    assert (report.level, report.message) == (DiagnosticStatus.ERROR, "very wrong; a little wrong")
    diagnostics.condition("b", "")
    assert diagnostics.report().level == DiagnosticStatus.WARN
    diagnostics.condition("a", "")
    assert diagnostics.report().level == DiagnosticStatus.OK


def test_events_are_counted_and_pass(node, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now_s)
    diagnostics = Diagnostics(node)
    diagnostics.event("bad", "first")
    diagnostics.event("bad", "second")
    report = diagnostics.report()
    assert (report.level, report.message) == (DiagnosticStatus.WARN, "second")
    now_s = 110.0
    report = diagnostics.report()
    assert report.level == DiagnosticStatus.OK
    assert [(entry.key, entry.value) for entry in report.values] == [("bad", "2")]


def test_qos_problems_name_who_and_why(monkeypatch):
    """What counts as incompatible is the middleware's to say; what we make of it is shown here."""
    profile = QoSProfile(depth=1)
    other = SimpleNamespace(
        node_name="camera",
        node_namespace="/",
        topic_type="sensor_msgs/msg/Image",
        qos_profile=QoSProfile(depth=2),
    )
    node = SimpleNamespace(
        get_publishers_info_by_topic=lambda topic: [other],
        get_subscriptions_info_by_topic=lambda topic: [other],
    )
    asked = []

    def check(publisher, subscription):
        asked.append((publisher.depth, subscription.depth))
        return QoSCompatibility.ERROR, "ERROR: they differ; "

    monkeypatch.setattr(module, "qos_check_compatible", check)
    (problem,) = qos_problems(node, "/image", profile, "sensor_msgs/msg/Image", subscribing=True)
    assert (
        problem.startswith("publisher /camera on /image has an incompatible QoS") and "they differ" in problem
    )
    (problem,) = qos_problems(node, "/image", profile, "sensor_msgs/msg/Image", subscribing=False)
    assert problem.startswith("subscription /camera on /image")
    assert asked == [(2, 1), (1, 2)]
    (problem,) = qos_problems(node, "/image", profile, "other/msg/Type", subscribing=True)
    assert "has type sensor_msgs/msg/Image, not other/msg/Type" in problem
    monkeypatch.setattr(module, "qos_check_compatible", lambda *_: (QoSCompatibility.WARNING, "maybe"))
    assert qos_problems(node, "/image", profile, "sensor_msgs/msg/Image", subscribing=True) == []
