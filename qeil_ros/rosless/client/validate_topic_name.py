"""`validate_topic_name`, under the module name that rclpy has for it."""

from __future__ import annotations

from ._names import validate_topic_name as validate_topic_name

TOPIC_SEPARATOR_STRING = "/"
