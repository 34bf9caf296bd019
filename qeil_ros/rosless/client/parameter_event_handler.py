"""Callbacks for changes of parameters, of this node or another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from rcl_interfaces.msg import ParameterEvent

from . import _names
from .callback_groups import CallbackGroup
from .event_handler import SubscriptionEventCallbacks
from .node import Node
from .qos import QoSProfile, qos_profile_parameter_events
from .qos_overriding_options import QoSOverridingOptions


@dataclass(eq=False)
class ParameterCallbackHandle:
    """A registered callback for one parameter."""

    parameter_name: str
    node_name: str
    callback: Callable[[Any], None]


@dataclass(eq=False)
class ParameterEventCallbackHandle:
    """A registered callback for all events."""

    callback: Callable[[Any], None]


class ParameterEventHandler:
    """Subscribes to `/parameter_events` and sorts what comes. The newest callback is called first."""

    def __init__(
        self,
        node: Node,
        qos_profile: QoSProfile = qos_profile_parameter_events,
        callback_group: CallbackGroup | None = None,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        raw: bool = False,
    ) -> None:
        self.node = node
        self.qos_profile = qos_profile
        self._lock = threading.Lock()
        self._parameter_callbacks: list[ParameterCallbackHandle] = []
        self._event_callbacks: list[ParameterEventCallbackHandle] = []
        self.parameter_event_subscription = node.create_subscription(
            ParameterEvent,
            "/parameter_events",
            self._on_event,
            qos_profile,
            callback_group=callback_group,
            event_callbacks=event_callbacks,
            qos_overriding_options=qos_overriding_options,
            raw=raw,
        )

    def destroy(self) -> None:
        """Ends the subscription."""
        self.node.destroy_subscription(self.parameter_event_subscription)

    @staticmethod
    def get_parameter_from_event(event: Any, parameter_name: str, node_name: str) -> Any:
        """The `rcl_interfaces.msg.Parameter` of that name in the event, or None."""
        if event.node != node_name:
            return None
        parameters = ParameterEventHandler.get_parameters_from_event(event)
        return next((parameter for parameter in parameters if parameter.name == parameter_name), None)

    @staticmethod
    def get_parameters_from_event(event: Any) -> Iterator[Any]:
        """The new and the changed parameters."""
        yield from chain(event.new_parameters, event.changed_parameters)

    def add_parameter_callback(
        self, parameter_name: str, node_name: str, callback: Callable[[Any], None]
    ) -> ParameterCallbackHandle:
        """Calls back with a parameter when it is new or changed.

        :param node_name: whose parameter; relative names belong to this node's namespace, an empty one is
        this node.
        """
        handle = ParameterCallbackHandle(parameter_name, self._node_path(node_name), callback)
        with self._lock:
            self._parameter_callbacks.insert(0, handle)
        return handle

    def remove_parameter_callback(self, handle: ParameterCallbackHandle) -> None:
        """:raises RuntimeError: when it is not registered."""
        self._remove(self._parameter_callbacks, handle)

    def add_parameter_event_callback(self, callback: Callable[[Any], None]) -> ParameterEventCallbackHandle:
        """Calls back with every event."""
        handle = ParameterEventCallbackHandle(callback)
        with self._lock:
            self._event_callbacks.insert(0, handle)
        return handle

    def remove_parameter_event_callback(self, handle: ParameterEventCallbackHandle) -> None:
        """:raises RuntimeError: when it is not registered."""
        self._remove(self._event_callbacks, handle)

    def _on_event(self, event: Any) -> None:
        with self._lock:
            parameter_callbacks, event_callbacks = (
                list(self._parameter_callbacks),
                list(self._event_callbacks),
            )
        for handle in parameter_callbacks:
            parameter = self.get_parameter_from_event(event, handle.parameter_name, handle.node_name)
            if parameter is not None:
                handle.callback(parameter)
        for event_handle in event_callbacks:
            event_handle.callback(event)

    def _remove(self, handles: list[Any], handle: Any) -> None:
        with self._lock:
            if handle not in handles:
                raise RuntimeError("Callback doesn't exist")
            handles.remove(handle)

    def _node_path(self, node_name: str) -> str:
        if not node_name:
            return self.node.get_fully_qualified_name()
        if node_name.startswith("/"):
            return node_name
        return _names.join(self.node.get_namespace(), node_name)
