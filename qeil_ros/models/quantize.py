"""Weight quantization of an agent part: an ONNX graph in, a packed file of several widths out.

    plan = WeightPlan(widths=(8, 4, 2))
    report = quantize_graph(Path("agent_fp32.onnx"), Path("agent.qwt"), plan, images=prepared)

Without images every weight goes to its nearest level. With some tens of them, of the kind that the robot will
see, weights of 4 bits or fewer are rounded for the least error of their layer's outputs (quantize_rounding).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .quantize_graph import Layer, WeightGraph
from .quantize_observe import observe
from .quantize_rounding import Curvature
from .quantizers import GRANULARITIES, QUANTIZERS
from .runtime import Runtime
from .schema import ModelError
from .weights import PackedModel
from .weights_pack import NESTED, Packed, pack, write_packed

__all__ = ["LayerReport", "Report", "WeightPlan", "quantize_graph"]

STATIC_LIMIT = 1e-3
"""Inputs are quantized to calibrated ranges where that costs no more than this of 1 - cosine."""
SLACK_BYTES = 4096

Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, what is being done)"""


@dataclass(frozen=True)
class WeightPlan:
    """What to make of the weights.

    Attributes:
        widths: bits that may be asked for at run time, each 1 to 8.
        quantizer: `nested`, or one of `quantizers.QUANTIZERS`, then each width has codes of its own.
        granularity: what shares a scale: tensor, channel or group.
        group: weights of a channel that share a scale, for `group`.
        per_layer: for a width that may be asked for, the bits of single weights by name; others get it as is.

    Raises:
        ValueError: a value is not possible.
    """

    widths: tuple[int, ...] = (8, 6, 4, 3, 2)
    quantizer: str = NESTED
    granularity: str = "channel"
    group: int = 64
    per_layer: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        everywhere = [*self.widths, *(b for layers in self.per_layer.values() for b in layers.values())]
        if not self.widths or any(isinstance(b, bool) or b not in range(1, 9) for b in everywhere):
            raise ValueError(f"widths {everywhere}; whole numbers from 1 to 8 are possible")
        if self.quantizer not in (NESTED, *QUANTIZERS):
            raise ValueError(f"no quantizer {self.quantizer!r}; there are {', '.join((NESTED, *QUANTIZERS))}")
        if self.granularity not in GRANULARITIES:
            raise ValueError(f"no granularity {self.granularity!r}; there are {', '.join(GRANULARITIES)}")
        if unknown := sorted(set(self.per_layer) - set(self.widths)):
            raise ValueError(
                f"bits for single weights at width {unknown[0]}, which is not among {self.widths}"
            )

    def bits(self, width: int, weight: str) -> int:
        """Of a weight, where the model is asked for `width`."""
        return self.per_layer.get(width, {}).get(weight, width)


@dataclass(frozen=True)
class LayerReport:
    """What quantization did to a weight: for each width the relative L2 errors, of the weights and of the
    outputs (None: not calibrated)."""

    name: str
    op: str
    shape: tuple[int, ...]
    errors: dict[int, tuple[float, float | None]]


@dataclass(frozen=True)
class Report:
    """What came of it. `sizes`: for each width, the bytes of its weights, scales and levels alone."""

    source_bytes: int
    packed_bytes: int
    widths: tuple[int, ...]
    sizes: dict[int, int]
    layers: list[LayerReport]
    calibrated: int
    """Images that were calibrated with."""
    static_error: float | None
    """1 - cosine of the features with inputs quantized to calibrated ranges, on images that were spared for
    that; None: there were too few."""

    def to_json(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__dataclass_fields__}
        layers = [
            {
                "name": layer.name,
                "op": layer.op,
                "shape": list(layer.shape),
                "errors": {
                    str(bits): {"weights": weights, "outputs": outputs}
                    for bits, (weights, outputs) in layer.errors.items()
                },
            }
            for layer in self.layers
        ]
        return {**record, "sizes": {str(bits): size for bits, size in self.sizes.items()}, "layers": layers}


def quantize_graph(
    source: Path,
    target: Path,
    plan: WeightPlan | None = None,
    *,
    images: Sequence[NDArray[Any]] = (),
    threads: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Writes the packed weights of an ONNX graph in float32.

    Args:
        images: prepared ones, [1, ...], to calibrate with; none: no calibration.

    Raises:
        ModelError: the graph cannot be read or run, or has nothing to quantize.
        ValueError: the plan names a weight that is not there, or a width that the quantizer cannot have.
    """
    plan = plan or WeightPlan()
    graph = WeightGraph(source)
    names = {layer.name for layer in graph.layers}
    for name in sorted({name for layers in plan.per_layer.values() for name in layers} - names):
        raise ValueError(f"no weight {name!r} in {source}; there are {', '.join(sorted(names))}")
    work = _Work(graph, plan, progress)
    ranges: dict[str, tuple[float, float]] = {}
    packed: dict[str, Packed] = {}
    used, held = _apart(images)
    if images:
        told = work.tell("running the calibration images")
        for tensor, seen in observe(graph, used, threads=threads, tell=told):
            ranges[tensor] = (seen.low, seen.high)
            users = [layer for layer in graph.layers if layer.product and layer.input == tensor]
            packed |= work.layers(users, Curvature(seen.hessian))
    packed |= work.layers([layer for layer in graph.layers if layer.name not in packed], None)
    weights = [packed[layer.name] for layer in graph.layers]
    widths = {width: [plan.bits(width, layer.name) for layer in graph.layers] for width in plan.widths}
    made = {
        "quantizer": plan.quantizer,
        "granularity": plan.granularity,
        "calibration_images": len(images),
    }
    error = None
    size = write_packed(target, weights, graph.kept, graph.skeletons(ranges if held else {}), widths, made)
    if held:
        error = _static_error(target, max(plan.widths), held, threads)
        if not error <= STATIC_LIMIT:
            size = write_packed(target, weights, graph.kept, graph.skeletons(), widths, made)
    _check_size(size, weights, graph)
    return Report(
        source_bytes=source.stat().st_size,
        packed_bytes=size,
        widths=tuple(sorted(plan.widths, reverse=True)),
        sizes={
            width: sum(_width_bytes(each, bits) for each, bits in zip(weights, widths[width], strict=True))
            for width in plan.widths
        },
        layers=[
            LayerReport(
                each.layer.name,
                each.layer.op,
                each.layer.shape,
                {width: each.error(plan.bits(width, each.layer.name)) for width in plan.widths},
            )
            for each in weights
        ],
        calibrated=len(images),
        static_error=error,
    )


def _apart(images: Sequence[NDArray[Any]]) -> tuple[Sequence[NDArray[Any]], Sequence[NDArray[Any]]]:
    """(images to calibrate with, images to try calibrated ranges on). Of few none can be spared to try."""
    spared = len(images) // 8
    return images[: len(images) - spared], images[len(images) - spared :]


class _Work:
    """Packs layers and tells how far it has come."""

    def __init__(self, graph: WeightGraph, plan: WeightPlan, progress: Progress | None) -> None:
        self._graph, self._plan, self._progress, self._done = graph, plan, progress, 0

    def tell(self, what: str) -> Callable[[int, int], None]:
        def told(done: int, total: int) -> None:
            if self._progress is not None:
                self._progress(done, total, what)

        return told

    def layers(self, layers: Sequence[Layer], curvature: Curvature | None) -> dict[str, Packed]:
        plan, found = self._plan, {}
        for layer in layers:
            wanted = [plan.bits(width, layer.name) for width in plan.widths]
            try:
                found[layer.name] = pack(
                    self._graph.matrix(layer),
                    layer,
                    wanted,
                    plan.quantizer,
                    plan.granularity,
                    plan.group,
                    curvature,
                )
            except ValueError as error:
                raise ValueError(f"weights {layer.name!r}: {error}") from error
            self._done += 1
            self.tell("quantizing weights")(self._done, len(self._graph.layers))
        return found


def _static_error(path: Path, bits: int, images: Sequence[NDArray[Any]], threads: int) -> float:
    """1 - cosine between the outputs with inputs quantized to calibrated ranges and without, the worst."""
    packed = PackedModel(path)
    try:
        if "qdq" not in packed.forms:
            return math.nan
        exact, static = (
            Runtime(packed.onnx(bits, form), name=path, threads=threads) for form in ("float", "qdq")
        )
    finally:
        packed.close()
    worst = 0.0
    for image in images:
        a, b = (
            r.run({r.input().name: image}, r.outputs[0].name).astype(np.float64).ravel()
            for r in (exact, static)
        )
        worst = max(worst, 1 - float(a @ b) / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))
    return worst


def _width_bytes(packed: Packed, bits: int) -> int:
    """What a weight takes at that width alone: codes, scales, levels."""
    store = next(store for store in packed.stores if bits in store.levels)
    return -(-store.codes.size * bits // 8) + 2 * store.scales.size + (1 << bits)


def _check_size(size: int, weights: Sequence[Packed], graph: WeightGraph) -> None:
    """A file that is larger than its parts explain holds weights that were not quantized."""
    stored = sum(
        _width_bytes(each, store.bits) + len(store.rounding) * -(-store.codes.size // 8)
        for each in weights
        for store in each.stores
    )
    rest = sum(len(each.data) for each in graph.kept) + sum(map(len, graph.skeletons().values()))
    explained = 1.02 * stored + rest + SLACK_BYTES + 1024 * (len(weights) + len(graph.kept))
    if size > explained:
        raise ModelError(f"the packed file has {size} bytes, its weights explain {explained:.0f} at most")
