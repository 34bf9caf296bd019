"""`qeil service`."""

from __future__ import annotations

import time

import typer

from . import messages, ros
from .errors import CliError


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="List and call services.")
    group.command("list")(list_services)
    group.command("type")(service_type)
    group.command("call")(call)
    app.add_typer(group, name="service")


def list_services(
    show_types: bool = typer.Option(False, "--show-types", "-t", help="Print the types too."),
    show_all: bool = ros.ShowAll,
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the names of the services in the graph.

    Example: qeil service list -t
    """
    with ros.graph_node(spin_time) as node:
        services = sorted((name, sorted(types)) for name, types in node.get_service_names_and_types())
    services = [entry for entry in services if show_all or not ros.hidden(entry[0])]
    if json:
        ros.print_json(dict(services))
        return
    for name, types in services:
        print(f"{name} [{', '.join(types)}]" if show_types else name)


def service_type(
    name: str = typer.Argument(..., help="Service name."), spin_time: float = ros.SpinTime
) -> None:
    """Print the type of a service.

    Example: qeil service type /encoder/get_state
    """
    with ros.graph_node(spin_time) as node:
        types = dict(node.get_service_names_and_types()).get(ros.absolute(name))
    if not types:
        raise CliError(f"no service {ros.absolute(name)!r} in the graph", exit_code=1)
    for kind in types:
        print(kind)


def call(
    name: str = typer.Argument(..., help="Service name."),
    kind: str = typer.Argument(..., metavar="TYPE", help="Service type, package/srv/Name."),
    values: str = typer.Argument("", help="Fields of the request, as YAML."),
    rate: float = typer.Option(
        None, "--rate", "-r", min=0.001, help="Call again and again, this often a second."
    ),
    timeout: float = typer.Option(
        10.0, "--timeout", min=0.0, help="Seconds to wait for the service and its answer."
    ),
    json: bool = typer.Option(False, "--json", help="Print the response only, as JSON."),
) -> None:
    """Call a service and print its response.

    Example: qeil service call /encoder/get_state lifecycle_msgs/srv/GetState
    """
    cls = ros.load_interface(kind)
    if not hasattr(cls, "Request"):
        raise CliError(f"{kind!r} is not a service type")
    request = messages.fill(cls.Request(), messages.parse_values(values))
    with ros.graph_node(settled=False) as node:
        while True:
            if not json:
                print(f"requester: making request: {request!r}\n", flush=True)
            response = ros.call_service(node, cls, ros.absolute(name), request, timeout)
            if json:
                ros.print_json(messages.to_plain(response))
            else:
                print(f"response:\n{response!r}\n", flush=True)
            if rate is None:
                return
            time.sleep(1.0 / rate)
