"""A node's log messages on `/rosout`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rcl_interfaces.msg import Log

from ..types import serialize, type_info
from .constants import S_TO_NS
from .impl import log_output
from .impl.logging_severity import LoggingSeverity
from .qos import qos_profile_rosout_default

if TYPE_CHECKING:
    from .node import Node

ROSOUT_TOPIC = "/rosout"


class RosoutPublisher:
    """Publishes what the node's logger and its children say; late subscribers get the last of it too."""

    def __init__(self, node: Node) -> None:
        self._logger_name = node.get_logger().name
        self._context = node.context
        self._handle = node._session.create_publisher(
            node._handle, ROSOUT_TOPIC, type_info(Log), qos_profile_rosout_default
        )
        self._sink = self._publish
        log_output.attach_rosout(self._logger_name, self._sink)

    def destroy(self) -> None:
        log_output.detach_rosout(self._logger_name, self._sink)
        self._handle.undeclare()

    def _publish(
        self,
        severity: LoggingSeverity,
        name: str,
        message: str,
        function: str,
        file: str,
        line: int,
        stamp_ns: int,
    ) -> None:
        if not self._context.ok():
            # The message is on the console; the graph cannot be told any more.
            return
        sec, nanosec = divmod(stamp_ns, S_TO_NS)
        log = Log(level=int(severity), name=name, msg=message, file=file, function=function, line=line)
        log.stamp.sec, log.stamp.nanosec = sec, nanosec
        self._handle.put(serialize(log))
