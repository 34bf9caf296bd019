"""`qeil evaluate`: a model's score, bytes and time at every cut and width."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.evaluate import Progress, Row, Table

__all__ = ["register"]

_COLUMNS = ("split", "answered by", "weights", "features", "coding")


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("evaluate")(evaluate)


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model folder, or a shipped model's name")],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="folder of pictures (truth.json, COCO's annotations, or a folder a class), recording, or "
            "`tabletop` for the shipped model's frozen scenes",
        ),
    ],
    bits: Annotated[
        str, typer.Option(help="of the agent part's weights: 4, 2,4,8, 1..8, or stored")
    ] = "stored",
    feature_bits: Annotated[
        str, typer.Option(help="of the features: 4, 2,4,8, 1..8, or none for uncoded")
    ] = "8",
    split: Annotated[
        str, typer.Option(help="cuts by name, with commas; or all  [default: the model's]")
    ] = "",
    quantizer: Annotated[str, typer.Option(help="of the features; several with commas")] = "",
    coder: Annotated[
        str, typer.Option(help="of the features: rans, packed, or both with a comma between")
    ] = "rans",
    coding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE,...",
            help="further arguments of codec.encode: granularity=channel,clip=mse; again for another coding",
        ),
    ] = None,
    named: Annotated[bool, typer.Option("--named", help="the pictures' names say their class")] = False,
    topic: Annotated[str, typer.Option(help="of a recording with several image topics")] = "",
    images: Annotated[
        bool,
        typer.Option("--images", help="beside it JPEG and WebP of the same pictures, the whole model behind"),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="frames at most")] = None,
    seed: Annotated[int | None, typer.Option(help="take them at random instead of the first")] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="threads of every part")] = 1,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="write the figures here; - for the terminal, without the table"),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="draw the curves here (.png, .svg, .pdf)")] = None,
) -> None:
    """Score a model at every cut and width asked for: what each bit costs, in accuracy, bytes and time.

    Example: qeil evaluate tabletop tabletop --feature-bits 1..8 --limit 200 --plot curve.png
    """
    from qeil_ros.codec import BitstreamError
    from qeil_ros.models.datasets import open_dataset
    from qeil_ros.models.evaluate import evaluate as run
    from qeil_ros.models.folder import ModelFolder
    from qeil_ros.models.image_baseline import rate_curve

    weight_widths, feature_widths = (
        _widths("--bits", bits, "stored"),
        _widths("--feature-bits", feature_bits, "none"),
    )
    codings = _codings(coding or [], quantizer, coder)
    try:
        folder = ModelFolder.load(model)
        dataset = open_dataset(data, limit=limit, seed=seed, named=named, topic=topic)
        splits = list(folder.splits) if split == "all" else [name for name in split.split(",") if name]
        with progress_bar() as progress:
            table = run(
                folder,
                dataset,
                splits=splits,
                weight_bits=weight_widths,
                feature_bits=feature_widths,
                codings=codings,
                threads=threads,
                progress=progress,
            )
            points = rate_curve(folder, dataset, progress=progress) if images else []
        if plot is not None:
            from qeil_ros.models.plots import plot_table

            plot_table(table, plot, points)
        record = table.to_json() | ({"images": [point.to_json() for point in points]} if images else {})
        text = json.dumps(record, indent=1, allow_nan=False) + "\n"
        if json_file is not None and str(json_file) != "-":
            json_file.write_text(text, encoding="utf-8")
    except (ValueError, TypeError, OSError, ImportError, BitstreamError) as error:
        raise CliError(str(error)) from error
    if json_file is not None and str(json_file) == "-":
        typer.echo(text, nl=False)
    else:
        _show(table, points)


def _widths(option: str, text: str, word: str) -> list[int]:
    """`1..8` and `2,4,8` as numbers from 1 to 8; 0 for the word."""
    found: list[int] = []
    for piece in text.replace("-", "..").split(","):
        low, _, high = piece.strip().partition("..")
        try:
            ends = [0 if end == word else int(end) for end in (low, high or low)]
        except ValueError:
            ends = [-1]
        if any(not 0 <= end <= 8 for end in ends) or ends[0] > ends[-1] or (0 in ends and piece != word):
            raise CliError(f"{option} {text}: want widths from 1 to 8, as in 4 or 2,4,8 or 1..8, or {word}")
        found += range(ends[0], ends[-1] + 1)
    return list(dict.fromkeys(found))


def _codings(given: list[str], quantizer: str, coder: str) -> list[dict[str, Any]]:
    """Every coding given, with every quantizer and every coder."""
    codings = [_coding(text) for text in given] or [{}]
    for key, names in (("quantizer", quantizer), ("coder", coder)):
        if names:
            codings = [{key: name} | coding for coding in codings for name in names.split(",")]
    return codings


def _coding(text: str) -> dict[str, Any]:
    coding: dict[str, Any] = {}
    for piece in text.split(","):
        key, equals, value = piece.partition("=")
        if not key or not equals:
            raise CliError(
                f"--coding {text}: want KEY=VALUE with commas between, as in granularity=channel,clip=mse"
            )
        coding[key.strip()] = _value(value.strip())
    return coding


def _value(text: str) -> Any:
    """A number or truth value where it reads as one, else the text."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr, so that what is printed can be piped."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)


def _show(table: Table, points: list[Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn

    from qeil_ros.models.plots import coding_name

    names = list(dict.fromkeys(name for row in table.rows for name in row.scores))
    title = f"{table.model} on {table.dataset}, {table.frames} frames"
    drawn = Drawn(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for heading in (*_COLUMNS, *names):
        drawn.add_column(heading.replace("_", " "))
    for heading in ("bytes", "p99", "distortion", "agent", "encode", "decode", "answer [ms]"):
        drawn.add_column(heading, justify="right")
    for row in table.rows:
        drawn.add_row(
            row.split,
            row.source,
            str(row.weight_bits or "stored"),
            str(row.feature_bits or ("none" if row.source == "offboard" else "")),
            coding_name(row.coding),
            *(str(row.scores[name]) if name in row.scores else "" for name in names),
            f"{row.bytes_mean:.0f}",
            f"{row.bytes_p99:.0f}",
            f"{row.distortion:.4f}",
            *(_ms(value) for value in (row.agent_ms, row.encode_ms, row.decode_ms, row.answer_ms)),
        )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(drawn)
    for line in _price(table.rows):
        console.print(line, highlight=False)
    for note in table.notes:
        console.print(f"not done: {note}", highlight=False, style="yellow")
    if points:
        _show_images(console, points, names)


def _show_images(console: Any, points: list[Any], names: list[str]) -> None:
    from rich import box
    from rich.table import Table as Drawn

    drawn = Drawn(
        title="compressed images, whole model behind", title_justify="left", box=box.SIMPLE, pad_edge=False
    )
    for heading in ("coder", "size", "quality", *names):
        drawn.add_column(heading.replace("_", " "))
    for heading in ("bytes", "p99", "stripped", "scan"):
        drawn.add_column(heading, justify="right")
    for point in points:
        drawn.add_row(
            point.coder,
            str(point.size),
            str(point.quality),
            *(str(point.scores[name]) if name in point.scores else "" for name in names),
            *(
                f"{n:.0f}"
                for n in (point.bytes_mean, point.bytes_p99, point.stripped_bytes, point.scan_bytes)
            ),
        )
    console.print(drawn)


def _price(rows: list[Row]) -> Iterator[str]:
    """What the robot gives up where it answers alone, a line for each local row."""
    from qeil_ros.models.evaluate import main_score

    whole = {
        (row.split, row.weight_bits): row for row in rows if row.source == "offboard" and not row.feature_bits
    }
    for row in rows:
        beside = whole.get((row.split, row.weight_bits)) or whole.get((row.split, 0))
        if row.source != "local" or beside is None or not row.scores:
            continue
        name = main_score(row.scores)
        alone, off = row.scores[name].value, beside.scores.get(name)
        compared = f", {off.value:.3f} offboard ({alone - off.value:+.3f})" if off else ""
        yield (
            f"The fallback's price at {row.split}: {name.replace('_', ' ')} {alone:.3f} alone{compared}; "
            f"{_ms(row.agent_ms)} + {_ms(row.answer_ms)} ms on the robot, no bytes."
        )


def _ms(value: float) -> str:
    return f"{value:.2f}" if value == value else ""
