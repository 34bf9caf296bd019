"""The kinds of clock."""

from __future__ import annotations

from enum import IntEnum


class ClockType(IntEnum):
    """ROS time follows `/clock` where `use_sim_time` is set, and is system time otherwise."""

    UNINITIALIZED = 0
    ROS_TIME = 1
    SYSTEM_TIME = 2
    STEADY_TIME = 3
