"""Somebody in the graph who means harm, or whose radio repeats and reorders what it hears."""

from __future__ import annotations

import copy
import math
import random
import threading
from typing import Any

from qeil_ros.msg import FeatureFrame, InferenceResult, OffboardStatus, OperatingPoint
from rclpy.node import Node

__all__ = ["Attacker"]

_TOPICS = {
    "features": FeatureFrame,
    "offboard/result": InferenceResult,
    "offboard/status": OffboardStatus,
    "operating_point": OperatingPoint,
}


class Attacker:
    """Answers every message of a robot with repetitions, old ones and forgeries, while `active`.

    Uses the observer's node, on whose executor it is called, and goes with it. Forged frames carry a stamp
    and a run of their own, so that answers to them are not taken for answers to the robot's.
    """

    def __init__(self, node: Node, robot: str, seed: int) -> None:
        self.active = threading.Event()
        self.sent = 0
        self._random = random.Random(seed)
        self._old: dict[str, list[Any]] = {topic: [] for topic in _TOPICS}
        self._seen: set[tuple[str, int, int]] = set()
        self._publishers = {
            topic: node.create_publisher(kind, f"/{robot}/{topic}", 50) for topic, kind in _TOPICS.items()
        }
        self._subscriptions = [
            node.create_subscription(kind, f"/{robot}/{topic}", self._bound(topic), 50)
            for topic, kind in _TOPICS.items()
            if topic != "operating_point"
        ]

    def _bound(self, topic: str) -> Any:
        def receive(message: Any) -> None:
            key = topic, int(message.run), int(message.sequence)
            if not self.active.is_set() or key in self._seen:
                return  # our own come back, too
            self._seen.add(key)
            self._harm(topic, message)

        return receive

    def _harm(self, topic: str, message: Any) -> None:
        """One wrong message for each true one: more would be a flood, in which true ones drown."""
        old = self._old[topic]
        old.append(copy.deepcopy(message))
        wrong = [message, self._random.choice(old), *self._forgeries(topic, message), None]
        chosen = self._random.choice(wrong)
        if chosen is None:  # not even a message: the right topic, and noise
            self._send(topic, b"\x00\x01\x00\x00" + self._random.randbytes(self._random.randrange(80)))
        else:
            self._seen.add((topic, int(chosen.run), int(chosen.sequence)))
            self._send(topic, chosen)
        if topic == "features":
            self._send("operating_point", self._point())

    def _send(self, topic: str, message: Any) -> None:
        self._publishers[topic].publish(message)
        self.sent += 1

    def _forgeries(self, topic: str, message: Any) -> list[Any]:
        if topic == "features":
            return self._frames(message)
        if topic == "offboard/result":
            return self._answers(message)
        return self._heartbeats(message)

    def _frames(self, message: Any) -> list[Any]:
        flipped = self._stranger(message)
        data = bytearray(flipped.data)
        data[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        flipped.data = bytes(data)
        cut = self._stranger(message)
        cut.data = bytes(message.data)[: self._random.randrange(len(message.data))]
        eternal = self._stranger(message)
        eternal.time_left_s = self._random.choice([math.nan, math.inf, -1.0])
        other = self._stranger(message)
        other.model_digest, other.split = "0" * 64, "nowhere"
        return [flipped, cut, eternal, other]

    def _answers(self, message: Any) -> list[Any]:
        """To the very frame that waits: they must not be taken for its answer."""
        other, liar, broken = (copy.deepcopy(message) for _ in range(3))
        other.model_digest, other.text = "0" * 64, "forged"
        liar.source, liar.text = InferenceResult.SOURCE_LOCAL, "forged"
        broken.scores, broken.text = [math.nan] * 3, "forged"
        for number, forged in enumerate((other, liar, broken)):
            forged.sequence = message.sequence + 1 + number  # ahead of the true ones
        return [other, liar, broken]

    def _heartbeats(self, message: Any) -> list[Any]:
        eternal, other = copy.deepcopy(message), copy.deepcopy(message)
        eternal.period_s, eternal.run = self._random.choice([math.nan, -1.0, 1e9]), self._run()
        other.model_digest, other.run = "0" * 64, self._run()
        other.reason = "x" * 10_000
        return [eternal, other]

    def _point(self) -> Any:
        return OperatingPoint(
            split="nowhere", feature_bits=99, route=77, rate_hz=math.nan, clock_hz=-1.0, valid_for_s=math.inf
        )

    def _stranger(self, message: Any) -> Any:
        made = copy.deepcopy(message)
        made.run, made.sequence = self._run(), 0
        made.header.stamp.sec, made.header.stamp.nanosec = 1, self._random.randrange(10**9)
        return made

    def _run(self) -> int:
        return self._random.randrange(1, 1 << 63)
