"""`qeil prune`: take weights out of a model's agent part."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.prune import PruneReport

__all__ = ["register"]


class Scope(str, Enum):
    layer = "layer"
    everywhere = "global"


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("prune")(prune)


def prune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model folder, or a shipped model's name")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the model folder to make")],
    sparsity: Annotated[
        float, typer.Option(help="share of the single weights that become zero: smaller files, not faster")
    ] = 0.0,
    structured: Annotated[
        str,
        typer.Option(
            metavar="KIND=SHARE,...",
            help="shares of heads, neurons and channels that are taken out of the graph: smaller and faster",
        ),
    ] = "",
    scope: Annotated[
        Scope, typer.Option(help="that share of every layer, or of all together by size")
    ] = Scope.layer,
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="pictures like those that the robot will see (a folder, a recording, or `tabletop`): choose "
            "what they miss least, and refit the rest",
        ),
    ] = "",
    images: Annotated[int, typer.Option(min=1, help="pictures of DATA to use at most")] = 256,
    split: Annotated[str, typer.Option(help="cut whose agent part to prune  [default: the model's]")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace OUT where it is a model")] = False,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write the figures there as JSON; -: print it")
    ] = "",
) -> None:
    """Prune a model's agent part, in float32; `qeil quantize` OUT afterwards.

    With --data some tens of pictures take the place of training; without, expect to lose much beyond a
    little.

    Example: qeil prune tabletop my-model --structured heads=0.25,neurons=0.5 --data tabletop
    """
    from qeil_ros.models.datasets import DatasetError
    from qeil_ros.models.folder import ModelFolder
    from qeil_ros.models.prune import PrunePlan
    from qeil_ros.models.prune_folder import (
        calibration_images,
        calibration_set,
        float_agent,
        prune_folder,
        speed_ratio,
    )
    from qeil_ros.models.schema import ModelError

    try:
        plan = PrunePlan(sparsity, _shares(structured), scope.value)
        folder = ModelFolder.load(model)
        pictures = calibration_images(folder, calibration_set(data, limit=images)) if data else []
        made, report = prune_folder(folder, out, plan, split=split, images=pictures, overwrite=overwrite)
        file = made.path / made.split(split).agent.file
        speed = speed_ratio(float_agent(folder, split), file, folder.input.shape)
    except (ModelError, DatasetError, ValueError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"{error.filename or out}: {error.strerror}") from error
    record = {
        "model": made.name,
        "digest": made.digest,
        "file_bytes": file.stat().st_size,
        "speed": speed,
        **report.to_json(),
    }
    if json_file and json_file != "-":
        Path(json_file).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    if json_file == "-":
        print(json.dumps(record, indent=2))
    else:
        _show(report, speed, out)


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for piece in filter(None, text.split(",")):
        kind, _, share = piece.partition("=")
        try:
            shares[kind.strip()] = float(share)
        except ValueError as error:
            raise ValueError(
                f"--structured {text}: want KIND=SHARE with commas, as in heads=0.25,neurons=0.5"
            ) from error
    return shares


def _show(report: PruneReport, speed: float, out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table: Any = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("layer", "what"):
        table.add_column(heading, no_wrap=True)
    for heading in ("before", "after"):
        table.add_column(heading, justify="right")
    for layer in report.layers:
        table.add_row(layer.name, layer.kind, f"{layer.before:,}", f"{layer.after:,}")
    console = Console()
    console.print(table)
    for name, why in report.untouched.items():
        console.print(f"left alone: {name}: {why}", highlight=False, style="dim")
    share = report.weights / report.weights_before
    console.print(
        f"{out}: {report.weights:,} of {report.weights_before:,} weights ({share:.0%}), "
        f"{report.nonzero:,} not zero; {speed:.2f} times as fast in float32"
        + (f"; calibrated on {report.calibrated} pictures" if report.calibrated else "; not calibrated"),
        highlight=False,
    )
