"""`qeil bag`: rosbag2 recordings (mcap, sqlite3) in and out of the graph, and what is in them.

Recordings are read and written by rosbags; messages pass as the bytes they are, never decoded. `storage`
knows files and QoS profiles, `player` and `recorder` are ordinary rclpy without a command line, `commands`
is the command line. No message type is known by name here but the clock's.
"""

from __future__ import annotations

from .commands import register

__all__ = ["register"]
