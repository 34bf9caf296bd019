"""The other process of the transport benchmark: `echo-rclpy`, `echo-zenoh` or `camera`."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

import qeil_ros.rosless  # noqa: F401  serves rclpy where no ROS 2 is installed

import rclpy  # isort: skip
from rclpy.executors import ExternalShutdownException  # isort: skip
from rclpy.qos import qos_profile_sensor_data  # isort: skip
from sensor_msgs.msg import CompressedImage, Image  # isort: skip
from std_msgs.msg import UInt32  # isort: skip

WIDTH, HEIGHT = 640, 480
PING, PONG = "bench/ping", "bench/pong"


def echo_rclpy() -> None:
    """Sends back every message, as a node would."""
    node = rclpy.create_node("echo")
    publisher = node.create_publisher(CompressedImage, "/pong", 10)
    node.create_subscription(CompressedImage, "/ping", publisher.publish, 10)
    rclpy.spin(node)


def echo_zenoh() -> None:
    """Sends back every payload, with nothing in between."""
    import zenoh

    from qeil_ros.rosless.config import session_config

    with zenoh.open(session_config(os.environ)) as session:
        publisher = session.declare_publisher(PONG)
        session.declare_subscriber(PING, lambda sample: publisher.put(sample.payload.to_bytes()))
        threading.Event().wait()


def camera(rate_hz: float) -> None:
    """Publishes images all the time; those after a message on `/start` are counted, as many as it says.

    The image's frame_id is its number, -1 for one that does not count; its stamp is the time of publication.
    """
    node = rclpy.create_node("camera")
    publisher = node.create_publisher(Image, "/image", qos_profile_sensor_data)
    wanted: list[int] = []
    node.create_subscription(UInt32, "/start", lambda message: wanted.append(int(message.data)), 10)
    image = Image(
        width=WIDTH, height=HEIGHT, step=3 * WIDTH, encoding="rgb8", data=os.urandom(3 * WIDTH * HEIGHT)
    )
    number = 0

    def publish() -> None:
        nonlocal number
        counted = bool(wanted) and number < wanted[0]
        image.header.frame_id = str(number if counted else -1)
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(time.time_ns(), 1_000_000_000)
        publisher.publish(image)
        number += counted

    node.create_timer(1 / rate_hz, publish)
    rclpy.spin(node)


def main() -> None:
    rclpy.init(args=[])
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        {"echo-rclpy": echo_rclpy, "echo-zenoh": echo_zenoh}.get(
            sys.argv[1], lambda: camera(float(sys.argv[2]))
        )()
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
