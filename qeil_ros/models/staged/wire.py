"""What the crew and its processes say to each other: one small message a packet, files beside it.

What is said with every frame is a few numbers: `Run`, and back the seconds that it took. All else is JSON.
Both ends are processes of ours, joined by a socket pair that nobody else can reach.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["End", "Message", "Run"]

Message = dict[str, Any]

_RUN = struct.Struct("<BIII")
_SECONDS = struct.Struct("<Bd")
_R, _S = ord("R"), ord("S")

_MOST_BYTES = 1 << 16
_BESIDE = socket.CMSG_SPACE(2 * 4)
"""Bytes: two files at most."""


class Run(NamedTuple):
    """A request to run a section from one region into another."""

    section: int
    source: int
    target: int


class End:
    """One end. What is sent raises OSError where the other end is gone. One thread may send, one receive."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray(_MOST_BYTES)  # of each end, so that receiving allocates nothing
        self._within_s = 0.0  # no limit

    @staticmethod
    def pair() -> tuple[End, socket.socket]:
        """Packets keep their borders, and the end of either process is the end of the other's stream."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return End(ours), theirs

    def send_run(self, section: int, source: int, target: int) -> None:
        self._socket.send(_RUN.pack(_R, section, source, target))

    def send_seconds(self, seconds: float) -> None:
        self._socket.send(_SECONDS.pack(_S, seconds))

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        socket.send_fds(self._socket, [json.dumps(message, separators=(",", ":")).encode()], list(fds))

    def wait_at_most(self, within_s: float) -> None:
        """From now on `receive` gives up after so long, or a twentieth later [s]."""
        if not 0.95 * self._within_s <= within_s <= self._within_s:
            # The kernel's own limit: Python's would take a second call for every packet.
            seconds, rest_s = divmod(within_s, 1.0)
            limit = struct.pack("@ll", int(seconds), int(rest_s * 1e6))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._within_s = within_s

    def receive(self) -> tuple[Any, list[int]] | None:
        """The next Run, seconds or Message, and its files; None: the other end is gone. TimeoutError: see
        `wait_at_most`."""
        buffer = self._buffer
        try:
            size, beside, _, _ = self._socket.recvmsg_into([buffer], _BESIDE)
        except BlockingIOError:
            raise TimeoutError from None
        fds = [fd for level, kind, found in beside for fd in _fds(level, kind, found)]
        if not size:
            for fd in fds:
                os.close(fd)
            return None
        if buffer[0] == _R:
            return Run(*_RUN.unpack_from(buffer)[1:]), fds
        if buffer[0] == _S:
            return _SECONDS.unpack_from(buffer)[1], fds
        message: Message = json.loads(buffer[:size])
        return message, fds

    def shutdown(self) -> None:
        """Ends the stream both ways; who waits is told. OSError: it is shut already."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def _fds(level: int, kind: int, found: bytes) -> tuple[int, ...]:
    if (level, kind) != (socket.SOL_SOCKET, socket.SCM_RIGHTS):
        return ()
    return struct.unpack(f"{len(found) // 4}i", found[: len(found) // 4 * 4])
