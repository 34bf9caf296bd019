"""Code for messages' CDR: one pair of functions generated for every message class.

Runs of fixed-size values become one `struct` call, whatever the nesting; alignment is worked out when the
code is generated, where that is possible. Big arrays are copied once in each direction.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import primitives
from .definition import Definition, FieldType
from .hashes import PLACEHOLDER
from .primitives import SCALARS

_PADS = [bytes(count) for count in range(8)]
_Encode = Callable[[Any, Callable[[Any], None], int], int]
_Decode = Callable[[memoryview, int], "tuple[Any, int]"]


@dataclass(frozen=True)
class Codec:
    encode: _Encode
    decode_little: _Decode
    decode_big: _Decode
    smallest_bytes: int


codecs: dict[type, Codec] = {}


def codec_of(cls: type) -> Codec:
    """The generated functions of a message class; made on first use."""
    codec = codecs.get(cls)
    if codec is None:
        definition = _definition(cls)
        codec = codecs[cls] = Codec(
            _Encoder(cls).compile(definition),
            _Decoder(cls, "<").compile(definition),
            _Decoder(cls, ">").compile(definition),
            _smallest(cls, definition),
        )
    return codec


def _definition(cls: type) -> Definition:
    definition: Definition | None = getattr(cls, "__definition__", None)
    if definition is None:
        raise TypeError(f"{cls!r} is no message class")
    return definition


def name_of(cls: type) -> str:
    return _definition(cls).name


def _smallest(cls: type, definition: Definition) -> int:
    """Bytes that a message of this type takes at least, alignment aside: bounds what a count can allocate."""
    total = 0
    for field in definition.fields or (PLACEHOLDER,):
        kind = field.type
        if kind.kind == "sequence":
            total += 4
            continue
        if kind.is_nested:
            nested: type = cls.__nested__[kind.base]  # type: ignore[attr-defined]
            size = codec_of(nested).smallest_bytes
        else:
            size = SCALARS[kind.base][1] if kind.base in SCALARS else 4
        total += size * (kind.size if kind.kind == "array" else 1)
    return total


class _Generator:
    """What both directions share: lines, the names in them, and what is known of the position's alignment."""

    order = "<"

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"PADS": _PADS}
        self.run: list[tuple[str, int, str]] = []  # struct code, size and expression of each value
        self.modulus, self.residue = 1, 0  # position = residue (mod modulus)
        self.counter = 0

    def fresh(self, prefix: str) -> str:
        self.counter += 1
        return f"{prefix}{self.counter}"

    def constant(self, prefix: str, value: Any) -> str:
        name = self.fresh(prefix)
        self.names[name] = value
        return name

    def line(self, text: str, indent: int = 1) -> None:
        self.lines.append("    " * indent + text)

    def know(self, modulus: int, residue: int = 0) -> None:
        self.modulus, self.residue = modulus, residue

    def flush(self) -> None:
        """Turns the collected values into `struct` calls, as few as the alignment allows."""
        code, length = self.order, 0
        values: list[str] = []
        for letter, size, expression in self.run:
            if size > self.modulus:
                self.emit_struct(code, values, length)
                code, values, length = self.order, [], 0
                self.emit_align(size)
                self.know(size)
            pad = -self.residue % size
            code += "x" * pad + letter
            values.append(expression)
            length += pad + size
            self.residue = (self.residue + pad + size) % self.modulus
        self.emit_struct(code, values, length)
        self.run.clear()

    def align(self, size: int) -> None:
        """Brings the position to a multiple of `size`. Only to be called with nothing left to flush."""
        if size > self.modulus or self.residue % size:
            self.emit_align(size)
            self.know(size)

    def emit_struct(self, code: str, values: list[str], length: int) -> None:
        raise NotImplementedError

    def emit_align(self, size: int) -> None:
        raise NotImplementedError

    def emit_field(self, cls: type, kind: FieldType, place: str) -> None:
        raise NotImplementedError

    def build(self, signature: str, result: str) -> Any:
        source = "\n".join([f"def generated({signature}):", *self.lines, f"    return {result}"])
        exec(compile(source, f"<CDR of {name_of(self.cls)}>", "exec"), self.names)
        return self.names["generated"]

    def fields(self, cls: type, place: str) -> None:
        for field in _definition(cls).fields:
            self.emit_field(cls, field.type, f"{place}._{field.name}")


class _Encoder(_Generator):
    """Generates `encode(message, emit, pos) -> pos`, which hands the pieces of the message to `emit`."""

    def compile(self, definition: Definition) -> _Encode:
        self.struct(self.cls, "message")
        self.flush()
        encode: _Encode = self.build("message, emit, pos", "pos")
        return encode

    def struct(self, cls: type, place: str) -> None:
        if not _definition(cls).fields:
            self.run.append(("B", 1, "0"))
        self.fields(cls, place)

    def emit_struct(self, code: str, values: list[str], length: int) -> None:
        if values:
            pack = self.constant("pack", struct.Struct(code).pack)
            self.line(f"emit({pack}({', '.join(values)}))")
            self.line(f"pos += {length}")

    def emit_align(self, size: int, indent: int = 1) -> None:
        self.line(f"if pos & {size - 1}:", indent)
        self.line(f"emit(PADS[-pos & {size - 1}])", indent + 1)
        self.line(f"pos = (pos + {size - 1}) & -{size}", indent + 1)

    def emit_field(self, cls: type, kind: FieldType, place: str) -> None:
        value = place
        if kind.kind == "sequence":
            value = self.fresh("v")
            self.line(f"{value} = {place}")
            self.run.append(("I", 4, f"len({value})"))
        if kind.is_nested:
            self.nested(cls.__nested__[kind.base], kind, value)  # type: ignore[attr-defined]
        elif kind.base in SCALARS:
            self.numbers(kind, value)
        else:
            self.text(kind, value)

    def nested(self, cls: type, kind: FieldType, value: str) -> None:
        if kind.kind == "scalar":
            name = self.fresh("m")
            self.line(f"{name} = {value}")
            self.struct(cls, name)
            return
        self.flush()
        encode = self.constant("encode", codec_of(cls).encode)
        wanted, refuse = self.constant("C", cls), self.constant("refuse", primitives.refuse_item)
        if kind.kind == "array":
            self.length_check(value, kind.size)
        self.line(f"for item in {value}:")
        self.line(f"if item.__class__ is not {wanted}: {refuse}(item, {wanted})", 2)
        self.line(f"pos = {encode}(item, emit, pos)", 2)
        self.know(1)

    def numbers(self, kind: FieldType, value: str) -> None:
        code, size = SCALARS[kind.base]
        if kind.kind == "scalar":
            self.run.append((code, size, value))
            return
        self.flush()
        if kind.kind == "sequence" and size == 8:
            self.line(f"if len({value}) and pos & 7:")
            self.line("emit(PADS[4])", 2)
            self.line("pos += 4", 2)
        else:
            self.align(size)
        if kind.kind == "array":
            self.length_check(value, kind.size)
        piece = {"bool": f"bytes(map(bool, {value}))", "byte": f"b''.join({value})"}.get(kind.base, value)
        self.line(f"emit({piece})")
        self.line(f"pos += len({value}) * {size}")
        self.know(min(4, size) if kind.kind == "sequence" else size)

    def text(self, kind: FieldType, value: str) -> None:
        if kind.kind == "scalar":
            data = self.fresh("b")
            self.line(f"{data} = {value}.encode() + b'\\0'")
            self.run.append(("I", 4, f"len({data})"))
            self.flush()
            self.line(f"emit({data})")
            self.line(f"pos += len({data})")
        else:
            self.flush()
            if kind.kind == "array":
                self.length_check(value, kind.size)
            pack = self.constant("pack", struct.Struct("<I").pack)
            self.line(f"for item in {value}:")
            self.line("data = item.encode() + b'\\0'", 2)
            self.emit_align(4, 2)
            self.line(f"emit({pack}(len(data)))", 2)
            self.line("emit(data)", 2)
            self.line("pos += 4 + len(data)", 2)
        self.know(1)

    def length_check(self, value: str, size: int) -> None:
        refuse = self.constant("refuse", primitives.refuse_length)
        self.line(f"if len({value}) != {size}: {refuse}({value}, {size})")


class _Decoder(_Generator):
    """Generates `decode(view, pos) -> (message, pos)`, which fills the message's slots directly."""

    def __init__(self, cls: type, order: str) -> None:
        super().__init__(cls)
        self.order = order
        self.names |= {"text": primitives.read_text, "new": object.__new__}

    def compile(self, definition: Definition) -> _Decode:
        self.struct(self.cls, "message")
        self.flush()
        decode: _Decode = self.build("view, pos", "message, pos")
        return decode

    def struct(self, cls: type, place: str) -> None:
        self.line(f"{place} = new({self.constant('C', cls)})")
        if not _definition(cls).fields:
            self.run.append(("B", 1, "_"))
        self.fields(cls, place)

    def emit_struct(self, code: str, values: list[str], length: int) -> None:
        if values:
            unpack = self.constant("unpack", struct.Struct(code).unpack_from)
            self.line(f"{', '.join(values)}, = {unpack}(view, pos)")
            self.line(f"pos += {length}")

    def emit_align(self, size: int, indent: int = 1) -> None:
        self.line(f"pos = (pos + {size - 1}) & -{size}", indent)

    def emit_field(self, cls: type, kind: FieldType, place: str) -> None:
        count = str(kind.size)
        if kind.kind == "scalar":
            self.scalar(cls, kind, place)
            return
        if kind.kind == "sequence":
            count = self.fresh("n")
            self.run.append(("I", 4, count))
        self.flush()
        if kind.kind == "sequence":
            bound = self.constant("check", primitives.check_bound)
            if kind.size:
                self.line(f"{bound}({count}, {kind.size})")
        if kind.is_nested:
            self.nested(cls.__nested__[kind.base], count, place)  # type: ignore[attr-defined]
        elif kind.base in SCALARS:
            self.numbers(kind, count, place)
        else:
            self.texts(count, place)

    def scalar(self, cls: type, kind: FieldType, place: str) -> None:
        if kind.is_nested:
            name = self.fresh("m")
            self.struct(cls.__nested__[kind.base], name)  # type: ignore[attr-defined]
            self.line(f"{place} = {name}")
        elif kind.base in SCALARS:
            self.run.append((*SCALARS[kind.base], place))
        else:
            count = self.fresh("n")
            self.run.append(("I", 4, count))
            self.flush()
            self.line(f"{place}, pos = text(view, pos, {count})")
            self.know(1)

    def nested(self, cls: type, count: str, place: str) -> None:
        codec = codec_of(cls)
        decode = self.constant("decode", codec.decode_little if self.order == "<" else codec.decode_big)
        check = self.constant("check", primitives.check_count)
        self.line(f"{check}(view, pos, {count}, {codec.smallest_bytes})")
        self.line("items = []")
        self.line(f"for _ in range({count}):")
        self.line(f"item, pos = {decode}(view, pos)", 2)
        self.line("items.append(item)", 2)
        self.line(f"{place} = items")
        self.know(1)

    def texts(self, count: str, place: str) -> None:
        check = self.constant("check", primitives.check_count)
        unpack = self.constant("unpack", struct.Struct(self.order + "I").unpack_from)
        self.line(f"{check}(view, pos, {count}, 4)")
        self.line("items = []")
        self.line(f"for _ in range({count}):")
        self.emit_align(4, 2)
        self.line(f"item, pos = text(view, pos + 4, {unpack}(view, pos)[0])", 2)
        self.line("items.append(item)", 2)
        self.line(f"{place} = items")
        self.know(1)

    def numbers(self, kind: FieldType, count: str, place: str) -> None:
        code, size = SCALARS[kind.base]
        if kind.kind == "sequence" and size == 8:
            self.line(f"if {count}:")
            self.emit_align(8, 2)
        else:
            self.align(size)
        if kind.base in ("bool", "byte"):
            read = self.constant(
                "read", primitives.read_bools if kind.base == "bool" else primitives.read_octets
            )
            self.line(f"{place}, pos = {read}(view, pos, {count})")
        elif kind.kind == "array":
            read, dtype = (
                self.constant("read", primitives.read_fixed),
                self.constant("D", np.dtype(self.order + code)),
            )
            self.line(f"{place}, pos = {read}(view, pos, {count}, {dtype})")
        else:
            read = self.constant("read", primitives.read_numbers)
            self.line(f"{place}, pos = {read}(view, pos, {count}, {code!r}, {self.order == '>'})")
        self.know(min(4, size) if kind.kind == "sequence" else size)
