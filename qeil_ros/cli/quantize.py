"""`qeil quantize`: pack the weights of a model's agent part in few bits."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.backends import Choice
    from qeil_ros.models.quantize import Progress, Report, WeightPlan

__all__ = ["register"]


class Quantizer(str, Enum):
    nested = "nested"
    uniform = "uniform"
    symmetric = "symmetric"
    mse = "mse"
    sign_magnitude = "sign_magnitude"
    power_of_two = "power_of_two"
    lloyd_max = "lloyd_max"
    lloyd_laplace = "lloyd_laplace"
    lloyd_gauss = "lloyd_gauss"


class Granularity(str, Enum):
    tensor = "tensor"
    channel = "channel"
    group = "group"


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("quantize")(quantize)


def quantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="a model folder, or a shipped model's name")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="the model folder to make")],
    bits: Annotated[str, typer.Option(help="widths that the weights may have at run time, with commas")] = (
        "8,6,4,3,2"
    ),
    quantizer: Annotated[
        Quantizer, typer.Option(help="nested: one set of codes serves all widths; others: each has its own")
    ] = Quantizer.nested,
    granularity: Annotated[
        Granularity, typer.Option(help="what shares a scale; groups are decoded to int8 with some loss")
    ] = Granularity.channel,
    group: Annotated[int, typer.Option(min=8, max=65536, help="weights of a group")] = 64,
    per_layer: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help='bits of single weights: {"name": 3} for one width, or {"4": {"name": 3}} by width',
        ),
    ] = None,
    calibrate: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="pictures like those that the robot will see (a folder or a recording): weights of up to 4 "
            "bits are rounded for the least error on them",
        ),
    ] = "",
    images: Annotated[int, typer.Option(min=1, help="pictures to calibrate with at most")] = 128,
    split: Annotated[str, typer.Option(help="cut whose agent part to quantize  [default: the model's]")] = "",
    agent: Annotated[
        Path | None, typer.Option(help="the agent part in float32, where the folder's is not")
    ] = None,
    backend: Annotated[
        str, typer.Option(help="measure which backend is fastest here: auto; or one by name, or none")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=256, help="threads of the runs")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace OUT where it is a model")] = False,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write the figures there as JSON; -: print it")
    ] = "",
) -> None:
    """Pack the weights of a model's agent part: one file from which the encoder takes any of several widths.

    Example: qeil quantize my-model my-model-q --bits 8,4,2 --calibrate photos/
    """
    from qeil_ros.models.backends import AUTO, BACKENDS
    from qeil_ros.models.datasets import DatasetError, open_dataset
    from qeil_ros.models.folder import ModelFolder
    from qeil_ros.models.quantize import WeightPlan
    from qeil_ros.models.quantize_folder import prepared_images, quantize_folder
    from qeil_ros.models.schema import ModelError

    try:
        if backend not in ("none", AUTO, *BACKENDS):
            raise ValueError(f"no backend {backend!r}; there are none, {AUTO}, {', '.join(BACKENDS)}")
        widths = _widths(bits)
        plan = WeightPlan(widths, quantizer.value, granularity.value, group, _allotments(per_layer, widths))
        folder = ModelFolder.load(model)
        dataset = open_dataset(calibrate, limit=images, seed=0) if calibrate else ()
        with _bar() as progress:
            report = quantize_folder(
                folder,
                out,
                plan,
                split=split,
                agent=agent,
                images=prepared_images(folder, dataset),
                threads=threads,
                overwrite=overwrite,
                progress=progress,
            )
        made = ModelFolder.load(out)
        choice = None if backend == "none" else _measured(made, split, backend, threads)
    except (ModelError, DatasetError, ValueError) as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"{error.filename or out}: {error.strerror}") from error
    record = {
        "model": made.name,
        "digest": made.digest,
        **report.to_json(),
        "backend": choice and {"chosen": choice.backend, "times_ms": choice.times_ms, "note": choice.note},
    }
    if json_file == "-":
        print(json.dumps(record, indent=2))
        return
    if json_file:
        Path(json_file).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    _show(report, plan, choice, out)


def _widths(text: str) -> tuple[int, ...]:
    try:
        widths = tuple(dict.fromkeys(int(word) for word in text.split(",")))
    except ValueError as error:
        raise ValueError(
            f"--bits {text!r}: want numbers from 1 to 8 with commas, for example 8,4,2"
        ) from error
    return tuple(sorted(widths, reverse=True))


def _allotments(file: Path | None, widths: tuple[int, ...]) -> dict[int, dict[str, int]]:
    """Bits of single weights by the width they hold for."""
    if file is None:
        return {}
    try:
        read: Any = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file}: cannot be read as JSON: {error}") from error
    form = '{"weight": bits} for one width, or {"width": {"weight": bits}}'
    if not isinstance(read, dict) or not read:
        raise ValueError(f"{file}: want {form}")
    if all(isinstance(value, int) for value in read.values()):
        if len(widths) != 1:
            raise ValueError(f"{file}: which of the widths {widths} is it for? Want {form}")
        return {widths[0]: read}
    good = all(key.isdecimal() and isinstance(value, dict) for key, value in read.items())
    if not good or any(not isinstance(b, int) for value in read.values() for b in value.values()):
        raise ValueError(f"{file}: want {form}")
    return {int(key): value for key, value in read.items()}


def _measured(folder: Any, split: str, backend: str, threads: int) -> Choice:
    """How a part would be run here; loads it, so that a backend that was named is known to work."""
    choice: Choice = folder.agent(split, threads=threads, backend=backend).choice
    return choice


def _show(report: Report, plan: WeightPlan, choice: Choice | None, out: Path) -> None:
    from rich.console import Console

    console = Console()
    console.print(_layer_table(report))
    console.print(_width_table(report, plan))
    if choice is not None:
        times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in choice.times_ms.items())
        console.print(f"run by {choice.backend}" + (f" ({times} a frame)" if times else f" ({choice.note})"))
    share = report.packed_bytes / report.source_bytes
    size = f"{report.packed_bytes:,} bytes, {share:.0%} of the graph's {report.source_bytes:,}"
    console.print(f"{out}: {size}", soft_wrap=True)


def _layer_table(report: Report) -> Any:
    from rich import box
    from rich.table import Table

    what = "output, where calibrated" if report.calibrated else "weights"
    title = f"relative error of each layer's {what}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("weights", no_wrap=True)
    table.add_column("shape", justify="right")
    for width in report.widths:
        table.add_column(f"{width} bits", justify="right", no_wrap=True)
    for layer in report.layers:
        errors = [layer.errors[width] for width in report.widths]
        cells = [f"{weights if outputs is None else outputs:.4f}" for weights, outputs in errors]
        table.add_row(layer.name, "x".join(map(str, layer.shape)), *cells)
    return table


def _width_table(report: Report, plan: WeightPlan) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("width")
    table.add_column("its weights alone", justify="right")
    table.add_column("weights error", justify="right")
    for width in report.widths:
        errors = [layer.errors[width][0] for layer in report.layers]
        mixed = " (mixed)" if plan.per_layer.get(width) else ""
        table.add_row(
            f"{width} bits{mixed}", f"{report.sizes[width]:,} bytes", f"{sum(errors) / len(errors):.4f}"
        )
    return table


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def update(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield update
