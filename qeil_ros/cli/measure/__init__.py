"""`qeil measure`: data on how coverage, energy and time grow with size, samples and tokens here."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import CliError
from ..power_options import CoreW, IdleW, ProcfsRoot

if TYPE_CHECKING:
    from qeil_ros.platform import PowerModel

    from .energy import EnergyMeter
    from .rows import Grid, Record

__all__ = ["comments", "register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("measure")(measure)


def measure(
    output: Annotated[Path, typer.Argument(metavar="DATA.csv", help="where the table goes")],
    quick: Annotated[bool, typer.Option("--quick", help="a short run, for a first impression")] = False,
    size: Annotated[
        list[str] | None, typer.Option(help="of the family, as 32x2; again for more  [default: all]")
    ] = None,
    samples: Annotated[str, typer.Option(help="a question, as 1,2,4,8  [default: by the effort]")] = "",
    tokens: Annotated[str, typer.Option(help="a sample, as 4,8,16  [default: by the effort]")] = "",
    queries: Annotated[int, typer.Option(min=0, help="to count coverage by, for each row; 0: default")] = 0,
    temperature: Annotated[float, typer.Option(help="samples are drawn at")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="of questions, samples and random weights")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=256, help="of one operator")] = 1,
    idle_w: IdleW = 0.0,
    core_w: CoreW = 0.0,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="the rows as JSON too; -: print them")
    ] = "",
    sysfs_root: Annotated[str, typer.Option(help="where to look for power")] = "/sys",
    procfs_root: ProcfsRoot = "/proc",
) -> None:
    """Measure how coverage, energy and time grow with the model's size, the samples and their tokens.

    On a family of small decoders that ships with this package. The small ones are trained on questions with
    checkable answers; the large ones have random weights and are only timed.

    Example: qeil measure data.csv --quick && qeil fit data.csv
    """
    from qeil_ros.planning.scaling_table import Table
    from qeil_ros.platform import PowerModel

    from ..evaluate import progress_bar
    from .energy import EnergyMeter
    from .rows import measure as run

    stated: PowerModel | None = PowerModel(idle_w, core_w) if idle_w or core_w else None
    try:
        grid = _grid(quick, size or [], samples, tokens, queries, temperature, seed, threads)
        meter = EnergyMeter(stated, sysfs_root, procfs_root)
        try:
            with progress_bar() as tell:
                records = run(grid, meter, tell)
        finally:
            meter.close()
        told = comments(grid, meter)
        output.write_text(Table.of(records).to_csv(told), encoding="utf-8")
        text = json.dumps({"about": told, "rows": [_plain(row) for row in records]}, indent=1) + "\n"
        if json_file and json_file != "-":
            Path(json_file).write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        raise CliError(str(error)) from error
    if json_file == "-":
        typer.echo(text, nl=False)
    else:
        _show(records, meter, output)


def comments(grid: Grid, meter: EnergyMeter) -> list[str]:
    """What each column rests on, and on which machine."""
    return [
        f"Made by qeil measure on {platform.platform()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the end.",
        f"Decoders of one architecture on onnxruntime, {grid.threads} thread(s), float32; sizes are width x "
        "layers, parameters all weights.",
        "row time: latency_s of a question whose prompt is read once and whose samples follow one another, "
        "each of exactly that many tokens.",
        f"energy_j: {meter.quality.name.lower()}; {meter.source}.",
        "row answers: coverage is the share of new questions (walks through a fixed map) that one of the "
        "samples answers; longer answers than tokens are wrong.",
        "row pass: one run of the graph; FLOP and bytes are counted from the weights, in float32.",
    ]


def _grid(
    quick: bool,
    sizes: Sequence[str],
    samples: str,
    tokens: str,
    queries: int,
    temperature: float,
    seed: int,
    threads: int,
) -> Grid:
    import dataclasses

    from qeil_ros.models.walks.family import named

    from .rows import FULL, QUICK

    changes: dict[str, Any] = {"temperature": temperature, "seed": seed, "threads": threads}
    if sizes:
        changes["sizes"] = tuple(named(size) for size in sizes)
    for option, text, most in (("samples", samples, 256), ("tokens", tokens, 128)):
        if text:
            changes[option] = changes[f"answers_{option}"] = _counts(option, text, most)
    if queries:
        changes["queries"] = queries
    return dataclasses.replace(QUICK if quick else FULL, **changes)


def _counts(option: str, text: str, most: int) -> tuple[int, ...]:
    """`1,2,4` as numbers."""
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(piece.isdigit() and 1 <= int(piece) <= most for piece in pieces):
        raise CliError(f"--{option} {text}: want numbers from 1 to {most} with commas between, as 1,2,4")
    return tuple(sorted({int(piece) for piece in pieces}))


def _plain(row: Record) -> dict[str, Any]:
    """A record without what JSON cannot tell: NaN becomes null."""
    return {name: None if value != value else value for name, value in row.items()}


def _show(records: Sequence[Record], meter: EnergyMeter, output: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    drawn = Drawn(title="Ends of what was measured", title_justify="left", box=box.SIMPLE, pad_edge=False)
    drawn.add_column("model")
    for heading in ("parameters", "time of a question [ms]", "energy [J]", "coverage [%]", "of a token [ms]"):
        drawn.add_column(heading, justify="right")
    for model in dict.fromkeys(str(row["model"]) for row in records):
        mine = [row for row in records if row["model"] == model]
        decode = min((row for row in mine if row["row"] == "pass"), key=lambda row: _number(row, "flops"))
        drawn.add_row(
            model,
            f"{mine[0]['parameters']:,}",
            _ends(mine, "latency_s", 1e3),
            _ends(mine, "energy_j", 1.0),
            _ends(mine, "coverage", 100.0),
            f"{1e3 * _number(decode, 'pass_s'):.3g}",
        )
    console.print(drawn)
    console.print(f"Energy is {meter.quality.name.lower()}: {meter.source}.")
    if not meter.quality:
        console.print("State it with --idle-w and --core-w, or energy stays unknown.", style="yellow")
    typer.echo(f"Written to {output}, {len(records)} rows. Next: qeil fit {output}")


def _ends(rows: Sequence[Record], name: str, scale: float) -> str:
    values = [scale * value for row in rows if (value := _number(row, name)) == value]
    return f"{min(values):.3g} to {max(values):.3g}" if values else ""


def _number(row: Record, name: str) -> float:
    value = row.get(name, float("nan"))
    assert isinstance(value, (int, float))
    return float(value)
