from __future__ import annotations

import numpy as np
import pytest

from qeil_ros.nodes.clips import Clips


def frame(number: int) -> np.ndarray:
    return np.full(2, number, np.float32)


def numbers(clip: np.ndarray) -> list[int]:
    return [int(row[0]) for row in clip]


def test_a_clip_ends_with_the_newest_frame_and_begins_full():
    clips = Clips(3, 0.0)
    seen = [numbers(clips.add("robot", "cut", 7, 0.1 * k, frame(k))) for k in range(5)]
    assert seen == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_frames_of_a_clip_keep_their_distance():
    clips = Clips(3, 1.0)
    seen = [numbers(clips.add("robot", "cut", 7, 0.25 * k, frame(k))) for k in range(12)]
    assert seen[3] == [0, 0, 3] and seen[4] == [0, 0, 4]
    assert seen[5] == [0, 4, 5] and seen[8] == [0, 4, 8]
    assert seen[11] == [4, 8, 11]


@pytest.mark.parametrize(("run", "stamp_s"), [(8, 0.5), (7, 0.05)])
def test_a_robot_or_a_recording_that_begins_anew_begins_a_new_clip(run, stamp_s):
    clips = Clips(2, 0.0)
    for k in range(3):
        clips.add("robot", "cut", 7, 0.1 * k, frame(k))
    assert numbers(clips.add("robot", "cut", run, stamp_s, frame(9))) == [9, 9]


def test_robots_do_not_mix_and_buffers_may_be_used_again():
    clips = Clips(2, 0.0)
    buffer = frame(1)
    clips.add("a", "cut", 7, 0.0, buffer)
    buffer[:] = 5
    assert numbers(clips.add("b", "cut", 7, 0.1, buffer)) == [5, 5]
    assert numbers(clips.add("a", "cut", 7, 0.1, buffer)) == [1, 5]


def test_a_robot_that_has_gone_is_forgotten_and_no_other():
    clips = Clips(2, 0.0)
    for robot in ("a", "b"):
        clips.add(robot, "cut", 7, 0.0, frame(1))
    clips.forget("a")
    clips.forget("never seen")
    assert numbers(clips.add("a", "cut", 7, 0.1, frame(2))) == [2, 2]
    assert numbers(clips.add("b", "cut", 7, 0.1, frame(2))) == [1, 2]


def test_clips_of_different_cuts_are_kept_apart():
    clips = Clips(2, 0.0)
    clips.add("a", "one cut", 7, 0.0, frame(1))
    assert numbers(clips.add("a", "another", 7, 0.1, frame(2))) == [2, 2]
