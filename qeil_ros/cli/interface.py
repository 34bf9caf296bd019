"""`qeil interface`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from . import messages, ros


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Show message and service definitions.")
    group.command("show")(show)
    group.command("proto")(proto)
    app.add_typer(group, name="interface")


def show(
    name: str = typer.Argument(..., metavar="TYPE", help="package/msg/Name or package/srv/Name."),
    json: bool = ros.Json,
) -> None:
    """Print the fields of a message or service, nested ones indented, and its constants.

    Example: qeil interface show qeil_ros/msg/InferenceResult
    """
    parts = _parts(ros.load_interface(name))
    if json:
        ros.print_json([dict(part.get_fields_and_field_types()) for part in parts])
        return
    for number, part in enumerate(parts):
        if number:
            print("---")
        for line in _lines(part, ""):
            print(line)


def proto(
    name: str = typer.Argument(..., metavar="TYPE", help="package/msg/Name or package/srv/Name."),
) -> None:
    """Print a message (of a service: the request) with its defaults, to fill in for `topic pub` or `service
    call`.

    Example: qeil interface proto geometry_msgs/msg/Twist
    """
    plain = messages.to_plain(_parts(ros.load_interface(name))[0]())
    print(messages.to_yaml(plain), end="")


def _parts(cls: Any) -> list[Any]:
    return [cls.Request, cls.Response] if hasattr(cls, "Request") else [cls]


def _lines(cls: Any, indent: str) -> Iterator[str]:
    # Generated classes have their constants as properties of the metaclass, ours have them as attributes.
    for name in sorted({*dir(cls), *dir(type(cls))}):
        if name.isupper() and not name.startswith("_"):
            yield f"{indent}{name}={getattr(cls, name)!r}"
    for name, typename in cls.get_fields_and_field_types().items():
        yield f"{indent}{typename} {name}"
        inner = messages.item_type(typename) or typename
        if "/" in inner:
            package, base = inner.split("/")[0], inner.split("/")[-1]
            yield from _lines(ros.load_interface(f"{package}/msg/{base}"), indent + "\t")
