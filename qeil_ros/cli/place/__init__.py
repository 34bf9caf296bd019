"""`qeil place`: which part of a network runs on which device, and how long that takes."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import CliError

if TYPE_CHECKING:
    from qeil_ros.planning.placement.problem import Limits

    from .work import Placing

__all__ = ["register"]

_DEVICES, _CHOICE, _RUN, _TELL = "The devices", "The choice", "The run", "What is told"


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("place")(place)


def place(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL.onnx|FOLDER", help="a network, or a model folder, or a shipped model"),
    ],
    part: Annotated[str, typer.Option(help="of a model folder: agent, server or local")] = "agent",
    devices: Annotated[
        list[str] | None,
        typer.Option(
            "--devices",
            metavar="PLACE|MACHINE",
            help="here: [NAME=]RUNTIME[:DEVICE][@CORES], as in onnxruntime@0-1 or npu=openvino:NPU; again "
            "for another. Elsewhere: a machine's file, or one of config/devices by name",
            show_default="the devices of this machine",
            rich_help_panel=_DEVICES,
        ),
    ] = None,
    power: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE=WATTS",
            help="of a busy device here; without it energy counts core seconds",
            rich_help_panel=_DEVICES,
        ),
    ] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DEVICE=BYTES", help="that a device may hold: 20e6, 64M", rich_help_panel=_DEVICES
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 or int8: of a machine's file", rich_help_panel=_DEVICES)
    ] = "fp32",
    method: Annotated[
        str,
        typer.Option(
            help="greedy; printed: as the paper prints it; exact: the best pipeline; free: the best of all; "
            "pareto: the trade-offs",
            rich_help_panel=_CHOICE,
        ),
    ] = "exact",
    minimise: Annotated[
        str,
        typer.Option(help="energy or latency; greedy methods go by energy", rich_help_panel=_CHOICE),
    ] = "energy",
    latency_limit: Annotated[
        float, typer.Option(min=0, help="of a frame [s]", show_default="none", rich_help_panel=_CHOICE)
    ] = math.inf,
    energy_limit: Annotated[
        float,
        typer.Option(min=0, help="of a frame [J, or core s]", show_default="none", rich_help_panel=_CHOICE),
    ] = math.inf,
    homogeneous: Annotated[
        bool,
        typer.Option("--homogeneous", help="show everything on one device, too", rich_help_panel=_CHOICE),
    ] = False,
    least_share: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="join blocks below this share of all work and weights", rich_help_panel=_CHOICE
        ),
    ] = 0.02,
    run: Annotated[
        bool, typer.Option("--run", help="run it on this machine, and compare", rich_help_panel=_RUN)
    ] = False,
    frames: Annotated[int, typer.Option(min=1, help="with --run", rich_help_panel=_RUN)] = 100,
    in_process: Annotated[
        bool,
        typer.Option(
            "--in-process", help="with --run: all in one process, without isolation", rich_help_panel=_RUN
        ),
    ] = False,
    json_file: Annotated[
        str,
        typer.Option(
            "--json", metavar="FILE|-", help="write it there as JSON; -: print it", rich_help_panel=_TELL
        ),
    ] = "",
    plot: Annotated[
        Path | None, typer.Option(help="draw times and placement into this file", rich_help_panel=_TELL)
    ] = None,
) -> int:
    """Place the blocks of a network on devices: by energy or latency, within memory and limits.

    Devices of this machine are timed with the network itself; those of a machine's file go by the roofline of
    their record. Exit code 1: no placement is within the limits, or safety does not permit it.

    Example: qeil place squeezenet.onnx --devices onnxruntime@0 --devices openvino@1 --run

    Example: qeil place squeezenet.onnx --devices paper_a --precision fp16 --homogeneous
    """
    from qeil_ros.models.schema import ModelError
    from qeil_ros.planning.placement.problem import Limits, Refused

    from .problem import METHODS, PARTS
    from .show import facts, view

    for what, value, known in (
        ("--part", part, PARTS),
        ("--method", method, METHODS),
        ("--minimise", minimise, ("energy", "latency")),
    ):
        if value not in known:
            raise CliError(f"{what} {value!r}: want {', '.join(known)}")
    if in_process and not run:
        raise CliError("--in-process says how to --run")
    limits = Limits(latency_limit or math.inf, energy_limit or math.inf)
    try:
        with _progress() as step:
            placing = _prepared(
                model, part, devices or [], power, memory, precision, limits, least_share, step
            )
            shown = placing.shown(method, minimise, homogeneous)
            if run:
                shown = placing.run(shown, minimise, frames, in_process, step)
    except Refused as refused:
        raise CliError(f"no placement: {refused}", exit_code=1) from refused
    except (ModelError, OSError) as error:
        raise CliError(str(error)) from error
    text = json.dumps(facts(shown), indent=2, default=float) + "\n"
    if json_file == "-":
        print(text, end="")
    elif json_file:
        _write(Path(json_file), text)
    if plot is not None:
        from .figure import draw

        try:
            draw(shown, plot)
        except (ValueError, OSError) as error:
            raise CliError(f"--plot {plot}: cannot be drawn: {error}") from error
    if json_file != "-":
        from rich.console import Console

        (Console() if sys.stdout.isatty() else Console(width=160)).print(view(shown))
    return 1 if shown.run and not shown.run["permitted"] else 0


def _prepared(
    model: str,
    part: str,
    devices: Sequence[str],
    power: Sequence[str] | None,
    memory: Sequence[str] | None,
    precision: str,
    limits: Limits,
    least_share: float,
    step: Callable[[str, int, int], None],
) -> Placing:
    from qeil_ros.planning.device import FileError

    from .work import prepare

    try:
        return prepare(
            model,
            part,
            devices,
            _figures("--power", power or []),
            _figures("--memory", memory or []),
            precision,
            limits,
            least_share,
            step,
        )
    except (FileError, ValueError) as error:
        raise CliError(str(error)) from error


def _figures(option: str, entries: Sequence[str]) -> dict[str, float]:
    """NAME=NUMBER, the number perhaps with k, M or G behind it."""
    found = {}
    for entry in entries:
        name, _, text = entry.rpartition("=")
        scale = {"k": 1e3, "M": 1e6, "G": 1e9}.get(text[-1:], 1.0)
        try:
            value = float(text.rstrip("kMG")) * scale
        except ValueError:
            value = math.nan
        if not name or not 0 < value < math.inf:
            raise CliError(f"{option} {entry!r}: want DEVICE=NUMBER, above 0")
        found[name] = value
    return found


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"--json {path}: cannot be written: {error.strerror}") from error


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, only where somebody can see it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
