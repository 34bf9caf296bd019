"""The picture of the graph, fed with tokens."""

from __future__ import annotations

import threading
import time

import pytest

from qeil_ros.rosless.graph import Graph, NodeEntity
from qeil_ros.rosless.qos import QoSProfile
from qeil_ros.rosless.types import TypeStore
from qeil_ros.rosless.wire import EntityKind, endpoint_token, node_token

STORE = TypeStore("jazzy")
STRING = STORE.message_info("std_msgs/msg/String")
IMAGE = STORE.message_info("sensor_msgs/msg/Image")
TRIGGER = STORE.get_service("std_srvs/srv/Trigger").__type_info__
CAMERA = NodeEntity("aa", "camera", "/robot", node_id=0)
VIEWER = NodeEntity("bb", "viewer", "/", node_id=0)
QOS = QoSProfile(depth=1)


@pytest.fixture
def graph() -> Graph:
    graph = Graph()
    for node in (VIEWER, CAMERA):
        graph.add(node_token(0, node))
    for entity_id, (node, kind, name, info) in enumerate(
        [
            (CAMERA, EntityKind.PUBLISHER, "/robot/image", IMAGE),
            (CAMERA, EntityKind.PUBLISHER, "/rosout", STRING),
            (VIEWER, EntityKind.SUBSCRIPTION, "/robot/image", IMAGE),
            (VIEWER, EntityKind.SUBSCRIPTION, "/robot/image", STRING),
            (CAMERA, EntityKind.SERVICE, "/robot/reset", TRIGGER),
            (VIEWER, EntityKind.CLIENT, "/robot/reset", TRIGGER),
        ],
        1,
    ):
        graph.add(endpoint_token(0, node, entity_id, kind, name, info, QOS))
    return graph


def test_questions(graph: Graph) -> None:
    assert [node.fully_qualified_name for node in graph.nodes()] == ["/robot/camera", "/viewer"]
    assert graph.names_and_types() == [
        ("/robot/image", ["sensor_msgs/msg/Image", "std_msgs/msg/String"]),
        ("/rosout", ["std_msgs/msg/String"]),
    ]
    assert graph.services() == [("/robot/reset", ["std_srvs/srv/Trigger"])]
    assert (graph.count_publishers("/robot/image"), graph.count_subscribers("/robot/image")) == (1, 2)
    assert (graph.count_services("/robot/reset"), graph.count_clients("/robot/reset")) == (1, 1)
    assert graph.count_publishers("/nothing") == 0
    publisher = graph.publishers("/robot/image")[0]
    assert (publisher.node_name, publisher.namespace, publisher.zid) == ("camera", "/robot", "aa")
    assert publisher.type_hash == IMAGE.hash
    assert graph.names_and_types(("viewer", "/")) == [
        ("/robot/image", ["sensor_msgs/msg/Image", "std_msgs/msg/String"])
    ]
    assert len(graph.endpoints(node=("camera", "/robot"))) == 3


def test_repetitions_and_removals(graph: Graph) -> None:
    token = node_token(0, CAMERA)
    version = graph.version
    graph.add(token)
    assert graph.version == version
    graph.remove(token)
    graph.remove(token)
    assert graph.version == version + 1
    assert [node.name for node in graph.nodes()] == ["viewer"]


def test_two_nodes_of_one_name_are_two(graph: Graph) -> None:
    graph.add(node_token(0, NodeEntity("cc", "camera", "/robot")))
    assert [node.name for node in graph.nodes()] == ["camera", "camera", "viewer"]


def test_bad_tokens_are_counted(graph: Graph) -> None:
    before = len(graph.endpoints())
    for token in ("nonsense", "@ros2_lv/0/z/0/1/MP/%/%/n/%t/bad/hash/::,1:,:,:,,"):
        graph.add(token)
    assert graph.rejected == 2
    assert len(graph.endpoints()) == before


def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qeil_ros.rosless.graph.MAX_TOKENS", 10)
    graph = Graph()
    for number in range(30):
        graph.add(node_token(0, NodeEntity("aa", f"n{number}", "/", node_id=number)))
    assert len(graph.nodes()) == 10
    assert graph.rejected == 20


def test_waiting(graph: Graph) -> None:
    assert not graph.wait_for_change(0.01)
    version = graph.version
    threading.Timer(0.05, graph.remove, [node_token(0, CAMERA)]).start()
    assert graph.wait_for_change(20, version)
    assert graph.wait_for_change(0, version), "a change before the call counts"
    assert not graph.wait_until(lambda item: item.count_publishers("/nothing"), 0.02)
    start = time.monotonic()
    assert graph.wait_until(lambda item: item.nodes(), 20)
    assert time.monotonic() - start < 5


def test_callbacks(graph: Graph, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def fail() -> None:
        raise KeyError("boom")

    failing = graph.on_change(fail)
    listener = graph.on_change(lambda: calls.append(graph.version))
    graph.remove(node_token(0, CAMERA))
    assert calls == [graph.version]
    assert "a callback on graph changes failed" in caplog.text
    listener.undeclare()
    listener.undeclare()
    failing.undeclare()
    graph.add(node_token(0, CAMERA))
    assert len(calls) == 1
