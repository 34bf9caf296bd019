"""Reading and setting the parameters of other nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rcl_interfaces import msg, srv

from .callback_groups import CallbackGroup
from .event_handler import SubscriptionEventCallbacks
from .node import Node
from .parameter import Parameter, parameter_dict_from_yaml_file
from .qos import QoSProfile, qos_profile_parameter_events, qos_profile_services_default
from .qos_overriding_options import QoSOverridingOptions
from .subscription import Subscription
from .task import Future

_DoneCallback = Callable[[Future[Any]], None] | None


class AsyncParameterClient:
    """Calls a remote node's parameter services. Every method returns a future for the service's response."""

    def __init__(
        self,
        node: Node,
        remote_node_name: str,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> None:
        """:param node: whose clients these are; somebody has to spin it.

        :param remote_node_name: whose parameters, with its namespace unless that is the node's own.
        """
        self.node = node
        self.remote_node_name = remote_node_name

        def client(srv_type: Any, name: str) -> Any:
            return node.create_client(
                srv_type, f"{remote_node_name}/{name}", qos_profile=qos_profile, callback_group=callback_group
            )

        self._get_parameter_client = client(srv.GetParameters, "get_parameters")
        self._list_parameter_client = client(srv.ListParameters, "list_parameters")
        self._set_parameter_client = client(srv.SetParameters, "set_parameters")
        self._get_parameter_types_client = client(srv.GetParameterTypes, "get_parameter_types")
        self._describe_parameters_client = client(srv.DescribeParameters, "describe_parameters")
        self._set_parameters_atomically_client = client(
            srv.SetParametersAtomically, "set_parameters_atomically"
        )
        self._clients = (
            self._get_parameter_client,
            self._list_parameter_client,
            self._set_parameter_client,
            self._get_parameter_types_client,
            self._describe_parameters_client,
            self._set_parameters_atomically_client,
        )

    def services_are_ready(self) -> bool:
        """True if the graph has all six services."""
        return all(client.service_is_ready() for client in self._clients)

    def wait_for_services(self, timeout_sec: float | None = None) -> bool:
        """Blocks until the graph has all six services; False when the time was over before."""
        return self.node._wait_for_graph(self.services_are_ready, timeout_sec)

    def list_parameters(
        self,
        prefixes: list[str] | None = None,
        depth: int | None = None,
        callback: _DoneCallback = None,
    ) -> Future[Any]:
        """Names below the prefixes, all names where none are given."""
        request = srv.ListParameters.Request(prefixes=prefixes or [], depth=depth or 0)
        return _call(self._list_parameter_client, request, callback)

    def get_parameters(self, names: list[str], callback: _DoneCallback = None) -> Future[Any]:
        return _call(self._get_parameter_client, srv.GetParameters.Request(names=names), callback)

    def set_parameters(
        self, parameters: Sequence[Parameter | Any], callback: _DoneCallback = None
    ) -> Future[Any]:
        """Sets each by itself. Parameters may also be `rcl_interfaces.msg.Parameter`."""
        request = srv.SetParameters.Request(parameters=_messages(parameters))
        return _call(self._set_parameter_client, request, callback)

    def describe_parameters(self, names: list[str], callback: _DoneCallback = None) -> Future[Any]:
        request = srv.DescribeParameters.Request(names=names)
        return _call(self._describe_parameters_client, request, callback)

    def get_parameter_types(self, names: list[str], callback: _DoneCallback = None) -> Future[Any]:
        request = srv.GetParameterTypes.Request(names=names)
        return _call(self._get_parameter_types_client, request, callback)

    def set_parameters_atomically(
        self, parameters: Sequence[Parameter | Any], callback: _DoneCallback = None
    ) -> Future[Any]:
        """Sets all or none."""
        request = srv.SetParametersAtomically.Request(parameters=_messages(parameters))
        return _call(self._set_parameters_atomically_client, request, callback)

    def delete_parameters(self, names: list[str], callback: _DoneCallback = None) -> Future[Any]:
        """Unsets parameters; only those of dynamic type can be."""
        return self.set_parameters([Parameter(name) for name in names], callback)

    def load_parameter_file(
        self, parameter_file: str, use_wildcard: bool = False, callback: _DoneCallback = None
    ) -> Future[Any]:
        """Sets what a file says, see `rclpy.parameter.parameter_dict_from_yaml_file`."""
        parameters = parameter_dict_from_yaml_file(parameter_file, use_wildcard)
        return self.set_parameters(list(parameters.values()), callback)

    def load_parameter_file_atomically(
        self, parameter_file: str, use_wildcard: bool = False, callback: _DoneCallback = None
    ) -> Future[Any]:
        """Sets all or nothing of what a file says."""
        parameters = parameter_dict_from_yaml_file(parameter_file, use_wildcard)
        return self.set_parameters_atomically(list(parameters.values()), callback)

    def on_parameter_event(
        self,
        callback: Callable[[Any], None],
        qos_profile: QoSProfile = qos_profile_parameter_events,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        raw: bool = False,
    ) -> Subscription[Any]:
        """Subscribes to `/parameter_events`, which carries the changes of all nodes."""
        return self.node.create_subscription(
            msg.ParameterEvent,
            "/parameter_events",
            callback,
            qos_profile,
            callback_group=callback_group,
            event_callbacks=event_callbacks,
            qos_overriding_options=qos_overriding_options,
            raw=raw,
        )


AsyncParametersClient = AsyncParameterClient


def _call(client: Any, request: Any, callback: _DoneCallback) -> Future[Any]:
    future: Future[Any] = client.call_async(request)
    if callback is not None:
        future.add_done_callback(callback)
    return future


def _messages(parameters: Sequence[Any]) -> list[Any]:
    return [item.to_parameter_msg() if isinstance(item, Parameter) else item for item in parameters]
