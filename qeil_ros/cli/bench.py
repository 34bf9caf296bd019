"""`qeil bench`: runs a benchmark, and holds it against its targets."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from .errors import CliError

_WIDTH = 180
"""Columns of the table where no terminal bounds it."""


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("bench")(bench)


def bench(
    name: Annotated[str | None, typer.Argument(help="which benchmark; none: list them")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a short run, for a first impression")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the results here")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="draw the curves into this file")] = None,
) -> int:
    """Run a benchmark and compare it with its target.

    Exit code 1: a target was missed.

    Example: qeil bench transport --quick
    """
    from rich.console import Console

    from qeil_ros.resources import share_dir

    console = Console() if sys.stdout.isatty() else Console(width=_WIDTH)
    benchmarks = load_benchmarks(share_dir() / "bench")
    if name is None:
        for known in benchmarks.names():
            print(f"{known:12} {benchmarks.load(known).DESCRIPTION}")
        return 0
    try:
        module = benchmarks.load(name)
    except KeyError:
        raise CliError(f"no benchmark {name!r}; there are: {', '.join(benchmarks.names())}") from None
    if plot is not None and not hasattr(module, "draw"):
        raise CliError(f"--plot {plot}: benchmark {name} has no curves to draw")
    try:
        report = module.run(quick=quick)
    except (RuntimeError, ValueError, OSError) as error:
        raise CliError(f"benchmark {name} could not be carried out: {error}", exit_code=1) from error
    console.print(report.table())
    if json_file is not None:
        report.write(json_file)
    if plot is not None:
        try:
            module.draw(report, plot)
        except (ValueError, OSError) as error:
            raise CliError(f"--plot {plot}: cannot be drawn: {error}") from error
    return 1 if report.missed else 0


def load_benchmarks(folder: Path) -> ModuleType:
    """The benchmarks' package, which is no part of qeil_ros and is loaded from where it lies.

    Raises:
        CliError: it is not there.
    """
    init = folder / "__init__.py"
    if not init.is_file():
        raise CliError(f"no benchmarks in {folder}; run this in a checkout of the project")
    loaded = sys.modules.get("bench")
    if loaded is not None and loaded.__file__ == str(init):
        return loaded
    spec = importlib.util.spec_from_file_location("bench", init, submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench"] = module
    spec.loader.exec_module(module)
    return module
