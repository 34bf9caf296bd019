"""`qeil model create|show|check`: make, look at and try a model folder."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import model_options as opt
from .errors import CliError

if TYPE_CHECKING:
    from qeil_ros.models.folder import ModelFolder

__all__ = ["register"]


Json = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="a model folder, or the name of a shipped model")]

commands = typer.Typer(no_args_is_help=True, help="Make, look at and try model folders.")


def register(app: typer.Typer) -> None:
    """Adds `model` to the command line."""
    app.add_typer(commands, name="model")


@commands.command()
def create(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="the folder to make")],
    agent: Annotated[Path, typer.Option(help="ONNX file: image to features; runs on the robot")],
    server: Annotated[Path, typer.Option(help="ONNX file: features to answer; runs off the robot")],
    name: Annotated[str, typer.Option(help="name of the model")],
    local: Annotated[
        Path | None,
        typer.Option(help="ONNX file: features to answer; what the robot answers with when it is alone"),
    ] = None,
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
    split: Annotated[str, typer.Option(help="name of the cut")] = "cut",
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
    agent_input: Annotated[str, typer.Option(help="name of the image input, where there are several")] = "",
    agent_output: Annotated[str, typer.Option(help="name of the features, where there are several")] = "",
    server_input: Annotated[str, typer.Option(help="name of the features, where there are several")] = "",
    server_output: Annotated[str, typer.Option(help="name of the answer, where there are several")] = "",
    version: opt.Version = "1.0",
    licence: opt.Licence = "unknown",
    description: opt.Description = "",
    overwrite: opt.Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make a model folder from two ONNX files that were one model, and try it.

    Example: qeil model create mobilenet --agent agent.onnx --server server.onnx --name mobilenet
    --labels labels.txt
    """
    fields = opt.recipe_fields(locals())
    from qeil_ros.models.create import Recipe
    from qeil_ros.models.create import create as create_folder

    recipe = Recipe(
        agent=agent,
        server=server,
        local=local,
        name=name,
        split=split,
        agent_input=agent_input,
        agent_output=agent_output,
        server_input=server_input,
        server_output=server_output,
        **fields,
    )
    folder = _or_say(lambda: create_folder(directory, recipe, overwrite=overwrite))
    _print(_description(folder), as_json)


@commands.command()
def show(model: Model, as_json: Json = False) -> None:
    """Say what a model folder holds, without loading the model."""
    _print(_description(_load(model)), as_json)


@commands.command()
def check(
    model: Model,
    bits: Annotated[int, typer.Option(min=1, max=8, help="bits per feature value")] = 8,
    runs: Annotated[int, typer.Option(min=1, max=10000, help="times that every part is run")] = 20,
    threads: Annotated[int, typer.Option(min=1, max=256, help="threads of every part")] = 1,
    as_json: Json = False,
) -> None:
    """Load the parts that this machine holds, run a picture through them, say how long each took."""
    folder = _load(model)
    report = _or_say(lambda: _try(folder, bits, runs, threads))
    _print(
        {"model": folder.name, "digest": folder.digest, "bits": bits, "threads": threads, "splits": report},
        as_json,
    )


def _try(folder: ModelFolder, bits: int, runs: int, threads: int) -> dict[str, Any]:
    import numpy as np

    from qeil_ros.models.features import FeatureReader, distortion
    from qeil_ros.models.pipeline import AgentPipeline

    report: dict[str, Any] = {}
    for name, split in folder.splits.items():
        found: dict[str, Any] = {}
        features = np.zeros(split.shape, split.dtype)
        if folder.has("agent", name):
            pipeline = AgentPipeline(folder, threads=threads)
            width, height = folder.input.width, folder.input.height
            picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            image = pipeline.prepare(picture, width, height, 3 * width, "rgb8")
            features = pipeline.features(image, name)
            found["agent_s"] = _median_s(lambda p=pipeline, i=image, n=name: p.features(i, n), runs)
            coded = bytes(pipeline.code(features, bits, name))
            found["code_s"] = _median_s(lambda p=pipeline, f=features, n=name: p.code(f, bits, n), runs)
            found["bytes"] = len(coded)
            received = FeatureReader(folder, name).decode(coded)
            found["distortion"] = distortion(features, received)
            features = received
        for role, load in (("server", folder.server), ("local", folder.local)):
            if folder.has(role, name):
                part = load(name, threads=threads)
                found[f"{role}_s"] = _median_s(lambda p=part, f=features: p.run(f[None]), runs)
        missing = [
            role for role in ("agent", "server", "local") if split.part(role) and not folder.has(role, name)
        ]
        if missing:
            found["not_on_this_machine"] = missing
        report[name] = found
    return report


def _median_s(work: Any, runs: int) -> float:
    """The median time of `runs` calls [s]."""
    times = []
    for _ in range(runs):
        start_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_s)
    return statistics.median(times)


def _description(folder: ModelFolder) -> dict[str, Any]:
    splits = {
        name: {
            "shape": list(split.shape),
            "dtype": split.dtype,
            **{
                role: ("here" if folder.has(role, name) else "not on this machine")
                if split.part(role)
                else "none"
                for role in ("agent", "server", "local")
            },
        }
        for name, split in folder.splits.items()
    }
    return {
        "model": folder.name,
        "version": folder.version,
        "licence": folder.licence,
        "description": folder.description,
        "path": str(folder.path),
        "digest": folder.digest,
        "input": dataclasses.asdict(folder.input),
        "task": {"kind": folder.task.kind, **dataclasses.asdict(folder.task)},
        "default_split": folder.default_split,
        "splits": splits,
    }


def _print(report: dict[str, Any], as_json: bool) -> None:
    typer.echo(json.dumps(report, indent=2) if as_json else "\n".join(_lines(report)))


def _lines(report: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in report.items():
        label = f"{indent}{key.replace('_', ' ') if not key.endswith('_s') else key[:-2]}:"
        if isinstance(value, dict):
            lines += [label, *_lines(value, indent + "  ")]
        elif key.endswith("_s"):
            lines.append(f"{label} {value * 1e3:.3f} ms")
        elif isinstance(value, float):
            lines.append(f"{label} {value:.6g}")
        elif isinstance(value, (list, tuple)):
            lines.append(f"{label} {', '.join(map(str, value))}")
        else:
            lines.append(f"{label} {value}")
    return lines


def _load(model: str) -> ModelFolder:
    from qeil_ros.models.folder import ModelFolder

    folder: ModelFolder = _or_say(lambda: ModelFolder.load(model))
    return folder


def _or_say(work: Any) -> Any:
    """The result of `work`; a model that cannot be used is told in one line."""
    from qeil_ros.models.schema import ModelError

    try:
        return work()
    except ModelError as error:
        raise CliError(str(error)) from error
