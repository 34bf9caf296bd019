"""`qeil router`."""

from __future__ import annotations

import signal
import threading
from typing import Any

import typer
import typer.core

from .errors import CliError


class _Command(typer.core.TyperCommand):
    """A launch file may start the router as if it were a node, with ROS arguments; it has no use for them."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        cut = args.index("--ros-args") if "--ros-args" in args else len(args)
        return super().parse_args(ctx, args[:cut])


def register(app: typer.Typer) -> None:
    app.command("router", cls=_Command)(router)


def router(
    listen: str = typer.Option(
        None,
        "--listen",
        "-l",
        help="Endpoint; default tcp/localhost:7447. For other machines: tcp/0.0.0.0:7447.",
    ),
    config: str = typer.Option(
        None, "--config", "-c", help="A Zenoh configuration file (JSON5) to start from."
    ),
) -> None:
    """Run the router through which the processes of a graph find each other. It stays in the foreground.

    Example: qeil router --listen tcp/0.0.0.0:7447
    """
    from qeil_ros.rosless.router import run_router

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_router(listen=listen, config=config, stop=stop)
    except (OSError, ValueError, RuntimeError) as error:
        raise CliError(f"the router cannot run: {error}", exit_code=1) from error
