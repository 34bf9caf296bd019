"""The QoS of the topics of our nodes, in one place so that both ends agree."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

__all__ = ["FEATURES", "HEARTBEAT", "IMAGES", "LATEST", "RECEIPTS", "RESULTS"]


def _profile(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(
        depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=reliability, durability=durability
    )


# The newest image only: every publisher meets a best-effort subscription, and a depth of one never queues.
IMAGES = _profile(1, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
# Every frame, and every answer, counts for a few frames' time; afterwards nobody wants it.
FEATURES = _profile(8, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
RESULTS = _profile(8, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
# The newest one says all; within the robot none is lost.
RECEIPTS = _profile(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
# A heartbeat that comes late is worth nothing: the next one is better than a repetition of the last.
HEARTBEAT = _profile(1, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
# The last word holds, for whoever comes later too: operating point and status.
LATEST = _profile(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
