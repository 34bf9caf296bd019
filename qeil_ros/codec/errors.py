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
