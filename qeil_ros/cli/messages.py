"""Messages to plain values and back: what `topic echo` prints and what `topic pub` and `service call` read.

Uses only what every rclpy message class has, so it works on generated classes and on ours alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from qeil_ros.nodes.message_text import interface_name

from .errors import CliError
from .ros import load_interface

_SEQUENCE = re.compile(r"(?:sequence<(?P<item>[^,<>]+(?:<\d+>)?)(?:, ?\d+)?>|(?P<fixed>[^\[\]]+)\[\d+\])")


def is_message(value: Any) -> bool:
    return hasattr(value, "get_fields_and_field_types")


def to_plain(
    value: Any,
    max_length: int | None = None,
    no_arrays: bool = False,
    no_strings: bool = False,
    typename: str = "",
) -> Any:
    """A message as dictionaries, lists and scalars.

    Arrays and strings longer than `max_length` are cut and end in '...'; `no_arrays` and `no_strings` give
    '<array type: uint8>' and '<string length: 7>' for them, as `ros2 topic echo` does.
    """
    if is_message(value):
        fields = value.get_fields_and_field_types()
        return {
            name: to_plain(getattr(value, name), max_length, no_arrays, no_strings, typename)
            for name, typename in fields.items()
        }
    if isinstance(value, str):
        if no_strings:
            return f"<string length: <{len(value)}>>"
        return value[:max_length] + "..." if max_length is not None and len(value) > max_length else value
    if isinstance(value, (bytes, bytearray)) and typename in ("octet", "byte"):
        return value[0] if value else 0
    if hasattr(value, "__len__"):
        if no_arrays:
            return f"<array type: {item_type(typename) or typename}[{len(value)}]>"
        cut = max_length is not None and len(value) > max_length
        head = value[:max_length] if cut else value
        if hasattr(head, "tolist"):
            head = head.tolist()
        item = item_type(typename) or ""
        plain = [to_plain(entry, max_length, no_arrays, no_strings, item) for entry in head]
        return [*plain, "..."] if cut else plain
    return value.item() if hasattr(value, "item") else value


def item_type(typename: str) -> str | None:
    """The type of the elements of a sequence or array type; None for anything else."""
    match = _SEQUENCE.fullmatch(typename)
    return None if match is None else (match["item"] or match["fixed"]).strip()


def to_yaml(plain: Any, flow: bool = False) -> str:
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=flow, allow_unicode=True, width=10**9)


def select(value: Any, path: str) -> tuple[Any, str]:
    """A field by its path, `pose.position.x` or `ranges[0]`, with its type. CliError where there is none."""
    typename = ""
    for part in re.findall(r"[^.\[\]]+|\[\d+\]", path):
        if part.startswith("["):
            try:
                value, typename = value[int(part[1:-1])], item_type(typename) or ""
            except (IndexError, TypeError) as error:
                raise CliError(f"no element {part} in field {path!r}") from error
        else:
            if not is_message(value) or part not in value.get_fields_and_field_types():
                raise CliError(f"no field {part!r} (of {path!r}) in {_describe(value)}")
            typename = value.get_fields_and_field_types()[part]
            value = getattr(value, part)
    return value, typename


def _describe(value: Any) -> str:
    if not is_message(value):
        return f"a {type(value).__name__}"
    return f"{interface_name(value)}, which has: {', '.join(value.get_fields_and_field_types())}"


def parse_values(text: str) -> dict[str, Any]:
    """A YAML mapping from the command line; nothing means no fields. CliError where it is something else."""
    try:
        values = yaml.safe_load(text) if text else {}
    except yaml.YAMLError as error:
        raise CliError(f"the values are not YAML: {' '.join(str(error).split())}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise CliError(f"the values must be a YAML mapping such as '{{data: 1}}', not {values!r}")
    return values


def fill(message: Any, values: Mapping[str, Any], now: Any = None) -> Any:
    """Sets fields of a message from plain values, in place. `now`, a time message, replaces the words `now`
    (in a time) and `auto` (in a header). CliError where a name or a value does not fit."""
    fields = message.get_fields_and_field_types()
    for name, value in values.items():
        if name not in fields:
            raise CliError(f"no field {name!r} in {_describe(message)}")
        current = getattr(message, name)
        try:
            setattr(message, name, _value(current, fields[name], value, now))
        except (AssertionError, TypeError, ValueError, OverflowError) as error:
            reason = " ".join(str(error).split())
            raise CliError(
                f"field {name!r} of {interface_name(message)} cannot be {value!r}: {reason}"
            ) from error
    return message


def _value(current: Any, typename: str, value: Any, now: Any) -> Any:
    if is_message(current):
        if now is not None and value == "now" and typename == "builtin_interfaces/Time":
            return now
        if now is not None and value == "auto" and typename == "std_msgs/Header":
            return fill(current, {"stamp": "now"}, now)
        if not isinstance(value, dict):
            raise TypeError(f"a mapping is needed for a {typename}")
        return fill(current, value, now)
    item = item_type(typename)
    if item is not None and "/" in item:
        if not isinstance(value, list):
            raise TypeError("a list is needed")
        package, base = item.split("/")[0], item.split("/")[-1]
        kind = load_interface(f"{package}/msg/{base}")
        return [_value(kind(), item, entry, now) for entry in value]
    if item in ("float", "double") and isinstance(value, list):
        return [float(entry) for entry in value]
    if item in ("octet", "byte") and isinstance(value, list):
        return [bytes([entry]) for entry in value]
    if typename in ("octet", "byte") and isinstance(value, int):
        return bytes([value])
    if typename in ("float", "double") and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
