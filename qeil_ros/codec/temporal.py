"""Features of one frame after another: each stream a difference from a frame that its receivers have.

A receiver may lose frames, start late or start again. So the encoder refers only to a frame that was
acknowledged, and names it by the checksum of its stream: a loss costs the lost frame and no other, and a
decoder without the reference says so (MissingReferenceError) instead of decoding something else. Both sides
predict from the decoded tensor, so errors do not add up. Streams without a reference are key frames; they
come first, when nothing acknowledged is recent enough or like the new frame, at an interval, and on request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .decoder import REFERENCES, Decoder
from .encoder import Encoder
from .options import Options
from .predictor import Reference
from .stream import Limits, is_key, stored_checksum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

KEY_INTERVAL = 100
"""Frames; bounds what anybody must wait for who joins late and cannot ask."""
_UNLIMITED = Limits(max_bytes=1 << 40, max_elements=1 << 31, max_parameter_sets=1 << 31)


class TemporalEncoder:
    """Encodes the frames of one sequence. A receiver decodes them with a `Decoder(references=REFERENCES)`.

    Args:
        options: as of `Encoder`.
        key_interval: frames from one key frame to the next at most; 0: none but the first by count.
        chained: takes every frame for received, as when writing a file; nobody needs to acknowledge.
    """

    def __init__(
        self, options: Options | None = None, *, key_interval: int = KEY_INTERVAL, chained: bool = False
    ) -> None:
        if key_interval < 0:
            raise ValueError(f"key_interval is {key_interval}; 0 or more is possible")
        self.key_interval, self.chained = key_interval, chained
        self.checksum = 0
        """Of the last stream, which is what acknowledge() takes."""
        self.key = True
        """Whether the last stream was a key frame."""
        self.decoded: NDArray[Any] = np.zeros(0, np.float32)
        """What the last stream decodes to."""
        self._encoder = Encoder(options)
        self._decoder = Decoder(_UNLIMITED, references=REFERENCES)
        self._recent: dict[int, int] = {}  # checksum -> number, oldest first
        self._received: set[int] = set()  # those of them that every receiver has decoded
        self._number = 0
        self._keyed = 0

    def encode(
        self, x: ArrayLike, *, key: bool = False, scores: ArrayLike | None = None, **options: Any
    ) -> memoryview:
        """The next frame's stream, valid until the next call; see Encoder.encode.

        Args:
            key: asks for a key frame.
        """
        x = np.asarray(x)
        due = key or (self.key_interval > 0 and self._number - self._keyed >= self.key_interval)
        references = [] if due else self._references(x)
        stream = self._encoder.write(
            x, self._encoder.options.but(**options), scores=scores, references=references
        )
        self.checksum = stored_checksum(stream)
        self.key = is_key(stream)
        if self.key:
            self._keyed = self._number
        self.decoded = self._decoder.decode(stream)
        self._recent.pop(self.checksum, None)
        self._recent[self.checksum] = self._number
        self._received.discard(self.checksum)
        while len(self._recent) > REFERENCES:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            self._received.discard(oldest)
        self._number += 1
        if self.chained:
            self._received.add(self.checksum)
        return stream

    def acknowledge(self, checksum: int) -> bool:
        """Says that every receiver has decoded the stream with that checksum.

        Returns:
            whether it is recent enough to be referred to.
        """
        if checksum not in self._recent:
            return False
        self._received.add(checksum)
        return True

    def request_key(self) -> None:
        """Says that a receiver has none of the frames so far: the next one is a key frame."""
        self._received.clear()
        self._recent.clear()

    def _references(self, x: np.ndarray) -> list[Reference]:
        """The newest two that every receiver has, of the tensor's kind; the newest first."""
        found = []
        for checksum in reversed(self._recent):
            if checksum in self._received:
                tensor = self._decoder.reference(checksum)
                if tensor is None or tensor.shape != x.shape or tensor.dtype != x.dtype.newbyteorder("<"):
                    break
                found.append(Reference(checksum, tensor))
                if len(found) == 2:
                    break
        return found
