"""Gives a model a local part: what the robot answers with when nobody else does, with its price beside it.

`whole`: the server part again, its weights in int8: as good as offboard, as slow as the robot is.
`exit`: a classifier's early exit (early_exit): nearly free, and worse.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import derive
from .answering import read_words
from .create import drafted, write_yaml
from .datasets import Dataset
from .dynamic_int8 import calibrated_int8, dynamic_int8, has_convolutions, is_quantized
from .early_exit import fit_exit
from .evaluate import Row, evaluate, prepared
from .folder import ModelFolder, Split, file_sha256
from .judge import matching_labels
from .preprocess import Preprocessor
from .runtime import Runtime
from .schema import ModelError
from .tasks import ClassifyTask, softmax

__all__ = ["KINDS", "LocalReport", "add_local", "held_out"]

KINDS = ("whole", "exit")
HELD_OUT = 0.25
_CALIBRATION = 64


@dataclass(frozen=True)
class LocalReport:
    """What was made, and how it did on the pictures that were kept back for that.

    Attributes:
        fitted, held_out: pictures that were fitted or calibrated to, and scored on.
        file_bytes: of the local part.
        agent_ms, local_ms, offboard_ms: medians a frame of the parts, one thread each, on this machine.
        local, offboard: scores of the local part and of the server part; `agreement` is with the latter.
        head: what an exit is like; empty for the whole model.
    """

    kind: str
    split: str
    data: str
    fitted: int
    held_out: int
    file_bytes: int
    agent_ms: float
    local_ms: float
    offboard_ms: float
    local: dict[str, dict[str, float | None]]
    offboard: dict[str, dict[str, float | None]]
    head: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def held_out(data: Dataset, *, in_order: bool, seed: int = 0) -> tuple[Dataset, Dataset]:
    """(to fit to, to score on), a quarter: at random, or the last one where neighbours are alike (a film)."""
    count = len(data)
    order = np.arange(count) if in_order else np.random.default_rng(seed).permutation(count)
    first = count - max(1, round(HELD_OUT * count))
    pieces = (order[:first].tolist(), order[first:].tolist())
    fit, score = (dataclasses.replace(data, examples=[data.examples[i] for i in piece]) for piece in pieces)
    return fit, score


def add_local(
    folder: ModelFolder,
    directory: Path,
    kind: str,
    fit: Dataset,
    score: Dataset,
    *,
    split: str = "",
    labels: bool = False,
    overwrite: bool = False,
) -> tuple[ModelFolder, LocalReport]:
    """Writes `directory`: the model with a local part for one cut; its figures go into its `scores.local`.

    Args:
        kind: `whole` or `exit`.
        fit: pictures that an exit is fitted to, and a whole model with convolutions calibrated on.
        score: other pictures, to score on.
        labels: fit to the pictures' labels; else to what the whole model says of them.

    Raises:
        ModelError: the model's task or parts do not allow it, or `directory` exists.
    """
    cut = folder.split(split)
    if kind not in KINDS:
        raise ModelError(f"no local part of kind {kind!r}; there are {', '.join(KINDS)}")
    if cut.server.kind != "onnx":
        raise ModelError(
            f"{folder.name}: its server part is run by transformers, which a robot's local part is not"
        )
    document = derive.document(folder)
    entry = document["splits"][cut.name]
    with drafted(directory, overwrite=overwrite) as draft:
        file = f"{cut.name}_local.onnx"
        head: dict[str, Any] = {}
        if kind == "exit":
            entry["local"], head = _exit(folder, cut, fit, draft / file, labels)
        else:
            entry["local"] = _whole(folder, cut, fit, draft / file)
        entry["local"] |= {"file": file, "sha256": file_sha256(draft / file)}
        derive.copy_files(folder, document, draft, {file})
        write_yaml(draft, document)
        rows = evaluate(ModelFolder.load(draft), score, splits=[cut.name], feature_bits=[0]).rows
        offboard, local = (next(row for row in rows if row.source == who) for who in ("offboard", "local"))
        report = LocalReport(
            kind=kind,
            split=cut.name,
            data=score.name,
            fitted=len(fit),
            held_out=len(score),
            file_bytes=(draft / file).stat().st_size,
            agent_ms=round(local.agent_ms, 3),
            local_ms=round(local.answer_ms, 3),
            offboard_ms=round(offboard.answer_ms, 3),
            local=_scores(local),
            offboard=_scores(offboard),
            head=head,
        )
        document["scores"] = {**(document.get("scores") or {}), "local": report.to_json()}
        write_yaml(draft, document)
    return ModelFolder.load(directory), report


# --- an early exit


def _exit(
    folder: ModelFolder, cut: Split, fit: Dataset, target: Path, labels: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the part's entry in model.yaml, what the head is like)."""
    task = folder.task
    if not isinstance(task, ClassifyTask):
        raise ModelError(f"an early exit is for classifiers; the task of {folder.name!r} is {task.kind!r}")
    known = read_words(folder, task.labels, task.sha256)
    features = _features(folder, cut, fit)
    if labels:
        targets, rows = _labelled(fit, known)
        features = features[rows]
    else:
        targets = _said(folder, cut, task, features, len(known))
    head = fit_exit(features, targets, cut)
    target.write_bytes(head.to_onnx(cut))
    own = {"kind": task.kind, **dataclasses.asdict(task)}
    own |= {"activation": "softmax", "scale": 1.0, "zero_point": 0}
    if not own["sha256"]:
        del own["sha256"]
    about = {"pool": head.pool, "penalty": head.penalty, "from": "labels" if labels else "the whole model"}
    return {"input": "features", "output": "scores", "task": own}, about


def _features(folder: ModelFolder, cut: Split, data: Dataset) -> NDArray[Any]:
    agent, prepare = folder.agent(cut.name), Preprocessor(folder.input)
    rows = [agent.run(prepared(prepare, example.pixels))[0].copy() for example in data]
    return np.stack(rows)


def _labelled(data: Dataset, known: list[str]) -> tuple[NDArray[np.float64], list[int]]:
    """(targets of the pictures whose label the model knows, which those are)."""
    number = {label: i for i, label in enumerate(known)}
    targets, rows = [], []
    for row, example in enumerate(data):
        right = frozenset().union(*(matching_labels(words, known) for words in example.labels))
        if right:
            target = np.zeros(len(known))
            target[[number[label] for label in right]] = 1 / len(right)
            targets.append(target)
            rows.append(row)
    if not rows:
        raise ModelError(f"{data.name}: no picture has a label that the model knows; fit to its own answers")
    return np.stack(targets), rows


def _said(
    folder: ModelFolder, cut: Split, task: ClassifyTask, features: NDArray[Any], classes: int
) -> NDArray[np.float64]:
    """The whole model's probabilities for each picture."""
    server = Runtime(folder.part_path(cut, "server"))
    taken, given = server.input(cut.server.input), server.output(cut.server.output)
    rows = [server.run({taken.name: row[None]}, given.name).reshape(-1) for row in features]
    if taken.shape[0] not in (None, 1) or len(rows[0]) != classes:
        raise ModelError(f"{server.path}: gives {len(rows[0])} scores, the model has {classes} labels")
    scores = (np.stack(rows).astype(np.float64) - task.zero_point) * task.scale
    chances = softmax(scores) if task.activation == "softmax" else np.maximum(scores, 0)
    total = chances.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, chances / np.maximum(total, 1e-12), 1 / classes), np.float64)


# --- the whole model


def _whole(folder: ModelFolder, cut: Split, fit: Dataset, target: Path) -> dict[str, Any]:
    """The part's entry in model.yaml: the server part with weights in int8, calibrated where it convolves."""
    source = folder.part_path(cut, "server")
    if is_quantized(source):
        target.write_bytes(source.read_bytes())
    elif has_convolutions(source) and cut.dtype == "float32" and not folder.task.extra_inputs:
        pictures = dataclasses.replace(fit, examples=fit.examples[:_CALIBRATION])
        runtime = Runtime(source)
        name = runtime.input(cut.server.input).name
        calibrated_int8(source, target, [{name: row[None]} for row in _features(folder, cut, pictures)])
    else:
        dynamic_int8(source, target)
    return {"input": cut.server.input, "output": cut.server.output}


def _scores(row: Row) -> dict[str, dict[str, float | None]]:
    return {
        name: {"value": _rounded(score.value), "error": _rounded(score.error)}
        for name, score in row.scores.items()
    }


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
