"""The heartbeat that goes both ways: what the server makes of a robot's, and a robot of a server's."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tiny_models
from node_testing import Graph, latest_status, values_of
from qeil_ros.msg import FeatureFrame, InferenceResult, OffboardStatus, RobotHeartbeat
from support import wait_until

from qeil_ros.codec import encode
from qeil_ros.models.folder import ModelFolder
from qeil_ros.nodes import qos
from qeil_ros.nodes.co_inference import CoInferenceNode
from qeil_ros.nodes.fallback import FallbackNode


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def digest(model):
    return ModelFolder.load(model).digest


@pytest.fixture
def graph(ros_graph):
    with Graph() as graph:
        yield graph


def frame(digest, sequence, **changes):
    data = encode(np.array([1, 0, 0], np.float32), bits=8)
    values = {"run": 77, "sequence": sequence, "model": "tiny", "model_digest": digest, "split": "mean"}
    values |= {"feature_bits": 8, "time_left_s": 20.0, "data": list(data)}
    return FeatureFrame(**{**values, **changes})


class TestServer:
    def start(self, graph, model, **parameters):
        graph.start(CoInferenceNode, model=str(model), **parameters)
        self.statuses = graph.listen(OffboardStatus, "offboard/status", qos.HEARTBEAT)
        self.heartbeats = graph.publisher(RobotHeartbeat, "offboard/heartbeat", qos.HEARTBEAT)
        self.frames = graph.publisher(FeatureFrame, "features", qos.FEATURES)
        self.reports = graph.diagnostics()

    def wait(self, condition, what):
        wait_until(lambda: self.statuses and condition(self.statuses[-1]), what=what)
        return self.statuses[-1]

    def test_names_the_newest_message_of_the_robot_and_how_long_it_has_had_it(self, graph, model, digest):
        self.start(graph, model)
        status = self.wait(lambda s: True, "a heartbeat")
        assert status.heard_run == 0 and status.heard_age_s != status.heard_age_s
        self.heartbeats.publish(RobotHeartbeat(run=5, sequence=3, period_s=0.1))
        sent_s = time.monotonic()
        status = self.wait(lambda s: s.heard_run == 5, "the heartbeat's echo")
        assert status.heard_sequence == 3
        assert 0 <= status.heard_age_s <= time.monotonic() - sent_s + 1e-3
        self.frames.publish(frame(digest, 9))
        status = self.wait(lambda s: s.heard_run == 77, "the frame's echo")
        assert status.heard_sequence == 9

    def test_forgets_a_robot_that_has_gone_and_knows_it_when_it_is_back(self, graph, model, digest):
        self.start(graph, model, robot_timeout_s=0.3)

        def reported():
            status = latest_status(self.reports, "co_inference")
            return (status.message if status else "", values_of(status).get("robots"))

        self.frames.publish(frame(digest, 9, reference=True))
        wait_until(lambda: "not heard any more" in reported()[0], what="the robot is missed")
        status = self.wait(lambda s: s.heard_run == 77, "its last message is still named")
        assert status.decoded_run == 0, "what was kept for it is forgotten"

        def back():
            nonlocal sequence
            sequence += 1
            self.heartbeats.publish(RobotHeartbeat(run=5, sequence=sequence, period_s=0.1))
            time.sleep(0.05)
            return reported() == ("OK", "1")

        sequence = 0
        wait_until(back, what="the robot is back")


class TestRobot:
    def start(self, graph, model, digest, **parameters):
        self.digest, self.sequence = digest, 0
        graph.start(FallbackNode, model=str(model), slack_s=0.2, **parameters)
        self.heartbeats = graph.listen(RobotHeartbeat, "offboard/heartbeat", qos.HEARTBEAT)
        self.results = graph.listen(InferenceResult, "result", qos.RESULTS)
        self.frames = graph.publisher(FeatureFrame, "features", qos.FEATURES)
        self.statuses = graph.publisher(OffboardStatus, "offboard/status", qos.HEARTBEAT)
        self.answers = graph.publisher(InferenceResult, "offboard/result", qos.RESULTS)
        self.reports = graph.diagnostics()

    def beat(self, *, period_s=0.1, heard=None, **changes):
        values = {"run": 1, "sequence": self.sequence, "period_s": period_s, "model": "tiny"}
        values |= {"model_digest": self.digest, "heard_age_s": 0.0}
        if heard is not None:
            values |= {"heard_run": heard.run, "heard_sequence": heard.sequence}
        self.statuses.publish(OffboardStatus(**{**values, **changes}))
        self.sequence += 1

    def report(self):
        status = latest_status(self.reports, "fallback")
        return (status.message if status else "", values_of(status))

    def test_sends_heartbeats_while_it_has_no_frames(self, graph, model, digest):
        self.start(graph, model, digest)
        wait_until(lambda: len(self.heartbeats) >= 3, what="heartbeats")
        first, second, third = self.heartbeats[:3]
        assert first.run == third.run != 0
        assert first.sequence < second.sequence < third.sequence
        assert first.period_s == pytest.approx(0.1)

    def test_knows_when_it_is_not_heard_and_when_it_is_again(self, graph, model, digest):
        self.start(graph, model, digest)

        def deaf():
            self.beat()
            time.sleep(0.05)
            return "half-open" in self.report()[0]

        def hearing():
            self.beat(heard=self.heartbeats[-1])
            time.sleep(0.05)
            return self.report()[1].get("link") == "up"

        wait_until(deaf, what="the half-open link is noticed")
        wait_until(hearing, what="the link is up")

    def test_hedges_while_the_server_is_in_trouble_and_takes_its_answer_all_the_same(
        self, graph, model, digest
    ):
        self.start(graph, model, digest, heartbeat_timeout_s=30.0)
        self.beat(period_s=20.0, state=OffboardStatus.STATE_OVERLOADED, reason="too many robots")
        wait_until(lambda: self.report()[1].get("link") == "degraded", what="the link is in doubt")
        self.frames.publish(frame(digest, 0))
        wait_until(lambda: self.report()[1].get("hedges") == "1", what="the frame is hedged")
        assert not self.results, "the offboard answer may still come"
        self.answers.publish(
            InferenceResult(
                run=77,
                sequence=0,
                source=InferenceResult.SOURCE_OFFBOARD,
                model="tiny",
                model_digest=digest,
                labels=["blue"],
                scores=[0.5],
                confidence=0.5,
            )
        )
        wait_until(lambda: self.results, what="the answer")
        assert self.results[0].source == InferenceResult.SOURCE_OFFBOARD
        assert self.report()[1]["hedges_needed"] == "0"
