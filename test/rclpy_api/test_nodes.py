"""Nodes: names, namespaces, remapping, and what they know of the graph."""

from __future__ import annotations

import pytest
import rclpy
from rclpy.context import Context
from rclpy.exceptions import (
    InvalidNamespaceException,
    InvalidNodeNameException,
    InvalidServiceNameException,
    InvalidTopicNameException,
    NotInitializedException,
)
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.topic_endpoint_info import TopicEndpointTypeEnum
from std_msgs.msg import Int32, String
from std_srvs.srv import Trigger
from support import rosless_only


def ignore(*message):
    """A callback. Built-in functions would not do: some have no signature to look at."""


def test_name_and_namespace(make_node):
    node = make_node("talker", namespace="/robot1/front")
    assert node.get_name() == "talker"
    assert node.get_namespace() == "/robot1/front"
    assert node.get_fully_qualified_name() == "/robot1/front/talker"
    assert node.get_logger().name == "robot1.front.talker"


@pytest.mark.parametrize("given, expected", [("", "/"), ("ns", "/ns"), ("/ns", "/ns"), (None, "/")])
def test_namespace_may_be_relative_or_empty(make_node, given, expected):
    assert make_node(namespace=given).get_namespace() == expected


@pytest.mark.parametrize("name", ["", "1abc", "a b", "a/b", "a-b"])
def test_bad_node_names_are_refused(ros, name):
    with pytest.raises(InvalidNodeNameException):
        Node(name)


@pytest.mark.parametrize("namespace", ["/a//b", "/1a", "/a b", "/a/"])
def test_bad_namespaces_are_refused(ros, namespace):
    with pytest.raises(InvalidNamespaceException):
        Node("node", namespace=namespace)


def test_a_node_needs_init():
    with pytest.raises(NotInitializedException):
        Node("node")


@pytest.mark.parametrize(
    "name, resolved",
    [
        ("chatter", "/ns/chatter"),
        ("/chatter", "/chatter"),
        ("~/chatter", "/ns/talker/chatter"),
        ("~", "/ns/talker"),
        ("a/b", "/ns/a/b"),
        ("{node}/x", "/ns/talker/x"),
    ],
)
def test_names_are_expanded(make_node, name, resolved):
    node = make_node("talker", namespace="/ns")
    assert node.resolve_topic_name(name) == resolved
    assert node.resolve_service_name(name) == resolved


@pytest.mark.parametrize("name", ["", "/", "a//b", "a b", "1a", "a/1b", "a/", "x~", "~x", "a{b", "a-b"])
def test_bad_topic_and_service_names_are_refused(node, name):
    with pytest.raises(InvalidTopicNameException):
        node.create_publisher(String, name, 1)
    with pytest.raises(InvalidTopicNameException):
        node.create_subscription(String, name, ignore, 1)
    with pytest.raises(InvalidServiceNameException):
        node.create_service(Trigger, name, ignore)
    with pytest.raises(InvalidServiceNameException):
        node.create_client(Trigger, name)


def test_arguments_of_a_node_rename_and_remap(make_node):
    args = [
        "--ros-args",
        "-r",
        "__node:=other",
        "-r",
        "__ns:=/far",
        "-r",
        "image:=/camera/image",
        "-r",
        "~/out:=in",
    ]
    node = make_node("talker", namespace="/near", cli_args=args)
    assert node.get_fully_qualified_name() == "/far/other"
    assert node.resolve_topic_name("image") == "/camera/image"
    assert node.resolve_topic_name("/far/image") == "/camera/image"
    assert node.resolve_topic_name("image", only_expand=True) == "/far/image"
    assert node.resolve_topic_name("~/out") == "/far/in"
    assert node.create_publisher(String, "image", 1).topic_name == "/camera/image"


def test_rules_may_be_meant_for_one_node(make_node):
    args = ["--ros-args", "-r", "left:image:=/left/image", "-r", "right:image:=/right/image"]
    assert make_node("left", cli_args=args).resolve_topic_name("image") == "/left/image"
    assert make_node("right", cli_args=args).resolve_topic_name("image") == "/right/image"
    assert make_node("middle", cli_args=args).resolve_topic_name("image") == "/image"


def test_the_first_rule_that_matches_wins(make_node):
    args = ["--ros-args", "-r", "a:=first", "-r", "a:=second", "-r", "first:=third"]
    assert make_node(cli_args=args).resolve_topic_name("a") == "/first"


def test_rules_for_topics_and_services(make_node):
    args = ["--ros-args", "-r", "rostopic://a:=topic", "-r", "rosservice://a:=service"]
    node = make_node(cli_args=args)
    assert node.resolve_topic_name("a") == "/topic"
    assert node.resolve_service_name("a") == "/service"


def test_the_graph_knows_nodes_topics_and_services(make_node, spin_until):
    talker, listener = make_node("talker", namespace="/one"), make_node("listener")
    talker.create_publisher(String, "chatter", 1)
    talker.create_publisher(Int32, "/mixed", 1)
    listener.create_subscription(String, "/one/chatter", ignore, 1)
    listener.create_subscription(String, "/mixed", ignore, 1)
    listener.create_service(Trigger, "~/reset", ignore)
    talker.create_client(Trigger, "/listener/reset")

    def known() -> bool:
        return (
            {"talker", "listener"} <= set(listener.get_node_names())
            and listener.count_publishers("/one/chatter") == 1
            and talker.count_subscribers("/one/chatter") == 1
            and listener.count_subscribers("/mixed") == 1
            and talker.count_services("/listener/reset") == 1
            and listener.count_clients("/listener/reset") == 1
        )

    spin_until(known, talker, listener)
    assert ("talker", "/one") in listener.get_node_names_and_namespaces()
    assert "/one/talker" in listener.get_fully_qualified_node_names()
    topics = dict(listener.get_topic_names_and_types())
    assert topics["/one/chatter"] == ["std_msgs/msg/String"]
    assert topics["/mixed"] == ["std_msgs/msg/Int32", "std_msgs/msg/String"]
    assert dict(talker.get_service_names_and_types())["/listener/reset"] == ["std_srvs/srv/Trigger"]
    published = dict(listener.get_publisher_names_and_types_by_node("talker", "/one"))
    assert published["/one/chatter"] == ["std_msgs/msg/String"]
    subscribed = dict(talker.get_subscriber_names_and_types_by_node("listener", "/"))
    assert subscribed["/one/chatter"] == ["std_msgs/msg/String"]
    offered = dict(talker.get_service_names_and_types_by_node("listener", "/"))
    assert offered["/listener/reset"] == ["std_srvs/srv/Trigger"]
    called = dict(listener.get_client_names_and_types_by_node("talker", "/one"))
    assert called["/listener/reset"] == ["std_srvs/srv/Trigger"]
    assert talker.wait_for_node("/listener", timeout=5.0)
    assert not talker.wait_for_node("/nobody", timeout=0.2)


def test_unknown_nodes_have_no_topics(node):
    with pytest.raises(NodeNameNonExistentError):
        node.get_publisher_names_and_types_by_node("nobody", "/")


def test_endpoints_tell_their_quality_of_service(make_node, spin_until):
    node = make_node("talker", namespace="/ns")
    qos = QoSProfile(depth=3, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(String, "state", qos)
    node.create_subscription(String, "state", ignore, qos_profile_sensor_data)
    spin_until(lambda: node.count_publishers("state") and node.count_subscribers("state"), node)
    [publisher] = node.get_publishers_info_by_topic("state")
    assert (publisher.node_name, publisher.node_namespace) == ("talker", "/ns")
    assert publisher.topic_type == "std_msgs/msg/String"
    assert str(publisher.topic_type_hash).startswith("RIHS01_")
    assert publisher.endpoint_type is TopicEndpointTypeEnum.PUBLISHER
    assert publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert publisher.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    [subscription] = node.get_subscriptions_info_by_topic("state")
    assert subscription.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    assert subscription.endpoint_gid != publisher.endpoint_gid


def test_a_destroyed_node_leaves_the_graph(make_node, spin_until):
    stays, leaves = make_node("stays"), make_node("leaves")
    leaves.create_publisher(String, "chatter", 1)
    spin_until(lambda: stays.count_publishers("chatter") == 1, stays)
    leaves.destroy_node()
    spin_until(lambda: stays.count_publishers("chatter") == 0, stays)
    spin_until(lambda: "leaves" not in stays.get_node_names(), stays)


def test_entities_are_listed_until_they_are_destroyed(node):
    publisher = node.create_publisher(String, "a", 1)
    timer = node.create_timer(1.0, lambda: None)
    assert publisher in list(node.publishers)
    assert timer in list(node.timers)
    assert node.destroy_publisher(publisher)
    assert node.destroy_timer(timer)
    assert publisher not in list(node.publishers)
    assert not node.destroy_timer(timer)


@rosless_only("came to rclpy with Kilted")
def test_init_is_a_context_manager(ros_graph):
    with rclpy.init(args=[]):
        assert rclpy.ok()
        node = Node("node")
        node.destroy_node()
    assert not rclpy.ok()


def test_init_twice_is_an_error(ros):
    with pytest.raises(RuntimeError):
        rclpy.init(args=[])


def test_shutdown_twice_is_an_error_and_try_shutdown_is_not(ros_graph):
    rclpy.init(args=[])
    rclpy.shutdown()
    with pytest.raises(RuntimeError):
        rclpy.shutdown()
    rclpy.try_shutdown()
    # A new context serves after the old one.
    rclpy.init(args=[])
    assert rclpy.ok()
    rclpy.shutdown()


def test_nodes_may_be_destroyed_after_shutdown(ros_graph):
    rclpy.init(args=[])
    node = Node("node")
    node.create_publisher(String, "a", 1)
    node.create_timer(1.0, lambda: None)
    rclpy.shutdown()
    node.destroy_node()


def test_on_shutdown_callbacks_run_once(ros_graph):
    context = Context()
    calls = []
    rclpy.init(args=[], context=context)
    context.on_shutdown(lambda: calls.append(1))
    context.shutdown()
    context.try_shutdown()
    assert calls == [1]


def test_contexts_are_separate(ros):
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node("other", context=context)
    assert rclpy.ok(context=context)
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert not rclpy.ok(context=context)
    assert rclpy.ok()
