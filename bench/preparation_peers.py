"""What a user would write instead of `Preprocessor`: chains of OpenCV, Pillow and torch to the same tensor.

Every chain writes into buffers that it keeps, where the library lets it. Only chains that give what the
oracle gives count: resizing luma and chroma before they become RGB, say, is faster and another picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qeil_ros.models.preprocess import InputSpec

__all__ = ["CV2_CHAINS", "DECODERS", "Chain", "cv2_resize", "pillow_numpy", "torch_uint8"]

Pixels = NDArray[np.uint8]
Chain = Callable[[Pixels], Any]
"""From an image in the form that the library takes to the tensor [3, height, width]."""

DECODERS = {
    "rgb8": None,
    "bgr8": None,
    "yuyv": cv2.COLOR_YUV2BGR_YUY2,
    "uyvy": cv2.COLOR_YUV2BGR_UYVY,
    "nv12": cv2.COLOR_YUV2BGR_NV12,
    "nv21": cv2.COLOR_YUV2BGR_NV21,
}
"""Encodings of the comparison and how OpenCV converts them to BGR."""


def cv2_resize(spec: InputSpec) -> Chain:
    """`cv2.resize` alone, to bytes: neither normalised nor laid out."""
    small = np.empty((spec.height, spec.width, 3), np.uint8)
    return lambda image: cv2.resize(image, (spec.width, spec.height), small)


def _tables(spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Per channel in the tensor's order: factor and offset, as value = pixel * factor + offset."""
    mean, std = np.array(spec.mean), np.array(spec.std)
    return (spec.scale / std).astype(np.float32), (-mean / std).astype(np.float32)


class _Cv2:
    """Convert to BGR, resize, and what a subclass does to normalise and lay out."""

    def __init__(self, spec: InputSpec, encoding: str) -> None:
        self.spec = spec
        self.decoder = DECODERS[encoding]
        self.blue_first = encoding != "rgb8"
        self.whole: Pixels | None = None
        self.small = np.empty((spec.height, spec.width, 3), np.uint8)
        self.planes = [np.empty((spec.height, spec.width), np.uint8) for _ in range(3)]
        self.factor, self.offset = _tables(spec)
        self.lut = [
            (np.arange(256, dtype=np.float32) * self.factor[c] + self.offset[c])[None] for c in range(3)
        ]
        self.out = np.empty((3, spec.height, spec.width), np.float32)

    def __call__(self, image: Pixels) -> NDArray[np.float32]:
        if self.decoder is not None:
            image = self.whole = cv2.cvtColor(image, self.decoder, self.whole)
        cv2.resize(image, (self.spec.width, self.spec.height), self.small)
        return self.finish()

    def finish(self) -> NDArray[np.float32]:
        raise NotImplementedError

    def source(self, c: int) -> int:
        return 2 - c if self.blue_first else c


class _SplitLut(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        cv2.split(self.small, self.planes)
        for c in range(3):
            cv2.LUT(self.planes[self.source(c)], self.lut[c], self.out[c])
        return self.out


class _MixLut(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        pairs = [number for c in range(3) for number in (self.source(c), c)]
        cv2.mixChannels([self.small], self.planes, pairs)
        for c in range(3):
            cv2.LUT(self.planes[c], self.lut[c], self.out[c])
        return self.out


class _ExtractLut(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        for c in range(3):
            cv2.extractChannel(self.small, self.source(c), self.planes[c])
            cv2.LUT(self.planes[c], self.lut[c], self.out[c])
        return self.out


class _SplitAddWeighted(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        cv2.split(self.small, self.planes)
        for c in range(3):
            plane = self.planes[self.source(c)]
            factor, offset = float(self.factor[c]), float(self.offset[c])
            cv2.addWeighted(plane, factor, plane, 0.0, offset, self.out[c], cv2.CV_32F)
        return self.out


class _SplitNumpy(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        cv2.split(self.small, self.planes)
        for c in range(3):
            np.multiply(self.planes[self.source(c)], self.factor[c], out=self.out[c], dtype=np.float32)
            self.out[c] += self.offset[c]
        return self.out


class _LutSplit(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        table = np.stack([self.lut[self.source(c)][0] for c in range(3)], axis=-1)[None]
        normalised = cv2.LUT(self.small, table)
        cv2.split(normalised, [self.out[self.source(c)] for c in range(3)])
        return self.out


class _MultiplySplit(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        order = [self.source(c) for c in range(3)]
        real = cv2.multiply(self.small, (*self.factor[order].tolist(), 0.0), dtype=cv2.CV_32F)
        cv2.add(real, (*self.offset[order].tolist(), 0.0), real)
        cv2.split(real, [self.out[c] for c in order])
        return self.out


class _Numpy(_Cv2):
    def finish(self) -> NDArray[np.float32]:
        image = self.small[..., ::-1] if self.blue_first else self.small
        np.multiply(image.transpose(2, 0, 1), self.factor[:, None, None], out=self.out, dtype=np.float32)
        self.out += self.offset[:, None, None]
        return self.out


class _Blob(_Cv2):
    def __init__(self, spec: InputSpec, encoding: str) -> None:
        super().__init__(spec, encoding)
        self.parameters = cv2.dnn.Image2BlobParams()
        self.parameters.scalefactor = (*self.factor.tolist(), 1.0)
        self.parameters.mean = (*(-self.offset / self.factor).tolist(), 0.0)
        self.parameters.size = (spec.width, spec.height)
        self.parameters.swapRB = self.blue_first
        self.parameters.ddepth = cv2.CV_32F

    def finish(self) -> NDArray[np.float32]:
        blob: NDArray[np.float32] = cv2.dnn.blobFromImageWithParams(self.small, self.parameters)
        return blob[0]


CV2_CHAINS: dict[str, Callable[[InputSpec, str], Chain]] = {
    "resize, split, LUT": _SplitLut,
    "resize, mixChannels, LUT": _MixLut,
    "resize, extractChannel, LUT": _ExtractLut,
    "resize, LUT, split": _LutSplit,
    "resize, split, addWeighted": _SplitAddWeighted,
    "resize, split, numpy": _SplitNumpy,
    "resize, multiply, add, split": _MultiplySplit,
    "resize, numpy": _Numpy,
    "resize, blobFromImage": _Blob,
}
"""All that were found; YUV is converted by cvtColor first. The fastest one in the same run is the peer."""


def pillow_numpy(spec: InputSpec) -> Chain:
    """Resize bicubically in Pillow, rescale and normalise in numpy: as Hugging Face's processors do."""
    factor, offset = _tables(spec)

    def run(image: Pixels) -> NDArray[np.float32]:
        small = Image.fromarray(image).resize((spec.width, spec.height), Image.Resampling.BICUBIC)
        real = np.asarray(small, np.float32) * factor + offset
        return np.ascontiguousarray(real.transpose(2, 0, 1))

    return run


def torch_uint8(spec: InputSpec) -> Chain:
    """torch's antialiased bicubic resizing of bytes, channels last: neither normalised nor laid out."""
    import torch

    def run(image: Pixels) -> Any:
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        return torch.nn.functional.interpolate(
            pixels, (spec.height, spec.width), mode="bicubic", antialias=True
        )

    return run
