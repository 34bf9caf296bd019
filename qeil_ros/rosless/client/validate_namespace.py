"""`validate_namespace`, under the module name that rclpy has for it."""

from __future__ import annotations

from ._names import validate_namespace as validate_namespace
