"""`qeil status`: what the supervisor sees and why it decided as it did, live."""

from __future__ import annotations

import time
from typing import Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from . import ros
from .errors import CliError
from .status_facts import facts

__all__ = ["register"]

_STALE_S = 3.0
_STYLES = {"nominal": "green", "constrained": "yellow", "local": "yellow", "hold": "red", "up": "green"}
_STYLES |= {"degraded": "yellow", "down": "red"}


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(
    topic: str = typer.Option("/status", "--topic", help="Where the supervisor speaks: /NAMESPACE/status."),
    once: bool = typer.Option(False, "--once", help="Print one status and exit."),
    json: bool = typer.Option(False, "--json", help="Print one JSON object for each status, for scripts."),
    timeout: float = typer.Option(10.0, "--timeout", min=0.0, help="Seconds to wait for the first status."),
) -> None:
    """Show mode, reasons, readings, link and operating point, and what was predicted and measured.

    Example: qeil status --once --json
    """
    from qeil_ros.msg import SupervisorStatus
    from qeil_ros.nodes import qos

    with ros.graph_node(settled=False) as node:
        heard: list[Any] = []
        node.create_subscription(SupervisorStatus, ros.absolute(topic), heard.append, qos.LATEST)
        if not _spin_until(node, lambda: bool(heard), timeout):
            raise CliError(f"no supervisor speaks on {ros.absolute(topic)} within {timeout:g} s", exit_code=1)
        if once:
            found = facts(heard[-1])
            ros.print_json(found) if json else Console().print(view(found, 0.0))
        elif json:
            _lines(node, heard)
        else:
            _live(node, heard)


def _lines(node: Any, heard: list[Any]) -> None:
    import json

    while True:
        for message in heard:
            print(json.dumps(facts(message)), flush=True)
        heard.clear()
        _spin_until(node, lambda: bool(heard), 1.0)


def _live(node: Any, heard: list[Any]) -> None:
    found, since_s = facts(heard[-1]), time.monotonic()
    with Live(view(found, 0.0), refresh_per_second=4) as live:
        while True:
            heard.clear()
            if _spin_until(node, lambda: bool(heard), 0.5):
                found, since_s = facts(heard[-1]), time.monotonic()
            live.update(view(found, time.monotonic() - since_s))


def _spin_until(node: Any, condition: Any, timeout_s: float) -> bool:
    import rclpy

    deadline = time.monotonic() + timeout_s
    while not condition():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return False
        rclpy.spin_once(node, timeout_sec=min(left_s, 0.5))
    return True


def view(found: dict[str, Any], silent_s: float) -> Group:
    """The facts as a person reads them; `silent_s`: how old they are [s]."""
    point, link, answers, forecast = (found[key] for key in ("point", "link", "answers", "forecast"))
    head = Table.grid(padding=(0, 2))
    head.add_column(style="dim")
    head.add_column()
    head.add_row("mode", Text(found["mode"], style=f"bold {_STYLES.get(found['mode'], '')}"))
    for index, reason in enumerate(found["reasons"]):
        head.add_row("" if index else "because", reason)
    for index, override in enumerate(found["overrides"]):
        head.add_row("" if index else "set by hand", Text(override, style="magenta"))
    head.add_row("strategy", found["strategy"]["name"])
    bits = f"{point['feature_bits']} bits" if point["feature_bits"] else "own bits"
    rate = f"{point['rate_hz']:g} Hz" if point["rate_hz"] else "every frame"
    head.add_row("point", f"{point['route']}, {point['split'] or 'own cut'}, {bits}, {rate}, {_clock(point)}")
    head.add_row("", Text(point["reason"], style="dim"))
    if found["plan"]:
        style = "" if found["plan"]["feasible"] else "red"
        head.add_row("plan", Text(found["plan"]["reason"], style=style))
    trip = _scaled(link["round_trip_s"], 1e3, "ms")
    rate_text = _scaled(link["bytes_s"], 1e-3, "kB/s")
    head.add_row("link", Text(link["state"], style=_STYLES.get(link["state"], "")))
    head.add_row("", f"{rate_text}, round trip {trip}, {_scaled(link['loss'], 100, '% of frames lost')}")
    counts = ", ".join(f"{answers[name]} {name}" for name in ("offboard", "local", "none"))
    head.add_row("answers", f"{counts}; {_scaled(answers['rate_hz'], 1, 'Hz')}")
    if silent_s > _STALE_S:
        head.add_row("", Text(f"the supervisor has been silent for {silent_s:.0f} s", style="bold red"))
    return Group(head, Text(), _frame(found["frame"]), Text(), _readings(found, forecast))


def _frame(frame: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("a frame", style="dim")
    table.add_column("predicted", justify="right")
    table.add_column("measured", justify="right")
    for name, label, factor, unit in (
        ("delay_s", "delay", 1e3, "ms"),
        ("energy_j", "energy, robot", 1e3, "mJ"),
        ("bytes", "features", 1.0, "B"),
        ("distortion", "distortion", 1.0, ""),
    ):
        values = (_scaled(frame[name][kind], factor, unit) for kind in ("predicted", "measured"))
        table.add_row(label, *values)
    return table


def _readings(found: dict[str, Any], forecast: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("reading", style="dim")
    table.add_column("value", justify="right")
    table.add_column("quality")
    table.add_column("source", style="dim", overflow="fold")
    for reading in found["readings"]:
        value = _scaled(reading["value"], 1.0, reading["unit"])
        table.add_row(reading["name"], value, reading["quality"], reading["source"])
    if forecast["temperature_c"] is not None:
        ahead = f"in {forecast['horizon_s']:g} s"
        error = _scaled(forecast["error_c"], 1.0, "K off of late")
        table.add_row(
            f"hottest zone {ahead}", _scaled(forecast["temperature_c"], 1.0, "C"), "forecast", error
        )
    return table


def _scaled(value: float | None, factor: float, unit: str) -> str:
    return "-" if value is None else f"{value * factor:.4g} {unit}".rstrip()


def _clock(point: dict[str, Any]) -> str:
    return f"clock {point['clock_hz'] / 1e6:.0f} MHz" if point["clock_hz"] else "clock as it is"
