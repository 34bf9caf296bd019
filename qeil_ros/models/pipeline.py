"""Image to coded features in one object: what the robot does for every frame, without ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.codec import TemporalEncoder, is_key

from .compressed import MAX_PIXELS, decode
from .features import FeatureReader, FeatureWriter, distortion
from .folder import ModelFolder
from .parts import AgentPart
from .preprocess import Preprocessor

__all__ = ["AgentPipeline"]


class AgentPipeline:
    """The agent parts that this machine holds, the image preparation before and the coder after them.

    Buffers are reused: what a call returns holds until the next call of the same method. One thread at a
    time.

    Raises:
        ModelError: a part cannot be loaded, or none is there.
    """

    def __init__(self, folder: ModelFolder, *, threads: int = 1, backend: str = "auto") -> None:
        self.folder = folder
        held = [name for name in folder.splits if folder.has("agent", name)]
        # With none, loading the default one says what is missing.
        self._agents = {
            name: folder.agent(name, threads=threads, backend=backend)
            for name in held or [folder.default_split]
        }
        self._prepare = Preprocessor(folder.input)
        self._writers = {name: FeatureWriter(folder, name) for name in self._agents}
        self._readers = {name: FeatureReader(folder, name) for name in self._agents}
        self._sequences = {name: TemporalEncoder() for name in self._agents}
        self._predictors = {name: FeatureWriter(folder, name, self._sequences[name]) for name in self._agents}

    @property
    def splits(self) -> list[str]:
        """The cuts whose agent part is loaded."""
        return list(self._agents)

    def agent(self, split: str) -> AgentPart:
        """The agent part of a cut. KeyError: it is not loaded."""
        return self._agents[split]

    def prepare(
        self,
        data: Any,
        width: int,
        height: int,
        step: int,
        encoding: str,
        is_bigendian: bool = False,
    ) -> NDArray[Any]:
        """The model's input [1, ...] from a raw image in any buffer. ValueError: a wrong size or encoding."""
        return self._prepare(data, width, height, step, encoding, is_bigendian)

    def prepare_compressed(self, data: Any, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
        """The model's input [1, ...] from a JPEG or PNG. Raises ValueError for one that cannot be decoded."""
        image = decode(data, max_pixels)
        height, width = image.shape[:2]
        return self._prepare(image, width, height, 3 * width, "bgr8", False)

    def features(self, image: NDArray[Any], split: str) -> NDArray[Any]:
        """The features [*split.shape] of a prepared image."""
        (features,) = self._agents[split].run(image)
        return np.asarray(features)

    def code(self, features: NDArray[Any], bits: int, split: str = "", **options: Any) -> memoryview:
        """The features of a cut (empty: the default one) as a bitstream of `bits` a value.

        It stands by itself. `options` as `codec.Options` has them.
        """
        return self._writers[split or self.folder.default_split].encode(features, bits=bits, **options)

    def code_next(
        self, features: NDArray[Any], bits: int, split: str, key_interval: int, **options: Any
    ) -> tuple[memoryview, int]:
        """The same for the next frame of a sequence, as a difference where a frame was acknowledged.

        Returns:
            the stream, and its checksum, which `acknowledge` takes.
        """
        encoder = self._sequences[split]
        encoder.key_interval = key_interval
        stream = self._predictors[split].encode(features, bits=bits, **options)
        return stream, encoder.checksum

    def acknowledge(self, split: str, checksum: int) -> None:
        """All receivers have decoded the frame with that checksum."""
        self._sequences[split].acknowledge(checksum)

    def request_key(self) -> None:
        """A receiver has lost its frames: the next one of every cut stands by itself."""
        for encoder in self._sequences.values():
            encoder.request_key()

    def distortion(self, features: NDArray[Any], coded: memoryview, split: str) -> float:
        """What coding did to the features: mean |x - x^| / mean |x|. `coded`: the last stream of the cut."""
        reader, encoder = self._readers[split], self._sequences[split]
        decoded = reader.decode(coded) if is_key(coded) else reader.features(encoder.decoded)
        return distortion(features, decoded)
