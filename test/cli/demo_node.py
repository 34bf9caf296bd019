"""A node for the command-line tests to look at: `python demo_node.py`. Not a test itself."""

from __future__ import annotations

import qeil_ros.rosless  # noqa: F401  serves rclpy where no ROS 2 is installed

import rclpy  # isort: skip
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from std_msgs.msg import Int32, String
from std_srvs.srv import SetBool


class DemoNode(LifecycleNode):
    def __init__(self) -> None:
        super().__init__("talker", namespace="/demo")
        ranged = ParameterDescriptor(
            description="messages a second",
            floating_point_range=[FloatingPointRange(from_value=1.0, to_value=50.0, step=0.0)],
        )
        self.declare_parameter("rate_hz", 20.0, ranged)
        self.declare_parameter("words", ["a", "b"])
        self.declare_parameter("camera.gain", 3)
        self.declare_parameter("fixed", "x", ParameterDescriptor(read_only=True))
        self.add_on_set_parameters_callback(self.check)
        self.number = 0
        # A lifecycle publisher is silent until the node is active; these are to be heard at once.
        self.numbers = super(LifecycleNode, self).create_publisher(Int32, "numbers", qos_profile_sensor_data)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.latched = super(LifecycleNode, self).create_publisher(String, "latched", latched)
        self.latched.publish(String(data="kept"))
        self.heard = self.create_subscription(String, "words", self.on_word, 10)
        self.service = self.create_service(SetBool, "switch", self.on_switch)
        self.timer = self.create_timer(0.05, self.on_timer)

    def check(self, parameters):  # type: ignore[no-untyped-def]
        bad = [p.name for p in parameters if p.name == "camera.gain" and p.value > 10]
        return SetParametersResult(successful=not bad, reason="too much gain" if bad else "")

    def on_timer(self) -> None:
        self.number += 1
        self.numbers.publish(Int32(data=self.number))

    def on_word(self, message: String) -> None:
        print(f"heard {message.data}", flush=True)

    def on_switch(self, request, response):  # type: ignore[no-untyped-def]
        response.success = request.data
        response.message = "on" if request.data else "off"
        return response

    def on_configure(self, state):  # type: ignore[no-untyped-def]
        return TransitionCallbackReturn.SUCCESS


def main() -> None:
    rclpy.init()
    node = DemoNode()
    print("ready", flush=True)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
