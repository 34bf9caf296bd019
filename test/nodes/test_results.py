from __future__ import annotations

import math
import time

import numpy as np
import pytest
import tiny_models
from qeil_ros.msg import FeatureFrame, InferenceResult

from qeil_ros.codec import BitstreamError, encode
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.tasks import Answer
from qeil_ros.nodes import arrival
from qeil_ros.nodes.arrival import arrival_s, informed
from qeil_ros.nodes.local import LocalModel
from qeil_ros.nodes.results import Frame, Reply, message_of, result, transfer_s
from qeil_ros.safety.arbiter import Key, Publish, Source


def action(source, reply, **changes):
    values = {"encode_s": 0.01, "energy_j": 0.5, "energy_source": "a meter", "energy_quality": 1}
    frame = Frame(FeatureFrame(run=1, sequence=2, data=[1, 2, 3], **{**values, **changes}), arrived_s=100.0)
    return Publish(Key(1, 2), frame, source, reply, "the reason")


def test_no_answer_has_no_figures_but_the_whole_time():
    message = result(action(Source.NONE, None), 100.2)
    assert message.total_s == pytest.approx(0.21)
    for name in ("transfer_s", "queue_s", "inference_s", "confidence"):
        assert math.isnan(getattr(message, name)), name
    assert (message.energy_j, message.energy_source) == (0.5, "a meter")
    assert (message.run, message.sequence, message.bytes_sent) == (1, 2, 3)
    assert message.reason == "the reason"


def test_times_of_an_offboard_answer_add_up():
    reply = Reply(InferenceResult(text="yes", confidence=0.5), 0.02, 0.03, arrived_s=100.1)
    message = result(action(Source.OFFBOARD, reply), 100.11)
    assert message.text == "yes" and message.source == InferenceResult.SOURCE_OFFBOARD
    assert message.transfer_s == pytest.approx(0.05)
    assert (message.queue_s, message.inference_s) == (pytest.approx(0.02), pytest.approx(0.03))
    assert message.total_s == pytest.approx(0.12)


def test_server_that_claims_too_much_time_leaves_none_for_the_link():
    frame = action(Source.OFFBOARD, None).frame
    assert transfer_s(frame, Reply(None, 5.0, 5.0, arrived_s=100.1)) == 0.0
    assert math.isnan(transfer_s(frame, Reply(None, math.nan, 5.0, arrived_s=100.1)))


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ((1.5, "a meter", 1), (1.5, "a meter", 1)),
        ((math.nan, "a meter", 1), None),
        ((-1.0, "a meter", 1), None),
        ((math.inf, "a meter", 1), None),
        ((1.5, "\x1b[2J", 1), None),
        ((1.5, "m" * 10_000, 1), None),
        ((1.5, "a meter", 9), None),
        ((0.0, "", 0), None),  # what a server gives that says nothing of it
    ],
)
def test_the_servers_energy_is_passed_on_where_it_can_be(given, passed_on):
    reply = Reply(InferenceResult(samples=3), 0.0, 0.01, arrived_s=100.1)
    message = reply.message
    message.offboard_energy_j, message.offboard_energy_source, message.offboard_energy_quality = given
    found = result(action(Source.OFFBOARD, reply), 100.2)
    told = (found.offboard_energy_j, found.offboard_energy_source, found.offboard_energy_quality)
    assert told == passed_on or (passed_on is None and math.isnan(told[0]) and told[1:] == ("", 0))
    assert found.samples == 3


def test_energy_of_a_local_answer_is_the_sum_and_its_quality_the_lesser():
    reply = Reply(InferenceResult(), 0.0, 0.01, energy_j=0.25, energy_source="a model")
    message = result(action(Source.LOCAL, reply), 100.1)
    assert message.energy_j == pytest.approx(0.75)
    assert message.energy_source == "encoder: a meter; local: a model"
    assert message.energy_quality == InferenceResult.QUALITY_MODELLED
    unknown = result(action(Source.LOCAL, reply, energy_j=math.nan), 100.1)
    assert math.isnan(unknown.energy_j) and unknown.energy_source == ""
    assert unknown.energy_quality == InferenceResult.QUALITY_NONE


def test_answer_becomes_a_message():
    answer = Answer("text", ["a"], [0.5], np.array([1, 2], np.float32), 0.25)
    message = message_of(answer)
    assert (message.text, list(message.labels), list(message.scores)) == ("text", ["a"], [0.5])
    assert list(message.embedding) == [1.0, 2.0] and message.confidence == 0.25


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    path = tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny")
    return LocalModel(ModelFolder.load(path), warm_up_runs=3)


class TestLocalModel:
    def test_is_timed_before_the_first_frame(self, local):
        cost = local.cost("mean")
        assert 0 < cost.typical_s <= cost.worst_s
        assert local.cost("unknown") is None
        assert local.splits == ["mean"]

    def test_answers_coded_features(self, local):
        answer, took_s = local.run("mean", encode(np.array([0, 1, 0], np.float32), bits=8))
        assert answer.labels[0] == "green" and took_s > 0

    @pytest.mark.parametrize(
        "data", [b"", b"nonsense", encode(np.zeros(5, np.float32)), encode(np.zeros(3, np.uint8))]
    )
    def test_refuses_what_are_no_features_of_the_cut(self, local, data):
        with pytest.raises(ValueError) as caught:
            local.run("mean", data)
        assert isinstance(caught.value, BitstreamError) or "split 'mean' has " in str(caught.value)

    def test_model_without_a_local_part(self, tmp_path):
        path = tiny_models.classifier(tmp_path / "tiny", local=False)
        local = LocalModel(ModelFolder.load(path))
        assert local.splits == [] and local.cost("mean") is None


class TestArrival:
    def test_age_is_taken_off_the_monotonic_clock(self):
        info = {"received_timestamp": time.time_ns() - 50_000_000}
        assert 99.9 < arrival_s(info, now_s=100.0) <= 99.95

    @pytest.mark.parametrize(
        "info",
        [
            None,
            {},
            {"received_timestamp": 0},
            {"received_timestamp": "now"},
            {"received_timestamp": 2**63},  # the wall clock was set back meanwhile
            {"received_timestamp": 10**18},  # or forward, by years
        ],
    )
    def test_what_cannot_be_is_left_out(self, info):
        assert arrival_s(info, now_s=100.0) == 100.0

    def test_subscriptions_without_infos_get_none(self, monkeypatch):
        heard = []
        callback = lambda message, info: heard.append((message, info))  # noqa: E731
        monkeypatch.setattr(arrival, "Subscription", object)
        informed(callback)("message")
        assert heard == [("message", None)]
