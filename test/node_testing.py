"""A graph in one process, for tests of nodes: `with Graph() as graph`. Public rclpy API only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from support import wait_until


class Graph:
    """Nodes under test and a probe beside them, spun by a thread. The fixture `ros_graph` must be in use."""

    def __init__(self) -> None:
        rclpy.init(args=[])
        self._executor = SingleThreadedExecutor()
        self._nodes: list[Any] = []
        self.probe = self.add(rclpy.create_node("probe"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="spin")
        self._thread.start()

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *error: object) -> None:
        # The thread first: rclpy's executors may not be shut down while somebody spins them.
        self._stopping.set()
        self._executor.wake()
        self._thread.join(20)
        self._executor.shutdown()
        for node in reversed(self._nodes):
            node.destroy_node()
        rclpy.try_shutdown()
        assert not self._thread.is_alive(), "the executor did not stop"

    def add(self, node: Any) -> Any:
        self._nodes.append(node)
        self._executor.add_node(node)
        return node

    def start(self, make: Callable[..., Any], activate: bool = True, **parameters: Any) -> Any:
        """A lifecycle node with these parameters, configured and activated."""
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = make(parameter_overrides=overrides)
        if activate:
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        return self.add(node)

    def listen(self, kind: type, topic: str, qos: Any = 10) -> list[Any]:
        """A list that grows by every message on the topic; returns once a publisher is there."""
        messages: list[Any] = []
        self.probe.create_subscription(kind, topic, messages.append, qos)
        wait_until(lambda: self.probe.count_publishers(topic), what=f"a publisher on {topic}")
        return messages

    def publisher(self, kind: type, topic: str, qos: Any = 10, subscriptions: int = 1) -> Any:
        """A publisher on the topic, once as many subscriptions as stated are connected to it."""
        made = self.probe.create_publisher(kind, topic, qos)
        wait_until(lambda: made.get_subscription_count() >= subscriptions, what=f"a subscription on {topic}")
        return made

    def diagnostics(self) -> list[Any]:
        return self.listen(DiagnosticArray, "/diagnostics")

    def _spin(self) -> None:
        while not self._stopping.is_set():
            self._executor.spin_once(timeout_sec=1.0)


def latest_status(arrays: list[Any], name: str) -> Any:
    """The newest DiagnosticStatus of a node, or None."""
    found = [status for array in arrays for status in array.status if status.name == name]
    return found[-1] if found else None


def values_of(status: Any) -> dict[str, str]:
    return {} if status is None else {entry.key: entry.value for entry in status.values}
