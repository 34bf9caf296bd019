from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from qeil_ros.safety.outputs import AnswerLimits, answer_problem, duration


def answer(**changes):
    values = {
        "text": "a red cube",
        "labels": [],
        "scores": [],
        "boxes": [],
        "embedding": [],
        "confidence": math.nan,
    }
    return SimpleNamespace(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text": "", "labels": ["cat", "dog"], "scores": [0.9, 0.1], "confidence": 0.9},
        {"labels": ["cat"], "scores": [12.5], "boxes": [0.1, 0.2, 0.3, 0.4]},
        {"embedding": [0.0] * 512, "confidence": 1.0},
        {"text": "a very very very very good cat"},
        {"text": "one two three " * 4, "confidence": 0.0},
        {"text": "-" * 32},
        {"text": "two\nlines\tand a tab, ünïcode 猫"},
    ],
)
def test_sound_answers(changes):
    assert answer_problem(answer(**changes)) == ""


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"text": "x" * 4097}, "text of 4097"),
        ({"text": "a\x00b"}, "control"),
        ({"text": "a\x1b[2J"}, "control"),
        ({"labels": ["x"] * 1025, "scores": [0.0] * 1025}, "1025 labels"),
        ({"labels": ["x" * 300], "scores": [0.0]}, "label of more"),
        ({"labels": ["x"]}, "0 scores for 1 labels"),
        ({"labels": ["x"], "scores": [math.nan]}, "scores is not finite"),
        ({"labels": ["x"], "scores": [1.0], "boxes": [0.0] * 3}, "3 box"),
        ({"boxes": [0.0] * 4}, "4 box"),
        ({"embedding": [0.0] * 65537}, "embedding of 65537"),
        ({"embedding": [math.inf]}, "embedding is not finite"),
        ({"text": "a cat a cat a cat a cat a cat a cat"}, "'a cat' more than 4 times on end"),
        ({"text": "look: no no no no no no, it is so"}, "'no' more than 4"),
        ({"text": " ".join(["the big red cube on"] * 9)}, "on end"),
        ({"text": "ha" + "猫" * 40}, "猫"),
        ({"confidence": 1.01}, "confidence 1.01"),
        ({"confidence": -math.inf}, "confidence -inf"),
    ],
)
def test_answers_that_cannot_be(changes, problem):
    assert problem in answer_problem(answer(**changes))


def test_limits_can_be_set():
    sure = AnswerLimits(least_confidence=0.4)
    assert "confidence 0.3 is below 0.4" in answer_problem(answer(confidence=0.3), sure)
    assert answer_problem(answer(confidence=0.4), sure) == "" == answer_problem(answer(), sure)
    assert answer_problem(answer(text="no " * 50), AnswerLimits(repeats=0)) == ""
    assert "at most 3" in answer_problem(answer(text="abcd"), AnswerLimits(text_characters=3))


@pytest.mark.parametrize(("value_s", "sane"), [(0.0, True), (1.5, True), (-0.1, False), (1e9, False)])
def test_durations(value_s, sane):
    assert (duration(value_s) == value_s) == sane
    assert math.isnan(duration(math.nan)) and math.isnan(duration(math.inf))
