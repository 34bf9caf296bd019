"""`validate_full_topic_name`, under the module name that rclpy has for it."""

from __future__ import annotations

from ._names import validate_full_topic_name as validate_full_topic_name
