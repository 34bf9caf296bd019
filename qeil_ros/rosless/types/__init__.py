"""Interface types without ROS: message and service classes, their wire form, their hashes.

In: `.msg` text and the standard packages (by rosbags). Out: classes that behave as rclpy's, CDR and RIHS01
hashes. Nothing here knows about nodes, topics or sockets, and nothing here trusts the bytes it decodes.
Modules: `definition` (reader), `store` (lookup), `classes` and `fields` (Python side), `cdr` (bytes),
`hashes`, `services` (standard `.srv` texts).
"""

from __future__ import annotations

from .cdr import deserialize, serialize
from .classes import Message
from .definition import Definition, DefinitionError, Field, FieldType
from .fields import FieldError
from .primitives import DeserializationError, SerializationError
from .store import Service, TypeInfo, TypeStore, default_store, get_message, get_service, register, type_info

__all__ = [
    "Definition",
    "DefinitionError",
    "DeserializationError",
    "Field",
    "FieldError",
    "FieldType",
    "Message",
    "SerializationError",
    "Service",
    "TypeInfo",
    "TypeStore",
    "default_store",
    "deserialize",
    "get_message",
    "get_service",
    "register",
    "serialize",
    "type_info",
]
