"""Parameter values between YAML, Python and rcl_interfaces, and which entries of a file a node takes."""

from __future__ import annotations

from typing import Any

import yaml

from .errors import CliError

# By rcl_interfaces/msg/ParameterType; the names are those of ParameterValue's fields, less `_value`.
TYPE_NAMES = (
    *("not_set", "boolean", "integer", "double", "string"),
    *("byte_array", "boolean_array", "integer_array", "double_array", "string_array"),
)
_FIELDS = (
    *("", "bool_value", "integer_value", "double_value", "string_value", "byte_array_value"),
    *("bool_array_value", "integer_array_value", "double_array_value", "string_array_value"),
)
_SCALARS = {bool: 1, int: 2, float: 3, str: 4}
_ARRAYS = {bool: 6, int: 7, float: 8, str: 9}


def to_python(value: Any) -> Any:
    """An rcl_interfaces/msg/ParameterValue as a scalar or a list; None if it is not set."""
    if value.type == 0:
        return None
    plain = getattr(value, _FIELDS[value.type])
    if value.type == 5:
        return [entry[0] if isinstance(entry, bytes) else int(entry) for entry in plain]
    return plain if value.type < 5 else list(plain)


def from_python(plain: Any) -> Any:
    """An rcl_interfaces/msg/ParameterValue. CliError where parameters have no such type."""
    from rcl_interfaces.msg import ParameterValue

    if isinstance(plain, list):
        kinds = {type(entry) for entry in plain}
        if kinds == {int, float}:
            plain, kinds = [float(entry) for entry in plain], {float}
        kind = _ARRAYS.get(kinds.pop() if len(kinds) == 1 else str if not plain else type(None))
    else:
        kind = _SCALARS.get(type(plain))
    if kind is None:
        raise CliError(f"{plain!r} is not a bool, integer, double, string or a list of one of these")
    return ParameterValue(**{"type": kind, _FIELDS[kind]: plain})


def from_yaml(text: str) -> Any:
    """A ParameterValue from what stands on the command line; text that is no YAML value is a string."""
    try:
        plain = yaml.safe_load(text)
    except yaml.YAMLError:
        plain = text
    if plain is None or not isinstance(plain, (bool, int, float, str, list)):
        plain = text
    return from_python(plain)


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Dotted names as nested dictionaries, as parameter files have them."""
    tree: dict[str, Any] = {}
    for name, value in sorted(values.items()):
        *groups, last = name.split(".")
        branch = tree
        for group in groups:
            below = branch.setdefault(group, {})
            if not isinstance(
                below, dict
            ):  # `a` and `a.b` are both parameters: the dotted name stays as it is
                branch, last = tree, name
                break
            branch = below
        branch[last] = value
    return tree


def pairs_for(document: Any, node: str, wildcards: bool, file: str) -> dict[str, Any]:
    """The parameters that a parameter file has for a node (fully qualified), as ParameterValues; later
    entries win."""
    if not isinstance(document, dict):
        raise CliError(f"{file!r} is not a parameter file: a mapping from node names is expected")
    found: dict[str, Any] = {}
    for key, entry in document.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("ros__parameters"), dict):
            raise CliError(f"{file!r} is not a parameter file: {key!r} has no 'ros__parameters'")
        if key.lstrip("/") == node.lstrip("/") or (wildcards and _matches(key, node)):
            found.update(_flat(entry["ros__parameters"]))
    return {name: from_python(value) for name, value in found.items()}


def _matches(pattern: str, node: str) -> bool:
    """Whether a name with `*` (one part) and `**` (any number of parts) matches."""

    def match(want: list[str], have: list[str]) -> bool:
        if not want:
            return not have
        if want[0] == "**":
            return any(match(want[1:], have[skip:]) for skip in range(len(have) + 1))
        return bool(have) and want[0] in ("*", have[0]) and match(want[1:], have[1:])

    return match(pattern.strip("/").split("/"), node.strip("/").split("/"))


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
