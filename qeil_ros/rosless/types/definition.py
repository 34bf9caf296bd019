"""Interface definitions as data, and the reader of `.msg` and `.srv` text.

The grammar is the one of rosidl (https://docs.ros.org/en/jazzy/Concepts/Basic/About-Interfaces.html), with
the defaults that most readers throw away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

# Every primitive of the .msg language; `char` is an old name of uint8 (rosidl hashes and stores it as such).
_UNSIGNED_BITS = {"byte": 8, "char": 8, "uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}
_SIGNED_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
PRIMITIVES = frozenset({*_UNSIGNED_BITS, *_SIGNED_BITS, "bool", "float32", "float64", "string", "wstring"})


class DefinitionError(ValueError):
    """Interface text that cannot be read. The message names the interface and the line."""


@dataclass(frozen=True)
class FieldType:
    """What a field holds: `base` is a primitive or "pkg/msg/Name".

    `size` is the length of an array, or the bound of a sequence (0: unbounded); `string_bound` likewise, in
    characters.
    """

    base: str
    kind: Literal["scalar", "array", "sequence"] = "scalar"
    size: int = 0
    string_bound: int = 0

    @property
    def is_nested(self) -> bool:
        return self.base not in PRIMITIVES


@dataclass(frozen=True)
class Field:
    name: str
    type: FieldType
    default: Any = None
    """Value from the definition; None where it gives none (zero, empty, false)."""


@dataclass(frozen=True)
class Constant:
    name: str
    base: str
    value: Any


@dataclass(frozen=True)
class Definition:
    """One message, or the request, response or event of a service ("pkg/srv/Name_Request")."""

    name: str
    fields: tuple[Field, ...] = ()
    constants: tuple[Constant, ...] = ()


def integer_range(base: str) -> tuple[int, int]:
    """Smallest and largest value of an integer primitive."""
    if base in _UNSIGNED_BITS:
        return 0, 2 ** _UNSIGNED_BITS[base] - 1
    half = 2 ** (_SIGNED_BITS[base] - 1)
    return -half, half - 1


def is_integer(base: str) -> bool:
    return base in _UNSIGNED_BITS or base in _SIGNED_BITS


_NAME = r"[A-Za-z][A-Za-z0-9_]*"
_TYPE = re.compile(
    rf"(?P<base>{_NAME}(?:/{_NAME})*)(?:<=(?P<chars>\d+))?(?P<array>\[(?P<bound><=)?(?P<size>\d*)\])?"
)
_CONSTANT = re.compile(rf"(?P<base>[a-z0-9]+)(?:<=\d+)?\s+(?P<name>{_NAME})\s*=\s*(?P<value>.*)")
_FIELD = re.compile(rf"(?P<type>[^\s=]+(?:<=[^\s=]+)*)\s+(?P<name>{_NAME})(?:\s+(?P<value>\S.*))?")
_SECTION = re.compile(r"^=+\s*$", re.MULTILINE)
# What ROS 1 definitions, which recordings still carry, call these.
_LEGACY = {
    "time": "builtin_interfaces/msg/Time",
    "duration": "builtin_interfaces/msg/Duration",
    "Header": "std_msgs/msg/Header",
}


def parse_message(text: str, name: str) -> Definition:
    """Reads the text of one `.msg`.

    Raises:
        DefinitionError: a line that is neither a field, a constant nor a comment.
    """
    members = [_parse_line(name, number, line) for number, line in _lines(text)]
    fields = [item for item in members if isinstance(item, Field)]
    constants = [item for item in members if isinstance(item, Constant)]
    names = [item.name for item in members]
    if doubled := {item for item in names if names.count(item) > 1}:
        raise DefinitionError(f"{name}: defined twice: {', '.join(sorted(doubled))}")
    return Definition(name, tuple(fields), tuple(constants))


def parse_sections(text: str, name: str) -> list[Definition]:
    """Reads a definition and those it refers to, as recordings carry them ("===" and "MSG: pkg/Name")."""
    first, *rest = _SECTION.split(text)
    definitions = [parse_message(first, name)]
    for section in rest:
        header, _, body = section.lstrip().partition("\n")
        if not header.startswith("MSG:"):
            raise DefinitionError(f"{name}: a section starts with {header!r}; expected 'MSG: package/Name'")
        definitions.append(parse_message(body, full_name(header[4:].strip())))
    return definitions


def parse_service(text: str, name: str) -> tuple[Definition, Definition]:
    """Reads the text of one `.srv` into "<name>_Request" and "<name>_Response"."""
    parts = re.split(r"^---\s*$", text, flags=re.MULTILINE)
    if len(parts) != 2:
        raise DefinitionError(f"{name}: a service has one line '---' between request and response")
    return parse_message(parts[0], f"{name}_Request"), parse_message(parts[1], f"{name}_Response")


def event_of(service: str) -> Definition:
    """The event message that rosidl makes for every service: what service introspection publishes."""
    return Definition(
        f"{service}_Event",
        (
            Field("info", FieldType("service_msgs/msg/ServiceEventInfo")),
            Field("request", FieldType(f"{service}_Request", "sequence", 1)),
            Field("response", FieldType(f"{service}_Response", "sequence", 1)),
        ),
    )


def full_name(name: str) -> str:
    """Both "pkg/Name" and "pkg/msg/Name" give "pkg/msg/Name"."""
    parts = name.split("/")
    return "/".join([parts[0], "msg", parts[1]]) if len(parts) == 2 else name


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if stripped := line.partition("#")[0].strip():
            yield number, stripped


def _parse_line(name: str, number: int, line: str) -> Field | Constant:
    try:
        if (match := _CONSTANT.fullmatch(line)) and match["base"] in PRIMITIVES:
            value = _parse_value(match["value"], FieldType(match["base"]))
            return Constant(match["name"], match["base"], value)
        if match := _FIELD.fullmatch(line):
            kind = _parse_type(match["type"], name.split("/")[0])
            default = None if match["value"] is None else _parse_value(match["value"], kind)
            return Field(match["name"], kind, default)
    except ValueError as error:
        raise DefinitionError(f"{name}, line {number}: {line!r}: {error}") from None
    raise DefinitionError(f"{name}, line {number}: {line!r} is neither a field, a constant nor a comment")


def _parse_type(text: str, package: str) -> FieldType:
    match = _TYPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no type")
    base = match["base"]
    if base not in PRIMITIVES:
        if "/" in base:
            base = full_name(base)
        elif base in _LEGACY and package != "std_msgs":
            base = _LEGACY[base]
        else:
            base = f"{package}/msg/{base}"
    if match["chars"] and base not in ("string", "wstring"):
        raise ValueError(f"{base} cannot be bounded")
    chars = int(match["chars"] or 0)
    if match["array"] is None:
        return FieldType(base, string_bound=chars)
    if match["bound"] or not match["size"]:
        return FieldType(base, "sequence", int(match["size"] or 0), chars)
    return FieldType(base, "array", int(match["size"]), chars)


def _parse_value(text: str, kind: FieldType) -> Any:
    if kind.is_nested:
        raise ValueError(f"a field of type {kind.base} cannot have a default")
    if kind.kind == "scalar":
        return _parse_scalar(text, kind.base)
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"the default of an array is written [a, b], not {text!r}")
    items = _split_list(text[1:-1])
    values = [_parse_scalar(item, kind.base) for item in items]
    if kind.size and (len(values) > kind.size or (kind.kind == "array" and len(values) != kind.size)):
        raise ValueError(f"{len(values)} values for {kind.size}")
    return values


def _split_list(text: str) -> list[str]:
    """Splits at commas outside of quotes."""
    items = re.findall(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^,]+)\s*(?:,|$)""", text)
    return [item.strip() for item in items]


def _parse_scalar(text: str, base: str) -> Any:
    if base in ("string", "wstring"):
        quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'"
        return re.sub(r"\\([\"'\\])", r"\1", text[1:-1]) if quoted else text
    if base == "bool":
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"{text!r} is no bool; write true or false")
        return text.lower() in ("true", "1")
    if base in ("float32", "float64"):
        return float(text)
    value = int(text, 0) if not re.fullmatch(r"[+-]?0\d+", text) else int(text, 8)
    low, high = integer_range(base)
    if not low <= value <= high:
        raise ValueError(f"{value} is outside of {base} ({low} to {high})")
    return bytes([value]) if base == "byte" else value
