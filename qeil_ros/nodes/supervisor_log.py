"""What goes into the flight log, and under which topics."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Log
from rclpy.node import Node
from rclpy.serialization import serialize_message

from qeil_ros.msg import FallbackStatus, OperatingPoint, SupervisorStatus

from .diagnostics import Part
from .flight_log import Channel, FlightLog
from .message_text import definition_text, interface_name

__all__ = ["SupervisorLog"]

_TOPICS = {
    "status": SupervisorStatus,
    "operating_point": OperatingPoint,
    "fallback/status": FallbackStatus,
    "/diagnostics": DiagnosticArray,
    "/rosout": Log,
}


class SupervisorLog:
    """The flight log of one supervisor, below its full name in the folder."""

    def __init__(self, node: Node, folder: str, most_bytes: int) -> None:
        self._node = node
        self._channels = {
            topic: Channel(node.resolve_topic_name(topic), interface_name(kind), definition_text(kind))
            for topic, kind in _TOPICS.items()
        }
        name = node.get_fully_qualified_name().strip("/").replace("/", ".")
        self._log = FlightLog(Path(folder).expanduser(), name, most_bytes=most_bytes)

    def add(self, topic: str, message: Any) -> None:
        """A message that was published or heard."""
        self.add_bytes(topic, serialize_message(message))

    def add_bytes(self, topic: str, message: bytes) -> None:
        self._log.add(self._channels[topic], message)

    def note(self, text: str) -> None:
        """A line of the node's own log."""
        entry = Log(
            level=30, name=self._node.get_logger().name, msg=text
        )  # Log.WARN is bytes in some releases
        entry.stamp.sec, entry.stamp.nanosec = divmod(time.time_ns(), 10**9)
        self.add("/rosout", entry)

    def report(self, part: Part) -> None:
        log = self._log
        part.set("file", log.path or "none yet")
        part.set("written", log.written)
        part.set("lost", log.lost)
        part.condition("writing", log.problem)

    def close(self) -> None:
        self._log.close()
