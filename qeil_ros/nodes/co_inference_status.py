"""The offboard side's heartbeat to one robot."""

from __future__ import annotations

from typing import Any

from qeil_ros.msg import OffboardStatus

from .dispatcher import Figures
from .served import Served

__all__ = ["heartbeat"]


def heartbeat(robot: Served, figures: Figures, now_s: float, **server: Any) -> OffboardStatus:
    """What the robot is told at `now_s`, on the monotonic clock [s].

    Args:
        server: the fields of OffboardStatus that are the same for all robots.
    """
    state, reason = robot.state(now_s)
    return OffboardStatus(
        state=state,
        reason=reason,
        load=figures.load,
        queue=figures.queue,
        inference_p50_s=figures.p50_s,
        inference_p99_s=figures.p99_s,
        decoded_run=robot.decoded.run,
        decoded_sequence=robot.decoded.sequence,
        heard_run=robot.heard.run,
        heard_sequence=robot.heard.sequence,
        heard_age_s=robot.heard_age_s(now_s),
        frames_answered=robot.answered,
        frames_late=robot.late,
        frames_refused=robot.refused,
        **server,
    )
