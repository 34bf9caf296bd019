"""Typed values out of XML's strings, by the rules of ROS 2 launch: YAML where no type is given."""

from __future__ import annotations

from typing import Any

import yaml

from .substitutions import Environment, SubstitutionError, expand, parse_template

_SCALARS: dict[str, type] = {"str": str, "bool": bool, "float": float, "int": int}
_LISTS: dict[str, type] = {f"list_of_{name}": kind for name, kind in _SCALARS.items()}
TYPES = (*_SCALARS, *_LISTS, "yaml")


def typed_value(text: str, env: Environment, kind: str | None = None, separator: str | None = None) -> Any:
    """The value of a parameter: bool, int, float, str or a list of one of these.

    `kind` is one of `TYPES`; `separator` splits the text into a list first (the attribute `value-sep`).
    A plain string that was quoted in YAML stays a string; the result of a substitution is read as YAML again.

    Raises:
        SubstitutionError: the text does not give such a value.
    """
    if kind is not None and kind not in TYPES:
        raise SubstitutionError(f"unknown type {kind!r}; known: {', '.join(TYPES)}")
    item_kind = kind[len("list_of_") :] if kind in _LISTS else kind
    if separator is not None:
        items = [_scalar(item, env, item_kind) for item in text.split(separator)]
        return _uniform(items, text)
    if kind in _SCALARS:
        return _scalar(text, env, kind)
    written = _load(text)
    if isinstance(written, list):
        values = [_scalar(v, env, item_kind) if isinstance(v, str) else _cast(v, item_kind) for v in written]
        return _uniform(values, text)
    if isinstance(written, str):
        expanded, substituted = _expanded(written, env)
        value = _allowed(_load(expanded), expanded) if substituted and expanded else expanded
    else:
        value = _allowed(written, text)
    if kind in _LISTS:
        if not isinstance(value, list):
            raise SubstitutionError(f"{text!r} is not a list, type is {kind!r}")
        value = [_cast(v, item_kind) for v in value]
    return _uniform(value, text) if isinstance(value, list) else value


def number(text: str, kind: type[int] | type[float], name: str, minimum: float | None = None) -> Any:
    """An attribute that must be a number. SubstitutionError if it is not, or is below `minimum`."""
    try:
        value = kind(text)
    except ValueError as error:
        raise SubstitutionError(f"{name}={text!r} is not a number ({kind.__name__})") from error
    if minimum is not None and not value >= minimum:
        raise SubstitutionError(f"{name}={text!r} is below {minimum:g}")
    return value


def _expanded(text: str, env: Environment) -> tuple[str, bool]:
    template = parse_template(text)
    return expand(template, env), any(not isinstance(part, str) for part in template)


def _load(text: str) -> Any:
    """YAML, or the text itself where it is none."""
    try:
        return yaml.safe_load(text) if text else text
    except yaml.YAMLError:
        return text


def _scalar(text: str, env: Environment, kind: str | None) -> Any:
    if kind is None or kind == "yaml":
        expanded, substituted = _expanded(text, env)
        return _allowed(_load(expanded), expanded) if substituted else expanded
    return _cast(_expanded(text, env)[0], kind)


def _cast(value: Any, kind: str | None) -> Any:
    if kind is None or kind == "yaml":
        return _allowed(value, value)
    if kind == "str":
        if not isinstance(value, str):
            raise SubstitutionError(f"{value!r} is not of type 'str'; quote it")
        return value
    if isinstance(value, str) and kind == "bool":
        value = {"1": True, "0": False}.get(value, _load(value))
    elif isinstance(value, str):
        try:
            value = _SCALARS[kind](value)
        except ValueError as error:
            raise SubstitutionError(f"{value!r} is not of type {kind!r}") from error
    if kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not _SCALARS[kind]:
        raise SubstitutionError(f"{value!r} is not of type {kind!r}")
    return value


def _allowed(value: Any, text: Any) -> Any:
    if isinstance(value, (bool, int, float, str, list)):
        return value
    hint = '; for a string give type="str"' if isinstance(text, str) else ""
    raise SubstitutionError(f"{text!r} is not a bool, int, float, string or a list of one of these{hint}")


def _uniform(values: list[Any], text: str) -> list[Any]:
    kinds = {type(value) for value in values}
    if len(kinds) > 1 or kinds - {bool, int, float, str}:
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise SubstitutionError(f"the list {text!r} holds {names}; a parameter's list holds one scalar type")
    return values
