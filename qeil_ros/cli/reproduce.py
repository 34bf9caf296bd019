"""`qeil reproduce`: repeats a paper's experiments, and holds what comes out against it."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .bench import load_benchmarks
from .errors import CliError

__all__ = ["register"]

_WIDTH = 180
"""Columns of the table where no terminal bounds it."""
_DEFAULTS: dict[str, Any] = {"model": "tabletop", "data": "", "split": "", "threads": 1}
"""Of the options that not every reproduction has."""


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("reproduce")(reproduce)


def reproduce(
    name: Annotated[str | None, typer.Argument(help="which paper's experiments; none: list them")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a short run, for a first impression")] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="write the record here; - for the terminal, without the table"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="write report, figures and record into this folder")
    ] = None,
    model: Annotated[
        str, typer.Option(help="whose quality is measured: a folder of `qeil export`, or a shipped model")
    ] = _DEFAULTS["model"],
    data: Annotated[
        str, typer.Option(help="what it is scored on, as for `qeil evaluate`  [default: frozen scenes]")
    ] = "",
    split: Annotated[str, typer.Option(help="one of the model's cuts  [default: the model's]")] = "",
    threads: Annotated[int, typer.Option(min=1, max=256, help="threads of every part")] = 1,
) -> int:
    """Repeat a paper's experiments and compare what comes out with it.

    Which options one takes depends on its experiments: those about a model's quality are co-inference's.
    Exit code 1: a target was missed.

    Example: qeil reproduce co-inference --quick --output report
    """
    from rich.console import Console

    from qeil_ros.resources import share_dir

    load_benchmarks(share_dir() / "bench")
    reproductions = importlib.import_module("bench.reproduce")
    if name is None:
        for known in reproductions.names():
            print(f"{known:14} {reproductions.load(known).DESCRIPTION}")
        return 0
    try:
        module = reproductions.load(name)
    except KeyError:
        raise CliError(
            f"nothing to reproduce called {name!r}; there are: {', '.join(reproductions.names())}"
        ) from None
    chosen = {"model": model, "data": data, "split": split, "threads": threads}
    taken = set(inspect.signature(module.run).parameters)
    if foreign := [
        f"--{key}" for key, value in chosen.items() if key not in taken and value != _DEFAULTS[key]
    ]:
        raise CliError(f"{name} has no {', '.join(foreign)}")
    if model != _DEFAULTS["model"] and not data:
        raise CliError(f"--model {model}: name the pictures that it is scored on with --data")
    command = " ".join(["qeil reproduce", name, *(["--quick"] if quick else [])])
    try:
        options = {key: value for key, value in chosen.items() if key in taken}
        made = module.run(module.Effort.of(quick), command=command, **options)
        if output is not None:
            made.save(output / f"{made.benchmark}.json", output / "report.md", output / made.benchmark)
        if json_file is not None and str(json_file) != "-":
            made.write(json_file)
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        raise CliError(f"{name} could not be carried out: {error}", exit_code=1) from error
    if json_file is not None and str(json_file) == "-":
        print(json.dumps(made.to_json(), indent=1))
    else:
        (Console() if sys.stdout.isatty() else Console(width=_WIDTH)).print(made.table())
    return 1 if made.missed else 0
