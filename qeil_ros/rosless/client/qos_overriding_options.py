"""Quality of service that a node's user may change through parameters,
`qos_overrides.<topic>.<entity>.<policy>`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any

from .duration import Duration
from .exceptions import ParameterAlreadyDeclaredException
from .qos import QoSPolicyKind, QoSProfile

if TYPE_CHECKING:
    from .node import Node

_DURATIONS = ("deadline", "lifespan", "liveliness_lease_duration")
_PLAIN = ("depth", "avoid_ros_namespace_conventions")


class InvalidQosOverridesError(Exception):
    """The callback of `QoSOverridingOptions` refused the profile that came out."""


class QoSOverridingOptions:
    """Which policies may be overridden."""

    def __init__(
        self,
        policy_kinds: Iterable[QoSPolicyKind],
        *,
        callback: Callable[[QoSProfile], Any] | None = None,
        entity_id: str | None = None,
    ) -> None:
        """:param callback: takes the profile that came out, returns a `SetParametersResult`.

        :param entity_id: tells several publishers or subscriptions of one topic apart.
        """
        self._policy_kinds = tuple(policy_kinds)
        self._callback = callback
        self._entity_id = entity_id

    @property
    def policy_kinds(self) -> tuple[QoSPolicyKind, ...]:
        return self._policy_kinds

    @property
    def callback(self) -> Callable[[QoSProfile], Any] | None:
        return self._callback

    @property
    def entity_id(self) -> str | None:
        return self._entity_id

    @classmethod
    def with_default_policies(
        cls, *, callback: Callable[[QoSProfile], Any] | None = None, entity_id: str | None = None
    ) -> QoSOverridingOptions:
        """History, depth and reliability."""
        kinds = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY)
        return cls(kinds, callback=callback, entity_id=entity_id)


def apply_overrides(
    entity: str, node: Node, topic: str, qos: QoSProfile, options: QoSOverridingOptions | None
) -> QoSProfile:
    """The profile after what the parameters say.

    :param entity: `publisher` or `subscription`.
    :raises InvalidQosOverridesError: when the callback refuses it.
    """
    if options is None or not options.policy_kinds:
        return qos
    from rcl_interfaces.msg import ParameterDescriptor

    qos = copy(qos)
    suffix = f"_{options.entity_id}" if options.entity_id else ""
    for kind in options.policy_kinds:
        policy = kind.name.lower()
        name = f"qos_overrides.{topic}.{entity}{suffix}.{policy}"
        try:
            parameter = node.declare_parameter(
                name, _to_value(qos, policy), ParameterDescriptor(read_only=True)
            )
        except ParameterAlreadyDeclaredException:
            parameter = node.get_parameter(name)
        _set_policy(qos, policy, parameter.value)
    if options.callback is not None:
        result = options.callback(qos)
        if not result.successful:
            raise InvalidQosOverridesError(f"{entity} on {topic}: {result.reason}")
    return qos


def _to_value(qos: QoSProfile, policy: str) -> Any:
    value = getattr(qos, policy)
    if policy in _DURATIONS:
        return value.nanoseconds
    return value if policy in _PLAIN else value.short_key


def _set_policy(qos: QoSProfile, policy: str, value: Any) -> None:
    if policy in _DURATIONS:
        value = Duration(nanoseconds=value)
    elif policy not in _PLAIN:
        value = type(getattr(qos, policy)).get_from_short_key(value)
    setattr(qos, policy, value)
