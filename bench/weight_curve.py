"""What each bit of the agent part's weights costs in accuracy: every width and quantizer, with and without
calibration, on the default model's frozen scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models import tabletop
from qeil_ros.models.datasets import Dataset, Example, tabletop_scenes
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.quantize import WeightPlan, quantize_graph
from qeil_ros.models.quantize_folder import prepared_images
from qeil_ros.models.quantizers import QUANTIZERS
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.weights import PackedModel
from qeil_ros.models.weights_pack import NESTED

WIDTHS = tuple(range(1, 9))
CALIBRATION = 256
_BATCH = 50


@dataclass(frozen=True)
class Point:
    """One way to store the weights."""

    quantizer: str
    granularity: str
    calibrated: bool
    bits: int
    exact_match: float | None
    """Of the captions, features not coded; None: the quantizer does not have that width."""
    feature_error: float | None
    """Relative L2, of the features."""


def weight_curve(
    folder: ModelFolder,
    *,
    scenes: int = 1000,
    widths: Sequence[int] = WIDTHS,
    quantizers: Sequence[str] = (NESTED, *QUANTIZERS),
    granularities: Sequence[str] = ("channel",),
    progress: Callable[[int, int, str], None] | None = None,
) -> list[dict[str, Any]]:
    """Exact match of the default model at every width, as JSON records (`Point`).

    Every quantizer to the nearest level; `nested` and `lloyd_max` with calibrated rounding, too. The weights
    are decoded to float32, so that nothing else is rounded.

    Args:
        folder: the shipped model.
        scenes: of the frozen stream, from the first.
    """
    source = folder.path / "agent_fp32.onnx"
    images = np.concatenate(prepared_images(folder, tabletop_scenes(scenes)))
    truths = [tabletop.caption(tabletop.scene_from_seed(index)) for index in range(scenes)]
    server = folder.server()
    exact = _features(Runtime(source), images)
    seen = prepared_images(folder, _training_scenes())
    cases = [(name, granularity, False) for granularity in granularities for name in quantizers]
    cases += [(name, granularities[0], True) for name in quantizers if name in (NESTED, "lloyd_max")]
    found = []
    steps = len(cases) * len(widths)
    for quantizer, granularity, calibrated in cases:
        for bits, model in _models(source, quantizer, granularity, widths, seen if calibrated else ()):
            match = error = None
            if model is not None:
                features = _features(Runtime(model, name=source), images)
                error = float(np.linalg.norm(features - exact) / np.linalg.norm(exact))
                said = [answer.text for answer in server.run(features)]
                match = sum(a == b for a, b in zip(said, truths, strict=True)) / scenes
            found.append(asdict(Point(quantizer, granularity, calibrated, bits, match, error)))
            if progress is not None:
                progress(len(found), steps, f"{quantizer}, {bits} bits")
    return found


def _models(
    source: Path, quantizer: str, granularity: str, widths: Sequence[int], images: Sequence[NDArray[Any]]
) -> Iterator[tuple[int, bytes | None]]:
    """(bits, the model with these weights in float32); None where the quantizer does not have that width."""
    with TemporaryDirectory(prefix="qeil-curve-") as scratch:
        file = Path(scratch) / "agent.qwt"
        together = [tuple(widths)] if quantizer == NESTED else [(bits,) for bits in widths]
        for group in together:
            try:
                quantize_graph(source, file, WeightPlan(group, quantizer, granularity), images=images)
            except ValueError:
                yield from ((bits, None) for bits in group)
                continue
            packed = PackedModel(file)
            yield from ((bits, packed.onnx(bits)) for bits in group)
            packed.close()


def _features(runtime: Runtime, images: NDArray[Any]) -> NDArray[Any]:
    name, output = runtime.input().name, runtime.outputs[0].name
    parts = [runtime.run({name: images[i : i + _BATCH]}, output) for i in range(0, len(images), _BATCH)]
    return np.concatenate(parts)


def _training_scenes() -> Dataset:
    def read(index: int) -> Example:
        _, picture = tabletop.photograph(index, tabletop.TRAINING_STREAM)
        return Example(f"training scene {index}", picture)

    return Dataset("training scenes", [lambda index=index: read(index) for index in range(CALIBRATION)])
