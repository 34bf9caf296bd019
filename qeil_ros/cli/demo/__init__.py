"""The demonstration: a recording through the whole graph, watched from outside.

Router, nodes and player run as processes of their own; this process only observes topics, so that what it
reports is what any other machine in the graph would have seen. The bookkeeping (`ledger`, `summary`) is pure.
Nothing here may reach into a node: parameters, services and topics are the only way in.
"""

import qeil_ros.rosless  # noqa: F401  serves rclpy and the interface packages where no ROS 2 is installed

from .command import register

__all__ = ["register"]
