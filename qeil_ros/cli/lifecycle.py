"""`qeil lifecycle`."""

from __future__ import annotations

from typing import Any

import typer

from . import ros
from .errors import CliError


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="See and change the states of lifecycle nodes.")
    group.command("nodes")(nodes)
    group.command("get")(get)
    group.command("set")(set_state)
    group.command("list")(list_transitions)
    app.add_typer(group, name="lifecycle")


def nodes(
    show_all: bool = ros.ShowAll,
    count: bool = typer.Option(False, "--count-nodes", "-c", help="Print only how many there are."),
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the names of the nodes that have a lifecycle.

    Example: qeil lifecycle nodes
    """
    with ros.graph_node(spin_time) as node:
        names = _lifecycle_nodes(node, show_all)
    if json:
        ros.print_json(names)
    elif count:
        print(len(names))
    else:
        for name in names:
            print(name)


def get(
    name: str = typer.Argument(None, help="Node name; default: every lifecycle node."),
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the state of a lifecycle node, or of all.

    Example: qeil lifecycle get /encoder
    """
    with ros.graph_node(spin_time) as node:
        names = [_lifecycle_node(node, name)] if name else _lifecycle_nodes(node, show_all=False)
        states = {each: _call(node, "GetState", each, "get_state").current_state for each in names}
    if json:
        ros.print_json({each: {"id": state.id, "label": state.label} for each, state in states.items()})
        return
    for each, state in states.items():
        print(f"{state.label} [{state.id}]" if name else f"{each}: {state.label} [{state.id}]")


def set_state(
    name: str = typer.Argument(..., help="Node name."),
    transition: str = typer.Argument(
        ..., help="configure, activate, deactivate, cleanup, shutdown, or an id."
    ),
    timeout: float = typer.Option(30.0, "--timeout", min=0.0, help="Seconds to wait for the transition."),
    spin_time: float = ros.SpinTime,
) -> None:
    """Ask a lifecycle node for a transition.

    Example: qeil lifecycle set /encoder deactivate
    """
    from lifecycle_msgs.srv import ChangeState

    with ros.graph_node(spin_time) as node:
        full = _lifecycle_node(node, name)
        available = _call(
            node, "GetAvailableTransitions", full, "get_available_transitions"
        ).available_transitions
        known = [entry.transition for entry in available]
        chosen = [entry for entry in known if transition in (entry.label, str(entry.id))]
        if not chosen:
            labels = ", ".join(f"{entry.label} [{entry.id}]" for entry in known) or "none"
            raise CliError(f"{full!r} has no transition {transition!r} now; it has: {labels}")
        request = ChangeState.Request()
        request.transition.id = chosen[0].id
        request.transition.label = chosen[0].label
        if not ros.call_service(node, ChangeState, f"{full}/change_state", request, timeout).success:
            raise CliError(
                f"transition {chosen[0].label!r} of {full!r} failed; the node's log says why", exit_code=1
            )
    print("Transitioning successful")


def list_transitions(
    name: str = typer.Argument(..., help="Node name."),
    show_all: bool = typer.Option(
        False, "--all", "-a", help="All transitions, not only those of the current state."
    ),
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the transitions that a lifecycle node can make now.

    Example: qeil lifecycle list /encoder
    """
    service = "get_transition_graph" if show_all else "get_available_transitions"
    with ros.graph_node(spin_time) as node:
        full = _lifecycle_node(node, name)
        entries = _call(node, "GetAvailableTransitions", full, service).available_transitions
    if json:
        ros.print_json(
            [
                {"id": e.transition.id, "label": e.transition.label, "start": e.start_state.label}
                | {"goal": e.goal_state.label}
                for e in entries
            ]
        )
        return
    for entry in entries:
        print(f"- {entry.transition.label} [{entry.transition.id}]")
        print(f"\tStart: {entry.start_state.label}\n\tGoal: {entry.goal_state.label}")


def _lifecycle_nodes(node: Any, show_all: bool) -> list[str]:
    services = node.get_service_names_and_types()
    owners = {
        name.removesuffix("/get_state") for name, types in services if "lifecycle_msgs/srv/GetState" in types
    }
    return sorted(name for name in owners if show_all or not ros.hidden(name))


def _lifecycle_node(node: Any, name: str) -> str:
    full = ros.full_name(*ros.find_node(node, name))
    if full not in _lifecycle_nodes(node, show_all=True):
        raise CliError(f"{full!r} is not a lifecycle node", exit_code=1)
    return full


def _call(node: Any, kind: str, owner: str, service: str) -> Any:
    cls = ros.load_interface(f"lifecycle_msgs/srv/{kind}")
    return ros.call_service(node, cls, f"{owner}/{service}", cls.Request())
