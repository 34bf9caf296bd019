"""`qeil node`."""

from __future__ import annotations

from typing import Any

import typer

from . import ros


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="List nodes, and what a node publishes and subscribes to.")
    group.command("list")(list_nodes)
    group.command("info")(info)
    app.add_typer(group, name="node")


def list_nodes(
    show_all: bool = ros.ShowAll,
    count: bool = typer.Option(False, "--count-nodes", "-c", help="Print only how many there are."),
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the names of the nodes in the graph.

    Example: qeil node list
    """
    with ros.graph_node(spin_time) as node:
        names = ros.node_names(node, show_all)
    if json:
        ros.print_json(names)
    elif count:
        print(len(names))
    else:
        for name in names:
            print(name)


def info(
    name: str = typer.Argument(..., help="Node name."),
    show_all: bool = ros.ShowAll,
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print what a node publishes, subscribes to, serves and calls.

    Example: qeil node info /encoder
    """
    with ros.graph_node(spin_time) as node:
        base, namespace = ros.find_node(node, name)
        parts = {
            "Subscribers": node.get_subscriber_names_and_types_by_node(base, namespace),
            "Publishers": node.get_publisher_names_and_types_by_node(base, namespace),
            "Service Servers": node.get_service_names_and_types_by_node(base, namespace),
            "Service Clients": node.get_client_names_and_types_by_node(base, namespace),
        }
    listed = {title: _sorted(entries, show_all) for title, entries in parts.items()}
    full = ros.full_name(base, namespace)
    if json:
        keys = {title.lower().replace(" ", "_"): dict(entries) for title, entries in listed.items()}
        ros.print_json({"node": full, **keys})
        return
    print(full)
    for title, entries in listed.items():
        print(f"  {title}:")
        for topic, types in entries:
            print(f"    {topic}: {', '.join(types)}")


def _sorted(entries: list[tuple[str, list[str]]], show_all: bool) -> list[tuple[str, list[str]]]:
    visible: list[tuple[str, Any]] = [entry for entry in entries if show_all or not ros.hidden(entry[0])]
    return sorted((name, sorted(types)) for name, types in visible)
