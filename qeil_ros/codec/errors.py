"""What can be wrong with a stream: the four classes of docs/bitstream.md."""

from __future__ import annotations


class BitstreamError(ValueError):
    """A stream cannot be decoded; the message says what was wrong, with which value."""


class TruncatedError(BitstreamError):
    """The stream ends before something that its header announces."""


class CorruptError(BitstreamError):
    """The magic, the checksum, a field, the parameters or the length is wrong."""


class UnsupportedError(BitstreamError):
    """A version, flag or identifier that this decoder does not know; a newer one may."""


class LimitError(BitstreamError):
    """The stream would exceed the decoder's limits."""


class MissingReferenceError(BitstreamError):
    """The stream is a difference from one whose tensor this decoder does not hold: ask for a key frame.

    Attributes:
        checksum: of the stream that it refers to.
    """

    def __init__(self, checksum: int, held: int) -> None:
        super().__init__(
            f"the stream is a difference from the tensor of stream 0x{checksum:08x}, which is not among the "
            f"{held} that this decoder holds; a stream without a reference is needed"
        )
        self.checksum = checksum
