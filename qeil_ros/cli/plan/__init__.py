"""`qeil plan`: from a model, two machines and a promise to the operating point."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import CliError

__all__ = ["register"]

_PROMISE, _MEASURED, _AROUND, _TELL = "The promise", "What is known", "The surroundings", "What is told"


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("plan")(plan)


def plan(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model folder, or a shipped model's name")],
    device: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="the robot's profile: what `qeil profile` wrote, or one of config/devices by name",
            rich_help_panel=_MEASURED,
        ),
    ],
    server: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="the server's profile",
            show_default="the one in the robot's, else a machine like the robot",
            rich_help_panel=_MEASURED,
        ),
    ] = "",
    delay: Annotated[
        str, typer.Option(help="T0: from the frame to its answer: 0.2, 200ms", rich_help_panel=_PROMISE)
    ] = "0.2",
    energy: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="E0: of a frame, both machines and the radio [J]",
            show_default="no limit",
            rich_help_panel=_PROMISE,
        ),
    ] = None,
    rates: Annotated[
        str,
        typer.Option(
            help="frames a second that will do, the most wanted first; the first feasible one is taken",
            rich_help_panel=_PROMISE,
        ),
    ] = "10,5,2,1",
    bandwidth: Annotated[
        str,
        typer.Option(
            help="of the link that the features may take at most: 2Mbit/s", rich_help_panel=_PROMISE
        ),
    ] = "",
    tolerance: Annotated[
        float,
        typer.Option(
            min=0,
            help="scores so near to the best count as equal, the cheapest is taken",
            rich_help_panel=_PROMISE,
        ),
    ] = 0.0,
    link: Annotated[
        str,
        typer.Option(help="rate: 20Mbit/s, 2.5MB/s; 0: there is none", rich_help_panel=_AROUND),
    ] = "20Mbit/s",
    round_trip: Annotated[
        str, typer.Option(help="of the link, there and back: 0.01, 10ms", rich_help_panel=_AROUND)
    ] = "10ms",
    loss: Annotated[
        float, typer.Option(min=0, help="share of the packets that are lost", rich_help_panel=_AROUND)
    ] = 0.0,
    robots: Annotated[
        int,
        typer.Option(
            min=1, help="that share the server, all doing the same; this one is one", rich_help_panel=_AROUND
        ),
    ] = 1,
    tokens: Annotated[
        float,
        typer.Option(
            min=0,
            help="of an answer, where the model generates",
            show_default="as timed",
            rich_help_panel=_AROUND,
        ),
    ] = 0.0,
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="pictures to score the model on, as `qeil evaluate` takes them",
            show_default="scenes, for the model `tabletop`",
            rich_help_panel=_MEASURED,
        ),
    ] = "",
    samples: Annotated[int, typer.Option(min=1, help="pictures at most", rich_help_panel=_MEASURED)] = 64,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="take scores and bytes from what `qeil evaluate --json` wrote, measure nothing",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    score: Annotated[
        str,
        typer.Option(help="the one to maximise", show_default="the model's first", rich_help_panel=_MEASURED),
    ] = "",
    output: Annotated[
        Path | None, typer.Option(help="write the plan here, for the supervisor", rich_help_panel=_TELL)
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="say which limits bind, and by how much they must move", rich_help_panel=_TELL
        ),
    ] = False,
    layers: Annotated[
        str,
        typer.Option(
            metavar="FILE|-",
            help="find a width for each layer of the agent part, hold them against one width of the same "
            "average, and write them there for `qeil quantize --per-layer`; -: only show them",
            rich_help_panel=_TELL,
        ),
    ] = "",
    rows: Annotated[
        int, typer.Option(min=3, help="of the frontier's table at most", rich_help_panel=_TELL)
    ] = 16,
    json_file: Annotated[
        str,
        typer.Option(
            "--json",
            metavar="FILE|-",
            help="write everything there as JSON; -: print it",
            rich_help_panel=_TELL,
        ),
    ] = "",
    plot: Annotated[
        Path | None, typer.Option(help="draw the frontier here (.png, .svg, .pdf)", rich_help_panel=_TELL)
    ] = None,
) -> int:
    """Choose cut, bits and clock so that answers are best within a promised delay and energy.

    Exit code 1: no point keeps the promise; what binds is told.

    Example: qeil plan tabletop --device robot.yaml --delay 0.2 --output plan.yaml
    """
    from .quantities import byte_rate, seconds
    from .run import Request, run
    from .show import show

    try:
        request = Request(
            model=model,
            device=device,
            server=server,
            delay_s=seconds(delay),
            energy_j=energy,
            rates_hz=_rates(rates),
            most_bytes_s=byte_rate(bandwidth) if bandwidth else None,
            tolerance=tolerance,
            link_bytes_s=byte_rate(link),
            round_trip_s=seconds(round_trip),
            loss=loss,
            robots=robots,
            tokens=tokens,
            data=data,
            samples=samples,
            scores=scores,
            score=score,
            layers=layers,
        )
        found = run(request)
        found.write(output, json_file, plot)
    except (ValueError, TypeError, KeyError, OSError, ImportError) as error:
        raise CliError(str(error)) from error
    if json_file != "-":
        show(found, rows=rows, explain=explain, output=output)
    return 0 if found.plan.point is not None else 1


def _rates(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(piece) for piece in text.split(","))
    except ValueError:
        raise ValueError(f"--rates {text}: want frame rates [Hz] with commas between, as in 10,5,2") from None
