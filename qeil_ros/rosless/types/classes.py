"""Message classes made from definitions; they behave as rclpy's generated ones do."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from .definition import Definition, FieldType
from .fields import FieldError, check_for, default_of

_SHOWN_ITEMS = 100
_IDL_NAMES = {"bool": "boolean", "byte": "octet", "char": "uint8", "float32": "float", "float64": "double"}


class Message:
    """Base of every message class. Fields are keyword arguments and attributes; nothing else can be set."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # mutable, as in rclpy
    __definition__: ClassVar[Definition]
    __nested__: ClassVar[dict[str, type]]
    # For each field the function that stores a value unchecked, and the one that makes the first value.
    _initial: ClassVar[dict[str, tuple[Callable[[Any, Any], None], Callable[[], Any]]]]

    def __init__(self, **values: Any) -> None:
        initial = self._initial
        if values and not values.keys() <= initial.keys():
            unknown = ", ".join(sorted(values.keys() - initial.keys()))
            raise FieldError(
                f"{self.__definition__.name} has no field {unknown}; it has {', '.join(initial) or 'none'}"
            )
        for name, (store, first) in initial.items():
            if name in values:
                setattr(self, name, values[name])
            else:
                store(self, first())

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        """Field names and their types as rclpy spells them: "double", "std_msgs/Header", "sequence<int8>"."""
        return {field.name: idl_name(field.type) for field in cls.__definition__.fields}

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(_equal(getattr(self, name), getattr(other, name)) for name in self._initial)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_shown(getattr(self, name))}" for name in self._initial)
        cls = self.__class__
        return f"{cls.__module__}.{cls.__qualname__}({values})"


def make_class(definition: Definition, resolve: Callable[[str], type]) -> type[Message]:
    """The class of a message.

    Args:
        resolve: gives the class of a nested type.
    """
    package, folder, name = definition.name.split("/")
    nested = {
        field.type.base: resolve(field.type.base) for field in definition.fields if field.type.is_nested
    }
    names = [field.name for field in definition.fields]
    members: dict[str, Any] = {
        "__slots__": ["_" + field for field in names],
        "__module__": f"{package}.{folder}",
        "__doc__": f"{definition.name}: {', '.join(names) or 'no fields'}.",
        "__definition__": definition,
        "__nested__": nested,
        **{constant.name: constant.value for constant in definition.constants},
    }
    cls = type(name, (Message,), members)
    initial = {}
    for field in definition.fields:
        inner = nested.get(field.type.base)
        check = check_for(f"{definition.name}.{field.name}", field.type, inner)
        slot = cls.__dict__["_" + field.name]
        initial[field.name] = (slot.__set__, default_of(field, inner, check))
        setattr(
            cls, field.name, property(slot.__get__, _setter(slot.__set__, check), doc=idl_name(field.type))
        )
    cls._initial = initial  # type: ignore[attr-defined]
    return cls


def _setter(store: Callable[[Any, Any], None], check: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
    def assign(self: Any, value: Any) -> None:
        store(self, check(value))

    return assign


def idl_name(kind: FieldType) -> str:
    base = kind.base
    if kind.is_nested:
        package, _, name = base.split("/")
        base = f"{package}/{name}"
    elif kind.string_bound:
        base = f"{base}<{kind.string_bound}>"
    else:
        base = _IDL_NAMES.get(base, base)
    if kind.kind == "array":
        return f"{base}[{kind.size}]"
    if kind.kind == "sequence":
        return f"sequence<{base}, {kind.size}>" if kind.size else f"sequence<{base}>"
    return base


def _equal(mine: Any, other: Any) -> bool:
    if isinstance(mine, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(mine, other))
    return bool(mine == other)


def _shown(value: Any) -> str:
    if isinstance(value, (array.array, np.ndarray)):
        items = value[:_SHOWN_ITEMS].tolist()
        return _shortened([repr(item) for item in items], len(value))
    if isinstance(value, list):
        return _shortened([repr(item) for item in value[:_SHOWN_ITEMS]], len(value))
    return repr(value)


def _shortened(items: list[str], count: int) -> str:
    more = [f"... {count - len(items)} more"] if count > len(items) else []
    return f"[{', '.join([*items, *more])}]"
