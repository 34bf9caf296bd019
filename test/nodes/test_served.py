from __future__ import annotations

import math

from qeil_ros.msg import OffboardStatus

from qeil_ros.nodes.served import Served
from qeil_ros.safety.arbiter import Key


def test_robot_that_was_never_heard_is_not_there_and_not_missed():
    robot = Served()
    assert not robot.there and math.isnan(robot.heard_age_s(5.0))
    assert not robot.miss(1.0, 100.0)


def test_robot_is_there_from_its_first_message_until_it_is_silent():
    robot = Served()
    assert robot.hear(Key(7, 0), 10.0)
    assert not robot.hear(Key(7, 1), 10.5), "it was there already"
    assert robot.heard == Key(7, 1) and robot.heard_age_s(10.75) == 0.25
    assert not robot.miss(1.0, 11.5)
    assert robot.miss(1.0, 11.6)
    assert not robot.there
    assert not robot.miss(1.0, 11.7), "told once"
    assert robot.hear(Key(7, 2), 12.0), "it has come back"


def test_nothing_is_kept_for_a_robot_that_has_gone():
    robot = Served()
    robot.hear(Key(7, 0), 10.0)
    robot.keepers["cut"] = object()  # type: ignore[assignment]
    robot.decoded = Key(7, 0)
    robot.miss(1.0, 20.0)
    assert not robot.keepers and robot.decoded == Key(0, 0)


def test_trouble_is_told_for_a_while():
    robot = Served()
    assert robot.state(0.0) == (OffboardStatus.STATE_READY, "")
    robot.count_late(1.0)
    assert robot.state(1.5)[0] == OffboardStatus.STATE_OVERLOADED
    assert robot.state(2.5)[0] == OffboardStatus.STATE_READY
    robot.count_refused("another model", 3.0)
    assert robot.state(7.0) == (OffboardStatus.STATE_REFUSING, "another model")
    robot.count_answered()
    assert robot.state(7.0)[0] == OffboardStatus.STATE_READY
    assert (robot.late, robot.refused, robot.answered) == (1, 1, 1)
