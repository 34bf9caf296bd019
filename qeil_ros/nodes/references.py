"""Keeps the encoder told of the newest frame that everybody has, so that it may send differences from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qeil_ros.codec import MissingReferenceError
from qeil_ros.msg import FeatureReceipt
from qeil_ros.safety.arbiter import Key

from .local import LocalModel
from .receipts import Receipts

__all__ = ["References"]

_NONE = Key(0, 0)


class References:
    """The fallback's frames for reference, and what it hears of the offboard computer's.

    Args:
        local: decodes frames, and keeps them.
        publish: publishes a FeatureReceipt.
        missing: is told that a frame cannot be decoded for want of an earlier one.
    """

    def __init__(
        self, local: LocalModel, publish: Callable[[Any], None], missing: Callable[[str], None]
    ) -> None:
        self._local, self._publish, self._missing = local, publish, missing
        self._receipts, self._common = Receipts(), _NONE

    def keep(self, message: Any, key: Key) -> Any:
        """Decodes a frame that later ones may refer to, in the order of arrival; None where it cannot be."""
        coded = None
        if message.split in self._local.splits:
            try:
                coded = self._local.keep(message.split, message.data)
            except MissingReferenceError as error:
                self._receipts.local_lost()
                self._missing(f"a frame cannot be decoded here: {error}")
                self._confirm(anyway=True)
                return None
            except ValueError:
                return None  # the local model will say so, if it is asked
        self._receipts.local(key)
        self._confirm()
        return coded

    def answered(self, key: Key) -> None:
        """The offboard computer has answered a frame."""
        self._receipts.answered(key)
        self._confirm()

    def heartbeat(self, message: Any) -> None:
        """An OffboardStatus has come."""
        self._receipts.heartbeat(message.run, Key(message.decoded_run, message.decoded_sequence))
        self._confirm()

    def _confirm(self, anyway: bool = False) -> None:
        """Tells the encoder of the newest frame that all have, when that has changed."""
        common = self._receipts.common or _NONE
        if anyway or common != self._common:
            self._common = common
            decoded = bool(common.run)
            self._publish(FeatureReceipt(run=common.run, decoded=decoded, sequence=common.sequence))
