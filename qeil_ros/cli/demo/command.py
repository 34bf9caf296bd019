"""`qeil demo`, the command line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from qeil_ros.cli.errors import CliError


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("demo")(demo)


def demo(
    launch: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME:=VALUE]...", help="further launch arguments")
    ] = None,
    bag: Annotated[
        Path | None, typer.Option(help="rosbag2 with an image topic; default: the model's own recording")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="folder of photos to publish instead of a bag")] = None,
    topic: Annotated[
        str | None, typer.Option(help="image topic of the bag; default: its colour images")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="seconds to play; the recording starts again as often as needed")
    ] = None,
    kill_offboard_at: Annotated[
        float | None, typer.Option(help="kill the offboard node after so many seconds; restarted 5 s later")
    ] = None,
    model: Annotated[str, typer.Option(help="name of a shipped model, or a model folder")] = "tabletop",
    rate: Annotated[
        float | None, typer.Option(help="frames per second; default: as recorded, photos 5 Hz")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the summary here too")] = None,
    out: Annotated[Path, typer.Option(help="folder for summary.json, timeline.png and nodes.log")] = Path(
        "demo_out"
    ),
    plain: Annotated[bool, typer.Option("--plain", help="lines of text instead of a live table")] = False,
) -> int:
    """Play a recording through the whole graph and show who answered, how fast and how right.

    Starts encoder, co-inference, fallback and supervisor as separate processes on this machine.
    Exit code 0: every image got exactly one answer by its deadline, but for at most one in ten that the
    encoder left out because newer ones came; 1: not so; 2: it could not be carried out; 130: interrupted.
    """
    from rich.console import Console

    from .run import DemoError, Options, SourceError, run

    options = Options(
        bag=bag,
        images=images,
        topic=topic,
        seconds=seconds,
        kill_offboard_at=kill_offboard_at,
        model=model,
        rate_hz=rate,
        json_file=json_file,
        out=out,
        plain=plain,
        launch=launch_pairs(launch or []),
    )
    with _ended_by_signals():
        try:
            outcome = run(options, Console())
        except DemoError as error:
            if error.details:
                print(error.details, file=sys.stderr)
            raise CliError(str(error)) from error
        except SourceError as error:
            raise CliError(str(error)) from error
    if outcome.interrupted:
        return 130
    return 1 if outcome.summary.faults else 0


def launch_pairs(words: list[str]) -> dict[str, str]:
    """`NAME:=VALUE` words as a dictionary.

    Raises:
        CliError: a word of another form.
    """
    pairs = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not separator or not name:
            raise CliError(f"{word!r} is no launch argument; write NAME:=VALUE")
        pairs[name] = value
    return pairs


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the run as Ctrl-C does: everything is taken down."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
