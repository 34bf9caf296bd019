"""A width for each layer of the agent part, held against one width of the same average, on the model itself.

Errors of the features are measured, with one layer at a time in few bits, and summed as squares: the layers'
errors are independent. Beside it what A_l of the paper (Eq 14) would allot, which was derived for fully
connected layers and is no more than a guess for anything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.datasets import open_dataset
from qeil_ros.models.evaluate import Progress, prepared
from qeil_ros.models.folder import ModelFolder, Split
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.schema import ModelError
from qeil_ros.models.weights import PackedModel
from qeil_ros.planning.layers import allocate, log_sensitivities, matrix_norm

__all__ = ["Allotment", "LayerReport", "layer_report", "show_layers"]

Floats = NDArray[np.float64]

_IMPOSSIBLE = 1e6
"""Times the largest error: what a width that is not offered counts."""


@dataclass(frozen=True)
class Allotment:
    """Widths of one average, and the distortion of the features with them: mean |x - x^| / mean |x|.

    Attributes:
        average: bits a weight that were allowed. bits: of each layer; their mean is `mean`, at most that.
        single: distortion with the one width `average`; measured: with `bits`; by_bound: with A_l's widths.
    """

    average: int
    bits: dict[str, int]
    mean: float
    single: float
    measured: float
    by_bound: float


@dataclass(frozen=True)
class LayerReport:
    """What each layer may have, at each average; `weights`: how many each layer has."""

    split: str
    weights: dict[str, int]
    allotments: tuple[Allotment, ...]
    frames: int

    def per_layer(self) -> dict[str, dict[str, int]]:
        """As `qeil quantize --per-layer` takes it: layers by the width they hold for."""
        return {str(entry.average): entry.bits for entry in self.allotments}


def layer_report(folder: ModelFolder, split: str, data: str, frames: int, progress: Progress) -> LayerReport:
    """Allotments at every offered average but the largest.

    Args:
        split: a cut of the model; empty: the default one.
        data: pictures, as `open_dataset` takes them.

    Raises:
        ModelError: the agent part has no widths to choose from.
    """
    cut = folder.split(split)
    if cut.agent.kind != "packed":
        raise ModelError(
            f"split {cut.name!r}: the agent part {cut.agent.file!r} has no weights in several widths; "
            "`qeil quantize` makes them"
        )
    packed = PackedModel(folder.part_path(cut, "agent"))
    try:
        prepare = Preprocessor(folder.input)
        images = [np.array(prepared(prepare, e.pixels)) for e in open_dataset(data, limit=frames)]
        return _Layers(packed, cut, images, progress).report()
    finally:
        packed.close()


class _Layers:
    def __init__(
        self, packed: PackedModel, cut: Split, images: Sequence[NDArray[Any]], progress: Progress
    ) -> None:
        self._packed, self._cut, self._images = packed, cut, images
        self.sizes = {weight.name: weight.elements for weight in packed.header.weights}
        self.widths = sorted(packed.widths)
        self.top = self.widths[-1]
        self._progress = progress
        self._steps = len(self.sizes) * (len(self.widths) - 1) + 3 * (len(self.widths) - 1)
        self._done = 0

    def report(self) -> LayerReport:
        self._reference = self._features(dict.fromkeys(self.sizes, self.top))
        measured, bound = self._measured(), self._bound()
        found = []
        for average in self.widths[:-1]:
            bits, mean = self._allot(measured, average)
            found.append(
                Allotment(
                    average,
                    bits,
                    mean,
                    self._distortion(dict.fromkeys(self.sizes, average)),
                    self._distortion(bits),
                    self._distortion(self._allot(bound, average)[0]),
                )
            )
        return LayerReport(self._cut.name, self.sizes, tuple(found), len(self._images))

    def _measured(self) -> Floats:
        """Mean squared error of the features with that layer alone in those bits [layers, widths]."""
        table = np.zeros((len(self.sizes), len(self.widths)))
        whole = dict.fromkeys(self.sizes, self.top)
        for layer, name in enumerate(self.sizes):
            for column, bits in enumerate(self.widths[:-1]):
                error = self._features({**whole, name: bits}) - self._reference
                table[layer, column] = float((error**2).mean())
                self._tell(f"{name} at {bits} bits")
        return table

    def _bound(self) -> Floats:
        """(A_l ||W_l - W^_l||)^2 (Eq 13, 14), up to a common factor [layers, widths]."""
        exact = {name: self._matrix(name, self.top) for name in self.sizes}
        logs = log_sensitivities(list(exact.values()))
        table = np.zeros((len(self.sizes), len(self.widths)))
        for layer, (name, matrix) in enumerate(exact.items()):
            for column, bits in enumerate(self.widths[:-1]):
                error = matrix_norm(self._matrix(name, bits) - matrix)
                table[layer, column] = (np.exp(logs[layer] - logs.max()) * error) ** 2
        return table

    def _allot(self, table: Floats, average: int) -> tuple[dict[str, int], float]:
        """Widths by a table for the offered ones; it is spread over 1, 2, ... bits for `allocate`."""
        spread = np.full((len(table), self.top), _IMPOSSIBLE * max(float(table.max()), 1e-30))
        for column, bits in enumerate(self.widths):
            spread[:, bits - 1] = table[:, column]
        # A width that is not offered is as bad as the next narrower one that is.
        for bits in range(self.widths[0], self.top + 1):
            if bits not in self.widths:
                spread[:, bits - 1] = spread[:, bits - 2]
        chosen = allocate(list(self.sizes.values()), spread, average)
        offered = (max(w for w in self.widths if w <= max(b, self.widths[0])) for b in chosen.bits)
        bits_of = dict(zip(self.sizes, offered, strict=True))
        mean = sum(bits_of[name] * size for name, size in self.sizes.items()) / sum(self.sizes.values())
        return bits_of, round(mean, 3)

    def _matrix(self, name: str, bits: int) -> Floats:
        weight = self._packed.weight(name, bits)
        return weight.reshape(weight.shape[0], -1).astype(np.float64)

    def _distortion(self, bits: Mapping[str, int]) -> float:
        self._tell("layers together")
        error = np.abs(self._features(bits) - self._reference).mean()
        return float(f"{error / np.abs(self._reference).mean():.4g}")

    def _features(self, bits: Mapping[str, int]) -> NDArray[Any]:
        runtime = Runtime(self._packed.onnx(bits, "float"), name=self._packed.path, threads=1)
        image, output = runtime.input(self._cut.agent.input).name, runtime.output(self._cut.agent.output).name
        return np.concatenate([runtime.run({image: each}, output) for each in self._images])

    def _tell(self, what: str) -> None:
        self._done += 1
        self._progress(self._done, self._steps, what)


def show_layers(console: Any, report: LayerReport, average: int) -> None:
    """Two tables: what the allotments do, and the layers' widths at one average (the nearest there is)."""
    from rich import box
    from rich.table import Table

    drawn = Table(
        title=f"A width for each layer of {report.split}: distortion of the features, {report.frames} frames",
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    for heading in ("bits a weight", "one width", "by measured errors", "ratio", "by A_l (Eq 14)"):
        drawn.add_column(heading, justify="right")
    for entry in report.allotments:
        drawn.add_row(
            str(entry.average),
            f"{entry.single:.4f}",
            f"{entry.measured:.4f}",
            f"{entry.measured / entry.single:.2f}" if entry.single else "",
            f"{entry.by_bound:.4f}",
        )
    console.print(drawn)
    shown = min(report.allotments, key=lambda entry: abs(entry.average - average))
    pieces = ", ".join(f"{name} {bits}" for name, bits in shown.bits.items())
    console.print(f"Widths at {shown.average} bits a weight on average: {pieces}.", markup=False)
