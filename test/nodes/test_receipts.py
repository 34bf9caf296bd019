"""Which frame may be referred to: what both receivers have, and nothing a restarted one has lost."""

from __future__ import annotations

from qeil_ros.nodes.receipts import Receipts
from qeil_ros.safety.arbiter import Key

NONE = Key(0, 0)


def key(sequence: int) -> Key:
    return Key(7, sequence)


def test_the_newest_frame_that_both_have() -> None:
    receipts = Receipts()
    receipts.local(key(0))
    assert receipts.common is None
    receipts.answered(key(0))
    assert receipts.common == key(0)
    receipts.local(key(1))
    receipts.local(key(2))
    assert receipts.common == key(0)
    receipts.heartbeat(1, key(1))
    assert receipts.common == key(1)
    receipts.answered(key(2))
    receipts.answered(key(0))
    assert receipts.common == key(2)


def test_a_server_that_begins_anew_has_none() -> None:
    receipts = Receipts()
    receipts.heartbeat(1, NONE)
    receipts.local(key(0))
    receipts.answered(key(0))
    receipts.heartbeat(1, key(0))
    assert receipts.common == key(0)
    receipts.heartbeat(2, NONE)
    assert receipts.common is None
    receipts.local(key(1))
    receipts.heartbeat(2, key(1))
    assert receipts.common == key(1)


def test_a_server_that_could_not_decode_has_none() -> None:
    receipts = Receipts()
    receipts.heartbeat(1, NONE)
    receipts.local(key(0))
    receipts.answered(key(0))
    receipts.heartbeat(1, NONE)
    assert receipts.common is None


def test_a_fallback_that_could_not_decode_has_none() -> None:
    receipts = Receipts()
    receipts.local(key(0))
    receipts.answered(key(0))
    receipts.local_lost()
    assert receipts.common is None


def test_only_recent_frames_are_remembered() -> None:
    receipts = Receipts()
    receipts.local(key(0))
    for sequence in range(1, 100):
        receipts.local(key(sequence))
        receipts.answered(key(sequence - 1))
    assert receipts.common == key(98)
    for sequence in range(100, 200):
        receipts.local(key(sequence))
    assert receipts.common is None
