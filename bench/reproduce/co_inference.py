"""Quantization-aware co-inference (arXiv 2602.13052): every experiment that can be made offline."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qeil_ros.models.datasets import open_dataset
from qeil_ros.models.folder import ModelFolder, Split

from ..data import data_dir
from ..harness import input_file
from ..progress import stage
from ..ros import BenchError
from . import bounds, distortion, fits, planner, quality, solvers, sweeps, testbed
from .effort import Effort
from .quality import Subject
from .report import Reproduction
from .section import Section
from .weights import float_agent
from .workloads import WORKLOADS, PaperModel

__all__ = ["DESCRIPTION", "Effort", "run"]

DESCRIPTION = "bounds, fits, designs and baselines of quantization-aware co-inference (arXiv 2602.13052)"
TITLE = "Reproduction of quantization-aware co-inference (arXiv 2602.13052)"
DEFAULT_MODEL = "tabletop"


def run(
    effort: Effort,
    *,
    model: str = DEFAULT_MODEL,
    data: str = "",
    split: str = "",
    threads: int = 1,
    command: str = "qeil reproduce co-inference",
) -> Reproduction:
    """All experiments.

    Args:
        model: whose quality is measured: a shipped model's name, or a folder such as `qeil export` makes of
            BLIP-2 or GIT.
        data: what it is scored on, as `qeil evaluate` takes it; empty: the default model's frozen scenes.
        split: one of the model's cuts; empty: its default one.

    Raises:
        ModelError, DatasetError, ValueError: the model or the data cannot be used.
    """
    folder = ModelFolder.load(model)
    dataset = open_dataset(data or DEFAULT_MODEL, limit=effort.seeds * effort.block)
    cut = folder.split(split)
    subject = _staged(
        f"measuring {folder.name}",
        lambda tell: quality.measure(
            folder,
            dataset,
            seeds=effort.seeds,
            block=effort.block,
            split=split,
            threads=threads,
            tell=tell,
        ),
    )
    sections = _sections(effort, subject, _paper_models(folder, cut))
    recorded = _recorded()
    inputs = [input_file(float_agent(folder, cut), f"{folder.name}/agent, float32")]
    if recorded is not None:
        inputs += [input_file(recorded / file) for files in fits.PUBLISHED.values() for file in files]
    config: dict[str, Any] = {
        **dataclasses.asdict(effort),
        "model": folder.name,
        "digest": folder.digest[:16],
        "data": dataset.name,
    }
    results = [result for section in sections for result in section.results]
    return Reproduction("co_inference", config, inputs, results, TITLE, command, sections)


def _sections(effort: Effort, subject: Subject, models: Sequence[PaperModel]) -> list[Section]:
    weights = fits.sources(_recorded())
    real = np.concatenate([values.ravel() for values in weights["tabletop"].values()])
    found = [
        _staged("fitting weights", lambda tell: fits.run(weights, tell)),
        _staged("bounds", lambda tell: bounds.run(effort, real, "tabletop", tell)),
        _staged("distortions", lambda tell: distortion.run(effort, subject, tell)),
        _staged("sweeps", lambda tell: sweeps.run(effort, subject, models, tell)),
        testbed.run(subject, models),
        _staged("solvers", lambda tell: solvers.run(effort, tell)),
        _staged("plans", lambda tell: planner.run(effort.sca < effort.instances)),
    ]
    return found


def _staged(name: str, work: Callable[[Any], Any]) -> Any:
    with stage(name) as tell:
        return work(tell)


def _recorded() -> Path | None:
    """The recorded data, which has the published models' weights; None: it is not here."""
    try:
        return data_dir()
    except BenchError:
        return None


def _paper_models(folder: ModelFolder, cut: Split) -> Sequence[PaperModel]:
    """The workload of the paper that a model is, or both where it is neither."""
    config = folder.path / cut.server.file / "config.json"
    if not config.is_file():
        return WORKLOADS
    family = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    return [each for each in WORKLOADS if each.family == family] or WORKLOADS
