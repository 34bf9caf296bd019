"""The header of packed weights, parsed and checked: what each array is, and that it has the right size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from .schema import ModelError, Section
from .weights_file import ArrayFile

__all__ = ["Graph", "Header", "Store", "Tensor", "Weight", "Width", "parse"]

MAX_GRAPH_BYTES = 256 << 20
MAX_ELEMENTS = 1 << 31
MAX_NAME = 1024
_ITEM_BYTES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
"""Of an element, by TensorProto.DataType."""
_FORMS = ("float", "int8", "qdq")


@dataclass(frozen=True)
class Graph:
    """A serialized ModelProto without the initializers that the file holds; zlib."""

    array: int
    plain_bytes: int


@dataclass(frozen=True)
class Tensor:
    """An initializer as it was."""

    name: str
    data_type: int
    shape: tuple[int, ...]
    array: int


@dataclass(frozen=True)
class Width:
    """A width that a store serves; `rounding` is the array of the bits that move weights, if there is one.

    `error` is the relative L2 error of the weights, for people.
    """

    bits: int
    rounding: int | None
    error: float


@dataclass(frozen=True)
class Store:
    """Codes of `bits`, their scales (float16 times `unit`), the levels of each width."""

    bits: int
    codes: int
    scales: int
    levels: int
    unit: float
    granularity: str
    group: int
    """Inputs that share a scale, for granularity `group`; else 0."""
    widths: tuple[Width, ...]
    """The first is the store's own."""


@dataclass(frozen=True)
class Weight:
    """A quantized initializer: a matrix [channels, inputs] once `axis` of its shape has gone to the front.

    `product`: the int8 graph multiplies with it as int8.
    """

    name: str
    shape: tuple[int, ...]
    axis: int
    product: bool
    stores: tuple[Store, ...]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[self.axis]

    @property
    def inputs(self) -> int:
        return self.elements // self.channels

    @property
    def widths(self) -> list[int]:
        return sorted((width.bits for store in self.stores for width in store.widths), reverse=True)

    def stored(self, bits: int) -> tuple[Store | None, Width | None]:
        """Where that width is."""
        for store in self.stores:
            for width in store.widths:
                if width.bits == bits:
                    return store, width
        return None, None

    def scale_shape(self, store: Store) -> tuple[int, int]:
        if store.granularity == "tensor":
            return 1, 1
        return self.channels, -(-self.inputs // store.group) if store.group else 1


@dataclass(frozen=True)
class Header:
    """All of it. `widths`: for each width that may be asked for, the width of each weight, in their order."""

    graphs: dict[str, Graph]
    tensors: tuple[Tensor, ...]
    weights: tuple[Weight, ...]
    widths: dict[int, tuple[int, ...]]
    made: dict[str, Any]
    """How it was made, for people."""


def parse(file: ArrayFile) -> Header:
    """Raises ModelError where a field is missing, out of range, or an array has another size than it must."""
    return _Parser(file).header()


class _Parser:
    def __init__(self, file: ArrayFile) -> None:
        self._file = file
        self._top = Section(file.header, str(file.path))

    def header(self) -> Header:
        top = self._top
        graphs = top.section("graphs")
        found = {form: self._graph(graphs, form) for form in graphs.keys() if form in _FORMS}  # noqa: SIM118
        graphs.done()
        if "float" not in found:
            raise top.error("graphs", "has no graph of form 'float'")
        weights = tuple(self._weight(section) for section in self._list("weights"))
        names = [weight.name for weight in weights]
        tensors = tuple(self._tensor(section) for section in self._list("tensors"))
        names += [tensor.name for tensor in tensors]
        if len(set(names)) != len(names):
            raise top.error("weights", "two tensors have the same name")
        header = Header(found, tensors, weights, self._widths(weights), self._made())
        top.done()
        return header

    def _list(self, key: str) -> list[Section]:
        entries = self._top.value(key)
        if not isinstance(entries, list):
            raise self._top.error(key, "want a list")
        return [Section(entry, self._top.where, f"{key}[{index}]") for index, entry in enumerate(entries)]

    def _graph(self, graphs: Section, form: str) -> Graph:
        section = graphs.section(form)
        found = Graph(self._array(section, "array", None), section.integer("bytes", high=MAX_GRAPH_BYTES))
        section.done()
        return found

    def _tensor(self, section: Section) -> Tensor:
        shape = self._shape(section)
        data_type = section.integer("data_type")
        if data_type not in _ITEM_BYTES:
            raise section.error("data_type", f"{data_type} is not an element type of fixed size")
        size = math.prod(shape) * _ITEM_BYTES[data_type]
        found = Tensor(self._name(section), data_type, shape, self._array(section, "array", size))
        section.done()
        return found

    def _weight(self, section: Section) -> Weight:
        shape = self._shape(section)
        if not shape or math.prod(shape) == 0:
            raise section.error("shape", f"want dimensions of 1 or more, got {list(shape)}")
        bare = Weight(
            name=self._name(section),
            shape=shape,
            axis=section.integer("axis", high=len(shape) - 1),
            product=bool(section.integer("product", high=1)),
            stores=(),
        )
        entries = section.value("stores")
        if not isinstance(entries, list) or not 1 <= len(entries) <= 8:
            raise section.error("stores", "want a list of 1 to 8")
        stores = tuple(
            self._store(Section(entry, section.where, f"{section.key}.stores[{index}]"), bare)
            for index, entry in enumerate(entries)
        )
        section.done()
        weight = Weight(bare.name, bare.shape, bare.axis, bare.product, stores)
        if len(set(weight.widths)) != len(weight.widths):
            raise section.error("stores", f"the same width twice: {weight.widths}")
        return weight

    def _store(self, section: Section, weight: Weight) -> Store:
        bits = section.integer("bits", low=1, high=8)
        widths = tuple(self._width(entry, weight) for entry in self._entries(section, "widths"))
        if widths[0].bits != bits or any(width.bits >= bits for width in widths[1:]):
            raise section.error("widths", f"want {bits} first and smaller ones after it")
        if widths[0].rounding is not None:
            raise section.error("widths", f"rounding of {bits} bits, which are the codes themselves")
        granularity = section.text("granularity", choices=("tensor", "channel", "group"))
        group = section.integer("group", 0)
        if (granularity == "group") != (group >= 8):
            raise section.error("group", f"{group} does not go with granularity {granularity!r}")
        unit = section.number("unit")
        if not 0 < unit < 2.0**120:
            raise section.error("unit", f"want a positive power of two below 2^120, got {unit}")
        planes = weight.elements if bits == 8 else bits * -(-weight.elements // 8)
        rows, runs = weight.scale_shape(Store(bits, 0, 0, 0, unit, granularity, group, widths))
        store = Store(
            bits=bits,
            codes=self._array(section, "codes", planes),
            scales=self._array(section, "scales", 2 * rows * runs),
            levels=self._array(section, "levels", sum(1 << width.bits for width in widths)),
            unit=unit,
            granularity=granularity,
            group=group,
            widths=widths,
        )
        section.done()
        return store

    def _entries(self, section: Section, key: str) -> list[Section]:
        entries = section.value(key)
        if not isinstance(entries, list) or not 1 <= len(entries) <= 8:
            raise section.error(key, "want a list of 1 to 8")
        return [
            Section(entry, section.where, f"{section.key}.{key}[{index}]")
            for index, entry in enumerate(entries)
        ]

    def _width(self, section: Section, weight: Weight) -> Width:
        has = "rounding" in section
        rounding = self._array(section, "rounding", -(-weight.elements // 8)) if has else None
        found = Width(section.integer("bits", low=1, high=8), rounding, section.number("error", 0.0))
        section.done()
        return found

    def _widths(self, weights: tuple[Weight, ...]) -> dict[int, tuple[int, ...]]:
        section = self._top.section("widths")
        found: dict[int, tuple[int, ...]] = {}
        for key in section.keys():  # noqa: SIM118 not a dict
            allotted = section.value(key)
            if key not in {str(bits) for bits in range(1, 9)}:
                raise section.error(key, "want a number from 1 to 8")
            if not isinstance(allotted, list) or len(allotted) != len(weights):
                raise section.error(key, f"want a width for each of {len(weights)} weights")
            for weight, bits in zip(weights, allotted, strict=True):
                if isinstance(bits, bool) or bits not in weight.widths:
                    raise section.error(key, f"weights {weight.name!r} have no width {bits!r}")
            found[int(key)] = tuple(allotted)
        if not found:
            raise self._top.error("widths", "is empty")
        return found

    def _made(self) -> dict[str, Any]:
        made = self._top.value("made", {})
        if not isinstance(made, dict):
            raise self._top.error("made", "want an object")
        return made

    def _name(self, section: Section) -> str:
        name = section.text("name")
        if not 0 < len(name) <= MAX_NAME:
            raise section.error("name", f"has {len(name)} characters; 1 to {MAX_NAME} are possible")
        return name

    def _shape(self, section: Section) -> tuple[int, ...]:
        shape = section.value("shape")
        good = isinstance(shape, list) and len(shape) <= 8
        if not good or any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in shape):
            raise section.error("shape", "want a list of at most 8 dimensions")
        if math.prod(shape) > MAX_ELEMENTS:
            raise section.error("shape", f"{math.prod(shape)} elements; at most {MAX_ELEMENTS} are read")
        return tuple(shape)

    def _array(self, section: Section, key: str, size: int | None) -> int:
        """The number of an array that has that size."""
        index = section.integer(key)
        if index >= len(self._file.sizes):
            raise section.error(key, f"names array {index}, the file has {len(self._file.sizes)}")
        if size is not None and self._file.sizes[index] != size:
            raise ModelError(
                f"{self._file.path}: {section.key}.{key}: array {index} has {self._file.sizes[index]} bytes, "
                f"want {size}"
            )
        return index
