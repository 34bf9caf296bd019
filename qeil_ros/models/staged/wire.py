"""What the crew and its processes say to each other: one small JSON message a packet, files beside it.

Both ends are processes of ours, joined by a socket pair that nobody else can reach.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any

__all__ = ["pair", "receive", "send"]

_MOST_BYTES = 1 << 16
_MOST_FDS = 2


def pair() -> tuple[socket.socket, socket.socket]:
    """Packets keep their borders, and the end of either process is the end of the other's stream."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
    """OSError: the other end is gone."""
    socket.send_fds(end, [json.dumps(message, separators=(",", ":")).encode()], list(fds))


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its files; None: the other end is gone. TimeoutError as the socket is set."""
    data, fds, _, _ = socket.recv_fds(end, _MOST_BYTES, _MOST_FDS)
    if not data:
        for fd in fds:
            os.close(fd)
        return None
    message: dict[str, Any] = json.loads(data)
    return message, fds
