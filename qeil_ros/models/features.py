"""A cut's features on their way: the basis they travel in, and the coder, at either end."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.codec import Decoder, Encoder, Limits, TemporalEncoder

from .folder import ModelFolder

__all__ = ["FeatureReader", "FeatureWriter", "distortion", "limits_for"]


class FeatureWriter:
    """Features to streams: rotated into the cut's basis, where it has one, and coded along its channels.

    Raises:
        ModelError: the basis cannot be read.
    """

    def __init__(
        self, folder: ModelFolder, split: str, encoder: Encoder | TemporalEncoder | None = None
    ) -> None:
        cut = folder.split(split)
        self._basis, self._axis = folder.basis(split), cut.channel_axis
        self.encoder = encoder or Encoder()

    def coded(self, features: NDArray[Any]) -> NDArray[Any]:
        """The tensor that is coded for these features: of the cut's `coded_shape` and `coded_dtype`."""
        return self._basis.forward(features) if self._basis else features

    def encode(self, features: NDArray[Any], **options: Any) -> memoryview:
        """The stream of features [*shape], valid until the next call; options as `codec.Options` has them.

        Raises:
            ValueError: the features have a NaN or infinity, or the options are not possible.
        """
        return self.encoder.encode(self.coded(features), axis=self._axis, **options)


class FeatureReader:
    """Streams of a cut back to its features; what every receiver does.

    Args:
        references: how many decoded tensors it keeps, for streams that hold differences.

    Raises:
        ModelError: the basis cannot be read.
    """

    def __init__(self, folder: ModelFolder, split: str, references: int = 0) -> None:
        self._split, self._basis = folder.split(split), folder.basis(split)
        self.limits = limits_for(folder, split)
        self.decoder = Decoder(self.limits, references)

    def decode(self, stream: Any) -> NDArray[Any]:
        """The features [*shape] in new memory.

        Raises:
            BitstreamError: the stream cannot be decoded.
            ValueError: it holds no tensor of this cut.
        """
        return self.features(self.read(stream))

    def read(self, stream: Any) -> NDArray[Any]:
        """The tensor that was coded, in new memory: the first and quick half of decode(), which raises."""
        coded = self.decoder.decode(stream)
        cut = self._split
        if coded.shape != cut.coded_shape or coded.dtype != cut.coded_dtype:
            raise ValueError(
                f"the stream holds {list(coded.shape)} of {coded.dtype}, "
                f"split {cut.name!r} has {list(cut.coded_shape)} of {cut.coded_dtype}"
            )
        return coded

    def features(self, coded: NDArray[Any]) -> NDArray[Any]:
        """The features [*shape] of a tensor that read() gave; for any thread."""
        return self._basis.inverse(coded, self._split.dtype) if self._basis else coded


def distortion(x: NDArray[Any], y: NDArray[Any]) -> float:
    """mean |x - y| / mean |x|; NaN where x is all zeros and y is not."""
    exact, other = x.astype(np.float32, copy=False), y.astype(np.float32, copy=False)
    error, size = float(np.abs(exact - other).mean()), float(np.abs(exact).mean())
    if size:
        return error / size
    return 0.0 if not error else float("nan")


def limits_for(folder: ModelFolder, split: str) -> Limits:
    """What a decoder may accept for a cut: tensors of its size, streams no longer than those can be."""
    elements = int(np.prod(folder.split(split).coded_shape))
    # At most a scale for every value, and 8 bits a value, behind a short header.
    return Limits(max_elements=elements, max_bytes=4096 + 8 * elements, max_parameter_sets=elements)
