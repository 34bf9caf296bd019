"""RIHS01 type hashes (REP 2016): SHA-256 over the canonical JSON of a type's description.

Two machines exchange messages only where these agree, so they must match rosidl's own to the bit:
`rosidl_generator_type_description` writes the JSON with Python's default separators and without defaults,
constants and comments; `char` counts as uint8; an interface without fields has one hidden uint8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from .definition import Definition, Field, FieldType

# From type_description_interfaces/msg/FieldType. Arrays add 48, bounded sequences 96, unbounded ones 144.
_TYPE_IDS = {
    "int8": 2,
    "uint8": 3,
    "char": 3,
    "int16": 4,
    "uint16": 5,
    "int32": 6,
    "uint32": 7,
    "int64": 8,
    "uint64": 9,
    "float32": 10,
    "float64": 11,
    "bool": 15,
    "byte": 16,
    "string": 17,
    "wstring": 18,
}
_NESTED, _BOUNDED_STRING, _BOUNDED_WSTRING = 1, 21, 22

#: The member that rosidl gives to an interface without fields; one byte on the wire.
PLACEHOLDER = Field("structure_needs_at_least_one_member", FieldType("uint8"))


def rihs01(definition: Definition, resolve: Callable[[str], Definition]) -> str:
    """The hash of an interface, "RIHS01_" and 64 hex digits.

    Args:
        resolve: gives the definition of a referenced type.
    """
    return _digest(_describe(definition), _referenced(definition, resolve))


def service_rihs01(name: str, resolve: Callable[[str], Definition]) -> str:
    """The hash of a service: rosidl describes it as a message with request, response and event."""
    definition = Definition(
        name,
        tuple(
            Field(f"{part.lower()}_message", FieldType(f"{name}_{part}"))
            for part in ("Request", "Response", "Event")
        ),
    )
    return _digest(_describe(definition), _referenced(definition, resolve))


def _digest(description: dict[str, Any], referenced: list[dict[str, Any]]) -> str:
    document = {"type_description": description, "referenced_type_descriptions": referenced}
    return "RIHS01_" + hashlib.sha256(json.dumps(document).encode()).hexdigest()


def _referenced(definition: Definition, resolve: Callable[[str], Definition]) -> list[dict[str, Any]]:
    found: dict[str, Definition] = {}
    pending = [definition]
    while pending:
        for field in pending.pop().fields:
            if field.type.is_nested and field.type.base not in found:
                found[field.type.base] = nested = resolve(field.type.base)
                pending.append(nested)
    return [_describe(found[name]) for name in sorted(found)]


def _describe(definition: Definition) -> dict[str, Any]:
    fields = definition.fields or (PLACEHOLDER,)
    return {
        "type_name": definition.name,
        "fields": [{"name": field.name, "type": _describe_type(field.type)} for field in fields],
    }


def _describe_type(kind: FieldType) -> dict[str, Any]:
    if kind.is_nested:
        type_id = _NESTED
    elif kind.string_bound:
        type_id = _BOUNDED_STRING if kind.base == "string" else _BOUNDED_WSTRING
    else:
        type_id = _TYPE_IDS[kind.base]
    if kind.kind == "array":
        type_id += 48
    elif kind.kind == "sequence":
        type_id += 96 if kind.size else 144
    return {
        "type_id": type_id,
        "capacity": kind.size,
        "string_capacity": kind.string_bound,
        "nested_type_name": kind.base if kind.is_nested else "",
    }
