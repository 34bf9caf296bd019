"""What may be assigned to a field, and what it holds before anything was.

The rules are rclpy's, so that what runs here runs on the robot: an int is no float, an unsigned field takes
no negative number, a numeric sequence is an `array.array`, a numeric array a numpy array, a `byte` is
`bytes` of length 1. More lenient in one place: numeric sequences also take any buffer or ndarray of their
type.
"""

from __future__ import annotations

import array
import math
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from .definition import Field, FieldType, integer_range, is_integer
from .primitives import SCALARS

Check = Callable[[Any], Any]
_FLOAT32_MAX = 3.4028235e38


class FieldError(AssertionError, TypeError):
    """A value that does not fit its field: an AssertionError as in rclpy, a TypeError as elsewhere."""


def check_for(where: str, kind: FieldType, nested: type | None) -> Check:
    """Gives the function that turns an assigned value into the stored one, or raises `FieldError`.

    Args:
        where: what the error calls the field, "pkg/msg/Name.field".
        nested: the class of a nested field.
    """
    if kind.base == "wstring":
        raise NotImplementedError(f"{where}: wstring is not supported")
    if kind.kind == "scalar":
        return _scalar(where, kind, nested)
    if kind.base in SCALARS and kind.base not in ("bool", "byte"):
        return _numbers(where, kind) if kind.kind == "sequence" else _fixed(where, kind)
    return _list(where, kind, nested)


def default_of(field: Field, nested: type | None, check: Check) -> Callable[[], Any]:
    """A function that gives the field's first value; a fresh one each time where it is mutable."""
    kind = field.type
    if kind.kind == "scalar":
        if nested is not None:
            return nested
        value = _zero(kind.base) if field.default is None else check(field.default)
        return lambda: value
    if field.default is not None:
        return lambda: check(list(field.default))
    if kind.base in SCALARS and kind.base not in ("bool", "byte"):
        code = SCALARS[kind.base][0]
        if kind.kind == "sequence":
            return lambda: array.array(code)
        return lambda: np.zeros(kind.size, code)
    if kind.kind == "sequence":
        return list
    if nested is not None:
        return lambda: [nested() for _ in range(kind.size)]
    return lambda: [_zero(kind.base)] * kind.size


def _zero(base: str) -> Any:
    if is_integer(base):
        return 0 if base != "byte" else b"\0"
    return {"bool": False, "string": ""}.get(base, 0.0)


def _fail(where: str, wanted: str, value: object) -> NoReturn:
    text = repr(value)
    shown = text if len(text) <= 80 else text[:77] + "..."
    raise FieldError(f"{where} must be {wanted}, not {shown} ({type(value).__name__})")


def _scalar(where: str, kind: FieldType, nested: type | None) -> Check:
    if nested is not None:
        return _instance(where, nested, kind.base)
    if kind.base == "string":
        return _string(where, kind.string_bound)
    if kind.base == "byte":
        return _byte(where)
    if kind.base == "bool":
        return _instance(where, bool, "bool")
    if is_integer(kind.base):
        return _integer(where, kind.base)
    return _float(where, kind.base)


def _instance(where: str, cls: type, name: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, cls):
            _fail(where, name, value)
        return value

    return check


def _string(where: str, bound: int) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, str):
            _fail(where, "str", value)
        if bound and len(value) > bound:
            _fail(where, f"str of at most {bound} characters", value)
        return value

    return check


def _byte(where: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, (bytes, bytearray)) or len(value) != 1:
            _fail(where, "bytes of length 1", value)
        return bytes(value)

    return check


def _integer(where: str, base: str) -> Check:
    low, high = integer_range(base)

    def check(value: Any) -> Any:
        if not isinstance(value, int) or not low <= value <= high:
            _fail(where, f"int in [{low}, {high}]", value)
        return value

    return check


def _float(where: str, base: str) -> Check:
    limit = _FLOAT32_MAX if base == "float32" else math.inf

    def check(value: Any) -> Any:
        if not isinstance(value, float):
            _fail(where, "float", value)
        if not -limit <= value <= limit and math.isfinite(value):
            _fail(where, f"float in [{-limit:g}, {limit:g}]", value)
        return value

    return check


def _numbers(where: str, kind: FieldType) -> Check:
    code, size = SCALARS[kind.base]
    wanted = f"array.array({code!r}), a buffer of {kind.base} or a sequence of {_python_name(kind.base)}"
    bound = kind.size

    def check(value: Any) -> array.array[Any]:
        if isinstance(value, array.array) and value.typecode == code:
            stored = value
        else:
            stored = array.array(code)
            if isinstance(value, np.ndarray) and value.dtype == code and value.ndim == 1:
                stored.frombytes(np.ascontiguousarray(value).view(np.uint8).data)
            elif isinstance(value, (bytes, bytearray)) and size == 1:
                stored.frombytes(value)
            elif isinstance(value, memoryview) and value.contiguous and value.format in (code, "<" + code):
                stored.frombytes(value.cast("B"))
            else:
                _extend(stored, where, wanted, kind.base, value)
        if bound and len(stored) > bound:
            _fail(where, f"at most {bound} values", value)
        return stored

    return check


def _extend(stored: array.array[Any], where: str, wanted: str, base: str, value: Any) -> None:
    if isinstance(value, (str, bytes, bytearray, np.ndarray)) or not isinstance(value, Iterable):
        _fail(where, wanted, value)
    items = list(value)
    number = float if base.startswith("float") else int
    if not all(isinstance(item, number) for item in items):
        _fail(where, wanted, value)
    try:
        stored.extend(items)
    except OverflowError as error:
        _fail(where, f"{wanted}; {error}", value)


def _fixed(where: str, kind: FieldType) -> Check:
    dtype = np.dtype(SCALARS[kind.base][0])
    wanted = f"{kind.size} values of {kind.base}"
    numbers = _numbers(where, FieldType(kind.base, "sequence"))

    def check(value: Any) -> np.ndarray[Any, Any]:
        if isinstance(value, np.ndarray) and value.dtype == dtype:
            stored = np.ascontiguousarray(value)
        else:
            stored = np.array(numbers(value), dtype)
        if stored.shape != (kind.size,):
            _fail(where, wanted, value)
        return stored

    return check


def _list(where: str, kind: FieldType, nested: type | None) -> Check:
    item_check = _scalar(
        f"every item of {where}", FieldType(kind.base, string_bound=kind.string_bound), nested
    )
    many = f"a sequence of {_python_name(kind.base)}"

    def check(value: Any) -> list[Any]:
        if isinstance(value, (bytes, bytearray)) and kind.base == "byte":
            value = [bytes((byte,)) for byte in value]
        if isinstance(value, (str, bytes, bytearray, dict)) or not isinstance(value, Iterable):
            _fail(where, many, value)
        stored = value if isinstance(value, list) else list(value)
        for item in stored:
            item_check(item)
        if kind.kind == "array" and len(stored) != kind.size:
            _fail(where, f"{many} of length {kind.size}", value)
        if kind.kind == "sequence" and kind.size and len(stored) > kind.size:
            _fail(where, f"{many} of at most {kind.size}", value)
        return stored

    return check


def _python_name(base: str) -> str:
    if base == "byte":
        return "bytes of length 1"
    if is_integer(base):
        return "int"
    return {"float32": "float", "float64": "float", "string": "str"}.get(base, base)
