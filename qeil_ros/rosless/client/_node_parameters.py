"""A node's parameters: declaring, reading, setting, describing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ListParametersResult, ParameterDescriptor, ParameterEvent, SetParametersResult

from ._parameter_checks import REL_TOL, check_range, declaration, failure, typed_parameter
from .exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from .parameter import PARAMETER_SEPARATOR_STRING, Parameter, parameter_value_to_python

if TYPE_CHECKING:
    from .clock import Clock
    from .publisher import Publisher

DEPTH_RECURSIVE = 0

PreCallback = Callable[[list[Parameter]], list[Parameter]]
OnCallback = Callable[[list[Parameter]], Any]
PostCallback = Callable[[list[Parameter]], None]


class NodeParameters:
    """The part of `Node` about parameters."""

    PARAM_REL_TOL = REL_TOL

    _clock: Clock
    _parameter_event_publisher: Publisher[Any] | None

    def get_fully_qualified_name(self) -> str:
        raise NotImplementedError

    def _init_parameters(self, overrides: dict[str, Parameter], allow_undeclared: bool) -> None:
        self._parameters: dict[str, Parameter] = {}
        self._descriptors: dict[str, Any] = {}
        self._parameter_overrides = overrides
        self._allow_undeclared_parameters = allow_undeclared
        self._pre_set_parameters_callbacks: list[PreCallback] = []
        self._on_set_parameters_callbacks: list[OnCallback] = []
        self._post_set_parameters_callbacks: list[PostCallback] = []
        # Reentrant, because a callback may set further parameters.
        self._parameters_lock = threading.RLock()

    # Declaring

    def declare_parameter(
        self, name: str, value: Any = None, descriptor: Any = None, ignore_override: bool = False
    ) -> Parameter:
        """Declares a parameter and gives it its first value: the override if there is one, else `value`.

        :param value: the default value, or a `Parameter.Type` for a parameter that has none yet.
        :param descriptor: a `rcl_interfaces.msg.ParameterDescriptor`; its name and type are filled in.
        :param ignore_override: do not look at the overrides.
        :return: the parameter with the value it got.
        :raises ParameterAlreadyDeclaredException: when it is declared.
        :raises InvalidParameterException: when the name is invalid.
        :raises InvalidParameterTypeException: when the override has another type.
        :raises InvalidParameterValueException: when descriptor or callback reject the value.
        """
        if value is None and descriptor is None:
            parameters: list[tuple[Any, ...]] = [(name,)]
        else:
            parameters = [(name, value, ParameterDescriptor() if descriptor is None else descriptor)]
        return self.declare_parameters("", parameters, ignore_override)[0]

    def declare_parameters(
        self, namespace: str, parameters: Sequence[tuple[Any, ...]], ignore_override: bool = False
    ) -> list[Parameter]:
        """Declares `(name)`, `(name, value)` or `(name, value, descriptor)` each as `namespace.name`."""
        declared: list[tuple[Parameter, Any]] = []
        for index, entry in enumerate(parameters):
            name, value, descriptor = declaration(namespace, index, entry)
            if not ignore_override and name in self._parameter_overrides:
                value = self._parameter_overrides[name].value
            declared.append((typed_parameter(name, value, descriptor), descriptor))
        with self._parameters_lock:
            twice = [parameter.name for parameter, _ in declared if parameter.name in self._parameters]
            if twice:
                raise ParameterAlreadyDeclaredException(twice)
            for parameter, descriptor in declared:
                result = self._set_common([parameter], {parameter.name: descriptor}, keep_not_set=True)
                if not result.successful:
                    if result.reason.startswith("Wrong parameter type"):
                        raise InvalidParameterTypeException(parameter, Parameter.Type(descriptor.type).name)
                    raise InvalidParameterValueException(parameter.name, parameter.value, result.reason)
            return [self._parameters[parameter.name] for parameter, _ in declared]

    def undeclare_parameter(self, name: str) -> None:
        """Takes a declaration back.

        :raises ParameterNotDeclaredException: when there is none.
        :raises ParameterImmutableException: when the parameter is read-only.
        """
        with self._parameters_lock:
            if name not in self._parameters:
                raise ParameterNotDeclaredException(name)
            if self._descriptors[name].read_only:
                raise ParameterImmutableException(name)
            del self._parameters[name]
            del self._descriptors[name]

    # Reading

    def has_parameter(self, name: str) -> bool:
        """True if the parameter is declared."""
        return name in self._parameters

    def get_parameter(self, name: str) -> Parameter:
        """A parameter.

        :raises ParameterNotDeclaredException: when it is not declared and the node does not allow that.
        :raises ParameterUninitializedException: when it was declared with a type and has no value yet.
        """
        parameter = self._parameters.get(name)
        if parameter is None:
            if self._allow_undeclared_parameters:
                return Parameter(name)
            raise ParameterNotDeclaredException(name)
        if parameter.type_ is Parameter.Type.NOT_SET and not self._descriptors[name].dynamic_typing:
            raise ParameterUninitializedException(name)
        return parameter

    def get_parameters(self, names: list[str]) -> list[Parameter]:
        """`get_parameter` for each name."""
        if not all(isinstance(name, str) for name in names):
            raise TypeError("All names must be instances of type str")
        return [self.get_parameter(name) for name in names]

    def get_parameter_or(self, name: str, alternative_value: Parameter | None = None) -> Parameter:
        """The parameter, or the alternative where it is not declared or has no value."""
        parameter = self._parameters.get(name)
        if parameter is not None and parameter.type_ is not Parameter.Type.NOT_SET:
            return parameter
        return Parameter(name) if alternative_value is None else alternative_value

    def get_parameter_type(self, name: str) -> int:
        """The number of the parameter's type, see `Parameter.Type`."""
        parameter = self._parameters.get(name)
        if parameter is not None:
            return parameter.type_.value
        if self._allow_undeclared_parameters:
            return Parameter.Type.NOT_SET.value
        raise ParameterNotDeclaredException(name)

    def get_parameter_types(self, names: list[str]) -> list[int]:
        """`get_parameter_type` for each name."""
        if not all(isinstance(name, str) for name in names):
            raise TypeError("All names must be instances of type str")
        return [self.get_parameter_type(name) for name in names]

    def get_parameters_by_prefix(self, prefix: str) -> dict[str, Parameter]:
        """The parameters `prefix.<rest>`, by `<rest>`; all of them for an empty prefix."""
        prefix = f"{prefix}{PARAMETER_SEPARATOR_STRING}" if prefix else ""
        return {
            name[len(prefix) :]: parameter
            for name, parameter in self._parameters.items()
            if name.startswith(prefix)
        }

    def list_parameters(self, prefixes: list[str], depth: int) -> Any:
        """The names below the prefixes (all names if none are given), as a `ListParametersResult`.

        :param depth: how many levels deep; 0 for all.
        """
        if not isinstance(prefixes, list):
            raise TypeError("The prefixes argument must be a list")
        if not all(isinstance(prefix, str) for prefix in prefixes):
            raise TypeError("All prefixes must be instances of type str")
        if not isinstance(depth, int):
            raise TypeError("The depth must be instance of type int")
        if depth < 0:
            raise ValueError("The depth must be greater than or equal to zero")
        separator = PARAMETER_SEPARATOR_STRING

        def shallow(rest: str) -> bool:
            return depth == DEPTH_RECURSIVE or rest.count(separator) < depth

        def selected(name: str) -> bool:
            if not prefixes:
                return shallow(name)
            return any(
                name == prefix or (name.startswith(prefix + separator) and shallow(name[len(prefix) + 1 :]))
                for prefix in prefixes
            )

        names = [name for name in list(self._parameters) if selected(name)]
        parents = [name.rpartition(separator)[0] for name in names if separator in name]
        return ListParametersResult(names=names, prefixes=list(dict.fromkeys(parents)))

    def describe_parameter(self, name: str) -> Any:
        """The parameter's `rcl_interfaces.msg.ParameterDescriptor`."""
        descriptor = self._descriptors.get(name)
        if descriptor is not None:
            return descriptor
        if self._allow_undeclared_parameters:
            return ParameterDescriptor()
        raise ParameterNotDeclaredException(name)

    def describe_parameters(self, names: list[str]) -> list[Any]:
        """`describe_parameter` for each name."""
        return [self.describe_parameter(name) for name in names]

    # Setting

    def set_parameters(self, parameter_list: list[Parameter]) -> list[Any]:
        """Sets each parameter by itself; a `SetParametersResult` for each."""
        return [self.set_parameters_atomically([parameter]) for parameter in parameter_list]

    def set_parameters_atomically(self, parameter_list: list[Parameter]) -> Any:
        """Sets all of the parameters or none; one `SetParametersResult`.

        A value that is not set undeclares a parameter of dynamic type.

        :raises ParameterNotDeclaredException: when one is not declared and the node does not allow that.
        """
        with self._parameters_lock:
            if self._pre_set_parameters_callbacks:
                changed: list[Parameter] = []
                for callback in list(self._pre_set_parameters_callbacks):
                    changed.extend(callback(parameter_list))
                if not changed:
                    reason = (
                        "parameter list cannot be empty, this might be due to pre_set_parameters_callback "
                        "modifying the original parameters list."
                    )
                    return SetParametersResult(successful=False, reason=reason)
                parameter_list = changed
            if not all(isinstance(parameter, Parameter) for parameter in parameter_list):
                raise TypeError(f"parameter must be instance of type '{Parameter!r}'")
            undeclared = [
                parameter.name for parameter in parameter_list if parameter.name not in self._parameters
            ]
            if undeclared and not self._allow_undeclared_parameters:
                raise ParameterNotDeclaredException(undeclared)
            return self._set_common(parameter_list)

    def set_descriptor(self, name: str, descriptor: Any, alternative_value: Any = None) -> Any:
        """Describes a parameter anew.

        :param alternative_value: a `ParameterValue` to take if the present value does not fit.
        :return: the `ParameterValue` that counts now.
        :raises ParameterImmutableException: when the parameter is read-only.
        :raises InvalidParameterValueException: when neither value fits.
        """
        with self._parameters_lock:
            if name not in self._parameters:
                if self._allow_undeclared_parameters:
                    return self.get_parameter(name).get_parameter_value()
                raise ParameterNotDeclaredException(name)
            if self._descriptors[name].read_only:
                raise ParameterImmutableException(name)
            candidates = [self.get_parameter(name)]
            if alternative_value is not None:
                value = parameter_value_to_python(alternative_value)
                candidates.append(Parameter(name, Parameter.Type(alternative_value.type), value))
            for candidate in candidates:
                result = self._check(candidate, descriptor, check_read_only=False)
                if result.successful:
                    self._parameters[name] = candidate
                    self._descriptors[name] = descriptor
                    return candidate.get_parameter_value()
            raise InvalidParameterValueException(name, candidates[-1].value, result.reason)

    # Callbacks; the newest is called first

    def add_pre_set_parameters_callback(self, callback: PreCallback) -> None:
        """`callback(parameters)` returns the parameters to set instead. Not called when parameters are
        declared."""
        self._pre_set_parameters_callbacks.insert(0, callback)

    def add_on_set_parameters_callback(self, callback: OnCallback) -> None:
        """`callback(parameters)` returns a `SetParametersResult`: whether these values are acceptable."""
        self._on_set_parameters_callbacks.insert(0, callback)

    def add_post_set_parameters_callback(self, callback: PostCallback) -> None:
        """`callback(parameters)` is called when the values count."""
        self._post_set_parameters_callbacks.insert(0, callback)

    def remove_pre_set_parameters_callback(self, callback: PreCallback) -> None:
        """:raises ValueError: when the callback was not added."""
        self._pre_set_parameters_callbacks.remove(callback)

    def remove_on_set_parameters_callback(self, callback: OnCallback) -> None:
        """:raises ValueError: when the callback was not added."""
        self._on_set_parameters_callbacks.remove(callback)

    def remove_post_set_parameters_callback(self, callback: PostCallback) -> None:
        """:raises ValueError: when the callback was not added."""
        self._post_set_parameters_callbacks.remove(callback)

    # How it is done

    def _set_common(
        self,
        parameter_list: list[Parameter],
        new_descriptors: dict[str, Any] | None = None,
        *,
        keep_not_set: bool = False,
    ) -> Any:
        """Checks and stores, whether declared or not, and tells callbacks and `/parameter_events`."""
        for parameter in parameter_list:
            descriptor = (new_descriptors or self._descriptors).get(parameter.name)
            if descriptor is not None:
                result = self._check(parameter, descriptor, check_read_only=new_descriptors is None)
                if not result.successful:
                    return result
        for callback in list(self._on_set_parameters_callbacks):
            result = callback(parameter_list)
            if not result.successful:
                return result
        event = ParameterEvent(node=self.get_fully_qualified_name())
        for parameter in parameter_list:
            self._store(parameter, (new_descriptors or {}).get(parameter.name), keep_not_set, event)
        event.stamp = self._clock.now().to_msg()
        if self._parameter_event_publisher is not None:
            self._parameter_event_publisher.publish(event)
        for post_callback in list(self._post_set_parameters_callbacks):
            post_callback(parameter_list)
        return SetParametersResult(successful=True)

    def _store(self, parameter: Parameter, new_descriptor: Any, keep_not_set: bool, event: Any) -> None:
        name = parameter.name
        if parameter.type_ is Parameter.Type.NOT_SET and not keep_not_set:
            event.deleted_parameters = [*event.deleted_parameters, parameter.to_parameter_msg()]
            self._parameters.pop(name, None)
            self._descriptors.pop(name, None)
            return
        if new_descriptor is not None:
            self._descriptors[name] = new_descriptor
        elif name not in self._descriptors:
            self._descriptors[name] = ParameterDescriptor(
                name=name, type=parameter.type_.value, dynamic_typing=True
            )
        had_value = self.get_parameter_or(name).type_ is not Parameter.Type.NOT_SET
        field = "changed_parameters" if had_value else "new_parameters"
        setattr(event, field, [*getattr(event, field), parameter.to_parameter_msg()])
        self._parameters[name] = parameter

    def _check(self, parameter: Parameter, descriptor: Any, *, check_read_only: bool) -> Any:
        """Whether the value fits the descriptor, whose name and (if dynamic) type are filled in."""
        descriptor.name = parameter.name
        reason = ""
        if check_read_only and descriptor.read_only:
            reason = f"Trying to set a read-only parameter: {parameter.name}."
        elif descriptor.dynamic_typing:
            descriptor.type = parameter.type_.value
        elif parameter.type_ is Parameter.Type.NOT_SET:
            if self.has_parameter(parameter.name):
                reason = "Static parameter cannot be undeclared"
        elif parameter.type_.value != descriptor.type:
            expected = Parameter.Type(descriptor.type)
            reason = f"Wrong parameter type, expected '{expected}' got '{parameter.type_}'"
        return failure(reason) if reason else check_range(parameter, descriptor)
