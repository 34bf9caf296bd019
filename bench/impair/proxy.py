"""The proxy itself: links between a port of ours and another one, and the commands that change them.

Commands are JSON objects, one a line, on standard input; each is answered by one line on standard output with
`ok`, the monotonic time `at_s` and what follows, or with `error`.

    {"do": "open", "link": "a", "host": "127.0.0.1", "port": 7447, "seed": 1}   -> "port"
    {"do": "set", "link": "a", "direction": "up", "conditions": {"delay_s": 0.05}}
    {"do": "cut", "link": "a", "direction": "both", "kind": "silent"}
    {"do": "mend", "link": "a"}                                                 -> "carries_s"
    {"do": "count", "link": "a"}                            -> "up_bytes", "down_bytes", "connections"

`up` is from whoever connected to us to the target, `down` the other way. Kinds of cuts:

    silent  nothing arrives; the ends notice nothing. What was sent arrives after the link is mended, once TCP
            has noticed (see `line`). One direction alone may be cut so.
    half    the same, but the other end has forgotten the connection (restarted, or a middle box has): what is
            sent is swallowed, and when the link is mended each end learns by a reset that it talks to nobody.
    reset   connections are reset at once, and new ones as soon as they come.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .conditions import Conditions
from .line import Flow, Line

__all__ = ["CUTS", "DIRECTIONS", "Link", "serve"]

DIRECTIONS = ("up", "down")
CUTS = ("silent", "half", "reset")
_READ_BYTES = 16384
_BUFFER_BYTES = 32768  # of our sockets: what waits shall wait where the conditions say so
_LINGER_ZERO = struct.pack("ii", 1, 0)  # close with a reset


class CommandError(ValueError):
    """A command that cannot be carried out."""


class _Half:
    """One direction of one connection: reads from one socket, delivers to the other."""

    def __init__(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.flow = Flow(line)
        self.swallowing = False
        self.delivered_bytes = 0
        self._reader, self._writer = reader, writer
        self._changed = asyncio.Event()

    def changed(self) -> None:
        self._changed.set()

    async def read(self) -> None:
        """Until the sender closes or resets."""
        while True:
            limit_bytes = self.flow.line.conditions.queue_bytes
            while self.flow.waiting_bytes >= limit_bytes and not self.swallowing:
                await self._wait(None)
            with suppress(ConnectionError):
                data = await self._reader.read(_READ_BYTES)
                if data:
                    if not self.swallowing:
                        self.flow.put(data, time.monotonic())
                        self.changed()
                    continue
            self.flow.end(time.monotonic())
            self.changed()
            return

    async def deliver(self) -> None:
        """Until the sender's end has arrived, or the receiver is gone (ConnectionError)."""
        while True:
            now_s = time.monotonic()
            segment = self.flow.take(now_s)
            if segment is None:
                await self._wait(self.flow.next_s() - now_s)
                continue
            self.changed()  # room for the reader
            if segment.data is None:
                if self._writer.can_write_eof():
                    self._writer.write_eof()
                return
            self._writer.write(segment.data)
            self.delivered_bytes += len(segment.data)
            await self._writer.drain()

    async def _wait(self, timeout_s: float | None) -> None:
        self._changed.clear()
        finite_s = None if timeout_s is None or timeout_s == float("inf") else timeout_s
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._changed.wait(), finite_s)


class _Connection:
    """A pair of sockets and the two directions between them."""

    def __init__(self, halves: Mapping[str, _Half], writers: tuple[asyncio.StreamWriter, ...]) -> None:
        self.halves = halves
        self._writers = writers
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Until both ends have closed and seen the other do so, or one is gone."""
        delivering = [asyncio.ensure_future(half.deliver()) for half in self.halves.values()]
        reading = [asyncio.ensure_future(half.read()) for half in self.halves.values()]
        self._tasks = [*delivering, *reading]
        try:
            await asyncio.wait(delivering, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in self._tasks:
                task.cancel()
            for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
                expected = (OSError, asyncio.CancelledError)  # a socket whose other end is gone
                if isinstance(outcome, BaseException) and not isinstance(outcome, expected):
                    raise outcome
            for writer in self._writers:
                writer.close()

    def reset(self) -> None:
        for writer in self._writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()


class Link:
    """A listening port, the target behind it, and the two lines between them."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        now_s = time.monotonic()
        self._target = host, port
        self.lines = {name: Line(Conditions(), seed * 2 + n, now_s) for n, name in enumerate(DIRECTIONS)}
        self._connections: set[_Connection] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._cuts: dict[str, str] = {}
        self._past_bytes = dict.fromkeys(DIRECTIONS, 0)
        self.accepted = 0

    async def listen(self) -> int:
        """Listens on a free port of loopback and returns it."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        for sock in server.sockets:  # inherited by the connections
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._server = server
        return int(server.sockets[0].getsockname()[1])

    def change(self, direction: str, conditions: Conditions) -> None:
        for name in _directions(direction):
            self.lines[name].change(conditions, time.monotonic())
        self._tell()

    def cut(self, direction: str, kind: str) -> None:
        if kind not in CUTS:
            raise CommandError(f"no cut {kind!r}; there are {', '.join(CUTS)}")
        if kind != "silent" and direction != "both":
            raise CommandError(f"a cut of kind {kind} is one of both directions")
        if self._cuts:
            raise CommandError("the link is cut already; mend it first")
        now_s = time.monotonic()
        self._cuts = dict.fromkeys(_directions(direction), kind)
        for connection in list(self._connections):
            if kind == "reset":
                connection.reset()
            for name in self._cuts:
                connection.halves[name].flow.hold(now_s)
                connection.halves[name].swallowing = kind == "half"
        self._tell()

    def mend(self) -> float:
        """Undoes the cut. Returns when the first connection that waited carries bytes again [s]."""
        now_s = time.monotonic()
        cuts, self._cuts = self._cuts, {}
        again_s: list[float] = []
        for connection in list(self._connections):
            if any(half.swallowing for half in connection.halves.values()):
                connection.reset()
            elif cuts:
                again_s.append(max(connection.halves[name].flow.resume(now_s) for name in cuts))
        self._tell()
        return min(again_s, default=now_s)

    def count(self) -> dict[str, int]:
        """Bytes delivered so far by direction, and connections now and ever."""
        totals = dict(self._past_bytes)
        for connection in self._connections:
            for name, half in connection.halves.items():
                totals[name] += half.delivered_bytes
        counts = {f"{name}_bytes": total for name, total in totals.items()}
        return {**counts, "connections": len(self._connections), "accepted": self.accepted}

    def _tell(self) -> None:
        for connection in self._connections:
            for half in connection.halves.values():
                half.changed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self.accepted += 1
        if "reset" in self._cuts.values():
            return _Connection({}, (writer,)).reset()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return _Connection({}, (writer,)).reset()  # as the target's own kernel would have
        for one in (writer, far_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.transport.set_write_buffer_limits(high=0)
        far_writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        halves = {
            "up": _Half(self.lines["up"], reader, far_writer),
            "down": _Half(self.lines["down"], far_reader, writer),
        }
        for name in self._cuts:  # a connection that is asked for during a cut waits like all else
            halves[name].flow.hold(time.monotonic())
        connection = _Connection(halves, (writer, far_writer))
        self._connections.add(connection)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            for name, half in halves.items():
                self._past_bytes[name] += half.delivered_bytes
        return None


class Proxy:
    """The links by name, and what may be asked of them."""

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}

    async def obey(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Carries a command out and returns what is to be answered. ValueError, OSError: it cannot be."""
        what, name = command.get("do"), str(command.get("link", ""))
        if what == "open":
            if name in self._links:
                raise CommandError(f"there is a link {name!r} already")
            link = Link(str(command["host"]), int(command["port"]), int(command.get("seed", 0)))
            port = await link.listen()
            self._links[name] = link
            return {"port": port}
        if name not in self._links:
            raise CommandError(f"no link {name!r}; there are: {', '.join(self._links) or 'none'}")
        link = self._links[name]
        direction = str(command.get("direction", "both"))
        if what == "set":
            link.change(direction, Conditions.from_json(command.get("conditions", {})))
            return {}
        if what == "cut":
            link.cut(direction, str(command.get("kind", "silent")))
            return {}
        if what == "mend":
            return {"carries_s": link.mend()}
        if what == "count":
            return dict(link.count())
        raise CommandError(f"no command {what!r}; there are open, set, cut, mend, count")


def _directions(direction: str) -> tuple[str, ...]:
    if direction == "both":
        return DIRECTIONS
    if direction not in DIRECTIONS:
        raise CommandError(f"no direction {direction!r}; there are up, down, both")
    return (direction,)


async def serve() -> None:
    """Obeys standard input until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    proxy = Proxy()
    while line := await reader.readline():
        at_s = time.monotonic()
        try:
            command = json.loads(line)
            if not isinstance(command, dict):
                raise CommandError(f"a command is an object, not {type(command).__name__}")
            answer = {"ok": True, "at_s": at_s, **await proxy.obey(command)}
        except (ValueError, TypeError, KeyError, OSError) as error:
            answer = {"ok": False, "at_s": at_s, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
