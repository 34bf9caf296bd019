"""Lets a node's clock follow `/clock` while its parameter `use_sim_time` is true."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from .clock import ROSClock
from .clock_type import ClockType
from .parameter import Parameter
from .qos import QoSProfile, ReliabilityPolicy
from .time import Time

if TYPE_CHECKING:
    from .node import Node
    from .subscription import Subscription

CLOCK_TOPIC = "/clock"
USE_SIM_TIME_NAME = "use_sim_time"


class TimeSource:
    """Declares `use_sim_time`, subscribes to `/clock` while it is true, and sets the attached clocks."""

    def __init__(self, *, node: Node | None = None) -> None:
        self._clock_sub: Subscription[Any] | None = None
        self._node: weakref.ReferenceType[Node] | None = None
        self._clocks: set[ROSClock] = set()
        # Zero means that no time has been heard yet.
        self._last_time_set = Time(clock_type=ClockType.ROS_TIME)
        self._active = False
        if node is not None:
            self.attach_node(node)

    @property
    def ros_time_is_active(self) -> bool:
        return self._active

    @ros_time_is_active.setter
    def ros_time_is_active(self, enabled: bool) -> None:
        if self._active == enabled:
            return
        self._active = enabled
        for clock in self._clocks:
            clock._set_ros_time_is_active(enabled)
        node = self._get_node()
        if node is None:
            return
        if enabled:
            from rosgraph_msgs.msg import Clock as ClockMsg

            qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            # A group of its own: simulated time goes on while a callback of the node waits for it.
            self._clock_sub = node.create_subscription(
                ClockMsg, CLOCK_TOPIC, self.clock_callback, qos, callback_group=node._time_source_group
            )
        elif self._clock_sub is not None:
            node.destroy_subscription(self._clock_sub)
            self._clock_sub = None

    def attach_node(self, node: Node) -> None:
        self.detach_node()
        self._node = weakref.ref(node)
        if not node.has_parameter(USE_SIM_TIME_NAME):
            node.declare_parameter(USE_SIM_TIME_NAME, False)
        parameter = node.get_parameter(USE_SIM_TIME_NAME)
        if parameter.type_ is Parameter.Type.BOOL:
            self.ros_time_is_active = parameter.value
        else:
            node.get_logger().error(
                f"parameter '{USE_SIM_TIME_NAME}' should be a bool, got {parameter.type_!r}"
            )
        node.add_on_set_parameters_callback(self._on_set_parameters)

    def detach_node(self) -> None:
        node = self._get_node()
        if node is not None and self._clock_sub is not None:
            node.destroy_subscription(self._clock_sub)
        self._clock_sub = None
        self._node = None

    def attach_clock(self, clock: ROSClock) -> None:
        if not isinstance(clock, ROSClock):
            raise ValueError("Only clocks with type ROS_TIME can be attached.")
        clock.set_ros_time_override(self._last_time_set)
        clock._set_ros_time_is_active(self._active)
        self._clocks.add(clock)

    def clock_callback(self, msg: Any) -> None:
        """Takes a `rosgraph_msgs/Clock`."""
        self._last_time_set = Time.from_msg(msg.clock)
        for clock in self._clocks:
            clock.set_ros_time_override(self._last_time_set)

    def _on_set_parameters(self, parameters: list[Parameter]) -> Any:
        from rcl_interfaces.msg import SetParametersResult

        for parameter in parameters:
            if parameter.name != USE_SIM_TIME_NAME:
                continue
            if parameter.type_ is not Parameter.Type.BOOL:
                return SetParametersResult(successful=False, reason=f"{USE_SIM_TIME_NAME} must be a bool")
            self.ros_time_is_active = parameter.value
        return SetParametersResult(successful=True)

    def _get_node(self) -> Node | None:
        return self._node() if self._node is not None else None
