"""Pruning of an agent part: a float32 ONNX graph in, one with fewer weights out.

    pruned, report = prune(onnx.load("agent.onnx"), PrunePlan(structured={"heads": 0.25, "neurons": 0.5}))

Structured pruning takes heads, neurons and channels out of the graph: it gets smaller and faster.
Unstructured pruning sets single weights to zero: the file compresses better, but a dense product takes as
long as before. Without images the smallest weights go. With some tens of them those go that the outputs miss
least, and what stays is refitted (prune_surgery), which no training has to follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .prune_graph import KINDS, Group, PruneGraph, kept
from .prune_layers import Layer, layers_of, second_moments
from .prune_surgery import Reader, remove_units, sparsify
from .schema import ModelError

__all__ = ["SCOPES", "PrunePlan", "PruneReport", "PrunedLayer", "prune"]

SCOPES = ("layer", "global")
_VECTOR = 16
"""Channels that a kernel computes at a time: 58 take longer than 64 in onnxruntime's convolutions."""
LEAST_ELEMENTS = 256
"""Weights of fewer elements stay: nothing is to be won."""


@dataclass(frozen=True)
class PrunePlan:
    """How much to take out.

    Attributes:
        sparsity: share of the single weights that become zero, 0 to below 1; of those that stay after the
            structured part.
        structured: kind (heads, neurons, channels) -> share of these units that are removed, 0 to below 1;
            one unit of each layer stays in any case. With `scope` layer, what stays of neurons and channels
            is a multiple of 16 where there was one: kernels are no faster for less.
        scope: `layer` takes that share of every layer; `global` of all layers together, more from those whose
            weights are smaller.

    Raises:
        ValueError: a value is not possible, or nothing would be pruned.
    """

    sparsity: float = 0.0
    structured: Mapping[str, float] = field(default_factory=dict)
    scope: str = "layer"

    def __post_init__(self) -> None:
        for name, share in (("sparsity", self.sparsity), *self.structured.items()):
            if name != "sparsity" and name not in KINDS:
                raise ValueError(f"no units called {name!r}; there are {', '.join(KINDS)}")
            if not 0 <= share < 1:
                raise ValueError(f"{name} is {share}; want a share from 0 to below 1")
        if self.scope not in SCOPES:
            raise ValueError(f"no scope {self.scope!r}; there are {', '.join(SCOPES)}")
        if not self.sparsity and not any(self.structured.values()):
            raise ValueError("nothing to prune: say how much, as a sparsity or as shares of units")

    def __str__(self) -> str:
        shares = [f"{kind} {share:g}" for kind, share in self.structured.items() if share]
        return ", ".join([*shares, *([f"weights {self.sparsity:g}"] if self.sparsity else [])])


@dataclass(frozen=True)
class PrunedLayer:
    """What left a layer: units of a kind, or single `weights`."""

    name: str
    kind: str
    before: int
    after: int


@dataclass(frozen=True)
class PruneReport:
    """What came of it; `nonzero` of the `weights` are not zero.

    `untouched`: tensor -> why its channels stay.
    """

    plan: PrunePlan
    calibrated: int
    weights_before: int
    weights: int
    nonzero: int
    layers: list[PrunedLayer]
    untouched: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def prune(
    model: Any,
    plan: PrunePlan,
    *,
    images: Sequence[NDArray[Any]] = (),
    width: int | None = None,
    height: int | None = None,
) -> tuple[Any, PruneReport]:
    """(the pruned onnx.ModelProto, what was done) of an onnx.ModelProto in float32, which is not changed.

    Args:
        images: prepared ones, [1, ...], to choose by and refit with; none: the smallest weights go.
        width, height: of the image [pixels], where the graph leaves them open.

    Raises:
        ModelError: the graph cannot be read or run, is quantized, or has nothing of what is to be pruned.
    """
    graph = PruneGraph(model, width=width, height=height)
    before = _count(graph)
    done: list[PrunedLayer] = []
    groups, untouched = graph.groups() if any(plan.structured.values()) else ([], {})
    for kind, share in plan.structured.items():
        if share and not any(group.kind == kind for group in groups):
            why = "; ".join(f"{name}: {reason}" for name, reason in list(untouched.items())[:3])
            raise ModelError(f"the graph has no {kind} that could be removed{f' ({why})' if why else ''}")
    counts = _counts(graph, groups, plan)
    if sum(counts):
        removed = _choose(graph, groups, counts, images)
        done += [PrunedLayer(g.name, g.kind, g.units, g.units - int(r.sum())) for g, r in removed]
        graph = graph.remove(kept([(group, units) for group, units in removed if units.any()]))
    if plan.sparsity:
        done += _sparse(graph, plan, images)
    return graph.to_model(), PruneReport(
        plan, len(images), before, _count(graph), _count(graph, nonzero=True), done, untouched
    )


# --- whole units


def _counts(graph: PruneGraph, groups: Sequence[Group], plan: PrunePlan) -> list[int]:
    """How many units of each group go."""
    shares = [plan.structured.get(group.kind, 0.0) for group in groups]
    most = [group.units - 1 for group in groups]
    if plan.scope == "layer":
        return [
            min(_share(group, share), limit) for share, group, limit in zip(shares, groups, most, strict=True)
        ]
    counts = [0] * len(groups)
    for kind, share in plan.structured.items():
        mine = [i for i, group in enumerate(groups) if group.kind == kind]
        sizes = {i: np.sort(_magnitudes(graph, groups[i]))[: most[i]] for i in mine}
        means = {i: max(float(_magnitudes(graph, groups[i]).mean()), 1e-30) for i in mine}
        ranked = sorted((float(size) / means[i], i) for i in mine for size in sizes[i])
        for _, i in ranked[: round(share * sum(groups[i].units for i in mine))]:
            counts[i] += 1
    return counts


def _share(group: Group, share: float) -> int:
    """How many units that share is: whole vectors of channels stay, for the odd one costs as much as they."""
    left = group.units - round(share * group.units)
    if group.kind != "heads" and group.units > _VECTOR and group.units % _VECTOR == 0:
        left = max(_VECTOR, _VECTOR * round((1 - share) * group.units / _VECTOR))
    return group.units - left


def _choose(
    graph: PruneGraph, groups: Sequence[Group], counts: Sequence[int], images: Sequence[NDArray[Any]]
) -> list[tuple[Group, NDArray[np.bool_]]]:
    """Which units of each group go; with images the layers that read them are refitted."""
    layers = layers_of(graph)
    readers = {
        group.name: [layer for layer in layers if (layer.weight, layer.axis) in group.labels]
        for group, count in zip(groups, counts, strict=True)
        if count
    }
    asked = {layer.weight: layer for each in readers.values() for layer in each}
    moments = second_moments(graph, list(asked.values()), images) if images else {}
    found = []
    for group, count in zip(groups, counts, strict=True):
        mine = readers.get(group.name, [])
        if mine and moments:
            parts = [_reader(graph, layer, group, moments[layer.weight]) for layer in mine]
            removed = remove_units(parts, group.units, count)
            for layer, part in zip(mine, parts, strict=True):
                _put(graph, layer, part.weights)
        else:
            removed = np.zeros(group.units, bool)
            removed[np.argsort(_magnitudes(graph, group), kind="stable")[:count]] = True
        found.append((group, removed))
    return found


def _reader(graph: PruneGraph, layer: Layer, group: Group, moments: NDArray[np.float64]) -> Reader:
    """The layer, with its bias as the weights of an input that is always 1."""
    units = np.append(layer.units(group.labels[layer.weight, layer.axis]), -1)
    if not layer.bias:
        return Reader(layer.matrix(graph), moments[:-1, :-1], units[:-1])
    return Reader(_with_bias(graph, layer), moments, units)


def _magnitudes(graph: PruneGraph, group: Group) -> NDArray[np.float64]:
    """Sum of the squares of the weights that would leave with each unit, [units]."""
    total = np.zeros(group.units)
    for (name, axis), labels in group.labels.items():
        if name in graph.weights:
            weights = np.moveaxis(graph.weights[name].astype(np.float64), axis, 0)
            sizes = (weights**2).reshape(len(labels), -1).sum(axis=1)
            np.add.at(total, labels[labels >= 0], sizes[labels >= 0])
    return total


# --- single weights


def _sparse(graph: PruneGraph, plan: PrunePlan, images: Sequence[NDArray[Any]]) -> list[PrunedLayer]:
    layers = layers_of(graph, LEAST_ELEMENTS)
    if not layers:
        raise ModelError(f"the graph has no float32 weights of {LEAST_ELEMENTS} elements or more")
    shares = [plan.sparsity] * len(layers)
    if plan.scope == "global":
        sizes = [np.abs(graph.weights[layer.weight]).ravel() for layer in layers]
        together = np.concatenate(sizes)
        limit = np.partition(together, at)[at] if (at := round(plan.sparsity * len(together))) else 0
        shares = [float((each < limit).mean()) for each in sizes]
    moments = second_moments(graph, layers, images) if images else {}
    done = []
    for layer, share in zip(layers, shares, strict=True):
        if moments:
            fixed = 1 if layer.bias else 0
            weights = _with_bias(graph, layer) if fixed else layer.matrix(graph)
            square = moments[layer.weight] if fixed else moments[layer.weight][:-1, :-1]
            _put(graph, layer, sparsify(weights, square, share, fixed))
        else:
            weights = layer.matrix(graph).copy()
            smallest = np.argsort(np.abs(weights), axis=None, kind="stable")[: round(share * weights.size)]
            weights.ravel()[smallest] = 0
            layer.put(graph, weights)
        array = graph.weights[layer.weight]
        done.append(PrunedLayer(layer.weight, "weights", array.size, int(np.count_nonzero(array))))
    return done


def _with_bias(graph: PruneGraph, layer: Layer) -> NDArray[np.float64]:
    return np.vstack([layer.matrix(graph), graph.weights[layer.bias]])


def _put(graph: PruneGraph, layer: Layer, weights: NDArray[np.float64]) -> None:
    """Sets the weights, and the bias where they have a row for it."""
    if layer.bias:
        graph.weights[layer.bias] = weights[-1].astype(graph.weights[layer.bias].dtype)
        weights = weights[:-1]
    layer.put(graph, weights)


def _count(graph: PruneGraph, *, nonzero: bool = False) -> int:
    floats = [array for array in graph.weights.values() if array.dtype.kind == "f"]
    return int(sum(np.count_nonzero(array) if nonzero else array.size for array in floats))
