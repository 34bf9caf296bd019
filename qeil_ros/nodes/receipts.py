"""Which frame every receiver of the features has decoded. Pure.

The encoder codes a frame as the difference from an earlier one only if that one is known to be everywhere it
is needed: with the fallback, where that has a local model, and with the offboard computer. When one of them
loses its frames (it was restarted, or could not decode one), there is none until the next key frame.
"""

from __future__ import annotations

from qeil_ros.codec import REFERENCES
from qeil_ros.safety.arbiter import Key

__all__ = ["Receipts"]


class Receipts:
    """Takes what the two receivers report; `common` is what both have."""

    def __init__(self) -> None:
        self._local: dict[Key, None] = {}
        self._offboard: dict[Key, None] = {}
        self._server = 0

    def local(self, key: Key) -> None:
        """The fallback has decoded a frame, or does not need to."""
        _add(self._local, key)

    def local_lost(self) -> None:
        """The fallback cannot decode: it has nothing to refer to."""
        self._local.clear()

    def answered(self, key: Key) -> None:
        """The offboard computer has answered a frame, so it has decoded it."""
        _add(self._offboard, key)

    def heartbeat(self, server_run: int, decoded: Key) -> None:
        """The offboard computer's own word; a frame of run 0 stands for none."""
        if server_run != self._server or not decoded.run:
            self._server = server_run
            self._offboard.clear()
        if decoded.run:
            _add(self._offboard, decoded)

    @property
    def common(self) -> Key | None:
        """The newest frame that both have decoded."""
        return next((key for key in reversed(self._local) if key in self._offboard), None)


def _add(keys: dict[Key, None], key: Key) -> None:
    keys.pop(key, None)
    keys[key] = None
    while len(keys) > 2 * REFERENCES:
        del keys[next(iter(keys))]
