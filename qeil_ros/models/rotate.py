"""Gives a model folder the basis in which a cut's features code best, learned from pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from .basis import Statistics
from .create import drafted, write_yaml
from .datasets import Dataset
from .folder import ModelFolder, file_sha256
from .preprocess import Preprocessor
from .schema import ModelError

__all__ = ["Learned", "rotate"]


@dataclass(frozen=True)
class Learned:
    """A basis that was learned and written.

    Attributes:
        images: it was learned from.
        variance: [channels], falling: mean square of each component.
        components: how many of them travel.
        gain_db: coding gain over the channels as they are: how much smaller the squared error is at the
            same, high rate.
    """

    folder: ModelFolder
    images: int
    variance: NDArray[np.float64]
    components: int
    gain_db: float

    @property
    def kept(self) -> float:
        """Share of the variance that travels."""
        return float(self.variance[: self.components].sum() / self.variance.sum())


def rotate(
    folder: ModelFolder,
    dataset: Dataset,
    out: Path,
    *,
    split: str = "",
    components: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Learned:
    """Writes a copy of the folder, into `out`, in which that cut's features travel in a learned basis.

    Args:
        dataset: pictures like those that the robot will see; none of them is needed for a later score.
        components: how many travel; None: all.
        progress: called with (pictures done, of how many).

    Raises:
        ModelError: too few pictures, features without positions, or `out` exists.
        DatasetError: a picture cannot be read.
    """
    cut = folder.split(split)
    agent, prepare = folder.agent(cut.name), Preprocessor(folder.input)
    statistics = Statistics(cut.shape, cut.channel_axis)
    for done, example in enumerate(dataset, 1):
        pixels = np.ascontiguousarray(example.pixels)
        height, width = pixels.shape[:2]
        image = prepare(pixels.reshape(-1), width, height, 3 * width, "rgb8")
        statistics.add(agent.run(image)[0])
        if progress:
            progress(done, len(dataset))
    basis, variance = statistics.basis(components)
    with drafted(out, overwrite=overwrite) as draft:
        shutil.copytree(folder.path, draft, dirs_exist_ok=True)
        file = f"basis_{cut.name}.npz"
        basis.write(draft / file)
        document = yaml.safe_load((draft / "model.yaml").read_text(encoding="utf-8"))
        document["splits"][cut.name]["basis"] = {
            "file": file,
            "sha256": file_sha256(draft / file),
            "components": basis.matrix.shape[1],
        }
        write_yaml(draft, document)
        if ModelFolder.load(draft).basis(cut.name) is None:
            raise ModelError(f"{draft}: the basis was not written")
    gain_db = _gain_db(statistics.channel_variance(), variance)
    return Learned(ModelFolder.load(out), statistics.images, variance, basis.matrix.shape[1], gain_db)


def _gain_db(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """Ratio of the geometric means of the variances; those of no weight, which cost no bits, count alike."""
    floor = 1e-6 * after.sum() / len(after)
    logs = [np.log10(np.maximum(variance, floor)).mean() for variance in (before, after)]
    return float(10 * (logs[0] - logs[1]))
