from __future__ import annotations

import array
import math
import os
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
import tiny_models
from builtin_interfaces.msg import Time
from node_testing import Graph, latest_status, values_of
from qeil_ros.msg import FeatureFrame, InferenceResult, OffboardStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import Header
from support import wait_until

from qeil_ros.codec import encode
from qeil_ros.models.engine import OnnxEngine
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.tasks import Answer
from qeil_ros.nodes import qos
from qeil_ros.nodes.co_inference import CoInferenceNode, CoInferenceParameters

FEATURES = {"red": [1, 0, 0], "green": [0, 1, 0], "blue": [0, 0, 1], "dark": [0, 0, 0]}


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


def coded(colour: str) -> array.array:
    return array.array("B", encode(np.array(FEATURES[colour], np.float32), bits=8))


@pytest.fixture
def frame(digest):
    def make(sequence: int, colour: str = "red", **changes) -> FeatureFrame:
        values = {
            "header": Header(stamp=Time(sec=sequence, nanosec=5), frame_id="camera"),
            "run": 77,
            "sequence": sequence,
            "model": "tiny",
            "model_digest": digest,
            "split": "mean",
            "feature_bits": 8,
            "time_left_s": 20.0,
            "encode_s": 0.004,
            "energy_j": 0.25,
            "energy_source": "a meter",
            "energy_quality": InferenceResult.QUALITY_MEASURED,
            "data": coded(colour),
        }
        return FeatureFrame(**{**values, **changes})

    return make


class Link:
    """The robot's side of the link: what it sends, and what it hears."""

    def __init__(self, graph, robot=""):
        base = robot + "/" if robot else ""
        self.results = graph.listen(InferenceResult, base + "offboard/result", qos.FEATURES)
        self.statuses = graph.listen(OffboardStatus, base + "offboard/status", qos.HEARTBEAT)
        self._features = graph.publisher(FeatureFrame, base + "features", qos.FEATURES)

    def send(self, frame):
        self._features.publish(frame)

    def result(self, sequence):
        def found():
            return [result for result in self.results if result.sequence == sequence]

        wait_until(found, what=f"the result of frame {sequence}")
        return found()[0]

    def wait_for_status(self, condition):
        wait_until(lambda: self.statuses and condition(self.statuses[-1]), what="the status")
        return self.statuses[-1]


def test_every_frame_is_answered(graph, model, digest, frame):
    graph.start(CoInferenceNode, model=str(model))
    link = Link(graph)
    for sequence, colour in enumerate(FEATURES):
        sent = frame(sequence, colour)
        link.send(sent)
        result = link.result(sequence)
        assert result.labels[0] == colour and len(result.scores) == 2
        assert result.confidence == pytest.approx(result.scores[0])
        assert (result.header, result.run) == (sent.header, 77)
        assert result.source == InferenceResult.SOURCE_OFFBOARD
        assert (result.model, result.model_digest) == ("tiny", digest)
        assert 0 <= result.queue_s < 5 and 0 < result.inference_s < 5
        assert result.encode_s == pytest.approx(0.004)
        assert math.isnan(result.transfer_s) and math.isnan(result.total_s)
        assert result.bytes_sent == len(sent.data)
        assert (result.energy_j, result.energy_source) == (0.25, "a meter")
        assert result.energy_quality == InferenceResult.QUALITY_MEASURED
    status = link.wait_for_status(lambda s: s.frames_answered == 4)
    assert status.state == OffboardStatus.STATE_READY and status.reason == ""
    assert 0 < status.inference_p50_s <= status.inference_p99_s


def test_captions_and_embeddings_are_answers_too(graph, tmp_path, frame):
    path = tiny_models.captioner(tmp_path / "captions")
    node = graph.start(CoInferenceNode, model=str(path))
    link = Link(graph)
    link.send(frame(1, "blue", model_digest=ModelFolder.load(path).digest))
    result = link.result(1)
    assert result.text == "blue thing thing" and list(result.labels) == []

    path = tiny_models.embedder(tmp_path / "embeddings")
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.set_parameters([Parameter("model", value=str(path))])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    link = Link(graph)
    link.send(frame(2, "blue", model_digest=ModelFolder.load(path).digest))
    assert list(link.result(2).embedding) == pytest.approx([0, 0, 2], abs=0.01)


def test_several_answers_are_drawn_within_the_budget(graph, tmp_path, frame):
    path = tiny_models.captioner(tmp_path / "captions")
    node = graph.start(
        CoInferenceNode,
        model=str(path),
        samples=12,
        sampling_temperature=3.0,
        sampling_certainty=1.0,
        sampling_energy_j=1000.0,
        active_core_w=5.0,
    )
    link = Link(graph)
    link.send(frame(1, "dark", model_digest=ModelFolder.load(path).digest))
    result = link.result(1)
    assert result.text in ("red thing", "green", "blue thing thing")
    assert result.samples == 12 and 4 <= result.samples_agreeing < 12  # the likeliest of three in twelve
    assert result.offboard_energy_j > 0 and result.offboard_energy_source
    assert result.offboard_energy_quality != InferenceResult.QUALITY_NONE
    assert (result.energy_j, result.energy_source) == (0.25, "a meter"), "the robot's own stays"
    heard = link.statuses[-1].sequence if link.statuses else 0
    link.wait_for_status(lambda s: s.frames_answered == 1 and s.sequence > heard + 1)
    told = values_of(node.diagnostics.report())
    assert told["stopped_samples"] == "1" and told["question_energy_source"] == result.offboard_energy_source


def test_a_model_whose_answers_cannot_be_drawn_is_refused(graph, model):
    node = graph.start(CoInferenceNode, model=str(model), samples=2, activate=False)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE


def test_the_heartbeat_says_who_answers(graph, model, digest):
    graph.start(CoInferenceNode, model=str(model), heartbeat_s=0.05)
    link = Link(graph)
    status = link.wait_for_status(lambda s: s.sequence >= 3)
    assert status.period_s == pytest.approx(0.05)
    assert (status.server, status.model, status.model_digest) == ("/co_inference", "tiny", digest)
    assert status.device == "onnxruntime CPUExecutionProvider"
    assert status.load == 0 and status.queue == 0 and math.isnan(status.inference_p50_s)
    sequences = [entry.sequence for entry in link.statuses]
    assert sequences == sorted(sequences) and len({entry.run for entry in link.statuses}) == 1


def test_another_model_is_refused_and_the_robot_is_told_why(graph, model, frame):
    node = graph.start(CoInferenceNode, model=str(model))
    link = Link(graph)
    arrays = graph.diagnostics()
    link.send(frame(1, model="other", model_digest="f" * 64))
    status = link.wait_for_status(lambda s: s.state == OffboardStatus.STATE_REFUSING)
    assert "'other' (digest 'ffffffffffff')" in status.reason and "'tiny'" in status.reason
    assert status.frames_refused == 1
    wait_until(
        lambda: "give both the same model" in getattr(latest_status(arrays, "co_inference"), "message", "")
    )
    link.send(frame(2))
    link.result(2)
    link.wait_for_status(lambda s: s.state == OffboardStatus.STATE_READY)
    assert [result.sequence for result in link.results] == [2]
    assert node.diagnostics.counter("frames_refused") == 1


def corrupt(data: array.array) -> array.array:
    """A bit of the payload turned over: the header is as it was, the checksum is not."""
    changed = array.array("B", data)
    changed[-6] ^= 1
    return changed


def other_shape() -> array.array:
    return array.array("B", encode(np.zeros(4, np.float32)))


def other_type() -> array.array:
    return array.array("B", encode(np.zeros(3, np.float16)))


def enormous() -> array.array:
    return array.array("B", encode(np.zeros(1 << 20, np.float32), bits=1))


HOSTILE = {
    "no data": {"data": array.array("B")},
    "noise": {"data": array.array("B", os.urandom(500))},
    "cut off": {"data": coded("red")[:-3]},
    "a bit turned over": {"data": corrupt(coded("red"))},
    "more behind": {"data": coded("red") + array.array("B", bytes(9))},
    "another shape": {"data": other_shape()},
    "another type": {"data": other_type()},
    "too large": {"data": enormous()},
    "an unknown split": {"split": "x" * 1000},
    "no split": {"split": ""},
    "no time": {"time_left_s": math.nan},
    "endless time": {"time_left_s": math.inf},
    "no model": {"model": "", "model_digest": ""},
}


def test_what_cannot_be_read_is_counted_and_dropped(graph, model, frame):
    node = graph.start(CoInferenceNode, model=str(model))
    link = Link(graph)
    for count, (name, changes) in enumerate(HOSTILE.items(), start=1):
        link.send(frame(1000 + count, **changes))
        wait_until(lambda: node.diagnostics.counter("frames_refused") >= count, what=name)  # noqa: B023
        status = link.wait_for_status(lambda s: s.frames_refused == count)  # noqa: B023
        assert status.state == OffboardStatus.STATE_REFUSING, name
        assert 0 < len(status.reason) < 500, name
        link.send(frame(count))
        link.result(count)
    assert {result.sequence for result in link.results} == set(range(1, len(HOSTILE) + 1))


def test_frames_past_their_deadline_are_dropped(graph, model, frame):
    graph.start(CoInferenceNode, model=str(model))
    link = Link(graph)
    link.send(frame(1, time_left_s=0.0))
    link.send(frame(2, time_left_s=-5.0))
    status = link.wait_for_status(lambda s: s.frames_late == 2)
    assert status.state == OffboardStatus.STATE_OVERLOADED
    link.send(frame(3))
    link.result(3)
    link.wait_for_status(lambda s: s.state == OffboardStatus.STATE_READY)
    assert [result.sequence for result in link.results] == [3]


class GateEngine(OnnxEngine):
    """The real server part, behind a gate that a test opens."""

    def __init__(self, folder):
        super().__init__(folder)
        self.gate = threading.Event()
        self.sizes: list[int] = []
        self.closed = False

    def submit(self, split, features, deadline_s=math.inf):
        self.sizes.append(len(features))
        done: Future = Future()

        def work():
            self.gate.wait(30)
            done.set_result(super(GateEngine, self).submit(split, features).result())

        threading.Thread(target=work).start()
        return done

    def close(self):
        self.closed = True
        self.gate.set()
        super().close()


@pytest.fixture
def gated(graph):
    """Starts the node with a GateEngine; gives (node, engines made so far)."""
    engines: list[GateEngine] = []

    def make_engine(folder, params):
        engines.append(GateEngine(folder))
        return engines[-1]

    def start(**parameters):
        return graph.start(lambda **kwargs: CoInferenceNode(make_engine, **kwargs), **parameters), engines

    yield start
    for engine in engines:
        engine.gate.set()


class LoopingEngine(OnnxEngine):
    """One whose model has lost its way for what is not red."""

    def submit(self, split, features, deadline_s=math.inf):
        done: Future = Future()
        texts = ["red" if row[0] > 0.5 else "blue " * 9 for row in np.asarray(features)]
        done.set_result([Answer(text=text) for text in texts])
        return done


def test_an_answer_that_cannot_be_one_is_not_sent(graph, model, frame):
    graph.start(
        lambda **kwargs: CoInferenceNode(lambda folder, _: LoopingEngine(folder), **kwargs), model=str(model)
    )
    arrays, link = graph.diagnostics(), Link(graph)
    link.send(frame(1, "blue"))
    wait_until(lambda: values_of(latest_status(arrays, "co_inference")).get("answers_unsound") == "1")
    assert "says 'blue' more than 4 times" in latest_status(arrays, "co_inference").message
    link.send(frame(2, "red"))
    assert link.result(2).text == "red"
    assert [result.sequence for result in link.results] == [2]


def test_heartbeats_go_on_while_the_model_runs(graph, gated, model, frame):
    _, engines = gated(model=str(model))
    link = Link(graph)
    link.send(frame(1))
    wait_until(lambda: engines[0].sizes)
    link.send(frame(2))
    before = len(link.statuses)
    status = link.wait_for_status(
        lambda s: len(link.statuses) >= before + 5 and s.queue == 1 and s.load > 0.9
    )
    assert status.frames_answered == 0
    engines[0].gate.set()
    link.result(1)
    link.result(2)


def test_frames_of_several_robots_run_together(graph, gated, model, frame):
    names = ["r1", "r2", "/far/r3"]
    _, engines = gated(model=str(model), robots=names)
    links = [Link(graph, name) for name in names]
    links[0].send(frame(1, "red"))
    wait_until(lambda: engines[0].sizes)  # the engine is busy with the first frame; the others wait
    for sequence, (link, colour) in enumerate(zip(links, FEATURES, strict=False), start=2):
        link.send(frame(sequence, colour))
    links[0].wait_for_status(lambda s: s.queue == 3)
    engines[0].gate.set()
    for sequence, (link, colour) in enumerate(zip(links, FEATURES, strict=False), start=2):
        assert link.result(sequence).labels[0] == colour
    assert engines[0].sizes == [1, 3]
    assert [len(link.results) for link in links] == [2, 1, 1], "nobody gets another robot's answers"


def test_a_robot_that_sends_too_fast_loses_its_own_oldest_frames(graph, gated, model, frame):
    node, engines = gated(model=str(model), robots=["fast", "slow"], max_queue=2)
    fast, slow = Link(graph, "fast"), Link(graph, "slow")
    fast.send(frame(0))
    wait_until(lambda: engines[0].sizes)
    slow.send(frame(100))
    for sequence in range(1, 6):
        fast.send(frame(sequence))
    wait_until(lambda: node.diagnostics.counter("frames_replaced") == 3)
    engines[0].gate.set()
    slow.result(100)
    fast.result(4)
    fast.result(5)
    assert {result.sequence for result in fast.results} == {0, 4, 5}
    assert fast.wait_for_status(lambda s: s.frames_late == 3).state == OffboardStatus.STATE_OVERLOADED
    assert slow.statuses[-1].frames_late == 0


def test_the_lifecycle_can_be_gone_through_again(graph, gated, model, frame):
    node, engines = gated(model=str(model))
    link = Link(graph)
    link.send(frame(1))
    wait_until(lambda: engines[0].sizes)
    link.send(frame(2))
    engines[0].gate.set()
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    count = len(link.statuses)
    time.sleep(0.3)
    assert len(link.statuses) <= count + 1, "no heartbeat while inactive"
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    link.send(frame(3))
    link.result(3)
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    assert engines[0].closed
    wait_until(lambda: graph.probe.count_publishers("offboard/status") == 0)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert len(engines) == 2
    engines[1].gate.set()
    link = Link(graph)
    link.send(frame(4))
    link.result(4)
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    assert engines[1].closed


def test_a_model_that_cannot_be_loaded_leaves_the_node_unconfigured(graph, model):
    node = graph.start(CoInferenceNode, activate=False, model="no such model")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.set_parameters([Parameter("model", value=str(model))])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


@pytest.mark.parametrize("robots", [[], ["a", "a"], ["a", "/a/"], ["a b"], ["ä"], ["a//b"]])
def test_impossible_robots_are_refused(robots):
    with pytest.raises(ValueError, match="robots: "):
        CoInferenceParameters(robots=robots)


def test_diagnostics_tell_what_happened(graph, model, frame, digest):
    graph.start(CoInferenceNode, model=str(model))
    arrays = graph.diagnostics()
    link = Link(graph)
    link.send(frame(1))
    link.result(1)
    wait_until(lambda: values_of(latest_status(arrays, "co_inference")).get("frames_answered") == "1")
    values = values_of(latest_status(arrays, "co_inference"))
    assert values["frames_received"] == "1" and values["frames_refused"] == "0"
    assert values["model_digest"] == digest
    assert float(values["inference_p50_s"]) > 0
