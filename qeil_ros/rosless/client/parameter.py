"""Parameters: a name, a type, a value."""

from __future__ import annotations

import array
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from ._values import check_value, load_yaml, parse_parameter_file

PARAMETER_SEPARATOR_STRING = "."

# Numbers are those of rcl_interfaces/msg/ParameterType; the field is that of ParameterValue which holds the
# value.
_TYPES = (
    ("NOT_SET", ""),
    ("BOOL", "bool_value"),
    ("INTEGER", "integer_value"),
    ("DOUBLE", "double_value"),
    ("STRING", "string_value"),
    ("BYTE_ARRAY", "byte_array_value"),
    ("BOOL_ARRAY", "bool_array_value"),
    ("INTEGER_ARRAY", "integer_array_value"),
    ("DOUBLE_ARRAY", "double_array_value"),
    ("STRING_ARRAY", "string_array_value"),
)
_FIELDS = dict(_TYPES)
_SCALARS = {"BOOL": bool, "INTEGER": int, "DOUBLE": float, "STRING": str}
_ITEMS: dict[str, Any] = {
    "BYTE_ARRAY": bytes,
    "BOOL_ARRAY": bool,
    "INTEGER_ARRAY": int,
    "DOUBLE_ARRAY": float,
    "STRING_ARRAY": str,
}


class Parameter:
    """A named value; immutable."""

    class Type(Enum):
        """What a parameter can hold."""

        NOT_SET = 0
        BOOL = 1
        INTEGER = 2
        DOUBLE = 3
        STRING = 4
        BYTE_ARRAY = 5
        BOOL_ARRAY = 6
        INTEGER_ARRAY = 7
        DOUBLE_ARRAY = 8
        STRING_ARRAY = 9

        @classmethod
        def from_parameter_value(cls, parameter_value: Any) -> Parameter.Type:
            """The type of a Python value.

            :raises TypeError: when no parameter can hold it.
            """
            if parameter_value is None:
                return cls.NOT_SET
            for name, python_type in _SCALARS.items():
                # The order matters: a bool is an int to Python.
                if isinstance(parameter_value, python_type):
                    return cls[name]
            if isinstance(parameter_value, (list, tuple, array.array)):
                for name, python_type in _ITEMS.items():
                    if all(isinstance(item, python_type) for item in parameter_value):
                        return cls[name]
                raise TypeError(
                    f"The given value is not a list of one of the allowed types '{parameter_value}'."
                )
            raise TypeError(f"The given value is not one of the allowed types '{parameter_value}'.")

        def check(self, parameter_value: Any) -> bool:
            """True if a parameter of this type can hold the value."""
            if self is Parameter.Type.NOT_SET:
                return parameter_value is None
            if self.name in _SCALARS:
                return isinstance(parameter_value, _SCALARS[self.name])
            sequences = (list, tuple, array.array) if self.name in _NUMBER_ARRAYS else (list, tuple)
            item = _ITEMS[self.name]
            return isinstance(parameter_value, sequences) and all(
                isinstance(value, item) and (item is not bytes or len(value) == 1)
                for value in parameter_value
            )

    @classmethod
    def from_parameter_msg(cls, param_msg: Any) -> Parameter:
        """From a `rcl_interfaces.msg.Parameter`."""
        return cls(param_msg.name, cls.Type(param_msg.value.type), parameter_value_to_python(param_msg.value))

    def __init__(self, name: str, type_: Parameter.Type | None = None, value: Any = None) -> None:
        """:param type_: left out, it is that of the value.

        :raises TypeError: when the value has no parameter type.
        :raises ValueError: when type and value do not agree.
        """
        if type_ is None:
            type_ = Parameter.Type.from_parameter_value(value)
        if not isinstance(type_, Parameter.Type):
            raise TypeError(f"type must be an instance of '{Parameter.Type!r}'")
        if not type_.check(value):
            raise ValueError(f"Type '{type_}' and value '{value}' do not agree")
        self._type_ = type_
        self._name = name
        self._value = value

    @property
    def name(self) -> str:
        return self._name

    @property
    def type_(self) -> Parameter.Type:
        return self._type_

    @property
    def value(self) -> Any:
        return self._value

    def __repr__(self) -> str:
        return f"Parameter(name={self._name!r}, type={self._type_.name}, value={self._value!r})"

    def get_parameter_value(self) -> Any:
        """As a `rcl_interfaces.msg.ParameterValue`."""
        from rcl_interfaces.msg import ParameterValue

        message = ParameterValue(type=self._type_.value)
        if self._type_ is not Parameter.Type.NOT_SET:
            value = list(self._value) if isinstance(self._value, (tuple, array.array)) else self._value
            setattr(message, _FIELDS[self._type_.name], value)
        return message

    def to_parameter_msg(self) -> Any:
        """As a `rcl_interfaces.msg.Parameter`."""
        from rcl_interfaces.msg import Parameter as ParameterMsg

        return ParameterMsg(name=self._name, value=self.get_parameter_value())


_NUMBER_ARRAYS = ("INTEGER_ARRAY", "DOUBLE_ARRAY")


def get_parameter_value(string_value: str) -> Any:
    """A `rcl_interfaces.msg.ParameterValue` of the type that the text looks like; what looks like nothing
    is a string."""
    try:
        value = check_value(load_yaml(string_value), string_value)
    except ValueError:
        value = string_value
    return Parameter("", value=value).get_parameter_value()


def parameter_value_to_python(parameter_value: Any) -> Any:
    """The Python value in a `rcl_interfaces.msg.ParameterValue`; None if it is not set.

    :raises RuntimeError: when its type is unknown.
    """
    if not 0 <= parameter_value.type < len(_TYPES):
        raise RuntimeError(f"unexpected parameter type {parameter_value.type}")
    name, field = _TYPES[parameter_value.type]
    if not field:
        return None
    value = getattr(parameter_value, field)
    if name in _SCALARS:
        return _SCALARS[name](value)
    if name == "BYTE_ARRAY":
        return [item if isinstance(item, bytes) else bytes([item]) for item in value]
    return [_ITEMS[name](item) for item in value]


def parameter_dict_from_yaml_file(
    parameter_file: str,
    use_wildcard: bool = False,
    target_nodes: Sequence[str] | None = None,
    namespace: str = "",
) -> dict[str, Any]:
    """The parameters in a file, as `rcl_interfaces.msg.Parameter` by name.

    :param use_wildcard: take what the file says for `/**` too.
    :param target_nodes: take these nodes' parameters; left out, those of every node in the file.
    :param namespace: put in front of the parameters' names.
    :raises RuntimeError: when the file is not a parameter file, or does not name a target node.
    """
    try:
        sections = parse_parameter_file(Path(parameter_file).read_text(encoding="utf-8"))
    except ValueError as error:
        raise RuntimeError(f"{parameter_file} is not a valid ROS parameter file: {error}") from None
    wanted = ["/" + node.strip("/") for node in target_nodes or ()]
    known = {pattern for pattern, _ in sections}
    for node in wanted:
        if node not in known:
            raise RuntimeError(
                f"Param file does not contain parameters for {node}, only for nodes: {sorted(known)}"
            )
    values: dict[str, Any] = {}
    # The wildcard goes first, so that what is said for a node wins.
    if use_wildcard:
        for pattern, parameters in sections:
            if pattern == "/**":
                values.update(parameters)
    for pattern, parameters in sections:
        if pattern != "/**" and (not wanted or pattern in wanted):
            values.update(parameters)
    if not values:
        raise RuntimeError("Param file does not contain selected parameters")
    return {
        namespace + name: Parameter(namespace + name, value=value).to_parameter_msg()
        for name, value in values.items()
    }
