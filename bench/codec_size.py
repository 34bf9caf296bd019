"""Bytes and times of real features: our streams beside what a user would write instead, in turns."""

from __future__ import annotations

import io
import struct
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.codec import Decoder, Encoder, Options
from qeil_ros.models.extras import require
from qeil_ros.models.image_baseline import CODERS, Pixels, decode

from .codec_cut import Cut
from .harness import Result, against, figure, median

__all__ = ["Measured", "Way", "basis_way", "measure", "picture_ways", "rows", "tensor_ways"]

Array = NDArray[Any]
HEAD = struct.Struct("<ff")
OURS = "ours, rans, same step"
GENERAL = ("numpy, zlib", "numpy, zstd", "numpy, lz4", "numpy, blosc2 bitshuffle")


@dataclass(frozen=True)
class Way:
    """A way to send a tensor, or a picture in its place."""

    name: str
    encode: Callable[[Array], Any]
    decode: Callable[[Any], Array]


@dataclass(frozen=True)
class Measured:
    """A way on the tensors of one cut; times are medians a tensor over rounds."""

    name: str
    bytes_mean: float
    encode_us: float
    decode_us: float
    snr_db: float | None
    """Mean square of the features over that of their error; None for pictures, infinite without loss."""
    encode_s: Sequence[float]
    decode_s: Sequence[float]

    def to_json(self) -> dict[str, Any]:
        record = asdict(self)
        del record["encode_s"], record["decode_s"]
        if record["snr_db"] == float("inf"):
            record["snr_db"] = "lossless"
        return record


def measure(ways: Sequence[Way], inputs: Sequence[Array], rounds: int) -> list[Measured]:
    """Each way on each input in each round, the ways in turns, so that the machine's moods hit all alike."""
    streams = [[bytes(way.encode(x)) for x in inputs] for way in ways]
    found = [_snr_db(way, inputs, coded) for way, coded in zip(ways, streams, strict=True)]
    encode_s: list[list[float]] = [[] for _ in ways]
    decode_s: list[list[float]] = [[] for _ in ways]
    for number in range(rounds):
        at = number % len(inputs)
        for way, coded, to_s, back_s in zip(ways, streams, encode_s, decode_s, strict=True):
            start_s = time.perf_counter()
            way.encode(inputs[at])
            coded_s = time.perf_counter()
            way.decode(coded[at])
            end_s = time.perf_counter()
            to_s.append(coded_s - start_s)
            back_s.append(end_s - coded_s)
    return [
        Measured(
            way.name,
            float(np.mean([len(stream) for stream in coded])),
            median(to_s) * 1e6,
            median(back_s) * 1e6,
            snr_db,
            to_s,
            back_s,
        )
        for way, coded, snr_db, to_s, back_s in zip(ways, streams, found, encode_s, decode_s, strict=True)
    ]


def rows(name: str, ways: Sequence[Measured]) -> list[Result]:
    """Our bytes beside the best general compressor's on the same levels, and our times beside that one's."""
    by_name = {way.name: way for way in ways}
    ours = by_name[OURS]
    peer = min((by_name[other] for other in GENERAL if other in by_name), key=lambda way: way.bytes_mean)
    ratio = ours.bytes_mean / peer.bytes_mean
    found = [against(f"{name}_bytes", ours.bytes_mean, "bytes", peer.name, peer.bytes_mean, ratio)]
    for what in ("encode", "decode"):
        mine_s, theirs_s = (getattr(way, f"{what}_s") for way in (ours, peer))
        ratio = median(a / b for a, b in zip(mine_s, theirs_s, strict=True))
        mine, theirs = (getattr(way, f"{what}_us") for way in (ours, peer))
        found.append(against(f"{name}_{what}", mine, "us", peer.name, theirs, ratio))
    found.append(figure(f"{name}_memcpy", by_name["memcpy"].encode_us, "us"))
    return found


def _snr_db(way: Way, inputs: Sequence[Array], coded: Sequence[bytes]) -> float | None:
    signal = error = 0.0
    for x, stream in zip(inputs, coded, strict=True):
        back = way.decode(stream)
        if back.shape != x.shape:
            return None
        signal += float(np.square(x, dtype=np.float64).sum())
        error += float(np.square(back.astype(np.float64) - x).sum())
    return float(10 * np.log10(signal / error)) if error else float("inf")


# ---------------------------------------------------------------- ways


def tensor_ways(bits: int, axis: int, inputs: Sequence[Array]) -> list[Way]:
    """Every way to send such tensors at that width.

    The entropy coder does so twice: as it chooses by itself at that width, and rounding to the nearest level
    in the mean step of the others, at which both lose about the same.

    Raises:
        ModelError: a library to compare with is not installed.
    """
    shape, dtype = inputs[0].shape, inputs[0].dtype
    chosen = Options(bits=bits, coder="rans", axis=axis)
    step = float(np.mean([quantized(x, bits)[0] for x in inputs]))
    lossless = dtype.kind != "f" and bits == 8
    ways = [
        _memcpy(shape, dtype),
        _ours("ours, packed", Options(bits=bits, clip="range")),
        _ours(OURS, chosen if lossless else chosen.but(step=step, rdo=0.0)),
        _ours("ours, rans", chosen),
        *(_numpy(name, squeeze, back, bits, shape, dtype) for name, squeeze, back in _compressors()),
        _constriction(bits, shape, dtype),
    ]
    return [*ways, _torch()] if bits == 8 else ways


def basis_way(cut: Cut, step: float) -> Way:
    """The entropy coder in a cut's basis at that step."""
    writer, reader = cut.writer(), cut.reader()
    return Way("ours, rans, basis", lambda x: writer.encode(x, coder="rans", step=step), reader.decode)


def picture_ways() -> list[Way]:
    """The picture itself, of the model's input size, by Pillow's coders."""
    image = require("PIL.Image", extra="bench")

    def png(pixels: Array) -> bytes:
        buffer = io.BytesIO()
        image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    def coded(name: str) -> Callable[[Pixels], bytes]:
        return lambda pixels: CODERS[name].encode(pixels, 75)

    lossy = ("jpeg 4:2:0", "webp")
    return [
        Way("PNG of the picture", png, decode),
        *(Way(f"{name} of the picture", coded(name), decode) for name in lossy),
    ]


def _memcpy(shape: tuple[int, ...], dtype: Any) -> Way:
    out = np.empty(shape, dtype)

    def copy(x: Array) -> Array:
        np.copyto(out, x)
        return out

    return Way("memcpy", copy, lambda data: copy(np.frombuffer(data, dtype).reshape(shape)))


def _ours(name: str, options: Options) -> Way:
    encoder, decoder = Encoder(options), Decoder()
    return Way(name, encoder.encode, decoder.decode)


Squeeze = Callable[[bytes], bytes]


def _compressors() -> list[tuple[str, Squeeze, Squeeze]]:
    blosc2, lz4, zstandard = (require(name, extra="bench") for name in ("blosc2", "lz4.frame", "zstandard"))
    zstd, unzstd = zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor()
    blosc2.set_nthreads(1)

    def bitshuffled(data: bytes) -> bytes:
        squeezed: bytes = blosc2.compress(
            data, typesize=1, clevel=5, filter=blosc2.Filter.BITSHUFFLE, codec=blosc2.Codec.ZSTD
        )
        return squeezed

    return [
        ("numpy, zlib", zlib.compress, zlib.decompress),
        ("numpy, zstd", zstd.compress, unzstd.decompress),
        ("numpy, lz4", lz4.compress, lz4.decompress),
        ("numpy, blosc2 bitshuffle", bitshuffled, blosc2.decompress),
    ]


def quantized(x: Array, bits: int) -> tuple[float, float, NDArray[np.uint8]]:
    """Step, lowest level and codes over the tensor's range; a byte's codes at 8 bits are the bytes."""
    if x.dtype == np.uint8 and bits == 8:
        return 1.0, 0.0, np.ascontiguousarray(x)
    low, high = float(x.min()), float(x.max())
    step = (high - low) / (2**bits - 1) or 1.0
    return step, low, np.rint((x - np.float32(low)) * np.float32(1 / step)).astype(np.uint8)


def restored(step: float, low: float, codes: Array, dtype: Any) -> Array:
    """The inverse."""
    x = codes.astype(np.float32) * np.float32(step) + np.float32(low)
    return np.asarray(x if np.dtype(dtype).kind == "f" else np.rint(x), dtype)


def _numpy(name: str, squeeze: Squeeze, back: Squeeze, bits: int, shape: tuple[int, ...], dtype: Any) -> Way:
    """A code a byte: shuffling and matching want it so."""

    def encode(x: Array) -> bytes:
        step, low, codes = quantized(x, bits)
        return HEAD.pack(step, low) + squeeze(codes.tobytes())

    def decode(data: bytes) -> Array:
        step, low = HEAD.unpack_from(data)
        codes = np.frombuffer(back(data[HEAD.size :]), np.uint8)
        return restored(step, low, codes, dtype).reshape(shape)

    return Way(name, encode, decode)


def _constriction(bits: int, shape: tuple[int, ...], dtype: Any) -> Way:
    """Its stack coder with the tensor's own frequencies, which travel as 16 bits a level."""
    constriction = require("constriction", extra="bench")
    coder, levels = constriction.stream.stack.AnsCoder, 2**bits

    def model(counts: NDArray[np.uint16]) -> Any:
        return constriction.stream.model.Categorical(counts / counts.sum(dtype=np.float64), perfect=False)

    def encode(x: Array) -> bytes:
        step, low, codes = quantized(x, bits)
        counts = np.bincount(codes.ravel(), minlength=levels)
        small = np.ceil(counts * (65535 / counts.max())).astype("<u2")
        ans = coder()
        ans.encode_reverse(codes.ravel().astype(np.int32), model(small))
        words: NDArray[np.uint32] = ans.get_compressed()
        data: bytes = HEAD.pack(step, low) + small.tobytes() + words.tobytes()
        return data

    def decode(data: bytes) -> Array:
        step, low = HEAD.unpack_from(data)
        small = np.frombuffer(data, "<u2", levels, HEAD.size)
        words = np.frombuffer(data, np.uint32, offset=HEAD.size + small.nbytes)
        codes = coder(words).decode(model(small), int(np.prod(shape)))
        return restored(step, low, codes.astype(np.uint8), dtype).reshape(shape)

    return Way("numpy, constriction", encode, decode)


def _torch() -> Way:
    """torch's own quantized tensors, saved."""
    torch = require("torch", extra="torch")

    def encode(x: Array) -> bytes:
        buffer = io.BytesIO()
        if x.dtype == np.uint8:
            torch.save(torch.from_numpy(x), buffer)
            return buffer.getvalue()
        low, high = float(x.min()), float(x.max())
        scale = (high - low) / 255 or 1.0
        zero = min(max(round(-low / scale), 0), 255)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch means to drop these tensors, and has nothing in their place
            torch.save(torch.quantize_per_tensor(torch.from_numpy(x), scale, zero, torch.quint8), buffer)
        return buffer.getvalue()

    def decode(data: bytes) -> Array:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensor = torch.load(io.BytesIO(data), weights_only=True)
        return np.asarray((tensor.dequantize() if tensor.is_quantized else tensor).numpy())

    return Way("torch quantize, save", encode, decode)
