"""The six services by which other nodes read and set a node's parameters."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from .exceptions import ParameterNotDeclaredException, ParameterUninitializedException
from .parameter import Parameter
from .qos import qos_profile_parameters

if TYPE_CHECKING:
    from .node import Node


class ParameterService:
    """`describe_parameters`, `get_parameters`, `get_parameter_types`, `list_parameters`, `set_parameters`
    and `set_parameters_atomically` below the node's name."""

    def __init__(self, node: Node) -> None:
        from rcl_interfaces import srv

        self._node_reference = weakref.ref(node)
        for service_type, name, callback in (
            (srv.DescribeParameters, "describe_parameters", self._describe),
            (srv.GetParameters, "get_parameters", self._get),
            (srv.GetParameterTypes, "get_parameter_types", self._get_types),
            (srv.ListParameters, "list_parameters", self._list),
            (srv.SetParameters, "set_parameters", self._set),
            (srv.SetParametersAtomically, "set_parameters_atomically", self._set_atomically),
        ):
            node.create_service(
                service_type, f"{node.get_name()}/{name}", callback, qos_profile=qos_profile_parameters
            )

    def _describe(self, request: Any, response: Any) -> Any:
        try:
            response.descriptors = self._node().describe_parameters(list(request.names))
        except ParameterNotDeclaredException:
            # rclpy answers with an empty list when one name is unknown.
            response.descriptors = []
        return response

    def _get(self, request: Any, response: Any) -> Any:
        try:
            parameters = self._node().get_parameters(list(request.names))
        except (ParameterNotDeclaredException, ParameterUninitializedException):
            parameters = []
        response.values = [parameter.get_parameter_value() for parameter in parameters]
        return response

    def _get_types(self, request: Any, response: Any) -> Any:
        try:
            response.types = self._node().get_parameter_types(list(request.names))
        except ParameterNotDeclaredException:
            response.types = []
        return response

    def _list(self, request: Any, response: Any) -> Any:
        response.result = self._node().list_parameters(list(request.prefixes), int(request.depth))
        return response

    def _set(self, request: Any, response: Any) -> Any:
        response.results = [self._try_to_set([message]) for message in request.parameters]
        return response

    def _set_atomically(self, request: Any, response: Any) -> Any:
        response.result = self._try_to_set(list(request.parameters))
        return response

    def _try_to_set(self, messages: list[Any]) -> Any:
        from rcl_interfaces.msg import SetParametersResult

        try:
            parameters = [Parameter.from_parameter_msg(message) for message in messages]
            return self._node().set_parameters_atomically(parameters)
        except (ParameterNotDeclaredException, ValueError, RuntimeError) as error:
            # ValueError, RuntimeError: the message names a type that does not exist. It comes from the
            # network.
            return SetParametersResult(successful=False, reason=str(error))

    def _node(self) -> Node:
        node = self._node_reference()
        if node is None:
            raise ReferenceError("Expected valid node weak reference")
        return node
