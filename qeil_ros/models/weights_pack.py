"""Weights quantized for a `.qwt` file, and the file written. `weights` reads it; see docs/weights.md."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .quantize_graph import Kept, Layer
from .quantize_rounding import Curvature
from .quantizers import Quantized, lloyd_max, quantize, scale_unit, spread
from .weights import bit_plane, coarse, neighbours
from .weights_file import write

__all__ = ["NESTED", "Packed", "Stored", "pack", "write_packed"]

NESTED = "nested"
"""One store for all widths: the codes of the largest, coarsened to the levels of least squared error."""
ROUNDED_UP_TO = 4
"""Widths up to this one get a bit for each weight that tells its calibrated rounding: above, the nearest
level does as well, and the bit would be wasted."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Stored:
    """A store of a weight matrix [channels, inputs], before it is written.

    Attributes:
        codes: uint8 [channels, inputs] at `bits`.
        scales: float32; see `quantizers.Quantized`.
        levels: for each width, the store's own first, int8 [2^bits] ascending.
        rounding: for calibrated widths, which weights take the neighbour of the nearest level.
        errors: for each width the relative L2 error of the weights, and where it was calibrated of the
            layer's outputs on the calibration images.
    """

    bits: int
    granularity: str
    group: int
    codes: NDArray[np.uint8]
    scales: Floats
    levels: dict[int, NDArray[np.int8]]
    rounding: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    errors: dict[int, tuple[float, float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Packed:
    """A layer and its stores."""

    layer: Layer
    stores: list[Stored]

    def error(self, bits: int) -> tuple[float, float | None]:
        """(of the weights, of the outputs or None); relative L2."""
        return next(store.errors[bits] for store in self.stores if bits in store.errors)


def pack(
    matrix: Floats,
    layer: Layer,
    widths: Sequence[int],
    quantizer: str,
    granularity: str,
    group: int,
    curvature: Curvature | None = None,
) -> Packed:
    """Quantizes the weights of a layer to each of these widths.

    Args:
        quantizer: one of `quantizers.QUANTIZERS`, each width with codes of its own, or `nested`.
        curvature: of the layer's inputs, to round for the least error of its outputs; None: to the nearest
            level.
    """
    ordered = sorted(set(widths), reverse=True)
    if quantizer == NESTED:
        top = ordered[0]
        own = "symmetric" if top == 8 else "lloyd_max"
        stores = [_store(matrix, top, own, granularity, group, curvature, ordered[1:])]
    else:
        stores = [_store(matrix, bits, quantizer, granularity, group, curvature) for bits in ordered]
    return Packed(layer, stores)


def _store(
    matrix: Floats,
    bits: int,
    quantizer: str,
    granularity: str,
    group: int,
    curvature: Curvature | None,
    smaller: Sequence[int] = (),
) -> Stored:
    found = quantize(matrix, bits, quantizer, granularity, group=group, grid=True)
    wide = spread(found.scales, matrix.shape[1], found.group)
    codes, table = found.codes, found.levels.astype(np.int8)
    if curvature is not None and bits <= ROUNDED_UP_TO:  # costs nothing: these are the codes themselves
        codes = _calibrated_codes(matrix, found, wide, curvature)
    run = group if granularity == "group" else 0
    store = Stored(bits, granularity, run, codes, found.scales, {bits: table})
    store.errors[bits] = _errors(matrix, table[codes] * wide, curvature)
    for width in smaller:
        levels = _coarser(table, codes, wide, width)
        nearest = coarse(table, levels)
        values = levels[nearest][codes]
        if curvature is not None and width <= ROUNDED_UP_TO:
            other = levels[neighbours(table, levels, nearest)][codes]
            moved = curvature.choose(matrix, values * wide, other * wide)
            values = np.where(moved, other, values)
            store.rounding[width] = moved
        store.levels[width] = levels
        store.errors[width] = _errors(matrix, values * wide, curvature)
    return store


def _calibrated_codes(
    matrix: Floats, found: Quantized, wide: Floats, curvature: Curvature
) -> NDArray[np.uint8]:
    last = int(np.flatnonzero(np.diff(found.levels))[-1]) + 1 if np.any(np.diff(found.levels)) else 0
    near = found.codes.astype(np.int32)
    above = matrix >= found.levels[near] * wide
    other = np.clip(near + np.where(above, 1, -1), 0, last)
    moved = curvature.choose(matrix, found.levels[near] * wide, found.levels[other] * wide)
    return np.where(moved, other, near).astype(np.uint8)


def _coarser(table: NDArray[np.int8], codes: NDArray[np.uint8], wide: Floats, bits: int) -> NDArray[np.int8]:
    """The levels of a smaller width with the least squared error for these codes."""
    power = np.broadcast_to(np.square(wide), codes.shape)
    counts = np.bincount(codes.reshape(-1), weights=power.reshape(-1), minlength=len(table))
    values, where = np.unique(table, return_inverse=True)
    mass = np.bincount(where.reshape(-1), weights=counts)
    if len(values) == 1:
        return np.repeat(values, 1 << bits)
    found: NDArray[np.int8] = np.rint(lloyd_max(values, mass + 1e-12 * mass.max(), 1 << bits)).astype(np.int8)
    return found


def _errors(matrix: Floats, values: Floats, curvature: Curvature | None) -> tuple[float, float | None]:
    size = float(np.linalg.norm(matrix))
    weights = float(np.linalg.norm(matrix - values)) / size if size else 0.0
    return weights, None if curvature is None else curvature.error(matrix, values)


def write_packed(
    path: Path,
    weights: Sequence[Packed],
    kept: Sequence[Kept],
    graphs: Mapping[str, bytes],
    widths: Mapping[int, Sequence[int]],
    made: Mapping[str, Any],
) -> int:
    """Writes a `.qwt` file and returns its size.

    Args:
        graphs: serialized models without weights, by form.
        widths: for each width that may be asked for the width of each weight.
        made: how it was made, for people; JSON values.
    """
    arrays: list[bytes] = []

    def put(data: bytes) -> int:
        arrays.append(data)
        return len(arrays) - 1

    header = {
        "graphs": {
            form: {"array": put(zlib.compress(graph, 9)), "bytes": len(graph)}
            for form, graph in graphs.items()
        },
        "tensors": [
            {"name": k.name, "data_type": k.data_type, "shape": list(k.shape), "array": put(k.data)}
            for k in kept
        ],
        "weights": [
            {
                "name": packed.layer.name,
                "shape": list(packed.layer.shape),
                "axis": packed.layer.axis,
                "product": int(packed.layer.product),
                "stores": [_described(store, put) for store in packed.stores],
            }
            for packed in weights
        ],
        "widths": {str(bits): list(allotted) for bits, allotted in widths.items()},
        "made": dict(made),
    }
    return write(path, header, arrays)


def _described(store: Stored, put: Any) -> dict[str, Any]:
    unit = scale_unit(store.scales)
    described: dict[str, Any] = {
        "bits": store.bits,
        "granularity": store.granularity,
        "unit": unit,
        "codes": put(bit_plane(store.codes, store.bits)),
        "scales": put((store.scales / np.float32(unit)).astype("<f2").tobytes()),
        "levels": put(b"".join(levels.tobytes() for levels in store.levels.values())),
        "widths": [],
    }
    if store.group:
        described["group"] = store.group
    for bits in store.levels:
        entry: dict[str, Any] = {"bits": bits, "error": round(store.errors[bits][0], 6)}
        if bits in store.rounding:
            entry["rounding"] = put(bit_plane(store.rounding[bits], 1))
        described["widths"].append(entry)
    return described
