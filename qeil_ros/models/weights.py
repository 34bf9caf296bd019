"""Packed weights of an agent part (`.qwt`): one file, several widths, and an ONNX model of any of them.

    packed = PackedModel(Path("agent.qwt"))
    packed.widths                        # (8, 6, 4, 3, 2)
    packed.onnx(4, "int8")               # bytes of an ONNX model with 4-bit weights as int8 products

A weight is `scale * level`, the scale a float16 times a power of two, the level one of 2^b int8 numbers.
Codes are kept once, at the largest width of a *store*; a smaller width of the same store has fewer levels,
and the code's own level says which of them is nearest. Where rounding was calibrated a bit for each weight
says that the neighbour on the other side was better. Thus 8 bits, and one for each calibrated width, serve
all.
The layout is in docs/weights.md; `weights_pack` writes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import weights_proto
from .quantizers import GRID, spread
from .schema import ModelError, shown
from .weights_file import ArrayFile
from .weights_header import Header, Store, Tensor, Weight, Width, parse
from .weights_proto import FLOAT, INT8

__all__ = ["FORMS", "PackedModel", "bit_plane", "coarse", "neighbours", "planes", "unpack"]

FORMS = ("float", "int8", "qdq")
"""How weights stand in the graph: decoded to float32; as int8 products of activations that are quantized as
they come; as int8 behind DequantizeLinear."""


@dataclass(frozen=True)
class _Decoded:
    """Levels int8 [channels, inputs] of a weight, and their scales."""

    levels: NDArray[np.int8]
    scales: NDArray[np.float32]
    group: int

    def floats(self) -> NDArray[np.float32]:
        found = self.levels.astype(np.float32)
        found *= spread(self.scales, found.shape[1], self.group)
        return found

    def per_channel(self, largest: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """(int8 [channels, inputs], scales [channels]) with magnitudes of `largest` at most.

        Exact, unless scales change within a channel or the levels are larger than that.
        """
        channels = len(self.levels)
        if self.scales.shape[1] == 1 and int(np.abs(self.levels).max(initial=0)) <= largest:
            return self.levels, np.broadcast_to(self.scales[:, 0], channels).copy()
        floats = self.floats()
        scales = np.abs(floats).max(1) / np.float32(largest)
        inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
        return np.rint(floats * inverse[:, None]).astype(np.int8), scales


class PackedModel:
    """An open `.qwt` file. Weights are read from it when a width is asked for; none is kept in memory.

    Attributes:
        widths: what may be asked for, largest first.

    Raises:
        ModelError: it cannot be read, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = ArrayFile(path)
        try:
            self.header: Header = parse(self._file)
        except BaseException:
            self._file.close()
            raise
        self.widths = tuple(sorted(self.header.widths, reverse=True))

    def close(self) -> None:
        self._file.close()

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of which the file has a graph."""
        return tuple(self.header.graphs)

    def allotment(self, bits: int) -> dict[str, int]:
        """The width of each weight tensor where the model is asked for `bits`. ModelError: not offered."""
        if bits not in self.header.widths:
            raise ModelError(
                f"{self.path}: has no weights of {bits} bits, only of {', '.join(map(str, self.widths))}"
            )
        widths = self.header.widths[bits]
        return {weight.name: width for weight, width in zip(self.header.weights, widths, strict=True)}

    def weight(self, name: str, bits: int) -> NDArray[np.float32]:
        """A weight tensor decoded from `bits`, in its shape in the graph. ModelError."""
        weight = next((weight for weight in self.header.weights if weight.name == name), None)
        if weight is None:
            raise ModelError(f"{self.path}: has no weights {shown(name)}")
        return self._shaped(weight, self._decode(weight, bits).floats())

    def onnx(self, bits: int | Mapping[str, int], form: str = "float", *, largest: int = GRID) -> bytes:
        """A serialized ONNX model.

        Args:
            bits: a width that the file offers, or a width for each weight tensor by name.
            form: one of FORMS.
            largest: magnitude of int8 weights at most (machines whose products saturate want 63).

        Raises:
            ModelError: no such width or form here, or the file is damaged.
        """
        if form not in self.header.graphs:
            raise ModelError(f"{self.path}: has no graph of form {form!r}, only {', '.join(self.forms)}")
        allotted = self.allotment(bits) if isinstance(bits, int) else bits
        tensors = [self._tensor(entry) for entry in self.header.tensors]
        for weight in self.header.weights:
            if weight.name not in allotted:
                raise ModelError(f"{self.path}: no width is given for the weights {shown(weight.name)}")
            decoded = self._decode(weight, allotted[weight.name])
            if form == "float" or not weight.product:
                floats = self._shaped(weight, decoded.floats())
                tensors.append(weights_proto.tensor(weight.name, FLOAT, weight.shape, floats))
                continue
            levels, scales = decoded.per_channel(largest)
            tensors += [
                weights_proto.tensor(f"{weight.name}.int8", INT8, levels.T.shape, levels.T),
                weights_proto.tensor(f"{weight.name}.scale", FLOAT, scales.shape, scales),
            ]
        return weights_proto.model(self._graph(form), tensors)

    def _tensor(self, entry: Tensor) -> weights_proto.Pieces:
        data = self._file.read(entry.array)
        return weights_proto.tensor(entry.name, entry.data_type, entry.shape, data)

    def _graph(self, form: str) -> bytes:
        graph = self.header.graphs[form]
        stream = zlib.decompressobj()
        try:
            plain = stream.decompress(self._file.read(graph.array), graph.plain_bytes + 1)
        except zlib.error as error:
            raise ModelError(f"{self.path}: the {form} graph cannot be decompressed: {error}") from error
        if len(plain) != graph.plain_bytes or not stream.eof:
            raise ModelError(
                f"{self.path}: the {form} graph has another size than the {graph.plain_bytes} bytes stated"
            )
        return plain

    def _decode(self, weight: Weight, bits: int) -> _Decoded:
        store, width = weight.stored(bits)
        if store is None or width is None:
            offered = ", ".join(str(bits) for bits in weight.widths)
            raise ModelError(f"{self.path}: weights {weight.name!r} have no {bits} bits, only {offered}")
        levels = np.frombuffer(self._file.read(store.levels), np.int8)
        table, wanted = (levels[_slice(store, each)] for each in (store.widths[0], width))
        codes = unpack(self._file.read(store.codes), store.bits, weight.elements)
        if width is not store.widths[0]:
            nearest = coarse(table, wanted)
            if width.rounding is None:
                table = wanted[nearest]
            else:
                other = neighbours(table, wanted, nearest)
                moved = planes(self._file.read(width.rounding), 1, weight.elements)
                found = np.where(moved, wanted[other][codes], wanted[nearest][codes])
                return self._scaled(weight, store, found)
        return self._scaled(weight, store, table[codes])

    def _scaled(self, weight: Weight, store: Store, levels: NDArray[np.int8]) -> _Decoded:
        halves = np.frombuffer(self._file.read(store.scales), "<f2").astype(np.float32)
        if not np.isfinite(halves).all():
            raise ModelError(f"{self.path}: weights {weight.name!r} have a scale that is no finite number")
        scales = (halves * np.float32(store.unit)).reshape(weight.scale_shape(store))
        return _Decoded(levels.reshape(weight.channels, weight.inputs), scales, store.group or weight.inputs)

    def _shaped(self, weight: Weight, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """A matrix [channels, inputs] as the graph has it."""
        others = [size for axis, size in enumerate(weight.shape) if axis != weight.axis]
        return np.moveaxis(matrix.reshape(weight.channels, *others), 0, weight.axis)


def _slice(store: Store, width: Width) -> slice:
    """Where the levels of a width stand: the widths' levels follow each other."""
    start = 0
    for each in store.widths:
        if each is width:
            break
        start += 1 << each.bits
    return slice(start, start + (1 << width.bits))


def coarse(table: NDArray[np.int8], levels: NDArray[np.int8]) -> NDArray[np.intp]:
    """For each level of `table` the index of the nearest one of `levels`; the lower one of two."""
    doubled = levels.astype(np.int32)
    return np.searchsorted(doubled[1:] + doubled[:-1], 2 * table.astype(np.int32), side="left")


def neighbours(
    table: NDArray[np.int8], levels: NDArray[np.int8], nearest: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The index of the next nearest level, on the other side of the table's; at the ends the nearest."""
    above = table.astype(np.int32) >= levels[nearest].astype(np.int32)
    return np.clip(nearest + np.where(above, 1, -1), 0, len(levels) - 1)


def planes(data: bytes, bits: int, count: int) -> NDArray[np.uint8]:
    """Codes of `bits` from as many bit planes, the most significant first."""
    rows = np.frombuffer(data, np.uint8).reshape(bits, -1)
    codes = np.unpackbits(rows[0], count=count)
    for row in rows[1:]:
        np.left_shift(codes, 1, out=codes)
        np.bitwise_or(codes, np.unpackbits(row, count=count), out=codes)
    return codes


def unpack(data: bytes, bits: int, count: int) -> NDArray[np.uint8]:
    """Codes [count]: bytes where they have 8 bits, else planes."""
    return np.frombuffer(data, np.uint8) if bits == 8 else planes(data, bits, count)


def bit_plane(codes: NDArray[Any], bits: int) -> bytes:
    """The inverse of `unpack`."""
    flat = np.ascontiguousarray(codes, np.uint8).reshape(-1)
    if bits == 8:
        return flat.tobytes()
    return b"".join(np.packbits(flat >> shift & 1).tobytes() for shift in range(bits - 1, -1, -1))
