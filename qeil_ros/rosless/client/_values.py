"""YAML as ROS reads it: the values of `-p name:=value` and of parameter files. Pure functions of text."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

# What a parameter may hold.
Value = bool | int | float | str | list[bool] | list[int] | list[float] | list[str]

_SECTION = "ros__parameters"


class _Loader(yaml.SafeLoader):
    """SafeLoader with rcl's idea of scalars: `1e3` is a float; dates and `12:30` are plain text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]  # the stubs say instance


_TAG = "tag:yaml.org,2002:"
_Loader.add_implicit_resolver(
    f"{_TAG}bool",
    re.compile(r"^(?:true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$"),
    list("tTfFyYnNoO"),
)
_Loader.add_implicit_resolver(
    f"{_TAG}int", re.compile(r"^[-+]?(?:0x[0-9a-fA-F]+|[0-9]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf|INF))$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(?:null|Null|NULL|~|)$"), ["n", "N", "~", ""])
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"^<<$"), ["<"])


def _construct_int(loader: yaml.SafeLoader, node: yaml.Node) -> int:
    text = loader.construct_scalar(node)  # type: ignore[arg-type]
    return int(text, 16) if "x" in text else int(text)


def _construct_float(loader: yaml.SafeLoader, node: yaml.Node) -> float:
    text = loader.construct_scalar(node).lower()  # type: ignore[arg-type]
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor(f"{_TAG}int", _construct_int)
_Loader.add_constructor(f"{_TAG}float", _construct_float)


def load_yaml(text: str) -> Any:
    """The document in `text`.

    :raises ValueError: when it is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # it is a SafeLoader
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"not valid YAML: {error}") from None


def parse_value(text: str) -> Value:
    """The value in `-p name:=value`.

    :raises ValueError: when it is none that a parameter can hold.
    """
    return check_value(load_yaml(text), text)


def check_value(value: Any, where: str) -> Value:
    """`value` if a parameter can hold it.

    :raises ValueError: for nothing, for mappings, and for lists of mixed types; `where` is quoted in the
    message.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{where}: {value} does not fit into 64 bits")
        return value
    if isinstance(value, (float, str)):
        return value
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        if not kinds <= {bool, int, float, str} or len(kinds) > 1:
            names = sorted(kind.__name__ for kind in kinds)
            raise ValueError(
                f"{where}: a list must hold bool, int, float or str, all of one type; got {names}"
            )
        for item in value:
            check_value(item, where)
        return value
    if value is None:
        raise ValueError(f"{where}: no value is given (quote an empty string: '')")
    raise ValueError(f"{where}: a parameter cannot hold a {type(value).__name__}")


def parse_parameter_file(text: str) -> list[tuple[str, dict[str, Value]]]:
    """A parameter file as `(node pattern, {parameter: value})`, in the order of the file.

    Patterns are fully qualified and may hold `*` and `**`; names of nested parameters are joined by dots.

    :raises ValueError: when it is not a parameter file.
    """
    document = load_yaml(text)
    if document is None:
        return []
    if not isinstance(document, dict):
        raise ValueError(
            f"a parameter file maps node names to '{_SECTION}', this holds a {type(document).__name__}"
        )
    sections: list[tuple[str, dict[str, Value]]] = []
    _collect_sections(document, "", sections)
    return sections


def matches_node(pattern: str, fully_qualified_name: str) -> bool:
    """True if a node pattern of a parameter file or of `-p node:name:=value` means this node."""
    pattern = pattern if pattern.startswith("/") else f"/{pattern}"
    regex = re.escape(pattern).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"/\w+")
    return re.fullmatch(regex, fully_qualified_name) is not None


def _collect_sections(mapping: dict[Any, Any], path: str, out: list[tuple[str, dict[str, Value]]]) -> None:
    for key, value in mapping.items():
        name = f"{path}/{str(key).strip('/')}"
        if key == _SECTION:
            if not path:
                raise ValueError(f"'{_SECTION}' needs a node name above it; '/**' means every node")
            if value is None:
                continue
            if not isinstance(value, dict):
                raise ValueError(f"{path}: '{_SECTION}' must hold a mapping, not a {type(value).__name__}")
            parameters: dict[str, Value] = {}
            _flatten(value, "", path, parameters)
            out.append((path, parameters))
        elif isinstance(value, dict):
            _collect_sections(value, name, out)
        else:
            raise ValueError(f"{name}: expected a mapping with '{_SECTION}' in it, got {value!r}")


def _flatten(mapping: dict[Any, Any], prefix: str, path: str, out: dict[str, Value]) -> None:
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            _flatten(value, f"{name}.", path, out)
        else:
            out[name] = check_value(value, f"parameter '{name}' of '{path}'")
