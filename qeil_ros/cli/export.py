"""`qeil export`: a model folder made of a local Hugging Face folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.export import Local
    from qeil_ros.models.folder import ModelFolder, PartFile

__all__ = ["register"]

_TEXT, _VECTOR, _LOCAL, _FOLDER = (
    "Models that answer with text",
    "Encoders and classifiers",
    "The robot's own answer",
    "The folder",
)


class Dtype(str, Enum):
    auto = "auto"
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


class Stored(str, Enum):
    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"


def _option(panel: str, *names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


def register(app: typer.Typer) -> None:
    """Adds the command to the application."""
    app.command("export")(export)


def export(
    source: Annotated[
        Path, typer.Argument(metavar="HF_FOLDER", help="the model as Hugging Face publishes it, on this disk")
    ],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="the model folder to make")],
    cuts: Annotated[
        list[str] | None,
        _option(
            _TEXT,
            "--cut",
            help="GIT: vision; BLIP-2: vit, qformer; again for both, the first is the default split  "
            "[default: all]",
        ),
    ] = None,
    prompt: Annotated[
        str, _option(_TEXT, help="what the answer continues: a question, the beginning of a sentence")
    ] = "",
    generate: Annotated[
        list[str] | None,
        _option(
            _TEXT,
            metavar="KEY=VALUE",
            help="an option of generate: max_new_tokens=20, num_beams=5",
        ),
    ] = None,
    interval: Annotated[
        float,
        _option(_TEXT, min=0.0, max=60.0, help="video: least time between frames seen together, in seconds"),
    ] = 0.0,
    dtype: Annotated[
        Dtype, _option(_TEXT, help="what the server computes in; auto: float32 on CPUs, half that on GPUs")
    ] = Dtype.auto,
    stored: Annotated[
        Stored | None, _option(_TEXT, help="what the server's weights are kept in (default: as they are)")
    ] = None,
    after_layers: Annotated[
        list[int] | None,
        _option(
            _VECTOR,
            "--after-layer",
            min=1,
            help="cut behind this layer, from 1; again for several cuts (default: half of them)",
        ),
    ] = None,
    local: Annotated[
        list[str] | None,
        _option(
            _LOCAL,
            metavar="[CUT=]FILE.onnx",
            help="features of a cut to the answer of a robot alone (default: none)",
        ),
    ] = None,
    local_labels: Annotated[
        Path | None, _option(_LOCAL, help="the local part classifies: its labels, one a line")
    ] = None,
    local_vocabulary: Annotated[
        Path | None, _option(_LOCAL, help="the local part captions: its tokens, one a line")
    ] = None,
    local_begin: Annotated[int, _option(_LOCAL, help="line number, from 0, of its begin token")] = 1,
    local_end: Annotated[int, _option(_LOCAL, help="line number, from 0, of its end token")] = 2,
    local_licence: Annotated[str, _option(_LOCAL, "--local-licence", "--local-license", help="SPDX")] = "",
    name: Annotated[str, _option(_FOLDER, help="name of the model (default: the folder's)")] = "",
    version: Annotated[str, _option(_FOLDER, help="version of the model")] = "1.0",
    licence: Annotated[
        str,
        _option(
            _FOLDER, "--licence", "--license", help="SPDX identifier (default: what the model card says)"
        ),
    ] = "",
    agent_licence: Annotated[
        str, _option(_FOLDER, "--agent-licence", "--agent-license", help="where the robot's part has another")
    ] = "",
    server_licence: Annotated[
        str, _option(_FOLDER, "--server-licence", "--server-license", help="where the server's has another")
    ] = "",
    description: Annotated[str, _option(_FOLDER, help="one line")] = "",
    overwrite: Annotated[
        bool, _option(_FOLDER, "--overwrite", help="replace a model folder that is there")
    ] = False,
    json_file: Annotated[
        str, typer.Option("--json", metavar="FILE|-", help="write what was made there as JSON; -: print it")
    ] = "",
) -> None:
    """Cut a model of Hugging Face in two: ONNX for the robot, the rest for a computer off it.

    Known are GIT and BLIP-2, whose language model transformers serves, and CLIP, SigLIP, ViT and DINOv2. The
    folder is read from this disk; nothing is fetched, and no code that it may hold is run. The robot needs
    neither torch nor transformers.

    Example: qeil export ./git-base-coco ./git --generate max_new_tokens=20

    Example: qeil export ./blip2-opt-2.7b ./blip2 --cut qformer --cut vit --stored float16

    Example: qeil export ./dinov2-small ./dino --after-layer 3 --after-layer 6
    """
    from qeil_ros.models.export import Order
    from qeil_ros.models.export import export as export_folder
    from qeil_ros.models.schema import ModelError

    order = Order(
        name=name,
        version=version,
        description=description,
        licence=licence,
        agent_licence=agent_licence,
        server_licence=server_licence,
        cuts=tuple(cuts or ()),
        after_layers=tuple(after_layers or ()),
        prompt=prompt,
        interval_s=interval,
        options=dict(_key_value(entry) for entry in generate or ()),
        dtype=dtype.value,
        stored=stored.value if stored else "",
    )
    for entry in local or ():
        cut, file = _cut_and_file(entry, order.cuts or tuple(f"layer{n}" for n in order.after_layers))
        order.local[cut] = _local(file, local_labels, local_vocabulary, local_begin, local_end, local_licence)
    try:
        with _progress() as tell:
            folder = export_folder(source, directory, order, overwrite=overwrite, tell=tell)
    except ModelError as error:
        raise CliError(str(error)) from error
    report = _report(folder)
    text = json.dumps(report, indent=2)
    if json_file == "-":
        print(text)
        return
    if json_file:
        Path(json_file).write_text(text + "\n", encoding="utf-8")
    _print(report)


def _key_value(entry: str) -> tuple[str, bool | int | float | str]:
    key, separator, text = entry.partition("=")
    if not separator or not key.isidentifier():
        raise CliError(f"--generate {entry!r}: want KEY=VALUE, such as num_beams=5")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return key, text
    return key, value if isinstance(value, (bool, int, float)) else text


def _cut_and_file(entry: str, cuts: tuple[str, ...]) -> tuple[str, Path]:
    cut, separator, file = entry.partition("=")
    if separator and cut.isidentifier():
        return cut, Path(file)
    if len(cuts) != 1:
        raise CliError(f"--local {entry!r}: say for which cut: --local CUT=FILE (and the cut with --cut)")
    return cuts[0], Path(entry)


def _local(
    file: Path, labels: Path | None, vocabulary: Path | None, begin: int, end: int, licence: str
) -> Local:
    from qeil_ros.models.export import Local

    if labels is not None and vocabulary is not None:
        raise CliError("say either --local-labels or --local-vocabulary: the local part has one task")
    return Local(file, labels, vocabulary, begin, end, licence=licence)


def _report(folder: ModelFolder) -> dict[str, Any]:
    import dataclasses

    splits = {}
    for name, split in folder.splits.items():
        elements = 1
        for side in split.shape:
            elements *= side
        parts = {
            role: part for role in ("agent", "server", "local") if (part := split.part(role)) is not None
        }
        splits[name] = {
            "shape": list(split.shape),
            "dtype": split.dtype,
            "bytes_at_8_bits": elements,
            **{
                role: {
                    "file": part.file,
                    "bytes": _size(folder.path, part),
                    "sha256": part.sha256,
                    "licence": part.licence,
                }
                for role, part in parts.items()
            },
        }
    return {
        "model": folder.name,
        "version": folder.version,
        "licence": folder.licence,
        "path": str(folder.path),
        "digest": folder.digest,
        "input": dataclasses.asdict(folder.input),
        "task": {"kind": folder.task.kind, **dataclasses.asdict(folder.task)},
        "default_split": folder.default_split,
        "splits": splits,
    }


def _size(folder: Path, part: PartFile) -> int:
    path = folder / part.file
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    if part.weights is not None:
        files.append(folder / part.weights.file)
    return sum(file.stat().st_size for file in files)


def _print(report: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table

    title = f"{report['model']} {report['version']}, {report['licence']}, in {report['path']}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("cut", no_wrap=True)
    table.add_column("features", no_wrap=True)
    table.add_column("KiB at 8/4/2 bits", justify="right", no_wrap=True)
    for role in ("agent", "server", "local"):
        table.add_column(f"{role} (MB, licence)", overflow="fold")
    for name, split in report["splits"].items():
        size = split["bytes_at_8_bits"] / 1024
        parts = [
            f"{split[role]['file']} ({split[role]['bytes'] / 1e6:.1f}, {split[role]['licence']})"
            if role in split
            else "none"
            for role in ("agent", "server", "local")
        ]
        table.add_row(
            name, "x".join(map(str, split["shape"])), f"{size:.1f}/{size / 2:.1f}/{size / 4:.1f}", *parts
        )
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(table)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What is being done, on stderr: on one line of a terminal, else a line each."""
    if not sys.stderr.isatty():
        yield lambda line: print(f"qeil export: {line}", file=sys.stderr)
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        yield status.update
