"""`qeil local`: give a model an answer that the robot can find alone."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.local_part import LocalReport

__all__ = ["register"]


class Kind(str, Enum):
    whole = "whole"
    exit = "exit"


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("local")(local)


def local(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model folder, or a shipped model's name")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the model folder to make")],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="pictures like those that the robot will see (a folder, a recording, or `tabletop`); a "
            "quarter of them is kept back to score on",
        ),
    ],
    kind: Annotated[
        Kind,
        typer.Option(
            help="whole: the server part in int8; exit: a classifier's answer from the features alone"
        ),
    ] = Kind.whole,
    labels: Annotated[
        bool, typer.Option("--labels", help="fit an exit to the pictures' labels, not to the model's answers")
    ] = False,
    named: Annotated[bool, typer.Option("--named", help="the pictures' names say their class")] = False,
    images: Annotated[int, typer.Option(min=2, help="pictures of DATA to use at most")] = 2000,
    split: Annotated[str, typer.Option(help="cut to make it for  [default: the model's]")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace OUT where it is a model")] = False,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write the figures there as JSON; -: print it")
    ] = "",
) -> None:
    """Give a model a local part: what the robot answers with when the server does not, and its price.

    `qeil evaluate` lists it beside the answer from off the robot.

    Example: qeil local my-classifier my-robot --kind exit --data recordings/kitchen
    """
    from qeil_ros.models.datasets import DatasetError, open_dataset
    from qeil_ros.models.folder import ModelFolder
    from qeil_ros.models.local_part import add_local, held_out
    from qeil_ros.models.schema import ModelError

    try:
        folder = ModelFolder.load(model)
        dataset = open_dataset(data, limit=images, named=named, seed=None if _film(data) else 0)
        if len(dataset) < 2:
            raise ModelError(f"{data}: one picture cannot be fitted to and scored on")
        fit, score = held_out(dataset, in_order=_film(data))
        _, report = add_local(
            folder, out, kind.value, fit, score, split=split, labels=labels, overwrite=overwrite
        )
    except (ModelError, DatasetError, ValueError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"{error.filename or out}: {error.strerror}") from error
    text = json.dumps(report.to_json(), indent=2)
    if json_file and json_file != "-":
        Path(json_file).write_text(text + "\n", encoding="utf-8")
    if json_file == "-":
        print(text)
    else:
        _show(report, out)


def _film(data: str) -> bool:
    """Whether it is a recording, whose neighbouring frames are alike."""
    path = Path(data).expanduser()
    return path.is_file() or (path / "metadata.yaml").is_file()


def _show(report: LocalReport, out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table: Any = Table(box=box.SIMPLE, pad_edge=False)
    names = list(dict.fromkeys([*report.offboard, *report.local]))
    for heading in ("answered by", *names, "ms"):
        table.add_column(heading.replace("_", " "))
    rows = (("offboard", report.offboard, report.offboard_ms), ("local", report.local, report.local_ms))
    for who, scores, ms in rows:
        table.add_row(who, *(_score(scores.get(name)) for name in names), f"{ms:.2f}")
    console = Console()
    console.print(table)
    about = ", ".join(f"{key} {value}" for key, value in report.head.items())
    console.print(
        f"{out}: {report.kind}, {report.file_bytes:,} bytes{f' ({about})' if about else ''}; fitted to "
        f"{report.fitted} pictures, scored on {report.held_out} others; the agent part before it takes "
        f"{report.agent_ms:.2f} ms",
        highlight=False,
    )


def _score(score: dict[str, float | None] | None) -> str:
    if score is None or score["value"] is None:
        return ""
    return f"{score['value']:.3f}" + ("" if score["error"] is None else f" ± {score['error']:.3f}")
