"""What is fuzzed among the files of a model folder: packed weights, and the basis of a cut's features."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
import zlib
from abc import abstractmethod
from pathlib import Path

import numpy as np

from qeil_ros._kernels import crc32c
from qeil_ros.models.basis import Basis
from qeil_ros.models.quantize_graph import Layer
from qeil_ros.models.schema import ModelError
from qeil_ros.models.weights import PackedModel
from qeil_ros.models.weights_pack import NESTED, pack, write_packed

from .target import Target


class File(Target):
    """A target that reads a file."""

    refusals = (ModelError,)

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="qeil-fuzz-")
        self._path = Path(self._folder.name) / "input"

    def run(self, data: bytes) -> None:
        self._path.write_bytes(data)
        self.read(self._path)

    @abstractmethod
    def read(self, path: Path) -> None:
        """Reads all of it."""


class Weights(File):
    """`.qwt`: the header, and every width in every form."""

    _START = struct.Struct("<4sHHII")

    def corpus(self) -> list[bytes]:
        draw = np.random.default_rng(0)
        files = []
        for quantizer, granularity, widths in (
            (NESTED, "channel", (8, 4, 2)),
            ("lloyd_max", "group", (3,)),
            ("symmetric", "tensor", (6, 2)),
        ):
            matrices = [draw.standard_normal(shape).astype(np.float32) for shape in ((5, 20), (3, 8))]
            packed = [
                pack(
                    matrix,
                    Layer(f"w{k}", "MatMul", matrix.shape, 0, "x", True),
                    widths,
                    quantizer,
                    granularity,
                    8,
                )
                for k, matrix in enumerate(matrices)
            ]
            allotted = {bits: [bits] * len(packed) for bits in widths}
            write_packed(
                self._path, packed, [], {"float": b"float graph", "int8": b"int8 graph"}, allotted, {}
            )
            files.append(self._path.read_bytes())
        return files

    def seal(self, data: bytearray) -> None:
        """Mends the CRCs of the header and, as far as it still lists them, of the arrays."""
        if len(data) < self._START.size:
            return
        length = min(struct.unpack_from("<I", data, 8)[0], len(data) - self._START.size)
        text, rest = bytes(data[16 : 16 + length]), bytes(data[16 + length :])
        try:
            header, at = json.loads(text), 0
            for entry in header["arrays"]:
                entry[1] = crc32c(rest[at : at + entry[0]])
                at += entry[0]
            text = json.dumps(header, separators=(",", ":")).encode()
        except (ValueError, RecursionError, TypeError, KeyError, IndexError):
            pass  # no longer such a header: it goes as it is
        data[8:16] = struct.pack("<II", len(text), crc32c(text))
        data[16:] = text + rest

    def read(self, path: Path) -> None:
        packed = PackedModel(path)
        try:
            for bits in packed.widths:
                for form in packed.forms:
                    packed.onnx(bits, form)
                for weight in packed.header.weights:
                    assert packed.weight(weight.name, bits).shape == weight.shape
        finally:
            packed.close()


class Bases(File):
    """`.npz` of a basis."""

    _LOCAL, _CENTRAL = b"PK\3\4", b"PK\1\2"

    def corpus(self) -> list[bytes]:
        draw = np.random.default_rng(0)
        files = []
        for shape, axis, components in (((6, 4), 1, 4), ((5, 3, 3), 0, 2), ((17, 8), 1, 8)):
            square = np.linalg.qr(draw.normal(size=(shape[axis], shape[axis])))[0]
            Basis(
                draw.normal(size=shape).astype(np.float32), square[:, :components].astype(np.float32), axis
            ).write(self._path)
            files.append(self._path.read_bytes())
        return files

    def seal(self, data: bytearray) -> None:
        """Mends the CRC of every member that can still be found."""
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                at, members = archive.start_dir, len(archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, OverflowError, struct.error):
            return
        for _ in range(members):
            if data[at : at + 4] != self._CENTRAL or at + 46 > len(data):
                return
            size, _, name, extra, comment = struct.unpack_from("<IIHHH", data, at + 20)
            (start,) = struct.unpack_from("<I", data, at + 42)
            if data[start : start + 4] == self._LOCAL and start + 30 <= len(data):
                skipped = sum(struct.unpack_from("<HH", data, start + 26))
                crc = zlib.crc32(data[start + 30 + skipped : start + 30 + skipped + size])
                struct.pack_into("<I", data, at + 16, crc)
                struct.pack_into("<I", data, start + 14, crc)
            at += 46 + name + extra + comment

    def read(self, path: Path) -> None:
        basis = Basis.read(path)
        features = basis.inverse(basis.forward(basis.mean))
        assert np.isfinite(features).all() and features.shape == basis.mean.shape
