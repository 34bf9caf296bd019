"""Several answers to a question: the most frequent one is given, within energy, time and others' patience."""

from __future__ import annotations

import math
import time
from collections import deque
from concurrent.futures import Future

import numpy as np
import pytest
from node_testing import Graph  # noqa: F401  serves rclpy where no ROS 2 is installed

from qeil_ros.models.sampling import Drawn
from qeil_ros.models.schema import ModelError
from qeil_ros.models.tasks import Answer
from qeil_ros.nodes.co_inference_parameters import CoInferenceParameters
from qeil_ros.nodes.sampler import Sampler, make_sampler
from qeil_ros.platform.readings import Quality


class Scripted:
    """An engine whose answers to each question are written down; the question is the features' only value."""

    device, splits, depth, can_sample = "a script", ["cut"], 1, True

    def __init__(self, *questions):
        self.left = [deque(answers) for answers in questions]
        self.rounds: list[list[int]] = []
        self.seeds: list[int] = []
        self.closed = False

    def submit(self, split, features, deadline_s=math.inf):
        rows = [int(value) for value in features[:, 0]]
        self.rounds.append(rows)
        done: Future[list[Answer]] = Future()
        done.set_result([Answer(text=self.left[row].popleft(), confidence=0.6) for row in rows])
        return done

    def sample(self, split, features, sampling):
        self.seeds.append(sampling.seed)
        return self.submit(split, features)

    def close(self):
        self.closed = True


class Meter:
    """One joule a row that the engine has run."""

    source, quality = "rows", Quality.MODELLED

    def __init__(self, engine):
        self.engine, self.closed, self.reads = engine, False, True

    def read(self):
        return float(sum(map(len, self.engine.rounds))) if self.reads else math.nan

    def close(self):
        self.closed = True


def asked(engine, questions=1, deadline_s=math.inf, meter=None, verify=None, others=lambda: False, **params):
    settings = {"samples": 8, "sampling_together": 2, "sampling_certainty": 1.0, "active_core_w": 1.0}
    sampler = Sampler(engine, CoInferenceParameters(**{**settings, **params}), meter, verify, others)
    try:
        answers = sampler.submit("cut", np.arange(questions)[:, None], deadline_s).result(10)
    finally:
        sampler.close()
    assert engine.closed and all(isinstance(answer, Drawn) for answer in answers)
    return answers, {name: count for name, count in sampler.figures().items() if count}


def test_the_most_frequent_answer_is_given():
    engine = Scripted("abbabbcb")
    (answer,), figures = asked(engine)
    assert (answer.text, answer.samples, answer.agreeing, answer.confidence) == ("b", 8, 5, 0.6)
    assert engine.rounds == [[0], [0, 0], [0, 0], [0, 0], [0]] and len(set(engine.seeds)) == 4
    assert math.isnan(answer.energy_j) and (answer.energy_source, answer.energy_quality) == ("", 0)
    assert figures["stopped_samples"] == 1 and figures["question_energy_source"] == "nothing meters it"


def test_those_that_agree_end_and_the_others_go_on_together():
    engine = Scripted("aaaaaaaa", "babababa")
    (sure, torn), figures = asked(engine, 2, sampling_certainty=0.93)
    assert (sure.samples, torn.samples) == (3, 8)  # 1 - 0.5^4
    assert (sure.text, torn.text, torn.agreeing) == ("a", "b", 4), "of equals the first"
    assert engine.rounds[:3] == [[0, 1], [0, 0, 1, 1], [1, 1]]
    assert figures["stopped_agreed"] == figures["stopped_samples"] == 1


def test_a_question_keeps_to_its_energy_and_tells_it():
    engine = Scripted("abcdefgh", "abcdefgh")
    answers, figures = asked(engine, 2, meter=Meter(engine), sampling_energy_j=4.5)
    assert [answer.samples for answer in answers] == [4, 4]
    for answer in answers:
        assert (answer.energy_j, answer.energy_source, answer.energy_quality) == (4.0, "rows", 2)
    assert figures["stopped_energy"] == 2 and figures["question_energy_p50_j"] == 4.0
    assert figures["question_energy_quality"] == "modelled"


def test_energy_that_nobody_meters_any_more_counts_as_spent():
    engine = Scripted("abcdefgh")
    meter = Meter(engine)
    meter.reads = False
    (answer,), figures = asked(engine, meter=meter, sampling_energy_j=4.5)
    assert answer.samples == 1 and figures["stopped_energy"] == 1 and math.isnan(answer.energy_j)
    assert meter.closed


def test_a_budget_for_all_pays_for_one_answer_each_at_least():
    engine = Scripted("abcdefgh", "abcdefgh")
    answers, figures = asked(engine, 2, meter=Meter(engine), sampling_budget_j=1.0, sampling_budget_s=3600.0)
    assert [answer.samples for answer in answers] == [1, 1]
    assert figures["sampling_budget_left_j"] == -1.0


def test_a_frame_is_answered_in_time():
    engine = Scripted("a" * 8)
    (answer,), figures = asked(engine, deadline_s=time.monotonic() - 1.0)
    assert answer.samples == 1 and figures["stopped_time"] == 1


def test_those_who_wait_end_it():
    engine = Scripted("abcdefgh")
    (answer,), figures = asked(engine, others=lambda: len(engine.rounds) >= 2)
    assert answer.samples == 3 and figures["stopped_others"] == 1


def test_a_verifier_has_the_last_word():
    (answer,), figures = asked(Scripted("aabaaaaa"), verify=lambda answer: answer.text == "b")
    assert (answer.text, answer.samples) == ("b", 3) and figures["stopped_accepted"] == 1
    (answer,), _ = asked(Scripted("aabaaaaa"), sampling_accept=0.6)
    assert answer.samples == 1


def test_a_failing_model_fails_its_questions_only():
    engine = Scripted("ab", "abcdefgh")
    sampler = Sampler(engine, CoInferenceParameters(samples=8))
    with pytest.raises(IndexError):
        sampler.submit("cut", np.zeros((1, 1))).result(10)
    assert sampler.submit("cut", np.ones((1, 1))).result(10)[0].samples == 8
    assert sampler.service_s() > 0
    sampler.close()


def test_what_cannot_be_is_refused_with_the_remedy(monkeypatch):
    unable = Scripted()
    unable.can_sample = False
    with pytest.raises(ModelError, match="set samples to 1"):
        make_sampler(unable, CoInferenceParameters(samples=2), lambda: False)
    with pytest.raises(ModelError, match="'nobody'; installed are none"):
        make_sampler(Scripted(), CoInferenceParameters(samples=2, sampling_verifier="nobody"), lambda: False)
    monkeypatch.setattr("qeil_ros.nodes.sampler.energy_meter", lambda core_w: None)
    with pytest.raises(ModelError, match="set active_core_w"):
        make_sampler(Scripted(), CoInferenceParameters(samples=2, sampling_energy_j=1.0), lambda: False)
    make_sampler(Scripted(), CoInferenceParameters(samples=2), lambda: False).close()
