"""A model folder whose agent part has packed weights, made from one whose agent part is a float32 graph."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from .datasets import Dataset
from .folder import ModelFolder, file_sha256
from .preprocess import Preprocessor
from .quantize import Progress, Report, WeightPlan, quantize_graph
from .schema import ModelError

__all__ = ["agent_source", "prepared_images", "quantize_folder"]

FILE = "{name}.qwt"


def prepared_images(folder: ModelFolder, data: Dataset | Iterable[Any]) -> list[NDArray[Any]]:
    """The pictures of a dataset as the agent part gets them, [1, ...] each."""
    prepare = Preprocessor(folder.input)
    found = []
    for example in data:
        pixels = np.ascontiguousarray(example.pixels)
        height, width = pixels.shape[:2]
        found.append(prepare(pixels, width, height, 3 * width, "rgb8").copy())
    return found


def agent_source(folder: ModelFolder, split: str = "", agent: Path | None = None) -> Path:
    """The float32 graph to quantize: the file given, else the agent part of that cut. Raises ModelError."""
    if agent is not None:
        if not agent.is_file():
            raise ModelError(f"{agent}: there is no such file")
        return agent
    cut = folder.split(split)
    if cut.agent.kind != "onnx":
        raise ModelError(
            f"{folder.path / cut.agent.file}: its weights are packed already; "
            "name the graph in float32 that they came from"
        )
    return folder.part_path(cut, "agent")


def quantize_folder(
    folder: ModelFolder,
    target: Path,
    plan: WeightPlan | None = None,
    *,
    split: str = "",
    agent: Path | None = None,
    images: Iterable[NDArray[Any]] = (),
    threads: int = 1,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes a copy of a model folder in which the agent part of a cut has packed weights.

    Scores in the folder's description are left out: they were another agent part's.

    Args:
        split: the cut; empty: the default one.
        agent: the graph in float32, where the folder's agent part is not it.
        images: prepared ones to calibrate with.
        overwrite: replace `target` where it is a model folder.

    Raises:
        ModelError: `target` is in the way, or the agent part cannot be quantized.
        ValueError: the plan is not possible.
    """
    target = target.expanduser().absolute()
    if target.exists() and not (overwrite and (target / "model.yaml").is_file()):
        raise ModelError(
            f"{target}: is there already"
            + (
                "; overwrite it if it may go"
                if (target / "model.yaml").is_file()
                else " and is no model folder"
            )
        )
    source = agent_source(folder, split, agent)
    cut = folder.split(split)
    file = FILE.format(name=Path(cut.agent.file).with_suffix(""))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as place:
        draft = Path(place) / "model"
        others = {part.file for each in folder.splits.values() for part in (each.server, each.local) if part}
        others |= {each.agent.file for name, each in folder.splits.items() if name != cut.name}
        gone = {cut.agent.file, *([cut.agent.weights.file] if cut.agent.weights else [])} - others
        ignored = {str((folder.path / name).resolve()) for name in gone}
        shutil.copytree(
            folder.path,
            draft,
            ignore=lambda at, names: [name for name in names if str((Path(at) / name).resolve()) in ignored],
        )
        (draft / file).parent.mkdir(parents=True, exist_ok=True)
        report = quantize_graph(
            source, draft / file, plan, images=list(images), threads=threads, progress=progress
        )
        description = yaml.safe_load((draft / "model.yaml").read_text(encoding="utf-8"))
        part = description["splits"][cut.name]["agent"]
        part.pop("weights", None)
        part.update(file=file, sha256=file_sha256(draft / file))
        description.pop("scores", None)
        text = yaml.safe_dump(description, sort_keys=False, default_flow_style=None, width=110)
        (draft / "model.yaml").write_text(text, encoding="utf-8")
        ModelFolder.load(draft).agent(cut.name, threads=threads, backend="onnxruntime")
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    return report
