"""Dataclasses as YAML files that people write too: one schema, the dataclasses' own annotations.

A file is a stranger's. It is bounded in size, holds plain values only (`yaml.safe_load`) and no aliases,
which could make much of little. Every key must be one of the dataclass's, every value of its field's type,
and what `__post_init__` finds wrong is told with the file and the key.

Types: bool, int, float (never NaN; 1e9 too, which YAML takes for text), str, Literal, dataclasses,
`tuple[T, ...]`, `dict[K, T]`, `T | None` (left out where None), and float64 arrays as lists of lists.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import numpy as np
import yaml

__all__ = ["MAX_BYTES", "FileError", "from_plain", "read", "to_plain", "write"]

MAX_BYTES = 1 << 18

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_MAX_TEXT = 4096
_MAX_DIMENSIONS = 4

T = TypeVar("T")


class FileError(ValueError):
    """A file that cannot be used; the message names it, the key and the value."""


class _Loader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.YAMLError(f"line {event.start_mark.line + 1}: aliases (*) are not read")
        return super().compose_node(parent, index)


def read(path: Path, kind: type[T], format_number: int) -> T:
    """The dataclass that a file holds.

    Raises:
        FileError: it cannot be read, or is wrong; the message says where and what.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise FileError(f"{path}: is larger than {MAX_BYTES} bytes; this is no such file")
    try:
        found = yaml.load(raw, _Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise FileError(f"{path}: is not YAML that is read here: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise FileError(f"{path}: want a mapping of keys to values, got {shown(found)}")
    if (number := found.pop("format", None)) != format_number or isinstance(number, bool):
        raise FileError(f"{path}: format: want {format_number}, got {shown(number)}")
    return typing.cast(T, from_plain(kind, found, f"{path}:"))


def write(path: Path, value: Any, format_number: int, comment: str = "") -> None:
    """Writes a dataclass, all of it or nothing. OSError where that is not possible."""
    text = "".join(f"# {line}\n" if line else "#\n" for line in comment.splitlines())
    text += yaml.safe_dump(
        {"format": format_number, **to_plain(value)},
        default_flow_style=None,
        sort_keys=False,
        width=110,
        allow_unicode=True,
    )
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"{path}: would have {len(text.encode())} bytes; {MAX_BYTES} are read")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def to_plain(value: Any) -> Any:
    """Mappings, lists, numbers and strings; fields that are None are left out."""
    if dataclasses.is_dataclass(value):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: to_plain(entry) for name, entry in pairs if entry is not None}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [to_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: to_plain(entry) for key, entry in value.items()}
    return value


def from_plain(kind: Any, value: Any, where: str) -> Any:
    """The value as that type; `where` begins the error's message.

    Raises:
        FileError: it is none.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _record(typing.cast("type[Any]", kind), value, where)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return from_plain(next(a for a in arguments if a is not type(None)), value, where)
    if origin is tuple:
        entries = _of(list, value, where, "a list")
        return tuple(from_plain(arguments[0], entry, f"{where}[{i}]") for i, entry in enumerate(entries))
    if origin is dict:
        entries = _of(dict, value, where, "a mapping")
        return {
            from_plain(arguments[0], key, f"{where}: key"): from_plain(arguments[1], entry, _join(where, key))
            for key, entry in entries.items()
        }
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise FileError(f"{where}: want one of {', '.join(map(str, arguments))}, got {shown(value)}")
        return value
    if kind is np.ndarray or origin is np.ndarray:
        return _array(value, where)
    if kind is float:
        return _number(value, where)
    if kind is str and len(_of(str, value, where, "a string")) > _MAX_TEXT:
        raise FileError(f"{where}: want at most {_MAX_TEXT} characters, got {len(value)}")
    if kind is int and isinstance(value, bool):
        raise FileError(f"{where}: want an integer, got {shown(value)}")
    return _of(kind, value, where, {int: "an integer", bool: "true or false"}.get(kind, "a string"))


def _record(kind: type[Any], value: Any, where: str) -> Any:
    entries = _of(dict, value, where, "a mapping of keys to values")
    known = {field.name: field for field in dataclasses.fields(kind) if field.init}
    if unknown := [key for key in entries if key not in known]:
        raise FileError(f"{_join(where, unknown[0])}: is not a known key; known are {', '.join(known)}")
    missing = [
        name
        for name, field in known.items()
        if name not in entries
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise FileError(f"{_join(where, missing[0])}: is missing")
    hints = typing.get_type_hints(kind)
    made = {key: from_plain(hints[key], entry, _join(where, key)) for key, entry in entries.items()}
    try:
        return kind(**made)
    except ValueError as error:
        raise FileError(f"{where.removesuffix(':')}: {error}") from error


def _number(value: Any, where: str) -> float:
    if isinstance(value, str) and len(value) < 40 and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FileError(f"{where}: want a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if math.isnan(number):
        raise FileError(f"{where}: want a number, got {shown(value)}")
    return number


def _array(value: Any, where: str) -> Any:
    def checked(entry: Any, place: str, depth: int) -> Any:
        if not isinstance(entry, list):
            return _number(entry, place)
        if depth == _MAX_DIMENSIONS:
            raise FileError(f"{place}: lists in lists {depth + 1} deep; want numbers")
        return [checked(inner, f"{place}[{i}]", depth + 1) for i, inner in enumerate(entry)]

    try:
        return np.array(checked(_of(list, value, where, "a list of numbers"), where, 0), np.float64)
    except FileError:
        raise
    except ValueError as error:
        raise FileError(f"{where}: want rows of one length") from error


def _of(kind: Any, value: Any, where: str, what: str) -> Any:
    if not isinstance(value, kind):
        raise FileError(f"{where}: want {what}, got {shown(value)}")
    return value


def _join(where: str, key: Any) -> str:
    return f"{where}{' ' if where.endswith(':') else '.'}{str(key)[:80]}"


def shown(value: object) -> str:
    """The value for an error message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
