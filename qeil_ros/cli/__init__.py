"""The `qeil` command: launching, looking into the graph, recordings, the demo and the benchmarks.

Each command is a module with `register(app)`, imported only when that command is asked for, so that `qeil
--help` needs neither ROS nor a model. All ROS work in here is ordinary rclpy, imported inside functions;
`qeil_ros.rosless` serves it where no ROS 2 is installed. Nothing else in the project may import this package.
"""

from __future__ import annotations

from .app import app, main

__all__ = ["app", "main"]
