"""The fallback through its topics; the test plays encoder, offboard computer and supervisor.

No test depends on luck: a link that must be up is kept up by one heartbeat that promises the next in 20 s,
and one that must be down never had any.
"""

from __future__ import annotations

import array
import math
import time

import numpy as np
import pytest
import tiny_models
from builtin_interfaces.msg import Time
from node_testing import Graph, latest_status, values_of
from qeil_ros.msg import FeatureFrame, InferenceResult, OffboardStatus, OperatingPoint
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from support import wait_until

from qeil_ros.codec import encode
from qeil_ros.models.folder import ModelFolder
from qeil_ros.nodes import qos
from qeil_ros.nodes.fallback import FallbackNode

LONG_S = 20.0
FEATURES = {"red": [1, 0, 0], "green": [0, 1, 0], "blue": [0, 0, 1], "dark": [0, 0, 0]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def digest(model):
    return ModelFolder.load(model).digest


class World:
    """The rest of the graph around one fallback node."""

    def __init__(self, graph, digest):
        self.graph, self.digest = graph, digest
        self.results: list = []

    def start(self, model, **parameters):
        # Room for a machine that is busy with other tests.
        parameters = {"slack_s": 0.2, **parameters}
        node = self.graph.start(FallbackNode, model=str(model), **parameters)
        self.results = self.graph.listen(InferenceResult, "result", qos.RESULTS)
        self.reports = self.graph.diagnostics()
        self.connect()
        return node

    def connect(self):
        self._features = self.graph.publisher(FeatureFrame, "features", qos.FEATURES)
        self._answers = self.graph.publisher(InferenceResult, "offboard/result", qos.RESULTS)
        self._status = self.graph.publisher(OffboardStatus, "offboard/status", qos.HEARTBEAT)
        self._points = self.graph.publisher(OperatingPoint, "operating_point", qos.LATEST)

    def link_up(self, **changes):
        """One heartbeat that lasts for the whole test, given a `heartbeat_timeout_s` of 30."""
        values = {"run": 1, "sequence": 0, "period_s": LONG_S, "model": "tiny", "model_digest": self.digest}
        self._status.publish(OffboardStatus(**{**values, **changes}))
        self.wait_for("link", "up" if not changes else self.value("link"))

    def frame(self, sequence, colour="red", *, time_left_s=LONG_S, **changes):
        values = {
            "header": Header(stamp=Time(sec=sequence, nanosec=5), frame_id="camera"),
            "run": 77,
            "sequence": sequence,
            "model": "tiny",
            "model_digest": self.digest,
            "split": "mean",
            "feature_bits": 8,
            "time_left_s": time_left_s,
            "encode_s": 0.004,
            "energy_j": 0.25,
            "energy_source": "a meter",
            "energy_quality": InferenceResult.QUALITY_MEASURED,
            "data": array.array("B", encode(np.array(FEATURES[colour], np.float32), bits=8)),
        }
        sent = FeatureFrame(**{**values, **changes})
        self._features.publish(sent)
        return sent

    def answer(self, sequence, **changes):
        values = {
            "run": 77,
            "sequence": sequence,
            "source": InferenceResult.SOURCE_OFFBOARD,
            "model": "tiny",
            "model_digest": self.digest,
            "labels": ["blue"],
            "scores": [0.75],
            "confidence": 0.75,
            "queue_s": 0.0,
            "inference_s": 1e-6,
        }
        self._answers.publish(InferenceResult(**{**values, **changes}))

    def point(self, **changes):
        values = {"route": OperatingPoint.ROUTE_LOCAL, "valid_for_s": 60.0}
        self._points.publish(OperatingPoint(**{**values, **changes}))

    def result(self, sequence, run=77):
        def found():
            return [result for result in self.results if (result.run, result.sequence) == (run, sequence)]

        wait_until(found, what=f"the result of frame {sequence} of run {run}")
        return found()[0]

    def value(self, name):
        return values_of(latest_status(self.reports, "fallback")).get(name, "")

    def wait_for(self, name, value):
        wait_until(lambda: self.value(name) == str(value), what=f"{name} = {value}")

    def message(self):
        status = latest_status(self.reports, "fallback")
        return status.message if status else ""


@pytest.fixture
def world(ros_graph, digest):
    with Graph() as graph:
        yield World(graph, digest)


def test_offboard_answer_in_time_is_the_answer(world, model, digest):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    sent = world.frame(3)
    wait_until(lambda: world.value("pending") == "1", what="the frame waits")
    world.answer(3)
    result = world.result(3)
    assert result.source == InferenceResult.SOURCE_OFFBOARD and result.reason == "offboard in time"
    assert (list(result.labels), list(result.scores)) == (["blue"], [0.75])
    assert result.header == sent.header
    assert (result.model, result.model_digest) == ("tiny", digest)
    assert result.encode_s == pytest.approx(0.004)
    assert 0 < result.transfer_s < result.total_s < LONG_S
    assert result.bytes_sent == len(sent.data)
    assert (result.energy_j, result.energy_source) == (0.25, "a meter")
    assert result.energy_quality == InferenceResult.QUALITY_MEASURED


def test_without_a_heartbeat_the_local_model_answers_at_once(world, model):
    world.start(model, active_core_w=2.0)
    world.wait_for("link", "down")
    for sequence, colour in enumerate(FEATURES):
        world.frame(sequence, colour)
        result = world.result(sequence)
        assert result.source == InferenceResult.SOURCE_LOCAL
        assert "no heartbeat yet" in result.reason
        assert result.labels[0] == colour
        assert result.total_s < LONG_S / 2, "it did not wait for the deadline"
        assert math.isnan(result.transfer_s)
        assert 0 <= result.queue_s < LONG_S and 0 < result.inference_s < LONG_S
        assert result.energy_j > 0.25
        assert result.energy_quality == InferenceResult.QUALITY_MODELLED
        assert "a meter" in result.energy_source and "active_core_w=2" in result.energy_source
    world.wait_for("answers_local", 4)
    assert "no heartbeat yet" in world.message()


def test_silent_server_is_waited_for_until_the_local_model_must_start(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    world.frame(0, "green", time_left_s=1.0)
    result = world.result(0)
    assert result.source == InferenceResult.SOURCE_LOCAL
    assert result.reason == "no offboard answer in time"
    assert result.labels[0] == "green"
    assert result.total_s > 0.5, "it gave the offboard computer its chance"
    assert math.isnan(result.energy_j), "the local share is unknown, so the sum is"
    assert result.energy_quality == InferenceResult.QUALITY_NONE


def test_late_and_repeated_answers_are_counted_never_published(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    world.frame(0, time_left_s=0.5)
    assert world.result(0).source == InferenceResult.SOURCE_LOCAL
    world.answer(0)
    world.wait_for("offboard_late", 1)
    world.frame(1)
    world.answer(1)
    world.result(1)
    world.answer(1)
    world.wait_for("offboard_repeated", 1)
    world.frame(1)
    world.wait_for("frames_repeated", 1)
    assert [result.sequence for result in world.results] == [0, 1]


def test_supervisor_can_send_the_robot_local_and_be_silent_again(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    world.point()
    # The point holds from when it is heard; frames until then wait for the offboard computer.
    sequence = 0
    while True:
        world.frame(sequence, time_left_s=0.5)
        result = world.result(sequence)
        assert result.source == InferenceResult.SOURCE_LOCAL
        sequence += 1
        if result.reason == "the operating point says local":
            break
        assert sequence < 20
    world.point(valid_for_s=0.01)  # a supervisor that dies: back to the node's own way
    deadline_s = time.monotonic() + 20
    while world.result(sequence - 1).reason == "the operating point says local":
        assert time.monotonic() < deadline_s
        world.frame(sequence, time_left_s=0.5)
        world.result(sequence)
        sequence += 1
    assert world.result(sequence - 1).reason == "no offboard answer in time"


def test_told_to_be_local_it_takes_offboard_answers_only_where_the_local_model_fails(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    world.point()
    world.wait_for("route", "local")
    world.frame(0, "green")
    result = world.result(0)
    assert (result.source, result.reason) == (InferenceResult.SOURCE_LOCAL, "the operating point says local")
    world.answer(0)
    world.wait_for("offboard_unneeded", 1)
    world.frame(1, data=array.array("B", b"nonsense" * 10))
    world.wait_for("local_failed", 1)
    world.answer(1)
    result = world.result(1)
    assert result.source == InferenceResult.SOURCE_OFFBOARD and result.labels[0] == "blue"
    assert result.reason.startswith("offboard in time, since the local model failed")
    assert [result.sequence for result in world.results] == [0, 1]


def test_bad_operating_points_are_refused(world, model):
    world.start(model)
    world.point(valid_for_s=math.nan)
    world.wait_for("operating_points_bad", 1)
    world.point(route=9)
    world.wait_for("operating_points_bad", 2)
    assert "route 9" in world.message()


def test_frames_of_another_model_get_no_answer_and_say_so(world, model):
    world.start(model)
    world.frame(0, model="other", model_digest="f" * 64)
    result = world.result(0)
    assert result.source == InferenceResult.SOURCE_NONE
    assert "'other'" in result.reason and "same model folder" in result.reason
    assert math.isnan(result.confidence)
    world.wait_for("frames_refused", 1)
    assert "'other'" in world.message()


def test_answers_that_cannot_be_are_refused(world, model):
    world.start(model, heartbeat_timeout_s=30.0, least_confidence=0.3)
    world.link_up()
    world.frame(0, "green", time_left_s=5.0)
    bad = [
        {"model_digest": "f" * 64},
        {"source": InferenceResult.SOURCE_LOCAL},
        {"scores": [math.nan]},
        {"labels": ["a", "b"]},
        {"text": "x" * 5000},
        {"embedding": [math.inf]},
        {"boxes": [0.0, 1.0]},
        {"confidence": 7.0},
        {"confidence": 0.2},
        {"text": "and so on " * 9},
    ]
    for number, changes in enumerate(bad):
        world.answer(0, **changes)
        if number == 4:  # more than 8 at a time would not wait for the node
            world.wait_for("answers_refused", 5)
    world.wait_for("answers_refused", len(bad))
    result = world.result(0)
    assert result.source == InferenceResult.SOURCE_LOCAL and result.labels[0] == "green"


def test_server_with_another_model_is_not_waited_for(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up(model="other", model_digest="f" * 64)
    world.wait_for("link", "down")
    world.frame(0)
    result = world.result(0)
    assert result.source == InferenceResult.SOURCE_LOCAL and "'other'" in result.reason
    assert "same model folder" in world.message()


def test_overloaded_server_degrades_the_link(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up(state=OffboardStatus.STATE_OVERLOADED, reason="too many robots")
    world.wait_for("link", "degraded")
    assert "too many robots" in world.message()


def test_unreadable_features_get_no_answer_in_time(world, model):
    world.start(model)
    world.wait_for("link", "down")
    world.frame(0, time_left_s=0.5, data=array.array("B", b"nonsense" * 10))
    world.frame(1, time_left_s=0.5, split="unknown")
    result = world.result(0)
    assert result.source == InferenceResult.SOURCE_NONE
    assert "local model failed" in result.reason
    result = world.result(1)
    assert result.source == InferenceResult.SOURCE_NONE
    assert "no local model" in result.reason
    world.frame(2, "blue")
    assert world.result(2).labels[0] == "blue", "the next frame is answered as ever"


def test_hostile_deadlines_are_answered_at_once(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    for sequence, time_left_s in enumerate((math.nan, -5.0, math.inf, 0.0)):
        world.frame(sequence, time_left_s=time_left_s)
        assert world.result(sequence).source == InferenceResult.SOURCE_NONE


def test_encoder_that_restarts_leaves_no_frame_unanswered(world, model):
    world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    world.frame(500, time_left_s=1.0)
    world.frame(0, run=78)
    world.answer(0, run=78)
    assert world.result(0, run=78).source == InferenceResult.SOURCE_OFFBOARD
    assert world.result(500).source == InferenceResult.SOURCE_LOCAL


def test_without_a_local_model_there_is_an_explicit_no_answer(world, tmp_path):
    path = tiny_models.classifier(tmp_path / "tiny", local=False)
    world.start(path, heartbeat_timeout_s=30.0)
    wait_until(lambda: "no local model" in world.message(), what="the warning")
    world.link_up()
    world.frame(0, time_left_s=0.5)
    result = world.result(0)
    assert result.source == InferenceResult.SOURCE_NONE
    assert "no local model" in result.reason
    world.frame(1)
    world.answer(1)
    assert world.result(1).source == InferenceResult.SOURCE_OFFBOARD


def test_outage_crowds_out_the_oldest(world, tmp_path):
    path = tiny_models.classifier(tmp_path / "tiny", local=False)
    world.start(path, max_pending=3)
    for sequence in range(5):
        world.frame(sequence)
    for sequence in (0, 1):
        result = world.result(sequence)
        assert result.source == InferenceResult.SOURCE_NONE
        assert result.reason == "too many frames were waiting"
    world.wait_for("frames_crowded_out", 2)
    world.wait_for("pending", 3)


def test_deactivation_answers_what_waits_and_activation_starts_afresh(world, model):
    node = world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    world.frame(0)
    wait_until(lambda: world.value("pending") == "1", what="the frame waits")
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    result = world.result(0)
    assert result.source == InferenceResult.SOURCE_NONE and "deactivated" in result.reason
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    world.connect()
    world.wait_for("answers_none", 0)
    # A new activation may be sent the first frame again only by an encoder that runs anew.
    world.frame(0, "blue", run=79, time_left_s=0.5)
    assert world.result(0, run=79).labels[0] == "blue"


def test_node_can_be_configured_again_and_again(world, model):
    node = world.start(model)
    for _ in range(2):
        assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    world.connect()
    world.wait_for("link", "down")
    world.frame(0, "green")
    assert world.result(0).labels[0] == "green"


def test_margin_can_change_while_the_node_runs(world, model):
    node = world.start(model, heartbeat_timeout_s=30.0)
    world.link_up()
    (outcome,) = node.set_parameters([Parameter("margin_s", value=0.9)])
    assert outcome.successful
    world.frame(0, time_left_s=1.5)
    assert world.result(0).total_s < 1.0
    (outcome,) = node.set_parameters([Parameter("margin_s", value=-1.0)])
    assert not outcome.successful


def test_missing_model_is_an_answer_not_a_crash(world):
    node = world.graph.start(FallbackNode, activate=False, model="/nowhere")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
