"""A node's questions about the graph. Answers come from memory and may be a moment old."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..graph import Endpoint, EntityKind, names_and_types
from . import _names
from ._rclpy_pybind11 import NodeNameNonExistentError
from ._wakeup import Wakeup
from .topic_endpoint_info import TopicEndpointInfo, TopicEndpointTypeEnum
from .type_hash import TypeHash

if TYPE_CHECKING:
    from ..graph import Graph
    from .context import Context

_NamesAndTypes = list[tuple[str, list[str]]]


class NodeGraph:
    """The part of `Node` about the graph. Topic names given here are expanded, but not remapped."""

    _graph: Graph

    @property
    def context(self) -> Context:
        raise NotImplementedError

    def get_name(self) -> str:
        raise NotImplementedError

    def get_namespace(self) -> str:
        raise NotImplementedError

    def get_node_names(self) -> list[str]:
        """The names of all nodes, without their namespaces."""
        return [node.name for node in self._graph.nodes()]

    def get_fully_qualified_node_names(self) -> list[str]:
        """The names of all nodes, with their namespaces."""
        return [node.fully_qualified_name for node in self._graph.nodes()]

    def get_node_names_and_namespaces(self) -> list[tuple[str, str]]:
        """`(name, namespace)` of all nodes."""
        return [(node.name, node.namespace) for node in self._graph.nodes()]

    def get_node_names_and_namespaces_with_enclaves(self) -> list[tuple[str, str, str]]:
        """`(name, namespace, enclave)` of all nodes."""
        return [(node.name, node.namespace, node.enclave) for node in self._graph.nodes()]

    def get_topic_names_and_types(self, no_demangle: bool = False) -> _NamesAndTypes:
        """`(topic, [types])` of all topics that are published or subscribed to."""
        return self._graph.names_and_types()

    def get_service_names_and_types(self) -> _NamesAndTypes:
        """`(service, [types])` of all services that somebody offers."""
        return self._graph.services()

    def get_publisher_names_and_types_by_node(
        self, node_name: str, node_namespace: str, no_demangle: bool = False
    ) -> _NamesAndTypes:
        """`(topic, [types])` that a node publishes.

        :raises NodeNameNonExistentError: when there is no such node.
        """
        return self._by_node(EntityKind.PUBLISHER, node_name, node_namespace)

    def get_subscriber_names_and_types_by_node(
        self, node_name: str, node_namespace: str, no_demangle: bool = False
    ) -> _NamesAndTypes:
        """`(topic, [types])` that a node subscribes to.

        :raises NodeNameNonExistentError: when there is no such node.
        """
        return self._by_node(EntityKind.SUBSCRIPTION, node_name, node_namespace)

    def get_service_names_and_types_by_node(self, node_name: str, node_namespace: str) -> _NamesAndTypes:
        """`(service, [types])` that a node offers.

        :raises NodeNameNonExistentError: when there is no such node.
        """
        return self._by_node(EntityKind.SERVICE, node_name, node_namespace)

    def get_client_names_and_types_by_node(self, node_name: str, node_namespace: str) -> _NamesAndTypes:
        """`(service, [types])` that a node has clients for.

        :raises NodeNameNonExistentError: when there is no such node.
        """
        return self._by_node(EntityKind.CLIENT, node_name, node_namespace)

    def count_publishers(self, topic_name: str) -> int:
        """How many publishers a topic has."""
        return self._graph.count_publishers(self._expand(topic_name))

    def count_subscribers(self, topic_name: str) -> int:
        """How many subscriptions a topic has."""
        return self._graph.count_subscribers(self._expand(topic_name))

    def count_clients(self, service_name: str) -> int:
        """How many clients a service has."""
        return self._graph.count_clients(self._expand(service_name, is_service=True))

    def count_services(self, service_name: str) -> int:
        """How many nodes offer a service."""
        return self._graph.count_services(self._expand(service_name, is_service=True))

    def get_publishers_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Each publisher of a topic, with its quality of service."""
        return [_info(endpoint) for endpoint in self._graph.publishers(self._expand(topic_name))]

    def get_subscriptions_info_by_topic(
        self, topic_name: str, no_mangle: bool = False
    ) -> list[TopicEndpointInfo]:
        """Each subscription to a topic, with its quality of service."""
        return [_info(endpoint) for endpoint in self._graph.subscriptions(self._expand(topic_name))]

    def wait_for_node(self, fully_qualified_node_name: str, timeout: float) -> bool:
        """Blocks until the graph has the node; False after `timeout` seconds."""
        name = _names.absolute_namespace(fully_qualified_node_name)
        return self._wait_for_graph(lambda: name in self.get_fully_qualified_node_names(), timeout)

    def _wait_for_graph(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        """Blocks until the condition is true, which is looked at whenever the graph changes.

        :return: False when the time was over, or the context shut down, before.
        """
        wakeup = Wakeup()
        end = None if timeout_s is None else time.monotonic() + timeout_s
        self.context._add_waker(wakeup.set)
        listener = self._graph.on_change(wakeup.set)
        try:
            while not condition():
                remaining_s = None if end is None else end - time.monotonic()
                if not self.context.ok() or (remaining_s is not None and remaining_s <= 0):
                    return False
                wakeup.wait(remaining_s)
            return True
        finally:
            listener.undeclare()
            self.context._remove_waker(wakeup.set)

    def _expand(self, name: str, *, is_service: bool = False) -> str:
        return _names.resolve(name, self.get_name(), self.get_namespace(), is_service=is_service)

    def _by_node(self, kind: EntityKind, name: str, namespace: str) -> _NamesAndTypes:
        _names.validate_node_name(name)
        namespace = _names.absolute_namespace(namespace)
        _names.validate_namespace(namespace)
        if (name, namespace) not in self.get_node_names_and_namespaces():
            raise NodeNameNonExistentError(
                f"cannot get names and types for nonexistent node: {namespace} {name}"
            )
        return names_and_types(self._graph.endpoints(kind, node=(name, namespace)))


def _info(endpoint: Endpoint) -> TopicEndpointInfo:
    publishes = endpoint.kind is EntityKind.PUBLISHER
    return TopicEndpointInfo(
        node_name=endpoint.node_name,
        node_namespace=endpoint.namespace,
        topic_type=endpoint.type_name,
        topic_type_hash=TypeHash._from_text(endpoint.type_hash),
        endpoint_type=TopicEndpointTypeEnum.PUBLISHER if publishes else TopicEndpointTypeEnum.SUBSCRIPTION,
        endpoint_gid=list(endpoint.gid),
        qos_profile=endpoint.qos,
    )
