"""Both directions against an independent implementation of rmw_zenoh's protocol."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import wait_until

from qeil_ros.rosless.qos import QoSProfile, qos_profile_services_default
from qeil_ros.rosless.session import NodeHandle, Request, Sample, Session
from qeil_ros.rosless.types import deserialize, get_message, get_service, serialize, type_info

pytest.importorskip("zenoh_ros2_sdk")

String = get_message("std_msgs/msg/String")
STRING = type_info(String)
AddTwoInts = get_service("example_interfaces/srv/AddTwoInts")
ADD = type_info(AddTwoInts)
QOS = QoSProfile(depth=10)


class Peer:
    """The other implementation, in a process of its own."""

    def __init__(self, environ: dict[str, str], home: Path) -> None:
        port = re.search(r":(\d+)", environ["ZENOH_CONFIG_OVERRIDE"])
        assert port is not None
        self._errors = (home / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("peer_script.py")), port[1]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**environ, "HOME": str(home), "GIT_CONFIG_GLOBAL": str(home / "gitconfig")},
        )
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("answer "):
                self._answers.put(line[7:])

    def do(self, action: str, name: str = "", **order: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": action, "name": name, **order}) + "\n")
        self.process.stdin.flush()
        try:
            return json.loads(self._answers.get(timeout=60))
        except queue.Empty:
            self._errors.seek(0)
            raise AssertionError(f"the peer did not answer {action!r}:\n{self._errors.read()}") from None

    def until(self, answer: Callable[[Any], object], action: str, what: str) -> None:
        """Repeats a listing: the peer's are incomplete at times."""
        wait_until(lambda: answer(self.do(action)), 40, what)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(10)
        self._errors.close()


@pytest.fixture
def peer(ros_graph: dict[str, str], tmp_path: Path) -> Iterator[Peer]:
    peer = Peer(ros_graph, tmp_path)
    yield peer
    peer.close()


@pytest.fixture
def session(ros_graph: dict[str, str]) -> Iterator[Session]:
    session = Session.open()
    yield session
    session.close()


@pytest.fixture
def node(session: Session) -> NodeHandle:
    return session.declare_node("ours", "/robot")


def test_we_hear_the_peer(peer: Peer, session: Session, node: NodeHandle) -> None:
    samples: queue.Queue[Sample] = queue.Queue()
    session.create_subscriber(node, "/robot/heard", STRING, QOS, samples.put)
    assert peer.do("publisher", "/robot/heard") == STRING.hash
    assert session.graph.wait_until(lambda graph: graph.count_publishers("/robot/heard"), 20)
    publisher = session.graph.publishers("/robot/heard")[0]
    assert (publisher.node_name, publisher.type_name) == ("peer_talker", "std_msgs/msg/String")

    def hear(text: str) -> Sample | None:
        peer.do("publish", "/robot/heard", data=text)
        try:
            return samples.get(timeout=0.5)
        except queue.Empty:
            return None

    found: list[Sample] = []
    wait_until(lambda: found.append(sample) or True if (sample := hear("é from there")) else False)
    assert deserialize(found[0].payload, String).data == "é from there"
    assert found[0].sequence >= 0
    assert abs(found[0].received_time_ns - found[0].source_time_ns) < 60 * 10**9


def test_the_peer_hears_us(peer: Peer, session: Session, node: NodeHandle) -> None:
    assert peer.do("subscriber", "/robot/said") == STRING.hash
    publisher = session.create_publisher(node, "/robot/said", STRING, QOS)
    assert session.graph.wait_until(lambda graph: graph.count_subscribers("/robot/said"), 20)

    def say() -> Any:
        publisher.put(serialize(String(data="from here")))
        return peer.do("take", timeout_s=0.5)

    wait_until(lambda: say() == "from here")
    peer.until(
        lambda topics: topics.get("/robot/said") == ["std_msgs/msg/String"], "topics", "our topic in its list"
    )


def test_the_peer_calls_us(peer: Peer, session: Session, node: NodeHandle) -> None:
    def answer(request: Request) -> None:
        numbers = deserialize(request.payload, AddTwoInts.Request)
        request.reply(serialize(AddTwoInts.Response(sum=numbers.a + numbers.b)))

    session.create_service(node, "/robot/add", ADD, qos_profile_services_default, answer)
    peer.until(
        lambda services: services.get("/robot/add") == ["example_interfaces/srv/AddTwoInts"],
        "services",
        "our service in its list",
    )
    peer.do("client", "/robot/add", hash=ADD.hash)
    wait_until(lambda: peer.do("call", a=2**40, b=-1) == 2**40 - 1, 60)


def test_we_call_the_peer(peer: Peer, session: Session, node: NodeHandle) -> None:
    replies: queue.Queue[tuple[int, bytes | None, str | None]] = queue.Queue()
    client = session.create_client(
        node, "/robot/sum", ADD, qos_profile_services_default, lambda *reply: replies.put(reply)
    )
    assert not client.is_ready()
    peer.do("server", "/robot/sum", hash=ADD.hash)
    assert session.graph.wait_until(lambda graph: client.is_ready(), 20)

    def call() -> int | None:
        client.call(serialize(AddTwoInts.Request(a=40, b=2)))
        _, payload, _ = replies.get(timeout=20)
        return None if payload is None else deserialize(payload, AddTwoInts.Response).sum

    wait_until(lambda: call() == 42)
