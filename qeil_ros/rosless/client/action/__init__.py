"""Actions are left out; importing them says so rather than failing later."""

raise ImportError(
    "rclpy.action: actions are not part of qeil_ros.rosless, which serves rclpy where no ROS 2 is installed; "
    "use services and topics, or install ROS 2 (see docs/rosless.md for what is supported)"
)
