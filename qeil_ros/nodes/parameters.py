"""A node's parameters as one dataclass: declared with descriptions and ranges, checked, changed live.

    @dataclass
    class EncoderParameters(NodeParameters):
        rate_hz: float = parameter(0.0, "frames encoded per second at most; 0: every frame", low=0.0,
        high=1000.0)

        def __post_init__(self) -> None: ...        # raises ValueError where two values do not go together

    self.params = declare(self, EncoderParameters)  # self.params.rate_hz is always the present value

The types are those of ROS parameters: bool, int, float, str and lists of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

__all__ = ["NodeParameters", "ParameterError", "declare", "descriptor", "parameter"]

_HUGE_INTEGER = 2**62


class ParameterError(ValueError):
    """A value that a node was started with is not possible; the message names parameter, value, reason."""


def parameter(
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] = (),
    read_only: str = "",
) -> Any:
    """A field of a parameter dataclass.

    Args:
        default: the value where none is given; a list may not be empty, ROS could not tell its type.
        description: what it is, with its unit, and what special values mean.
        low, high: the values allowed, both included.
        choices: the values allowed.
        read_only: why the parameter cannot change while the node runs; empty: it can.
    """
    metadata = {
        "description": description,
        "low": low,
        "high": high,
        "choices": tuple(choices),
        "read_only": read_only,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclass
class NodeParameters:
    """What every node of the package has."""

    autostart: bool = parameter(
        True,
        "configure and activate at start; false: an external lifecycle manager does",
        read_only="it is looked at once, at start",
    )


P = TypeVar("P", bound=NodeParameters)


def declare(node: Node, parameters: type[P], on_change: Callable[[set[str]], None] | None = None) -> P:
    """Declares every field as a parameter of the node and returns the live values.

    A change from outside is checked as a whole (types, ranges, choices, the dataclass's own `__post_init__`);
    it is taken over entirely, after which `on_change` gets the names, or refused with the reason.

    Raises:
        ParameterError: a value that the node was started with is not possible.
    """
    fields = {field.name: field for field in dataclasses.fields(parameters)}
    hints = get_type_hints(parameters)
    values: dict[str, Any] = {}
    for name, field in fields.items():
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        try:
            declared = node.declare_parameter(name, default, descriptor(field, hints[name]))
        except Exception as error:  # rclpy has one exception for a wrong type, another for a wrong value
            raise ParameterError(f"parameter {name}: {error}") from error
        values[name] = _plain(declared.value)
        if problem := _problem(field, values[name]):
            raise ParameterError(f"parameter {name}: {problem}")
    try:
        live = parameters(**values)
    except ValueError as error:
        raise ParameterError(f"parameters: {error}") from error

    def check(changes: list[Parameter]) -> SetParametersResult:
        ours = {change.name: _plain(change.value) for change in changes if change.name in fields}
        for name, value in ours.items():
            if fields[name].metadata["read_only"] and value != getattr(live, name):
                reason = f"{name} cannot change while the node runs: {fields[name].metadata['read_only']}"
                return SetParametersResult(successful=False, reason=reason)
            if problem := _problem(fields[name], value):
                return SetParametersResult(successful=False, reason=f"{name}: {problem}")
        try:
            dataclasses.replace(live, **ours)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not _has_post_set:
            take_over(changes)
        return SetParametersResult(successful=True)

    def take_over(changes: list[Parameter]) -> None:
        changed = set()
        for change in changes:
            value = _plain(change.value)
            if change.name in fields and value != getattr(live, change.name):
                setattr(live, change.name, value)
                changed.add(change.name)
        if changed and on_change is not None:
            on_change(changed)

    # Humble knows only the callback that checks; later ones tell when all checks, other people's too, have
    # passed.
    _has_post_set = hasattr(node, "add_post_set_parameters_callback")
    node.add_on_set_parameters_callback(check)
    if _has_post_set:
        node.add_post_set_parameters_callback(take_over)
    return live


def descriptor(field: dataclasses.Field[Any], hint: Any) -> ParameterDescriptor:
    """The ROS descriptor of a field made by `parameter`."""
    metadata = field.metadata
    constraints = []
    if metadata["choices"]:
        constraints.append("one of " + ", ".join(map(repr, metadata["choices"])))
    if metadata["read_only"]:
        constraints.append("read-only: " + metadata["read_only"])
    found = ParameterDescriptor(
        name=field.name,
        description=metadata["description"],
        additional_constraints="; ".join(constraints),
        read_only=bool(metadata["read_only"]),
    )
    low, high = metadata["low"], metadata["high"]
    if low is None and high is None:
        return found
    if hint is float:
        found.floating_point_range = [
            FloatingPointRange(
                from_value=-math.inf if low is None else float(low),
                to_value=math.inf if high is None else float(high),
            )
        ]
    elif hint is int:
        found.integer_range = [
            IntegerRange(
                from_value=-_HUGE_INTEGER if low is None else int(low),
                to_value=_HUGE_INTEGER if high is None else int(high),
            )
        ]
    return found


def _problem(field: dataclasses.Field[Any], value: Any) -> str:
    metadata = field.metadata
    if metadata["choices"] and value not in metadata["choices"]:
        return f"{value!r} is none of {', '.join(map(repr, metadata['choices']))}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low, high = metadata["low"], metadata["high"]
        if math.isnan(value):
            return "is not a number"
        if (low is not None and value < low) or (high is not None and value > high):
            bounds = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
            return f"{value} is outside {bounds}"
    return ""


def _plain(value: Any) -> Any:
    """Array parameters come as array.array or tuple, depending on the client library's version."""
    return value if isinstance(value, (bool, int, float, str, bytes)) or value is None else list(value)
