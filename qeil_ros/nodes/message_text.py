"""The text of message types, as recordings carry it."""

from __future__ import annotations

import importlib
import re
from typing import Any

__all__ = ["definition_text", "interface_name"]

_PRIMITIVES = {"boolean": "bool", "octet": "byte", "float": "float32", "double": "float64"}
_ARRAY = re.compile(r"(?:sequence<(?P<item>.+?)(?:, ?(?P<bound>\d+))?>|(?P<fixed>[^\[\]]+)\[(?P<size>\d+)\])")
_BOUNDED_STRING = re.compile(r"(w?string)<(\d+)>")
_RULE = "=" * 80


def definition_text(cls: Any) -> str:
    """The `.msg` text of a class and of all that it uses, as mcap files carry it. From the class alone, so
    it has no comments and no constants; neither changes the bytes or the type's hash."""
    seen: dict[str, str] = {}

    def visit(kind: Any) -> None:
        name = interface_name(kind)
        if name in seen:
            return
        lines, nested = [], []
        for field, typename in kind.get_fields_and_field_types().items():
            text, inner = _field(typename)
            lines.append(f"{text} {field}")
            nested += [inner] if inner else []
        seen[name] = "\n".join(lines) + "\n"
        for inner in nested:
            visit(_load(inner))

    visit(cls)
    (_, main), *rest = seen.items()
    return main + "".join(f"{_RULE}\nMSG: {name.replace('/msg/', '/')}\n{text}" for name, text in rest)


def _field(typename: str) -> tuple[str, str | None]:
    """A field type as `.msg` writes it, and the message type in it."""
    match = _ARRAY.fullmatch(typename)
    if match is None:
        bounded = _BOUNDED_STRING.fullmatch(typename)
        if bounded is not None:
            return f"{bounded[1]}<={bounded[2]}", None
        if "/" in typename:
            package, base = typename.split("/")[0], typename.split("/")[-1]
            return f"{package}/{base}", f"{package}/msg/{base}"
        return _PRIMITIVES.get(typename, typename), None
    text, inner = _field((match["item"] or match["fixed"]).strip())
    if match["fixed"]:
        return f"{text}[{match['size']}]", inner
    return f"{text}[<={match['bound']}]" if match["bound"] else f"{text}[]", inner


def interface_name(kind: Any) -> str:
    """`pkg/msg/Name` of a message class or instance."""
    cls = kind if isinstance(kind, type) else type(kind)
    package, section = cls.__module__.split(".")[:2]
    return f"{package}/{section}/{cls.__name__}"


def _load(name: str) -> Any:
    package, section, base = name.split("/")
    return getattr(importlib.import_module(f"{package}.{section}"), base)
