"""What every command that looks into the graph needs: a short-lived node, a settled view, names, service
calls."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

import qeil_ros.rosless  # noqa: F401  serves rclpy where no ROS 2 is installed

from .errors import CliError

SETTLE_S = 1.0
_QUIET_S = 0.25

SpinTime = typer.Option(
    None, "--spin-time", min=0.0, help="Seconds to wait for discovery; default: until it is quiet."
)
Json = typer.Option(False, "--json", help="Print JSON, for scripts.")
ShowAll = typer.Option(False, "--all", "-a", help="Show hidden ones too (a name part begins with '_').")


@contextmanager
def graph_node(spin_time_s: float | None = None, settled: bool = True) -> Iterator[Any]:
    """A node for the time of a command. `settled`: first waits until the graph has stopped changing (at
    most 1 s, or exactly `spin_time_s`). Ctrl-C reaches the command as KeyboardInterrupt."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node(
            f"_qeil_cli_{os.getpid()}", start_parameter_services=False, enable_rosout=False
        )
        try:
            if settled:
                settle(node, spin_time_s)
            yield node
        finally:
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


def settle(node: Any, spin_time_s: float | None = None) -> None:
    if spin_time_s is not None:
        time.sleep(spin_time_s)
        return
    deadline = time.monotonic() + SETTLE_S
    seen: object = None
    quiet_since = time.monotonic()
    while time.monotonic() < min(deadline, quiet_since + _QUIET_S):
        now = (
            sorted(node.get_node_names_and_namespaces()),
            sorted((name, sorted(types)) for name, types in node.get_topic_names_and_types()),
            sorted((name, sorted(types)) for name, types in node.get_service_names_and_types()),
        )
        if now != seen:
            seen, quiet_since = now, time.monotonic()
        time.sleep(0.02)


def wait_for(condition: Any, timeout_s: float) -> bool:
    """Polls a condition on the graph; whether it came true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def full_name(name: str, namespace: str) -> str:
    return f"{namespace.rstrip('/')}/{name}"


def absolute(name: str) -> str:
    """The fully qualified form of a name given on the command line, where everything is relative to the
    root."""
    if not name or name.endswith("/") or any(c.isspace() for c in name):
        raise CliError(f"{name!r} is not a valid name")
    return name if name.startswith("/") else f"/{name}"


def hidden(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("/"))


def node_names(node: Any, show_all: bool = False) -> list[str]:
    """Fully qualified names, one entry for each node (a name that is taken twice comes twice)."""
    names = sorted(full_name(*entry[:2]) for entry in node.get_node_names_and_namespaces())
    return [name for name in names if show_all or not hidden(name)]


def find_node(node: Any, name: str) -> tuple[str, str]:
    """Name and namespace of a node in the graph. CliError where there is none."""
    wanted = absolute(name)
    if wanted not in node_names(node, show_all=True):
        present = ", ".join(node_names(node)) or "none"
        raise CliError(f"no node {wanted!r} in the graph; nodes: {present}", exit_code=1)
    namespace, _, base = wanted.rpartition("/")
    return base, namespace or "/"


def load_interface(name: str) -> Any:
    """The class of `pkg/msg/Name` or `pkg/srv/Name` (also `pkg/Name`, a message). CliError where it is
    unknown."""
    parts = name.split("/")
    if len(parts) == 2:
        parts = [parts[0], "msg", parts[1]]
    if len(parts) != 3 or not all(parts) or parts[1] not in ("msg", "srv"):
        raise CliError(f"{name!r} is not of the form package/msg/Name or package/srv/Name")
    package, kind, base = parts
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), base)
    except (ModuleNotFoundError, AttributeError) as error:
        raise CliError(f"unknown interface {name!r}: {error}") from error


def call_service(node: Any, kind: Any, name: str, request: Any, timeout_s: float = 5.0) -> Any:
    """Calls a service and waits for the answer. CliError where none comes in time."""
    import rclpy

    client = node.create_client(kind, name)
    try:
        if not client.wait_for_service(timeout_sec=timeout_s):
            raise CliError(f"service {name!r} is not there after {timeout_s:g} s", exit_code=1)
        future = client.call_async(request)
        rclpy.spin_until_future_complete(node, future, timeout_sec=timeout_s)
        if not future.done():
            raise CliError(f"service {name!r} did not answer within {timeout_s:g} s", exit_code=1)
        return future.result()
    finally:
        node.destroy_client(client)


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2), flush=True)
