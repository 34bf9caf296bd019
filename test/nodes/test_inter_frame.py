"""Differences through the whole graph: sent once both receivers have a frame, never at an answer's cost."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest
from node_testing import Graph
from qeil_ros.msg import FeatureFrame, FeatureReceipt, InferenceResult
from sensor_msgs.msg import Image
from support import wait_until

from qeil_ros.codec import is_key, peek
from qeil_ros.models.tabletop import photograph
from qeil_ros.nodes import qos
from qeil_ros.nodes.co_inference import CoInferenceNode
from qeil_ros.nodes.encoder import EncoderNode
from qeil_ros.nodes.fallback import FallbackNode
from qeil_ros.safety.link import Link

DEADLINE_S = 5.0
PATIENT = {"margin_s": 0.2, "slack_s": 0.8}  # of the fallback, for a machine that is busy with other tests


class Robot:
    """A graph with a camera that looks at one scene; `show` sends a picture and waits for its answer."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.frames = graph.listen(FeatureFrame, "features", qos.FEATURES)
        self.results = graph.listen(InferenceResult, "result", qos.RESULTS)
        self.receipts = graph.listen(FeatureReceipt, "features/receipt", qos.RECEIPTS)
        self._images = graph.publisher(Image, "image")
        self._shown = 0
        self._picture = cv2.resize(photograph(3)[1], (160, 120))
        self._random = np.random.default_rng(0)

    def show(self) -> InferenceResult:
        picture = np.clip(self._picture + self._random.integers(-3, 4, self._picture.shape), 0, 255)
        for _ in range(10):  # best effort: an image may be lost
            self._shown += 1
            image = Image(height=120, width=160, step=480, encoding="rgb8")
            image.header.stamp.sec = self._shown
            image.data = array.array("B", picture.astype(np.uint8).tobytes())
            self._images.publish(image)
            try:
                wait_until(lambda: self._result() is not None, timeout_s=2 * DEADLINE_S)
            except AssertionError:
                continue
            found = self._result()
            assert found is not None
            return found
        raise AssertionError("no picture got an answer")

    def _result(self) -> InferenceResult | None:
        return next((r for r in self.results if r.header.stamp.sec == self._shown), None)

    def settle(self) -> None:
        """Waits until the encoder could refer to the last frame."""
        wait_until(lambda: self.receipts and self.receipts[-1].sequence == self.results[-1].sequence)

    def data(self, result: InferenceResult) -> bytes:
        return next(bytes(f.data) for f in self.frames if f.sequence == result.sequence)


@pytest.fixture
def graph(ros_graph):
    with Graph() as graph:
        yield graph


def start(graph: Graph, **parameters) -> tuple[Robot, EncoderNode, CoInferenceNode, FallbackNode]:
    server = graph.start(CoInferenceNode, model="tabletop", heartbeat_s=0.5)
    fallback = graph.start(FallbackNode, model="tabletop", heartbeat_timeout_s=20.0, **PATIENT)
    encoder = graph.start(
        EncoderNode, model="tabletop", image_transport="raw", deadline_s=DEADLINE_S, **parameters
    )
    robot = Robot(graph)
    wait_until(lambda: graph.probe.count_subscribers("features") >= 3)
    wait_until(lambda: fallback._link_state[0] == Link.UP, what="the link is up")
    return robot, encoder, server, fallback


def test_differences_are_sent_and_answered_as_whole_frames_are(graph):
    robot, encoder, server, fallback = start(graph)
    first = robot.show()
    assert is_key(robot.data(first))
    for _ in range(6):
        robot.settle()
        result = robot.show()
        assert result.source == InferenceResult.SOURCE_OFFBOARD and result.text == first.text
        assert not is_key(robot.data(result))
        assert result.bytes_sent < 0.6 * first.bytes_sent
    assert encoder.diagnostics.counter("key_frames") < encoder.diagnostics.counter("frames_encoded")
    for node in (server, fallback):
        assert node.diagnostics.counter("references_missing") == 0


def test_without_inter_frame_every_frame_stands_by_itself(graph):
    robot, _, _, _ = start(graph, inter_frame=False, max_frame_bytes=300, keep_tokens=0.7)
    for _ in range(3):
        data = robot.data(robot.show())
        assert is_key(data) and len(data) <= 300 and peek(data).mask.kept_rows == 12
    assert not any(frame.reference for frame in robot.frames) and not robot.receipts


def test_a_server_that_was_started_anew_gets_a_key_frame_and_answers_again(graph):
    robot, encoder, server, _ = start(graph)
    robot.show()
    robot.settle()
    assert not is_key(robot.data(robot.show()))
    server.trigger_deactivate()
    server.trigger_cleanup()
    other = graph.start(CoInferenceNode, model="tabletop", heartbeat_s=0.5)
    wait_until(lambda: robot.receipts and not robot.receipts[-1].decoded, what="word of the loss")
    assert is_key(robot.data(robot.show()))
    # Whoever answers: the fallback waits for a server only when it has been back for a while.
    wait_until(lambda: robot.show().source == InferenceResult.SOURCE_OFFBOARD)
    robot.settle()
    result = robot.show()
    assert not is_key(robot.data(result)) and result.source == InferenceResult.SOURCE_OFFBOARD
    assert other.diagnostics.counter("references_missing") == 0
    assert encoder.diagnostics.counter("keys_requested") >= 1


def test_a_frame_that_the_server_cannot_decode_is_answered_locally_and_brings_a_key_frame(graph):
    robot, _, server, _ = start(graph)
    robot.show()
    robot.settle()
    for keeper in (keeper for robot_ in server._robots for keeper in robot_.keepers.values()):
        keeper.decoder.forget()
    result = robot.show()
    assert not is_key(robot.data(result)) and result.source == InferenceResult.SOURCE_LOCAL and result.text
    assert server.diagnostics.counter("references_missing") == 1
    wait_until(lambda: not robot.receipts[-1].decoded)
    result = robot.show()
    assert is_key(robot.data(result)) and result.source == InferenceResult.SOURCE_OFFBOARD


def test_a_fallback_that_was_started_anew_asks_for_a_key_frame(graph):
    robot, _, _, fallback = start(graph)
    robot.show()
    robot.settle()
    fallback.trigger_deactivate()
    fallback.trigger_cleanup()
    other = graph.start(FallbackNode, model="tabletop", heartbeat_timeout_s=20.0, **PATIENT)
    wait_until(lambda: graph.probe.count_subscribers("features") >= 3)
    result = robot.show()  # a difference, which the new fallback cannot decode; the server can
    assert result.source == InferenceResult.SOURCE_OFFBOARD
    wait_until(lambda: not robot.receipts[-1].decoded)
    assert other.diagnostics.counter("references_missing") == 1
    assert is_key(robot.data(robot.show()))
    robot.settle()
    assert not is_key(robot.data(robot.show()))


def test_without_a_server_frames_stand_by_themselves(graph):
    graph.start(FallbackNode, model="tabletop", **PATIENT)
    graph.start(EncoderNode, model="tabletop", image_transport="raw", deadline_s=DEADLINE_S)
    robot = Robot(graph)
    wait_until(lambda: graph.probe.count_subscribers("features") >= 2)
    for _ in range(3):
        result = robot.show()
        assert is_key(robot.data(result)) and result.source == InferenceResult.SOURCE_LOCAL
