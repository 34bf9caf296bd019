"""`qeil devices`: what this machine can run networks on, how fast each device is, and what that rests on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import CliError

if TYPE_CHECKING:
    from .measure import Progress
    from .records import Here

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("devices")(devices)


def devices(
    machine: Annotated[
        str,
        typer.Argument(
            metavar="[MACHINE]",
            help="a file, or one of config/devices by name: show its devices",
            show_default="this machine",
        ),
    ] = "",
    measure: Annotated[
        bool, typer.Option("--measure", help="run each device for some seconds: peak, bandwidth, power")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="with --measure: for less time")] = False,
    places: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            metavar="NAME=RUNTIME[:DEVICE][@CORES]",
            help="a device of your own for those that are found, repeatable: cores or a runtime by "
            "themselves, like two=openvino:CPU@1",
        ),
    ] = None,
    power: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE=WATTS", help="of a busy device, where nothing measures it; repeatable"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="write the records there (.yaml), for `qeil place --devices`; into a profile of `qeil "
            "profile` they go beside what it has",
        ),
    ] = None,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write it there as JSON; -: print it")
    ] = "",
    sysfs_root: Annotated[Path, typer.Option(help="where to look instead of in /sys")] = Path("/sys"),
    procfs_root: Annotated[Path, typer.Option(help="where to look instead of in /proc")] = Path("/proc"),
    dev_root: Annotated[Path, typer.Option(help="where to look instead of in /dev")] = Path("/dev"),
) -> None:
    """Show the devices that networks can run on, each figure with its source, and why others are not here.

    Nothing is run on them without --measure. What is measured goes before what drivers and makers state.

    Example: qeil devices --measure --power cpu=15 --output robot.yaml
    """
    from qeil_ros.planning.device import FileError

    from .show import facts, view

    if machine and (measure or power or places or output):
        raise CliError(
            f"{machine}: --measure, --as, --power and --output are of this machine; leave the name out"
        )
    try:
        if machine:
            shown: tuple[Any, Any, tuple[str, ...]] = (_listed(machine), None, ())
        else:
            with _told() as progress:
                roots = sysfs_root, procfs_root, dev_root
                here = _here(measure, quick, places or (), power or (), roots, progress)
            shown = (here.device, here.machine, here.notes)
            if output is not None:
                _write(output, here)
        text = json.dumps(facts(*shown), indent=2, allow_nan=False) + "\n"
        if json_file and json_file != "-":
            Path(json_file).write_text(text, encoding="utf-8")
    except FileError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"{error.filename}: {error.strerror}", exit_code=1) from error
    if json_file == "-":
        typer.echo(text, nl=False)
        return
    from rich.console import Console

    Console().print(view(*shown))
    if output is not None:
        typer.echo(f"Written to {output}.")


def _listed(name: str) -> Any:
    """A machine of a file, which must list devices."""
    from ..plan.run import find_device

    device = find_device(name)
    if not device.devices:
        raise CliError(f"{name}: lists no devices; `qeil devices --output {name}` adds those of this machine")
    return device


def _here(
    measure: bool,
    quick: bool,
    places: Sequence[str],
    power: Sequence[str],
    roots: tuple[Path, Path, Path],
    progress: Progress,
) -> Here:
    from .records import this_machine

    try:
        return this_machine(
            measure=measure,
            quick=quick,
            places=dict(_place(entry) for entry in places),
            power_w=dict(_watts(entry) for entry in power),
            roots=roots,
            progress=progress,
        )
    except ValueError as error:
        raise CliError(str(error)) from error


def _place(entry: str) -> tuple[str, str]:
    name, _, text = entry.partition("=")
    if not name or not text:
        raise CliError(f"--as {entry}: want a name and a place, like two=openvino:CPU@1")
    return name, text


def _watts(entry: str) -> tuple[str, float]:
    name, _, value = entry.partition("=")
    try:
        watts = float(value)
    except ValueError:
        watts = 0.0
    if not name or not 0 < watts < 1e6:
        raise CliError(f"--power {entry}: want a device and its watts, like cpu=15")
    return name, watts


def _write(path: Path, here: Here) -> None:
    """The records into a profile, if the file is one, below its comment, else alone.

    Raises:
        FileError: the file is something else. OSError: it cannot be written.
    """
    from qeil_ros.planning import device as device_file

    device, comment = here.device, "Devices: `qeil devices`; what each figure rests on is beside it."
    if path.exists():
        device = replace(device_file.read(path), devices=device.devices, wire=device.wire)
        head = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
        comment = "\n".join(line[1:].removeprefix(" ") for line in head) or comment
    device_file.write(path, device, comment)


@contextmanager
def _told() -> Iterator[Progress]:
    """What is being done, on stderr while it lasts."""
    from rich.console import Console

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield lambda what: None
        return
    with console.status("looking for devices") as status:
        yield lambda what: status.update(what)
