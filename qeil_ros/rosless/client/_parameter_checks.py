"""The rules for declaring parameters and for their values. Pure functions."""

from __future__ import annotations

import math
import warnings
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult

from .parameter import Parameter, parameter_value_to_python
from .validate_parameter_name import validate_parameter_name

REL_TOL = 1e-6


def declaration(namespace: str, index: int, entry: tuple[Any, ...]) -> tuple[str, Any, Any]:
    """Name, default value and completed descriptor of one entry of `declare_parameters`."""
    if not 1 <= len(entry) <= 3:
        raise TypeError(
            f"Invalid parameter tuple length at index {index} in parameters list: {entry}; "
            "expecting length between 1 and 3"
        )
    name = entry[0]
    if not isinstance(name, str):
        raise TypeError(f"First element {name} at index {index} in parameters list is not a str.")
    name = f"{namespace}.{name}" if namespace else name
    validate_parameter_name(name)
    value = entry[1] if len(entry) > 1 else None
    descriptor = entry[2] if len(entry) > 2 else ParameterDescriptor()
    if not isinstance(descriptor, ParameterDescriptor):
        raise TypeError(
            f"Third element {descriptor} at index {index} in parameters list is not a ParameterDescriptor."
        )
    if len(entry) == 1:
        warnings.warn(
            f"when declaring parameter named '{name}', declaring a parameter only providing its name is "
            "deprecated. Pass a default value, a parameter type, or a descriptor with `dynamic_typing=True`.",
            stacklevel=4,
        )
        descriptor.dynamic_typing = True
    if isinstance(value, Parameter.Type):
        if value is Parameter.Type.NOT_SET:
            raise ValueError(f"Cannot declare parameter {{{name}}} as statically typed of type NOT_SET")
        if descriptor.dynamic_typing:
            raise ValueError(
                f"When declaring parameter {{{name}}} passing a descriptor with `dynamic_typing=True` is not "
                "allowed when the parameter type is provided"
            )
        descriptor.type = value.value
        return name, None, descriptor
    if type(value).__name__ == "ParameterValue" and hasattr(value, "string_array_value"):
        value = parameter_value_to_python(value)
    if not descriptor.dynamic_typing:
        descriptor.type = Parameter.Type.from_parameter_value(value).value
        if descriptor.type == Parameter.Type.NOT_SET.value:
            raise ValueError(
                "Cannot declare a statically typed parameter with default value of type PARAMETER_NOT_SET"
            )
    return name, value, descriptor


def typed_parameter(name: str, value: Any, descriptor: Any) -> Parameter:
    """An empty list, which by itself says nothing about its items, is one of the declared type."""
    declared = Parameter.Type(descriptor.type)
    if (
        isinstance(value, (list, tuple))
        and not value
        and not descriptor.dynamic_typing
        and declared.check(value)
    ):
        return Parameter(name, declared, value)
    return Parameter(name, value=value)


def check_range(parameter: Parameter, descriptor: Any) -> Any:
    if parameter.type_ is Parameter.Type.INTEGER and len(descriptor.integer_range):
        limits = descriptor.integer_range[0]
        low, high = sorted((limits.from_value, limits.to_value))
        at_edge = parameter.value in (low, high)
        on_step = limits.step == 0 or (parameter.value - low) % limits.step == 0
    elif parameter.type_ is Parameter.Type.DOUBLE and len(descriptor.floating_point_range):
        limits = descriptor.floating_point_range[0]
        low, high = sorted((limits.from_value, limits.to_value))
        at_edge = any(math.isclose(parameter.value, edge, rel_tol=REL_TOL) for edge in (low, high))
        on_step = limits.step == 0.0
        if not on_step and low < parameter.value < high:
            nearest = low + round((parameter.value - low) / limits.step) * limits.step
            on_step = math.isclose(nearest, parameter.value, rel_tol=REL_TOL)
    else:
        return SetParametersResult(successful=True)
    # The edges are always allowed, on a step or not.
    if at_edge:
        return SetParametersResult(successful=True)
    where = f"Min: {low}, Max: {high}, value: {parameter.value}"
    if not low < parameter.value < high:
        return failure(f"Parameter {parameter.name} out of range. {where}")
    if not on_step:
        return failure(
            f"The parameter value for {parameter.name} is not a valid step. {where}, step: {limits.step}"
        )
    return SetParametersResult(successful=True)


def failure(reason: str) -> Any:
    return SetParametersResult(successful=False, reason=reason)
