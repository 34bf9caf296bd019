"""`qeil split`: where an ONNX model can be cut, and a model folder made of it there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from . import model_options as opt
from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.graph import Graph
    from qeil_ros.models.split_folder import CutRow, SplitResult

__all__ = ["register"]

T = TypeVar("T")
_BITS = (8, 4, 2)


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("split")(split)


def split(
    model: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help="the whole model")],
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="the model folder to make", show_default=False)
    ] = None,
    list_cuts: Annotated[
        bool, typer.Option("--list", help="show where the model can be cut, and what each cut costs")
    ] = False,
    best: Annotated[
        bool, typer.Option("--best", help="--list: only the cuts with fewer bytes than those beside them")
    ] = False,
    max_tensors: Annotated[
        int, typer.Option(min=1, max=64, help="--list: cuts of up to this many tensors")
    ] = 1,
    at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TENSOR", help="cut here; again for a cut of several tensors, which travel as one"
        ),
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            metavar="NAME=TENSOR[,TENSOR]",
            help="cut here, under this name; again for further cuts in the same folder",
        ),
    ] = None,
    local: Annotated[
        str,
        typer.Option(
            metavar="none|whole|FILE",
            help="what the robot answers with when alone: nothing, the server part, or another ONNX file",
        ),
    ] = "none",
    check: Annotated[
        list[Path] | None,
        typer.Option(help="picture, or folder of pictures, on which halves and whole must agree"),
    ] = None,
    image: Annotated[str, typer.Option(help="name of the image input, where there are several")] = "",
    output: Annotated[str, typer.Option(help="name of the output to read, where there are several")] = "",
    name: Annotated[str, typer.Option(help="name of the model (default: the file's)")] = "",
    task: opt.Task = opt.TaskKind.classify,
    labels: opt.Labels = None,
    vocabulary: opt.Vocabulary = None,
    begin: opt.Begin = None,
    end: opt.End = None,
    max_tokens: opt.MaxTokens = 32,
    top_k: opt.TopK = 5,
    activation: opt.ActivationOption = None,
    output_scale: opt.OutputScale = None,
    output_zero_point: opt.OutputZeroPoint = None,
    decoder: opt.DecoderOption = None,
    threshold: opt.Threshold = 0.5,
    iou: opt.Iou = None,
    box_fractions: opt.BoxFractions = False,
    layout: opt.LayoutOption = None,
    width: opt.Width = None,
    height: opt.Height = None,
    channels: opt.ChannelsOption = None,
    scale: opt.Scale = None,
    mean: opt.Mean = None,
    std: opt.Std = None,
    resize: opt.ResizeOption = None,
    interpolation: opt.InterpolationOption = None,
    antialias: opt.Antialias = None,
    version: opt.Version = "1.0",
    licence: opt.Licence = "unknown",
    description: opt.Description = "",
    overwrite: opt.Overwrite = False,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write the cuts there as JSON; -: print it")
    ] = "",
) -> None:
    """Cut an ONNX model in two: the first half for the robot, the second for a computer off it.

    The halves give what the whole gives: equal to the bit where the output is integer, else within 1e-5 of
    its largest value. They are run beside it, and no folder is written where they differ.

    Example: qeil split squeezenet.onnx --list --best

    Example: qeil split squeezenet.onnx squeezenet --at pool3 --labels synset.txt --channels bgr --scale 1
    --mean 104,117,123 --check photos

    Example: qeil split detector.onnx detector --split early=conv_9 --split late=concat_17 --task detect
    --decoder yolov8 --labels coco.names --local whole
    """
    fields = opt.recipe_fields(locals())
    if list_cuts == bool(at or splits):
        raise CliError("say either --list, or where to cut with --at or --split")
    if list_cuts:
        _list(model, image, output, width, height, max_tensors, best, json_file)
        return
    if directory is None:
        raise CliError("say which model folder to make: qeil split MODEL.onnx DIR --at TENSOR")
    fields["name"] = name or model.stem
    from qeil_ros.models.split_folder import cut_name, split_folder

    def make() -> SplitResult:
        graph = _load(model, image, output)
        cuts = _named(splits or [], graph)
        if at:
            tensors = [graph.find(tensor) for tensor in at]
            cuts[cut_name(graph, tensors, cuts)] = tensors
        with _progress() as step:
            return split_folder(
                model,
                directory,
                cuts,
                fields,
                local=None if local == "none" else local,
                image=image,
                output=output,
                check=check or [],
                overwrite=overwrite,
                progress=step,
            )

    result = _or_say(make)
    report = _result(result)
    if json_file:
        _write_json(json_file, report)
    if json_file != "-":
        _print_result(result, report)


def _named(entries: list[str], graph: Graph) -> dict[str, list[str]]:
    """`NAME=TENSOR[,TENSOR]` of each --split; a tensor's own name may hold commas."""
    cuts: dict[str, list[str]] = {}
    for entry in entries:
        name, separator, tensors = entry.partition("=")
        if not separator or not name.isidentifier():
            raise CliError(
                f"--split {entry!r}: want NAME=TENSOR, the name of letters, digits and underscores"
            )
        if name in cuts:
            raise CliError(f"--split {entry!r}: there is a split {name!r} already")
        whole = tensors in graph.content or tensors in graph.labels.values()
        cuts[name] = [tensors] if whole else tensors.split(",")
    return cuts


def _list(
    model: Path,
    image: str,
    output: str,
    width: int | None,
    height: int | None,
    max_tensors: int,
    best: bool,
    json_file: str,
) -> None:
    from qeil_ros.models.graph_shapes import measure
    from qeil_ros.models.split_folder import describe_cuts, interesting

    def look() -> tuple[list[CutRow], int]:
        with _progress() as step:
            step(f"reading {model.name}", 0, 2)
            graph = _load(model, image, output)
            step("finding shapes", 1, 2)
            shapes = measure(graph, width=width, height=height)
            return describe_cuts(graph, shapes, max_tensors), len(graph.path)

    rows, nodes = _or_say(look)
    shown = interesting(rows) if best else rows
    if json_file:
        _write_json(json_file, {"model": str(model), "nodes": nodes, "cuts": [_entry(row) for row in shown]})
    if json_file == "-":
        return
    if not rows:
        print(
            f"{model.name}: no tensor holds all that the outputs need of the image; "
            f"try --max-tensors {max_tensors + 1}"
        )
        return
    _print_table(model, shown, len(rows), nodes)


def _print_table(model: Path, rows: list[CutRow], count: int, nodes: int) -> None:
    from rich import box
    from rich.table import Table

    title = f"{model.name}: {len(rows)} of {count} cuts, {nodes} nodes"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("tensor", overflow="ellipsis", no_wrap=True, max_width=36)
    table.add_column("shape", no_wrap=True)
    table.add_column("dtype", no_wrap=True)
    bits = "/".join(map(str, _BITS))
    for heading in ("node", f"KiB at {bits} bits", "MFLOP robot/server", "MB robot/server"):
        table.add_column(heading, justify="right")
    for row in rows:
        sides = (row.agent, row.server)
        table.add_row(
            row.name,
            " ".join(row.tensors),
            "x".join(map(str, row.shape)) or "1",
            row.dtype + (" (!)" if row.problem else ""),
            str(row.position),
            " / ".join(f"{row.bytes_at(bits) / 1024:.1f}" for bits in _BITS),
            " / ".join(f"{side.flops / 1e6:.1f}" for side in sides),
            " / ".join(f"{side.memory_bytes / 1e6:.2f}" for side in sides),
        )
    _console().print(table)
    for row in rows:
        if row.problem:
            print(f"(!) {row.name}: {row.problem}")


def _entry(row: CutRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "tensors": list(row.tensors),
        "op": row.op,
        "position": row.position,
        "shape": list(row.shape),
        "dtype": row.dtype,
        "bytes": {str(bits): row.bytes_at(bits) for bits in _BITS},
        **{
            side: {
                "flops": cost.flops,
                "weight_bytes": cost.weight_bytes,
                "activation_bytes": cost.activation_bytes,
                "memory_bytes": cost.memory_bytes,
            }
            for side, cost in (("agent", row.agent), ("server", row.server))
        },
        "problem": row.problem,
    }


def _result(result: SplitResult) -> dict[str, Any]:
    splits = {
        name: {
            "tensors": list(halves.tensors),
            "shape": list(halves.shape),
            "dtype": halves.dtype,
            "images": join.images,
            "bit_equal": join.exact,
            "same_top_1": join.same_answer,
            "largest_difference": join.worst,
        }
        for name, (halves, join) in result.cuts.items()
    }
    folder = result.folder
    return {"model": folder.name, "path": str(folder.path), "digest": folder.digest, "splits": splits}


def _print_result(result: SplitResult, report: dict[str, Any]) -> None:
    print(f"{report['path']}: {report['model']}, digest {report['digest'][:12]}")
    for name, (halves, join) in result.cuts.items():
        shape = "x".join(map(str, halves.shape))
        agreement = (
            "equal to the bit"
            if join.exact == join.images
            else f"equal to the bit on {join.exact}, else within {join.worst:.1g} of the largest value"
        )
        print(f"  {name}: {shape} {halves.dtype}; halves and whole on {join.images} images: {agreement}")


def _load(model: Path, image: str, output: str) -> Graph:
    from qeil_ros.models.graph import Graph

    return Graph.load(model, image=image, outputs=[output] if output else [])


def _write_json(target: str, value: Any) -> None:
    text = json.dumps(value, indent=2)
    if target == "-":
        print(text)
        return
    try:
        Path(target).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CliError(f"--json {target}: cannot be written: {error.strerror}") from error


def _console() -> Any:
    """Wide enough for the table where nobody's terminal bounds it."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=180)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, only where somebody can see it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _or_say(work: Callable[[], T]) -> T:
    """The result of `work`; a model that cannot be used is told in one line."""
    from qeil_ros.models.schema import ModelError

    try:
        return work()
    except ModelError as error:
        raise CliError(str(error)) from error
