"""The ROS 2 nodes: parameters, topics, diagnostics and threads around what the other rooms compute.

encoder, fallback and supervisor run on the robot, co_inference off it. They are ordinary rclpy code, public
API only; importing this package makes `import rclpy` work where no ROS 2 is installed. A rule, a formula or a
format that could be tested without a graph does not belong here but in `models`, `safety`, `planning`,
`platform` or `codec`.
"""

import qeil_ros.rosless  # noqa: F401  serves rclpy and the interface packages where no ROS 2 is installed
