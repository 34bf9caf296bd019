"""A pruned model folder made from another one, and what pruning costs as a curve of points."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import derive, tabletop
from .create import drafted, write_yaml
from .datasets import Dataset, Example, open_dataset
from .dynamic_int8 import dynamic_int8
from .evaluate import evaluate, main_score, prepared
from .extras import require
from .folder import ModelFolder, file_sha256
from .preprocess import Preprocessor
from .prune import PrunePlan, PruneReport, prune
from .runtime import Runtime, zeros
from .schema import ModelError
from .scores import Score

__all__ = [
    "CurvePoint",
    "calibration_images",
    "calibration_set",
    "float_agent",
    "prune_curve",
    "prune_folder",
    "speed_ratio",
]

CALIBRATION = 256
_ROUNDS = 60
_MAX_BYTES = 1_900_000_000
"""A protobuf message ends at 2 GiB."""
_FROZEN = 1000


def calibration_set(source: str | Path, *, limit: int = CALIBRATION, seed: int | None = 0) -> Dataset:
    """Pictures to calibrate with: the data at a path, or `tabletop` for scenes that no score is taken on."""
    if str(source) != "tabletop":
        return open_dataset(source, limit=limit, seed=seed)
    numbers = range(_FROZEN, _FROZEN + limit)
    return Dataset("tabletop: scenes beyond the frozen ones", [partial(_scene, i) for i in numbers])


def _scene(index: int) -> Example:
    scene, picture = tabletop.photograph(index)
    return Example(f"scene {index}", picture, captions=(tabletop.caption(scene),))


def calibration_images(folder: ModelFolder, data: Dataset) -> list[NDArray[Any]]:
    """The pictures prepared for the model, [1, ...] each. Raises DatasetError."""
    prepare = Preprocessor(folder.input)
    return [prepared(prepare, example.pixels).copy() for example in data]


def float_agent(folder: ModelFolder, split: str = "") -> Path:
    """The agent part in float32: the file that model.yaml notes as `extra.agent_fp32`, else the part itself.

    Raises:
        ModelError: there is none, or it has another sha256 than model.yaml says.
    """
    cut = folder.split(split)
    notes = derive.document(folder).get("extra") or {}
    note = notes.get("agent_fp32") if isinstance(notes, dict) else None
    if isinstance(note, dict) and cut.name == folder.default_split:
        return folder.verified(str(note.get("file")), str(note.get("sha256")))
    if cut.agent.kind != "onnx":
        raise ModelError(
            f"{folder.path / cut.agent.file}: is no ONNX graph; prune the model before its weights are packed"
        )
    return folder.part_path(cut, "agent")


def prune_folder(
    folder: ModelFolder,
    directory: Path,
    plan: PrunePlan,
    *,
    split: str = "",
    images: Sequence[NDArray[Any]] = (),
    overwrite: bool = False,
) -> tuple[ModelFolder, PruneReport]:
    """Writes `directory`, the model with the agent part of one cut pruned, in float32; its server part stays.

    Quantize it afterwards: pruned weights have other ranges. Scores that the model's file told are left out,
    since they are another model's; its figures on pruning stand there instead.

    Raises:
        ModelError: there is no float32 agent part, it cannot be pruned like that, or `directory` exists.
    """
    onnx = require("onnx", extra="models")
    cut = folder.split(split)
    source = float_agent(folder, split)
    size = {"width": folder.input.width, "height": folder.input.height}
    pruned, report = prune(onnx.load(str(source)), plan, images=images, **size)
    if (found := pruned.ByteSize()) > _MAX_BYTES:
        raise ModelError(f"the pruned graph has {found} bytes; one file ends at {_MAX_BYTES}")
    document = derive.document(folder)
    part = document["splits"][cut.name]["agent"]
    part.pop("weights", None)
    with drafted(directory, overwrite=overwrite) as draft:
        file = f"{cut.name}_agent_pruned.onnx"  # other cuts may use the file that it comes from
        (draft / file).write_bytes(pruned.SerializeToString(deterministic=True))
        part |= {"file": file, "sha256": file_sha256(draft / file)}
        if cut.name == folder.default_split and isinstance(document.get("extra"), dict):
            document["extra"].pop("agent_fp32", None)  # it is what was pruned
        document["scores"] = {"pruned": {"from": folder.digest, "split": cut.name, **_summary(report)}}
        derive.copy_files(folder, document, draft, {file})
        write_yaml(draft, document)
        ModelFolder.load(draft).agent(cut.name)  # its shapes and its first run
    return ModelFolder.load(directory), report


@dataclass(frozen=True)
class CurvePoint:
    """One way of pruning. Speeds are against the unpruned graph, by the best of interleaved runs.

    Attributes:
        weights, nonzero: shares of the unpruned weights that are still there, and not zero.
        file_bytes, zip_bytes: of the float32 graph, as it is and deflated.
        int8_bytes, int8_zip_bytes: of the graph with int8 weights, the same.
        speed, int8_speed: of the float32 graph, and of the int8 graph against the unpruned int8 one.
    """

    plan: str
    calibrated: int
    weights: float
    nonzero: float
    file_bytes: int
    zip_bytes: int
    int8_bytes: int
    int8_zip_bytes: int
    score_name: str
    score: Score
    speed: float
    int8_speed: float

    def to_json(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**record, "score": {"value": self.score.value, "error": _number(self.score.error)}}


def prune_curve(
    folder: ModelFolder,
    dataset: Dataset,
    plans: Sequence[PrunePlan],
    *,
    split: str = "",
    images: Sequence[NDArray[Any]] = (),
    rounds: int = _ROUNDS,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[CurvePoint]:
    """What each plan does to score, size and speed; the first point is the model as it is, in float32.

    Where the data hold no truth the score is the agreement with that first point.

    Args:
        images: prepared calibration images, which the dataset must not hold.

    Raises:
        ModelError: as `prune_folder` does.
    """
    source = float_agent(folder, split)
    cut = folder.split(split)
    points: list[CurvePoint] = []
    with tempfile.TemporaryDirectory(prefix="qeil-prune-") as scratch:
        dense = Path(scratch) / "dense.onnx"
        shutil.copyfile(source, dense)
        dense_model = _with_agent(folder, split, source)
        whole = dynamic_int8(dense, Path(scratch) / "dense_int8.onnx")
        for done, plan in enumerate([None, *plans]):
            if progress is not None:
                progress(done, len(plans) + 1, str(plan or "as it is"))
            report, model, file = None, dense_model, dense
            if plan is not None:
                out = Path(scratch) / str(done)
                model, report = prune_folder(folder, out, plan, split=split, images=images)
                file = out / model.split(split).agent.file
            small = whole if plan is None else dynamic_int8(file, Path(scratch) / f"{done}_int8.onnx")
            row = evaluate(model, dataset, splits=[cut.name], feature_bits=[0], against=dense_model).rows[0]
            before = report.weights_before if report else 1
            pairs = ((dense, file), (whole, small))
            speeds = [speed_ratio(a, b, folder.input.shape, rounds) for a, b in pairs]
            points.append(
                CurvePoint(
                    plan=str(plan or ""),
                    calibrated=report.calibrated if report else 0,
                    weights=report.weights / before if report else 1.0,
                    nonzero=report.nonzero / before if report else 1.0,
                    file_bytes=file.stat().st_size,
                    zip_bytes=len(zlib.compress(file.read_bytes(), 9)),
                    int8_bytes=small.stat().st_size,
                    int8_zip_bytes=len(zlib.compress(small.read_bytes(), 9)),
                    score_name=main_score(row.scores),
                    score=row.score,
                    speed=speeds[0],
                    int8_speed=speeds[1],
                )
            )
    return points


def speed_ratio(dense: Path, other: Path, shape: tuple[int, ...], rounds: int = _ROUNDS) -> float:
    """How many times as fast `other` runs as `dense`, one thread each: the best times of interleaved runs."""
    graphs = [Runtime(dense), Runtime(other)]
    best = [np.inf, np.inf]
    for _ in range(rounds):
        for i, graph in enumerate(graphs):
            image = graph.input()
            feeds = {image.name: zeros(shape, image.dtype)}
            start_s = time.perf_counter()
            graph.run(feeds, graph.outputs[0].name)
            best[i] = min(best[i], time.perf_counter() - start_s)
    return best[0] / best[1]


def _with_agent(folder: ModelFolder, split: str, file: Path) -> ModelFolder:
    """The same model with another file of its folder as its agent part."""
    cut = folder.split(split)
    name = file.relative_to(folder.path).as_posix()
    agent = dataclasses.replace(cut.agent, file=name, sha256=file_sha256(file))
    return dataclasses.replace(
        folder, splits={**folder.splits, cut.name: dataclasses.replace(cut, agent=agent)}
    )


def _summary(report: PruneReport) -> dict[str, Any]:
    record = report.to_json()
    del record["untouched"]
    plan = record.pop("plan")
    return {**{key: value for key, value in plan.items() if value}, **record}


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
