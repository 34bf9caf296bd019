"""`validate_node_name`, under the module name that rclpy has for it."""

from __future__ import annotations

from ._names import validate_node_name as validate_node_name
