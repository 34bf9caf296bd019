"""What cutting and quantizing costs: every model of the zoo at every cut and width, held to its targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from qeil_ros.models.datasets import Dataset, open_dataset
from qeil_ros.models.evaluate import Table, evaluate
from qeil_ros.models.folder import ModelFolder, PartFile

from . import agent_speed, model_checks, model_graph
from .data import data_dir
from .harness import Report, Result, at_least, at_most, figure, input_file
from .model_zoo import ENTRIES, Entry, describe, mobilenet_halves
from .weight_curve import weight_curve

DESCRIPTION = "scores of every model at each cut and width, and whether its halves are the whole"

EXACT_MATCH = 0.92
EXACT_MATCH_4_BITS = 0.91
SAME_LABELS = 0.99
ENCODER_MB = 200.0
PHOTOS = 20
FAMILIES = ("git", "blip2")


@dataclass(frozen=True)
class ModelsReport(Report):
    """The results, and for each model what its page is written from."""

    models: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "models": dict(self.models)}


@dataclass(frozen=True)
class Effort:
    """How much is done: of the frames, of the cuts, of the language models' pictures."""

    scenes: int
    frames: int | None
    photos: int
    every_cut: int
    car_frames: int
    feature_bits: tuple[int, ...]
    weight_bits: tuple[int, ...]
    pictures: int

    @classmethod
    def of(cls, quick: bool) -> Effort:
        if quick:
            return cls(60, 4, 2, 20, 12, (4, 8), (4,), 2)
        return cls(1000, None, PHOTOS, 1, 400, tuple(range(1, 9)), tuple(range(1, 9)), PHOTOS)


def run(quick: bool) -> ModelsReport:
    effort, data = Effort.of(quick), data_dir()
    results: list[Result] = agent_speed.results(quick)
    models: dict[str, Any] = {}
    inputs = []
    with TemporaryDirectory(prefix="qeil-bench-") as scratch:
        photos = open_dataset(data / "images/coco28", limit=effort.photos)
        for entry in ENTRIES:
            folder = entry.make(data, Path(scratch) / entry.name)
            models[entry.name] = page = _page(entry, folder)
            page["tables"] = [table.to_json() for table in _tables(entry, folder, data, effort)]
            if entry.whole is not None:
                whole = entry.whole(data)
                page["cuts"] = describe(whole)
                results += _joins(entry, folder, whole, photos, effort)
            if entry.name == "tabletop":
                results += _default_model(folder, effort)
                page["weights"] = [] if quick else weight_curve(folder, scenes=effort.scenes)
            if entry.name == "mobilenet_v1":
                results += _through_the_graph(folder, data, effort)
            inputs += _files(folder)
    for family in FAMILIES:
        compared, same = model_checks.same_tokens(family, effort.pictures)
        results.append(at_least(f"{family}_same_tokens", same, "answers", compared))
    results += _encoder()
    config = {"quick": quick, **dataclasses.asdict(effort)}
    return ModelsReport("models", config, inputs, results, models)


def _page(entry: Entry, folder: ModelFolder) -> dict[str, Any]:
    parts = {
        f"{name}/{role}": {"file": part.file, "bytes": (folder.path / part.file).stat().st_size}
        for name, split in folder.splits.items()
        for role in ("agent", "server", "local")
        if (part := split.part(role)) is not None
    }
    return {
        "licence": folder.licence,
        "get": entry.get,
        "description": folder.description,
        "task": folder.task.kind,
        "input": [folder.input.width, folder.input.height],
        "digest": folder.digest,
        "parts": parts,
        "cuts": [],
    }


def _tables(entry: Entry, folder: ModelFolder, data: Path, effort: Effort) -> Iterator[Table]:
    limit = effort.scenes if entry.data == ("tabletop",) else effort.frames
    for dataset in entry.datasets(data, limit):
        yield evaluate(
            folder,
            dataset,
            splits=list(folder.splits),
            weight_bits=(0, *(bits for bits in entry.weight_bits if bits in effort.weight_bits)),
            feature_bits=effort.feature_bits,
        )


def _joins(entry: Entry, folder: ModelFolder, whole: Any, photos: Dataset, effort: Effort) -> list[Result]:
    rows = model_checks.cuts(folder, whole, photos, effort.every_cut)
    made = [row.join for row in rows if row.join is not None]
    compared = sum(join.images for join in made)
    worst = max((join.worst for join in made), default=0.0)
    return [
        at_least(f"{entry.name}_cuts_joined", sum(not join.problem for join in made), "cuts", len(made)),
        at_least(f"{entry.name}_same_answers", sum(join.same_answer for join in made), "runs", compared),
        figure(f"{entry.name}_equal_to_the_bit", sum(join.exact for join in made), "runs"),
        figure(f"{entry.name}_worst_difference", worst, "relative"),
    ]


def _default_model(folder: ModelFolder, effort: Effort) -> list[Result]:
    """Exact match on the frozen scenes with the agent part in float32, and at 4 bits throughout."""
    scenes = open_dataset("tabletop", limit=effort.scenes)
    exact = evaluate(in_float32(folder), scenes, feature_bits=(0,)).rows[0].scores["exact_match"]
    coarse = [
        row.scores["exact_match"]
        for row in evaluate(folder, scenes, weight_bits=(4,), feature_bits=(4,)).rows
        if (row.source, row.weight_bits, row.feature_bits) == ("offboard", 4, 4)
    ]
    value = coarse[0].value if coarse else float("nan")
    return [
        at_least("tabletop_exact_match_fp32", exact.value, "", EXACT_MATCH),
        figure("tabletop_exact_match_standard_error", exact.error, ""),
        at_least("tabletop_exact_match_4_bits", value, "", EXACT_MATCH_4_BITS),
    ]


def in_float32(folder: ModelFolder) -> ModelFolder:
    """The shipped model with its float32 agent part."""
    notes = yaml.safe_load((folder.path / "model.yaml").read_text(encoding="utf-8"))["extra"]["agent_fp32"]
    split = folder.split()
    agent = PartFile(notes["file"], notes["sha256"], split.agent.input, split.agent.output)
    return dataclasses.replace(folder, splits={split.name: dataclasses.replace(split, agent=agent)})


def _through_the_graph(folder: ModelFolder, data: Path, effort: Effort) -> list[Result]:
    """The share of frames that the running graph labels as the whole model does, run directly."""
    coral = open_dataset(data / "images/coral")
    car = open_dataset(data / "bags/donkeycar_mcap", limit=effort.car_frames)
    both = Dataset("coral, donkeycar", [*coral.examples, *car.examples])
    direct = model_graph.whole_labels(folder, mobilenet_halves(data), both)
    answered = model_graph.graph_labels(folder, both, bits=8)
    same = [a == b for a, b in zip(direct, answered, strict=True)]
    shares = {"coral": same[: len(coral)], "donkeycar": same[len(coral) :]}
    return [
        at_least(f"mobilenet_v1_graph_{name}", sum(hits) / len(hits), "", SAME_LABELS)
        for name, hits in shares.items()
    ]


def _encoder() -> list[Result]:
    photos = open_dataset("tabletop", limit=30)
    resident_mb, torch = model_graph.encoder_memory(photos)
    return [
        at_most("encoder_resident", resident_mb, "MB", ENCODER_MB),
        at_most("encoder_has_torch", float(torch), "", 0),
    ]


def _files(folder: ModelFolder) -> list[dict[str, str]]:
    files = sorted(
        {
            part.file
            for s in folder.splits.values()
            for r in ("agent", "server", "local")
            if (part := s.part(r))
        }
    )
    return [input_file(folder.path / file, f"{folder.name}/{file}") for file in files]
