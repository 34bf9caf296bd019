"""`qeil fit`: the scaling laws of measurements, with what they are worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ..errors import CliError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("fit")(fit)


def fit(
    data: Annotated[Path, typer.Argument(metavar="DATA.csv", help="measurements, as `qeil measure` writes")],
    law: Annotated[
        list[str] | None,
        typer.Option(help="coverage, energy, latency, matching or cost; again for more  [default: all]"),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE", help="only these rows, by =, >= or <=; again for more conditions"
        ),
    ] = None,
    predict: Annotated[
        str,
        typer.Option(metavar="NAME=VALUE,...", help="what the laws say of parameters=,samples=,tokens=,..."),
    ] = "",
    plot: Annotated[Path | None, typer.Option(help="draw fits and residuals here (.png, .svg, .pdf)")] = None,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write the fits there as JSON; -: print them")
    ] = "",
) -> None:
    """Fit the laws of coverage, energy, latency, matching and cost to measurements.

    Each law takes the rows in which its columns are filled. Estimates come with 95 % intervals and, where
    the paper (arXiv 2602.06057) prints a value, with that beside them.

    Example: qeil fit data.csv --plot fit.png --predict parameters=1e6,samples=20,tokens=17,prompt_tokens=18
    """
    from qeil_ros.planning.scaling_table import LAWS, Table
    from qeil_ros.planning.scaling_table import fit as fit_table

    from .report import predictions, show, to_json

    laws = tuple(law or LAWS)
    if unknown := [name for name in laws if name not in LAWS]:
        raise CliError(f"no law {unknown[0]!r}; there are {', '.join(LAWS)}")
    point = _point(predict)
    try:
        table = Table.from_csv(data.read_text(encoding="utf-8"))
        if where:
            table = table.where(*where)
        found, reasons = fit_table(table, laws)
        if law and (missing := [name for name in laws if name in reasons]):
            raise CliError(f"{data}: {missing[0]} cannot be fitted: {reasons[missing[0]]}", exit_code=1)
        if not found:
            told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            raise CliError(f"{data}: no law can be fitted: {told}", exit_code=1)
        said = predictions(found, point)
        if plot is not None:
            from .figure import draw

            draw(found, plot)
        text = json.dumps(to_json(found, reasons, said), indent=1, allow_nan=False) + "\n"
        if json_file and json_file != "-":
            Path(json_file).write_text(text, encoding="utf-8")
    except (ValueError, OSError) as error:
        raise CliError(f"{data}: {error}") from error
    if json_file == "-":
        typer.echo(text, nl=False)
    else:
        show(found, reasons, said)


def _point(text: str) -> dict[str, float]:
    """`samples=20,tokens=16` as numbers."""
    found = {}
    for piece in filter(None, text.split(",")):
        name, _, value = piece.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise CliError(f"--predict {piece}: want NAME=NUMBER, as samples=20") from None
        if not 0 < found[name.strip()] < float("inf"):
            raise CliError(f"--predict {piece}: want a number above 0")
    return found
