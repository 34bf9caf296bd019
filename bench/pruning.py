"""What pruning an agent part costs in accuracy and saves in time and bytes, with and without quantization.

Weights that were trained dense, no training afterwards: pictures of the calibration set choose what goes and
refit the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qeil_ros.models.datasets import Dataset, open_dataset
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.prune import PrunePlan
from qeil_ros.models.prune_folder import CurvePoint, calibration_images, calibration_set, prune_curve

from .data import data_dir
from .harness import Report, Result, at_least, figure
from .model_zoo import ENTRIES

DESCRIPTION = "score, size and speed of pruned agent parts, in float32 and int8"

WEIGHTS = tuple(PrunePlan(sparsity=share) for share in (0.25, 0.5, 0.7, 0.9))
TRANSFORMER = (
    PrunePlan(structured={"heads": 0.25}),
    PrunePlan(structured={"neurons": 0.25}),
    PrunePlan(structured={"neurons": 0.5}),
    PrunePlan(structured={"neurons": 0.75}),
    PrunePlan(structured={"heads": 0.25, "neurons": 0.5}),
    PrunePlan(structured={"heads": 0.5, "neurons": 0.75}),
    PrunePlan(sparsity=0.5, structured={"heads": 0.25, "neurons": 0.5}),
)
CONVOLUTIONS = tuple(PrunePlan(structured={"channels": share}) for share in (0.1, 0.25, 0.5))
SMALLER = "heads 0.25, neurons 0.5"
"""The point whose graph must have become faster: what structured pruning is for."""


@dataclass(frozen=True)
class PruningReport(Report):
    """The results, and for each model the points of its curve."""

    curves: Mapping[str, Sequence[CurvePoint]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        curves = {name: [point.to_json() for point in points] for name, points in self.curves.items()}
        return {**super().to_json(), "curves": curves}


def run(quick: bool) -> PruningReport:
    scenes, rounds = (40, 10) if quick else (1000, 300)
    results: list[Result] = []
    curves = {}
    with TemporaryDirectory(prefix="qeil-pruning-") as scratch:
        for name, make in _cases(quick, scenes).items():
            folder, dataset, plans, images = make(Path(scratch) / name)
            curves[name] = points = prune_curve(folder, dataset, plans, images=images, rounds=rounds)
            results += _results(name, points)
    return PruningReport("pruning", {"quick": quick, "scenes": scenes, "rounds": rounds}, [], results, curves)


_Case = tuple[ModelFolder, Dataset, Sequence[PrunePlan], Sequence[Any]]


def _cases(quick: bool, scenes: int) -> dict[str, Callable[[Path], _Case]]:
    def tabletop(directory: Path) -> _Case:
        folder = ModelFolder.load("tabletop")
        images = calibration_images(folder, calibration_set("tabletop", limit=64 if quick else 256))
        plans = (TRANSFORMER[4], WEIGHTS[1]) if quick else (*TRANSFORMER, *WEIGHTS)
        return folder, open_dataset("tabletop", limit=scenes), plans, images

    def squeezenet(directory: Path) -> _Case:
        data = data_dir()
        entry = next(entry for entry in ENTRIES if entry.name == "squeezenet")
        folder = entry.make(data, directory)
        # Calibration needs no labels, and must not see the photos that the score is taken on.
        images = calibration_images(folder, calibration_set(data / "bags/donkeycar_mcap", limit=64))
        return folder, open_dataset(data / "images/coco28"), (*CONVOLUTIONS, *WEIGHTS[:2]), images

    return {"tabletop": tabletop} if quick else {"tabletop": tabletop, "squeezenet": squeezenet}


def _results(name: str, points: Sequence[CurvePoint]) -> list[Result]:
    found = []
    for point in points:
        label = f"{name} {point.plan or 'as it is'}"
        found.append(figure(f"{label}: {point.score_name}", point.score.value, ""))
        if point.plan == SMALLER:
            found.append(at_least(f"{label}: speed", point.speed, "x", 1.2))
            found.append(at_least(f"{label}: speed in int8", point.int8_speed, "x", 1.0))
    return found
