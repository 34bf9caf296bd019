"""rclpy's API over Zenoh, for machines without ROS 2: the same nodes in the same graph, from wheels alone.

Importing this package puts a finder behind Python's own (`finder`), which serves `rclpy` and the interface
packages where no real ones are found. `types` are the messages; `session`, `graph` and `wire` speak
rmw_zenoh's protocol; `client` is what is served as `rclpy`; `launch` reads launch files; `router` runs a
Zenoh router. Nothing of ours but `_kernels` may be used here, and nothing here knows about models, codecs
or nodes.
"""

from __future__ import annotations

from .finder import install

__all__ = ["install"]

install()
