"""What a node says about itself on /diagnostics: a level with reasons, counters, values; once a second, where
anybody listens."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible

__all__ = ["Diagnostics", "Part", "qos_problems"]

_SEVERITY = {
    level: rank
    for rank, level in enumerate(
        (DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE)
    )
}
_RECENT_S = 5.0


class Part:
    """Values, counters and standing conditions that make one DiagnosticStatus. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._values: dict[str, str] = {}
        self._conditions: dict[str, tuple[Any, str]] = {}
        self._events: dict[str, tuple[float, Any, str]] = {}

    def count(self, name: str, more: int = 1) -> None:
        """Adds to a counter; naming it with `more=0` shows it as 0 from the start."""
        with self._lock:
            self._counters[name] += more

    def counter(self, name: str) -> int:
        with self._lock:
            return self._counters[name]

    def set(self, name: str, value: object) -> None:
        """A value to show; floats with six significant digits."""
        with self._lock:
            self._values[name] = f"{value:.6g}" if isinstance(value, float) else str(value)

    def condition(self, name: str, message: str, level: Any = DiagnosticStatus.WARN) -> None:
        """Something that holds until it is cleared: `condition(name, "")`."""
        with self._lock:
            if message:
                self._conditions[name] = (level, message)
            else:
                self._conditions.pop(name, None)

    def event(self, name: str, message: str, level: Any = DiagnosticStatus.WARN) -> None:
        """Something that happened: counted under `name`, and in the message for the next five seconds."""
        with self._lock:
            self._counters[name] += 1
            self._events[name] = (time.monotonic(), level, message)

    def clear(self) -> None:
        """Forgets values and conditions; counters stay."""
        with self._lock:
            self._values.clear()
            self._conditions.clear()

    def status(self, name: str, hardware_id: str) -> DiagnosticStatus:
        """The present state as a message."""
        now = time.monotonic()
        with self._lock:
            self._events = {name: event for name, event in self._events.items() if now - event[0] < _RECENT_S}
            found = [*self._conditions.values(), *(event[1:] for event in self._events.values())]
            values = {**self._values, **{name: str(count) for name, count in self._counters.items()}}
        found.sort(key=lambda entry: _SEVERITY[entry[0]], reverse=True)
        return DiagnosticStatus(
            level=found[0][0] if found else DiagnosticStatus.OK,
            name=name,
            message="; ".join(message for _, message in found) or "OK",
            hardware_id=hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )


class Diagnostics(Part):
    """What one node reports, published once a second in every lifecycle state.

    The status under the node's own name is the node's as a whole; `part(name)` gives further ones, "node:
    name", which a diagnostic aggregator sorts into a tree. `sources` are called before each publication, on
    the executor: the place to set values that are cheaper to look up than to keep.

    Args:
        node: the node that reports.
        hardware_id: what the figures are about, for example the robot's or the model's name.
    """

    def __init__(self, node: Node, hardware_id: str = "", period_s: float = 1.0) -> None:
        super().__init__()
        self.hardware_id = hardware_id
        self.sources: list[Callable[[], None]] = []
        self._parts: dict[str, Part] = {}
        self._node = node
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # A steady clock: diagnostics must not stop with a paused simulation.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(period_s, self.publish, clock=clock)

    def part(self, name: str) -> Part:
        """The part of that name, made when it is first asked for."""
        return self._parts.setdefault(name, Part())

    def report(self) -> DiagnosticStatus:
        """The status under the node's own name."""
        return self.status(self._name, self.hardware_id)

    def publish(self) -> None:
        """Puts the message together and publishes it, where anybody is there to hear it."""
        if not self._publisher.get_subscription_count():
            return
        for source in self.sources:
            source()
        parts = [part.status(f"{self._name}: {name}", self.hardware_id) for name, part in self._parts.items()]
        array = DiagnosticArray(status=[self.report(), *parts])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    @property
    def _name(self) -> str:
        return str(self._node.get_fully_qualified_name().lstrip("/"))


def qos_problems(node: Node, topic: str, qos: QoSProfile, type_name: str, *, subscribing: bool) -> list[str]:
    """Why the other ends of a topic that are there now cannot reach us: an incompatible QoS, or another type.

    Args:
        topic: fully qualified, remapped (`node.resolve_topic_name`).
        qos: what we asked for.
        type_name: our type, for example "sensor_msgs/msg/Image".
        subscribing: whether we subscribe (the others publish) or the other way round.
    """
    others = (
        node.get_publishers_info_by_topic(topic)
        if subscribing
        else node.get_subscriptions_info_by_topic(topic)
    )
    problems = []
    for other in others:
        who = f"{'publisher' if subscribing else 'subscription'} {_full_name(other)} on {topic}"
        if other.topic_type != type_name:
            problems.append(f"{who} has type {other.topic_type}, not {type_name}")
            continue
        publisher, subscription = (other.qos_profile, qos) if subscribing else (qos, other.qos_profile)
        compatibility, reason = qos_check_compatible(publisher, subscription)
        if compatibility == QoSCompatibility.ERROR:
            problems.append(f"{who} has an incompatible QoS and no message passes: {reason.strip()}")
    return problems


def _full_name(endpoint: Any) -> str:
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
