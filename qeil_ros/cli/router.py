"""`qeil router`."""

from __future__ import annotations

import signal
import threading

import typer

from .errors import CliError


def register(app: typer.Typer) -> None:
    app.command("router")(router)


def router(
    listen: str = typer.Option(
        "tcp/127.0.0.1:7447", "--listen", "-l", help="Where to listen; tcp/[::]:7447 for other machines too."
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
        raise CliError(f"the router cannot run on {listen!r}: {error}", exit_code=1) from error
