"""A Zenoh router: the meeting point through which the sessions of a machine find each other.

Run as `python -m qeil_ros.rosless.router [--listen ENDPOINT] [--config FILE]`; stops on SIGINT and SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import zenoh

from .config import DEFAULT_ROUTER, ConfigError, listen_endpoints, router_config


def run_router(
    listen: str | None = None,
    config: str | None = None,
    stop: threading.Event | None = None,
    *,
    on_ready: Callable[[list[str]], None] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Runs a router in this thread until `stop` is set.

    Args:
        listen: endpoint such as "tcp/0.0.0.0:7447"; None keeps the configuration's ("tcp/localhost:7447").
        config: path of a JSON5 file instead of the defaults (see `config`).
        on_ready: called with the endpoints once the router listens; prints them by default.

    Raises:
        ConfigError: the configuration or the endpoint cannot be used.
    """
    settings = router_config(listen, config, environ)
    endpoints = listen_endpoints(settings)
    zenoh.init_log_from_env_or("error")
    try:
        session: Any = zenoh.open(settings)
    except zenoh.ZError as error:
        raise ConfigError(f"the router cannot listen on {', '.join(endpoints)}: {error}") from error
    try:
        if on_ready is not None:
            on_ready(endpoints)
        else:
            print(f"router: listening on {', '.join(endpoints)} (id {session.zid()})", flush=True)
        (stop or threading.Event()).wait()
    finally:
        session.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="router", description=__doc__)
    parser.add_argument("--listen", help=f"endpoint to listen on (default {DEFAULT_ROUTER})")
    parser.add_argument("--config", help="JSON5 configuration file of Zenoh")
    options = parser.parse_args(arguments)
    stop = threading.Event()

    def interrupt(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        run_router(options.listen, options.config, stop)
    except ConfigError as error:
        print(f"router: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
