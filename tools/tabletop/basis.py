"""The basis in which the features travel, learned on scenes that the captioner was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qeil_ros.models import tabletop
from qeil_ros.models.basis import Statistics
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.pipeline import AgentPipeline
from tools.tabletop.export import sha256

FILE = "basis.npz"
SCENES = 3000  # the bytes at equal score no longer change from 1000 on


def learn_basis(folder: Path, progress: Callable[[int, int, str], None], scenes: int = SCENES) -> None:
    """Writes basis.npz beside the agent part that lies in `folder` and is named in its model.yaml."""
    model = ModelFolder.load(folder)
    pipeline, cut = AgentPipeline(model), model.split()
    statistics = Statistics(cut.shape, cut.channel_axis)
    for index in range(scenes):
        _, picture = tabletop.photograph(index, tabletop.TRAINING_STREAM)
        height, width = picture.shape[:2]
        image = pipeline.prepare(memoryview(picture).cast("B"), width, height, 3 * width, "rgb8")
        statistics.add(pipeline.features(image, cut.name))
        progress(index + 1, scenes, "")
    basis, _ = statistics.basis()
    basis.write(folder / FILE)


def entry(folder: Path) -> dict[str, Any]:
    """What model.yaml says of it; empty where there is none yet."""
    path = folder / FILE
    return {"basis": {"file": FILE, "sha256": sha256(path)}} if path.is_file() else {}
