"""What is known of the ROS graph: nodes and endpoints, kept up to date from liveliness tokens."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .wire import Endpoint, EntityKind, NodeEntity, WireError, parse_token

__all__ = ["Endpoint", "EntityKind", "Graph", "GraphListener", "NodeEntity"]

_log = logging.getLogger(__name__)
#: Tokens remembered at most; a graph of thousands of robots fits, a flood does not.
MAX_TOKENS = 100_000


@dataclass(frozen=True, eq=False)
class GraphListener:
    """Keeps a callback on the graph's changes until undeclared."""

    graph: Graph
    callback: Callable[[], None]

    def notify(self) -> None:
        try:
            self.callback()
        except Exception:
            _log.exception("a callback on graph changes failed")

    def undeclare(self) -> None:
        self.graph._remove_listener(self)


class Graph:
    """A picture of the graph. Thread-safe; answers come from memory and never block on the network."""

    def __init__(self) -> None:
        self._tokens: dict[str, NodeEntity | Endpoint] = {}
        self._changed = threading.Condition()
        self._listeners: tuple[GraphListener, ...] = ()
        self._version = 0
        self.rejected = 0
        """Tokens that could not be read, or were too many."""

    # Changes, from the network and from this session's own declarations

    def add(self, token: str) -> None:
        if token in self._tokens:
            return
        try:
            entity = parse_token(token)
        except WireError as error:
            self.rejected += 1
            _log.debug("ignored: %s", error)
            return
        with self._changed:
            if len(self._tokens) >= MAX_TOKENS:
                self.rejected += 1
                return
            self._tokens[token] = entity
        self._notify()

    def remove(self, token: str) -> None:
        with self._changed:
            known = self._tokens.pop(token, None)
        if known is not None:
            self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._version += 1
            self._changed.notify_all()
            listeners = self._listeners
        for listener in listeners:
            listener.notify()

    def on_change(self, callback: Callable[[], None]) -> GraphListener:
        """Calls back after every change, on a network thread: the callback may only wake somebody."""
        listener = GraphListener(self, callback)
        with self._changed:
            self._listeners = (*self._listeners, listener)
        return listener

    def _remove_listener(self, listener: GraphListener) -> None:
        with self._changed:
            self._listeners = tuple(item for item in self._listeners if item is not listener)

    @property
    def version(self) -> int:
        """Counts changes."""
        return self._version

    def wait_for_change(self, timeout_s: float | None = None, since: int | None = None) -> bool:
        """Waits until `version` differs from `since` (now, where not given). False after `timeout_s`."""
        with self._changed:
            start = self._version if since is None else since
            return self._changed.wait_for(lambda: self._version != start, timeout_s)

    def wait_until(self, condition: Callable[[Graph], object], timeout_s: float) -> bool:
        """Waits until `condition(graph)` is true. False after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            version = self._version
            if condition(self):
                return True
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not self.wait_for_change(left_s, version):
                return bool(condition(self))

    # Questions

    def nodes(self) -> list[NodeEntity]:
        """All nodes, sorted by name. Two nodes of the same name are two entries."""
        nodes = [item for item in self._entities() if isinstance(item, NodeEntity)]
        return sorted(nodes, key=lambda node: (node.fully_qualified_name, node.zid, node.node_id))

    def endpoints(
        self, *kinds: EntityKind, topic: str | None = None, node: tuple[str, str] | None = None
    ) -> list[Endpoint]:
        """Endpoints of any of `kinds` (all where none is given).

        Args:
            topic: only those of this fully qualified topic or service.
            node: only those of this (name, namespace).
        """
        return [
            item
            for item in self._entities()
            if isinstance(item, Endpoint)
            and (not kinds or item.kind in kinds)
            and (topic is None or item.topic == topic)
            and (node is None or (item.node_name, item.namespace) == node)
        ]

    def names_and_types(self, node: tuple[str, str] | None = None) -> list[tuple[str, list[str]]]:
        """Topics and their types, sorted."""
        return names_and_types(self.endpoints(EntityKind.PUBLISHER, EntityKind.SUBSCRIPTION, node=node))

    def services(self, node: tuple[str, str] | None = None) -> list[tuple[str, list[str]]]:
        """Services that somebody offers, and their types, sorted."""
        return names_and_types(self.endpoints(EntityKind.SERVICE, node=node))

    def publishers(self, topic: str) -> list[Endpoint]:
        return self.endpoints(EntityKind.PUBLISHER, topic=topic)

    def subscriptions(self, topic: str) -> list[Endpoint]:
        return self.endpoints(EntityKind.SUBSCRIPTION, topic=topic)

    def count_publishers(self, topic: str) -> int:
        return len(self.publishers(topic))

    def count_subscribers(self, topic: str) -> int:
        return len(self.subscriptions(topic))

    def count_services(self, name: str) -> int:
        return len(self.endpoints(EntityKind.SERVICE, topic=name))

    def count_clients(self, name: str) -> int:
        return len(self.endpoints(EntityKind.CLIENT, topic=name))

    def _entities(self) -> list[NodeEntity | Endpoint]:
        with self._changed:
            return list(self._tokens.values())


def names_and_types(endpoints: list[Endpoint]) -> list[tuple[str, list[str]]]:
    """Names with their types, both sorted."""
    found: dict[str, set[str]] = {}
    for item in endpoints:
        found.setdefault(item.topic, set()).add(item.type_name)
    return [(name, sorted(types)) for name, types in sorted(found.items())]
