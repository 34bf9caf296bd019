"""`qeil param`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
import yaml

from . import messages, ros
from .errors import CliError
from .param_values import TYPE_NAMES, from_yaml, nested, pairs_for, to_python


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="List, get, set, describe, dump and load parameters.")
    group.command("list")(list_parameters)
    group.command("get")(get)
    group.command("set")(set_parameter)
    group.command("describe")(describe)
    group.command("dump")(dump)
    group.command("load")(load)
    app.add_typer(group, name="param")


NodeName = typer.Argument(..., metavar="NODE", help="Node name.")
ParameterNames = typer.Argument(..., metavar="NAME...", help="Parameter names.")
ParameterFile = typer.Argument(..., metavar="FILE", help="Parameter file (YAML).")


def list_parameters(
    name: str = typer.Argument(
        None, metavar="[NODE]", help="Node name; default: every node with parameters."
    ),
    param_type: bool = typer.Option(False, "--param-type", help="Print the types too."),
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the names of parameters.

    Example: qeil param list /encoder
    """
    with ros.graph_node(spin_time) as node:
        owners = [ros.full_name(*ros.find_node(node, name))] if name else _parameter_nodes(node)
        found = {owner: _names(node, owner) for owner in owners}
        types = {owner: _types(node, owner, names) if param_type else {} for owner, names in found.items()}
    if json:
        ros.print_json(types if param_type else found)
        return
    for owner, names in found.items():
        if not name:
            print(f"{owner}:")
        for each in names:
            print(f"  {each} (type: {types[owner][each]})" if param_type else f"  {each}")


def get(
    name: str = NodeName,
    parameter: str = typer.Argument(..., help="Parameter name."),
    hide_type: bool = typer.Option(False, "--hide-type", help="Print the value only."),
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print the value of a parameter.

    Example: qeil param get /encoder bits
    """
    with ros.graph_node(spin_time) as node:
        owner = ros.full_name(*ros.find_node(node, name))
        value = _values(node, owner, [parameter])[0]
    if value.type == 0:
        raise CliError(f"node {owner!r} has no parameter {parameter!r} that is set", exit_code=1)
    plain = to_python(value)
    if json:
        ros.print_json(plain)
    elif hide_type:
        print(plain)
    else:
        print(f"{TYPE_NAMES[value.type].replace('_', ' ').capitalize()} value{_verb(value.type)}: {plain}")


def _verb(kind: int) -> str:
    return "s are" if TYPE_NAMES[kind].endswith("array") else " is"


def set_parameter(
    name: str = NodeName,
    parameter: str = typer.Argument(..., help="Parameter name."),
    value: str = typer.Argument(..., help="Value, as YAML."),
    spin_time: float = ros.SpinTime,
) -> None:
    """Set a parameter. The exit code is 1, with the reason, if the node refuses.

    Example: qeil param set /encoder bits 4
    """
    with ros.graph_node(spin_time) as node:
        owner = ros.full_name(*ros.find_node(node, name))
        refused = _set(node, owner, {parameter: from_yaml(value)})
    if refused:
        raise CliError(f"setting the parameter failed: {refused[parameter]}", exit_code=1)
    print("Set parameter successful")


def describe(
    name: str = NodeName,
    parameters: list[str] = ParameterNames,
    json: bool = ros.Json,
    spin_time: float = ros.SpinTime,
) -> None:
    """Print what parameters are for, their types and their limits.

    Example: qeil param describe /encoder bits rate_hz
    """
    from rcl_interfaces.srv import DescribeParameters

    with ros.graph_node(spin_time) as node:
        owner = ros.full_name(*ros.find_node(node, name))
        unknown = set(parameters) - set(_names(node, owner))
        if unknown:
            raise CliError(f"node {owner!r} has no parameter {min(unknown)!r}", exit_code=1)
        request = DescribeParameters.Request(names=parameters)
        response = ros.call_service(node, DescribeParameters, f"{owner}/describe_parameters", request)
    if json:
        ros.print_json([messages.to_plain(descriptor) for descriptor in response.descriptors])
        return
    for descriptor in response.descriptors:
        _print_descriptor(descriptor)


def _print_descriptor(descriptor: Any) -> None:
    print(f"Parameter name: {descriptor.name}")
    print(f"  Type: {TYPE_NAMES[descriptor.type].replace('_', ' ')}")
    if descriptor.description:
        print(f"  Description: {descriptor.description}")
    print("  Constraints:")
    if descriptor.read_only:
        print("    Read only: true")
    for limits in [*descriptor.floating_point_range, *descriptor.integer_range]:
        print(
            f"    Min value: {limits.from_value}\n    Max value: {limits.to_value}\n    Step: {limits.step}"
        )
    if descriptor.additional_constraints:
        print(f"    Additional constraints: {descriptor.additional_constraints}")


def dump(name: str = NodeName, spin_time: float = ros.SpinTime) -> None:
    """Print all parameters of a node as a parameter file.

    Example: qeil param dump /encoder > encoder.yaml
    """
    with ros.graph_node(spin_time) as node:
        owner = ros.full_name(*ros.find_node(node, name))
        names = _names(node, owner)
        values = _values(node, owner, names)
    known = {each: to_python(value) for each, value in zip(names, values, strict=True) if value.type != 0}
    print(messages.to_yaml({owner: {"ros__parameters": nested(known)}}), end="")


def load(
    name: str = NodeName,
    file: Path = ParameterFile,
    no_wildcard: bool = typer.Option(False, "--no-use-wildcard", help="Pass over entries for '/**'."),
    spin_time: float = ros.SpinTime,
) -> None:
    """Set the parameters of a node that a file has for it. The exit code is 1 if the node refuses one.

    Example: qeil param load /encoder encoder.yaml
    """
    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise CliError(f"cannot read {str(file)!r}: {' '.join(str(error).split())}") from error
    with ros.graph_node(spin_time) as node:
        owner = ros.full_name(*ros.find_node(node, name))
        wanted = pairs_for(document, owner, wildcards=not no_wildcard, file=str(file))
        if not wanted:
            raise CliError(f"{str(file)!r} has no parameters for {owner!r}")
        refused = _set(node, owner, wanted)
    for each in wanted:
        print(f"Set parameter {each} {'failed: ' + refused[each] if each in refused else 'successful'}")
    if refused:
        raise CliError(f"{len(refused)} of {len(wanted)} parameters were refused", exit_code=1)


def _parameter_nodes(node: Any) -> list[str]:
    """Nodes with the service that lists parameters."""
    services = {name for name, _ in node.get_service_names_and_types()}
    return [name for name in dict.fromkeys(ros.node_names(node)) if f"{name}/list_parameters" in services]


def _names(node: Any, owner: str) -> list[str]:
    from rcl_interfaces.srv import ListParameters

    response = ros.call_service(node, ListParameters, f"{owner}/list_parameters", ListParameters.Request())
    return sorted(response.result.names)


def _values(node: Any, owner: str, names: list[str]) -> list[Any]:
    from rcl_interfaces.srv import GetParameters

    if not names:
        return []
    request = GetParameters.Request(names=names)
    values = list(ros.call_service(node, GetParameters, f"{owner}/get_parameters", request).values)
    if len(values) != len(names):  # one unknown name, and the answer is empty
        raise CliError(f"node {owner!r} has no parameter {', '.join(map(repr, names))}", exit_code=1)
    return values


def _types(node: Any, owner: str, names: list[str]) -> dict[str, str]:
    values = _values(node, owner, names)
    return {name: TYPE_NAMES[value.type].replace("_", " ") for name, value in zip(names, values, strict=True)}


def _set(node: Any, owner: str, values: dict[str, Any]) -> dict[str, str]:
    """Sets parameters; gives the reasons of those that were refused."""
    from rcl_interfaces.msg import Parameter
    from rcl_interfaces.srv import SetParameters

    parameters = [Parameter(name=name, value=value) for name, value in values.items()]
    request = SetParameters.Request(parameters=parameters)
    results = ros.call_service(node, SetParameters, f"{owner}/set_parameters", request).results
    answers = zip(values, results, strict=True)
    return {name: result.reason or "no reason given" for name, result in answers if not result.successful}
