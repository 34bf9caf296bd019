"""The errors that rclpy's C extension defines, under the module name that programs import them from."""

from __future__ import annotations


class RCLError(RuntimeError):
    """An operation that the client library refused, for instance on a context that was shut down."""


class InvalidHandle(RuntimeError):
    """An entity was used after it had been destroyed."""


class NodeNameNonExistentError(RCLError):
    """The graph has no node of that name and namespace."""


class UnknownROSArgsError(RuntimeError):
    """`--ros-args` held an argument that is not a ROS argument."""


class RCLInvalidROSArgsError(RCLError):
    """`--ros-args` held an argument that cannot be parsed."""


class UnsupportedEventTypeError(RCLError):
    """The transport cannot tell about this kind of event."""
