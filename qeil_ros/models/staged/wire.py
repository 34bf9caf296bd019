"""What the crew and its processes say to each other: one small message a packet, files beside it.

What is said with every frame is a few numbers: `R`, section, source, target; and back `S`, seconds. All else
is JSON. Both ends are processes of ours, joined by a socket pair that nobody else can reach.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

__all__ = ["Message", "pair", "receive", "send", "send_run", "send_seconds"]

Message = dict[str, Any]

_RUN = struct.Struct("<BIII")
_SECONDS = struct.Struct("<Bd")

_MOST_BYTES = 1 << 16
_BESIDE = socket.CMSG_SPACE(2 * 4)
"""Bytes: two files at most."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Packets keep their borders, and the end of either process is the end of the other's stream."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_run(end: socket.socket, section: int, source: int, target: int) -> None:
    """OSError: the other end is gone."""
    end.send(_RUN.pack(ord("R"), section, source, target))


def send_seconds(end: socket.socket, seconds: float) -> None:
    """OSError: the other end is gone."""
    end.send(_SECONDS.pack(ord("S"), seconds))


def send(end: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """OSError: the other end is gone."""
    socket.send_fds(end, [json.dumps(message, separators=(",", ":")).encode()], list(fds))


def receive(end: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its files; None: the other end is gone. TimeoutError as the socket is set."""
    data, beside, _, _ = end.recvmsg(_MOST_BYTES, _BESIDE)
    fds = [fd for level, kind, found in beside for fd in _fds(level, kind, found)]
    if not data:
        for fd in fds:
            os.close(fd)
        return None
    if data[0] == ord("R"):
        _, section, source, target = _RUN.unpack(data)
        return {"do": "run", "section": section, "source": source, "target": target}, fds
    if data[0] == ord("S"):
        return {"s": _SECONDS.unpack(data)[1]}, fds
    message: Message = json.loads(data)
    return message, fds


def _fds(level: int, kind: int, found: bytes) -> tuple[int, ...]:
    if (level, kind) != (socket.SOL_SOCKET, socket.SCM_RIGHTS):
        return ()
    return struct.unpack(f"{len(found) // 4}i", found[: len(found) // 4 * 4])
