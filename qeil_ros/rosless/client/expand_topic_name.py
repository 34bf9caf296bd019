"""`expand_topic_name`, under the module name that rclpy has for it."""

from __future__ import annotations

from ._names import expand_topic_name as expand_topic_name
