"""What the fallback tells of link and answers."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from qeil_ros.msg import InferenceResult, OffboardStatus

from qeil_ros.nodes.fallback_status import AnswerFigures, fallback_status
from qeil_ros.safety.link import Link
from qeil_ros.safety.traffic import LinkFigures

OFFBOARD, LOCAL = InferenceResult.SOURCE_OFFBOARD, InferenceResult.SOURCE_LOCAL


def frame(split="vision", bits=4):
    return SimpleNamespace(split=split, feature_bits=bits)


def answer(source=OFFBOARD, total_s=0.05, **fields):
    given = {"encode_s": 0.01, "transfer_s": 0.02, "queue_s": 0.005, "inference_s": 0.015, "bytes_sent": 900}
    return InferenceResult(source=source, total_s=total_s, **{**given, **fields})


def told(figures, now_s, server=None):
    return fallback_status(figures, Link.UP, "", LinkFigures(), 3, server, now_s)


def test_nothing_yet_is_unknown_not_zero():
    status = told(AnswerFigures(), 1.0)
    assert status.answers == 0 and status.rate_hz == 0.0
    assert math.isnan(status.total_s) and math.isnan(status.encode_s) and math.isnan(status.server_load)
    assert status.link == 1 and status.server_restarts == 3 and math.isnan(status.round_trip_s)


def test_counts_are_of_all_and_medians_of_the_window():
    figures = AnswerFigures(window_s=2.0)
    figures.add(frame(), answer(total_s=9.0), True, 0.0)
    for index in range(10):
        figures.add(frame(), answer(total_s=0.04 + index * 1e-3, energy_j=math.nan), True, 8.1 + index * 0.1)
    status = told(figures, 10.0)
    assert (status.answers_offboard, status.answers) == (11, 10)
    assert status.rate_hz == pytest.approx(5.0)
    assert status.total_s == pytest.approx(0.044, abs=1e-6)
    assert status.total_p99_s == pytest.approx(0.049, abs=1e-6)
    assert status.server_s == pytest.approx(0.02) and status.bytes_sent == 900.0
    assert math.isnan(status.energy_j)
    assert (status.split, status.feature_bits, status.source) == ("vision", 4, OFFBOARD)


def test_medians_are_of_frames_like_the_newest():
    figures = AnswerFigures()
    figures.add(frame(bits=8), answer(bytes_sent=2000), True, 1.0)
    figures.add(frame(bits=4), answer(bytes_sent=1000), True, 1.1)
    status = told(figures, 1.2)
    assert (status.bytes_sent, status.feature_bits, status.answers) == (1000.0, 4, 1)


def test_a_miss_is_a_frame_that_was_waited_for():
    figures = AnswerFigures()
    figures.add(frame(), answer(LOCAL, transfer_s=math.nan), True, 1.0)
    figures.add(frame(), answer(LOCAL, transfer_s=math.nan), False, 1.1)
    figures.add(frame(), answer(OFFBOARD), True, 1.2)
    status = told(figures, 1.3, OffboardStatus(load=0.5, queue=2, inference_p50_s=0.01))
    assert status.offboard_missed == 1 and status.answers_local == 2
    assert status.server_load == 0.5 and status.server_queue == 2
    assert status.server_p50_s == pytest.approx(0.01)
