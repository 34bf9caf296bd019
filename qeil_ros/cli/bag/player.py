"""Publishes the messages of a recording at the times they were recorded."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .storage import message_class, offered_profiles, playback_profile

_AHEAD = 32  # messages read in advance, so that a slow disk does not delay what is due


@dataclass(frozen=True)
class Playback:
    """What to play and how. Times in seconds; `clock_hz` 0: no /clock."""

    rate: float = 1.0
    loop: bool = False
    clock_hz: float = 0.0
    start_offset_s: float = 0.0
    duration_s: float | None = None
    topics: tuple[str, ...] = ()
    remap: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Played:
    """What was done. `late_s`: how much after its time each message was handed over."""

    counts: Counter[str] = field(default_factory=Counter)
    late_s: list[float] = field(default_factory=list)
    loops: int = 0


class Player:
    """Plays an opened recording through publishers of `node`.

    The schedule is absolute: message i is due at start + (stamp_i - stamp_0) / rate on the monotonic clock,
    so that a late message does not delay those after it. `skipped` names the topics that cannot be played,
    with the reason.
    """

    def __init__(self, node: Any, reader: Any, options: Playback) -> None:
        from rosgraph_msgs.msg import Clock

        self.options = options
        self.reader = reader
        self.skipped: dict[str, str] = {}
        self._next_tick = 0
        self.publishers: dict[int, Any] = {}
        self.connections: list[Any] = []
        for connection in reader.connections:
            if options.topics and connection.topic not in options.topics:
                continue
            try:
                cls = message_class(connection)
            except Exception as error:  # an unknown type must not keep the other topics from being played
                self.skipped[connection.topic] = str(error)
                continue
            topic = options.remap.get(connection.topic, connection.topic)
            profile = playback_profile(offered_profiles(connection))
            self.publishers[connection.id] = node.create_publisher(cls, topic, profile)
            self.connections.append(connection)
        with_clock = options.clock_hz > 0
        self.clock = node.create_publisher(Clock, "/clock", _clock_profile()) if with_clock else None
        self.first_ns = reader.start_time + round(options.start_offset_s * 1e9)
        self.end_ns = reader.end_time
        if options.duration_s is not None:
            self.end_ns = min(self.end_ns, self.first_ns + round(options.duration_s * 1e9))

    def matched(self) -> bool:
        """Whether every topic that will be played has a subscription."""
        return all(publisher.get_subscription_count() > 0 for publisher in self.publishers.values())

    def play(self, stop: threading.Event) -> Played:
        """Plays until the end, or until `stop` is set. With `loop`, starts over when the last message is
        out."""
        played = Played()
        while not stop.is_set() and self.connections:
            self._play_once(played, stop)
            played.loops += 1
            if not self.options.loop:
                break
        return played

    def _play_once(self, played: Played, stop: threading.Event) -> None:
        start_s = time.monotonic()
        self._next_tick = 0
        messages = self.reader.messages(connections=self.connections, start=self.first_ns, stop=self.end_ns)
        source = _ahead(messages, stop)
        try:
            for connection, stamp_ns, data in source:
                due_s = start_s + (stamp_ns - self.first_ns) * 1e-9 / self.options.rate
                if not self._wait(start_s, due_s, stop):
                    return
                self.publishers[connection.id].publish(bytes(data))
                played.late_s.append(time.monotonic() - due_s)
                played.counts[self.options.remap.get(connection.topic, connection.topic)] += 1
        finally:
            source.close()
        if self.options.loop and not played.counts:
            stop.wait(0.1)  # nothing in this span: do not spin

    def _wait(self, start_s: float, due_s: float, stop: threading.Event) -> bool:
        """Waits until a message is due, giving the clock's ticks in between; False if it is to stop."""
        while self.clock is not None:
            # Ticks lie on a grid from the start on, so they neither drift nor depend on the messages.
            tick = self._next_tick
            tick_s = start_s + tick / self.options.clock_hz
            if tick_s > due_s:
                break
            if _sleep_until(tick_s, stop):
                return False
            self.clock.publish(self._clock_message(tick / self.options.clock_hz * self.options.rate))
            self._next_tick = tick + 1
        return not _sleep_until(due_s, stop)

    def _clock_message(self, elapsed_s: float) -> Any:
        from builtin_interfaces.msg import Time
        from rosgraph_msgs.msg import Clock

        seconds, nanoseconds = divmod(self.first_ns + round(elapsed_s * 1e9), 10**9)
        return Clock(clock=Time(sec=seconds, nanosec=nanoseconds))


def _clock_profile() -> Any:
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    return QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def _sleep_until(due_s: float, stop: threading.Event) -> bool:
    """Sleeps; True, at once, when it is to stop."""
    remaining_s = due_s - time.monotonic()
    return stop.wait(remaining_s) if remaining_s > 0 else stop.is_set()


def _ahead(source: Iterator[Any], stop: threading.Event) -> Any:
    """The same items, read in advance by a thread."""
    items: queue.Queue[Any] = queue.Queue(maxsize=_AHEAD)
    over = threading.Event()
    end = object()

    def put(item: Any) -> None:
        while not over.is_set():
            with suppress(queue.Full):
                items.put(item, timeout=0.1)
                return

    def read() -> None:
        try:
            for item in source:
                put(item)
                if over.is_set():
                    return
            put(end)
        except Exception as error:
            put(error)

    thread = threading.Thread(target=read, name="bag reader", daemon=True)
    thread.start()

    def take() -> Iterator[Any]:
        try:
            while (item := items.get()) is not end:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            over.set()
            thread.join()

    return take()
