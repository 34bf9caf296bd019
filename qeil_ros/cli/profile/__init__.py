"""`qeil profile`: how fast this machine runs a model, width by width, and what power that takes."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import CliError
from ..power_options import CoreW, IdleW, ProcfsRoot

if TYPE_CHECKING:
    from qeil_ros.planning.device import Device, ModelTimes

__all__ = ["register"]

_PICTURES = 8
_CAMERA = (480, 640)


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("profile")(profile)


def profile(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="model folders, or shipped models' names")
    ],
    output: Annotated[Path | None, typer.Option(help="write the device profile here (.yaml)")] = None,
    name: Annotated[str, typer.Option(help="of this machine", show_default="its host name")] = "",
    role: Annotated[str, typer.Option(help="which parts to time: robot, server, or both")] = "both",
    quick: Annotated[bool, typer.Option("--quick", help="a short run, for a first impression")] = False,
    threads: Annotated[int, typer.Option(min=1, max=256, help="threads of every part")] = 1,
    server_device: Annotated[
        str, typer.Option(help="what runs the server part: cpu, cuda, or auto for a GPU if there is one")
    ] = "auto",
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="pictures like the camera's, as `qeil evaluate` takes them",
            show_default="scenes for the model `tabletop`, else noise",
        ),
    ] = "",
    idle_w: IdleW = 0.0,
    core_w: CoreW = 0.0,
    clocks: Annotated[
        bool,
        typer.Option(
            "--clocks",
            help="measure at a low, a medium and the highest processor clock too; needs the right to cap "
            "them, and puts them back",
        ),
    ] = False,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write the figures there as JSON; -: print it")
    ] = "",
    sysfs_root: Annotated[str, typer.Option(help="where to look for power and clocks")] = "/sys",
    procfs_root: ProcfsRoot = "/proc",
) -> None:
    """Measure how fast this machine runs a model, and what power that takes, for `qeil plan`.

    Run it on the robot and on the server: each measures the parts that it holds.

    Example: qeil profile tabletop --output robot.yaml
    """
    from qeil_ros.models.folder import ModelFolder
    from qeil_ros.planning import device as device_file
    from qeil_ros.planning.plain import to_plain
    from qeil_ros.platform import ActuatorError, PowerModel

    from .machine import measure

    if role not in ("robot", "server", "both"):
        raise CliError(f"--role {role}: want robot, server or both")
    try:
        folders = [ModelFolder.load(model) for model in models]
        device = measure(
            folders,
            [_pictures(folder, data) for folder in folders],
            name=name or platform.node() or "this machine",
            robot=role != "server",
            server=role != "robot",
            quick=quick,
            threads=threads,
            server_device=server_device,
            power_model=PowerModel(idle_w, core_w) if idle_w or core_w else None,
            clocks=clocks,
            roots=(sysfs_root, procfs_root),
        )
        text = (
            json.dumps({"format": device_file.FORMAT, **to_plain(device)}, indent=1, allow_nan=False) + "\n"
        )
        if output is not None:
            device_file.write(output, device, _comment(models))
        if json_file and json_file != "-":
            Path(json_file).write_text(text, encoding="utf-8")
    except (ValueError, OSError, ImportError, ActuatorError) as error:
        raise CliError(str(error)) from error
    if json_file == "-":
        typer.echo(text, nl=False)
        return
    _show(device)
    if output is not None:
        typer.echo(f"Written to {output}. Next: qeil plan {models[0]} --device {output} --delay 0.2")


def _pictures(folder: Any, data: str) -> Sequence[Any]:
    """Up to eight pictures, RGB [height, width, 3]."""
    import numpy as np

    from qeil_ros.models.datasets import open_dataset

    source = data or ("tabletop" if folder.name == "tabletop-captioner" else "")
    if source:
        return [np.ascontiguousarray(example.pixels) for example in open_dataset(source, limit=_PICTURES)]
    return [np.random.default_rng(0).integers(0, 256, (*_CAMERA, 3)).astype(np.uint8)]


def _comment(models: Sequence[str]) -> str:
    busy = os.getloadavg()[0]
    return (
        f"Made by: qeil profile {' '.join(models)}\n"
        f"On {platform.platform()}, {os.cpu_count()} cores, load {busy:.1f} at the end.\n"
        "Times are medians of one frame [s], by the bits of the weights (0: as stored) or of the features."
    )


def _show(device: Device) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    for model in device.models:
        plural = "" if model.threads == 1 else "s"
        drawn = Table(
            title=f"{model.name} on {device.name}, {model.threads} thread{plural}, one frame",
            title_justify="left",
            box=box.SIMPLE,
            pad_edge=False,
        )
        for heading in ("split", "part", "bits"):
            drawn.add_column(heading)
        drawn.add_column("time [ms]", justify="right")
        drawn.add_column("of the stored width", justify="right")
        for row in _rows(model):
            drawn.add_row(*row)
        console.print(drawn)
        if model.tokens > 1:
            console.print(f"Answers of {model.tokens:g} tokens on average.")
    for clock in device.clocks:
        power = f", {clock.busy_w:.3g} W above idle" if device.power.known else ""
        set_to = f"{clock.hz / 1e9:.2f} GHz, " if clock.hz else ""
        console.print(f"Clock {clock.name}: {set_to}times x {clock.slowdown:.3g}{power}.")
    if device.power.known:
        console.print(
            f"Power at rest {device.power.idle_w:.3g} W, {device.power.quality} ({device.power.source})."
        )
    else:
        console.print(
            f"Power is {device.power.source}. State it with --idle-w and --core-w, or energy stays unknown.",
            style="yellow",
        )
    if device.description:
        console.print(device.description)


def _rows(model: ModelTimes) -> list[tuple[str, str, str, str, str]]:
    rows = []
    for split in model.splits:

        def row(
            part: str, bits: int | str, seconds: float, ratio: float | None = None, s: Any = split
        ) -> None:
            share = f"{ratio:.2f}" if ratio is not None else ""
            rows.append((s.name, part, str(bits), f"{1e3 * seconds:.3f}", share))

        if split.agent_s:
            row("preparation", "", split.prepare_s)
        stored = split.agent_s.get(0)
        for bits, seconds in split.agent_s.items():
            row("agent", bits or "stored", seconds, seconds / stored if stored else None)
        if split.encode_s:
            low, high = min(split.encode_s), max(split.encode_s)
            row("coding", low, split.encode_s[low])
            row("coding", high, split.encode_s[high])
            row("decoding", "", split.decode_s)
        if split.first_s is not None:
            row("server", "", split.first_s)
            if split.token_s:
                row("server, a further token", "", split.token_s)
        if split.local_s is not None:
            row("local", "", split.local_s)
    return rows
