"""When segments arrive that are put on a line. Pure: time and seed come in."""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass

from .conditions import Conditions
from .traces import OPPORTUNITY_BYTES, Delays, Opportunities, delays_5g, opportunities

__all__ = ["MSS_BYTES", "Flow", "Line", "Segment"]

MSS_BYTES = 1448
HEADER_BYTES = 52  # IPv4 and TCP with timestamps: 1500 bytes on the wire for a full segment
LEAST_TIMEOUT_S = 0.2  # Linux never takes a shorter retransmission timeout
REORDER_SHARE = 0.25  # RACK waits a quarter of the round trip for segments that were only reordered
PROBE_ROUND_TRIPS = 2.0  # a tail loss probe goes out after so many


@dataclass
class Segment:
    """Bytes on their way; None: the connection's end.

    Attributes:
        sent_s: when it was put on the line [s].
        left_s: when its last bit left the sender [s].
        arrives_s: when it is at the other end [s]; it is delivered after those before it.
        recovery_s: of one whose first copy was lost: what it takes beyond the first retransmission [s].
    """

    data: bytes | None
    sent_s: float
    left_s: float
    arrives_s: float
    recovery_s: float = 0.0


class Line:
    """One direction of a link, which all of its connections share.

    A lost segment is sent again as Linux does it (RFC 8985): when a later one's arrival is acknowledged and a
    quarter of a round trip has passed, or else after the two round trips of a tail loss probe. A
    retransmission that is lost, too, waits for the retransmission timeout, doubled each time.
    """

    def __init__(self, conditions: Conditions, seed: int, now_s: float) -> None:
        self._random = random.Random(seed)
        self._free_s = now_s  # when the last segment has left
        self.change(conditions, now_s)

    def change(self, conditions: Conditions, now_s: float) -> None:
        """Other conditions from now on. ValueError, OSError: a trace that cannot be read."""
        trace: Opportunities | None = None
        delays: Delays | None = None
        if conditions.opportunities:
            trace = opportunities(conditions.opportunities)
        if conditions.delays:
            delays = delays_5g(conditions.delays)
        self.conditions, self._trace, self._delays = conditions, trace, delays
        self._origin_s = now_s
        self._taken, self._spare_bytes = -1, 0
        self._free_s = min(self._free_s, now_s)

    def put(self, data: bytes | None, now_s: float) -> Segment:
        """A segment is handed to the line at `now_s`."""
        size_bytes = HEADER_BYTES + len(data or b"")
        left_s = self._departure(size_bytes, now_s)
        segment = Segment(data, now_s, left_s, left_s + self._way_s(left_s))
        segment.recovery_s = self._recovery_s(left_s)
        if segment.recovery_s:
            segment.arrives_s += PROBE_ROUND_TRIPS * self.round_trip_s(left_s) + segment.recovery_s
        return segment

    def noticed(self, lost: Segment, later: Segment) -> None:
        """A segment after a lost one is on its way: its acknowledgement tells of the loss."""
        round_trip_s = self.round_trip_s(lost.left_s)
        noticed_s = later.left_s + (1 + REORDER_SHARE) * round_trip_s
        lost.arrives_s = min(lost.arrives_s, noticed_s + round_trip_s / 2 + lost.recovery_s)

    def round_trip_s(self, now_s: float) -> float:
        if self._delays is not None:
            return self._delays.at(now_s - self._origin_s)
        return self.conditions.round_trip_s or 2 * self.conditions.delay_s

    def timeout_s(self, now_s: float) -> float:
        """The retransmission timeout [s]."""
        return max(LEAST_TIMEOUT_S, 2 * self.round_trip_s(now_s))

    def _departure(self, size_bytes: int, now_s: float) -> float:
        start_s = max(now_s, self._free_s)
        if self._trace is not None:
            self._free_s = self._opportunity(self._trace, size_bytes, start_s)
        elif self.conditions.rate_bit_s:
            self._free_s = start_s + 8 * size_bytes / self.conditions.rate_bit_s
        else:
            self._free_s = start_s
        return self._free_s

    def _opportunity(self, trace: Opportunities, size_bytes: int, start_s: float) -> float:
        # Clocks are floats: an opportunity a rounding error ago is the one that was meant.
        first = trace.first_from(start_s - self._origin_s - 1e-9)
        if first > self._taken:  # nobody waited since the last one used: what was left of it is gone
            self._taken, self._spare_bytes = first - 1, 0
        while self._spare_bytes < size_bytes:
            self._taken += 1
            self._spare_bytes += OPPORTUNITY_BYTES
        self._spare_bytes -= size_bytes
        return max(start_s, self._origin_s + trace.at(self._taken))

    def _way_s(self, now_s: float) -> float:
        base_s = self.round_trip_s(now_s) / 2 if self._delays is not None else self.conditions.delay_s
        spread_s = self.conditions.jitter_s
        return max(0.0, base_s + (self._random.uniform(-spread_s, spread_s) if spread_s else 0.0))

    def _recovery_s(self, now_s: float) -> float:
        """Of a lost segment: what further losses of it cost, at least a microsecond; 0: it is not lost."""
        loss, cost_s = self.conditions.loss, 1e-6
        if not loss or self._random.random() >= loss:
            return 0.0
        timeout_s = self.timeout_s(now_s)
        while self._random.random() < loss:
            cost_s += timeout_s
            timeout_s *= 2
        return cost_s


class Flow:
    """The bytes of one connection in one direction: in order, and none lost in the end.

    Attributes:
        waiting_bytes: on their way or waiting for it [bytes].
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.waiting_bytes = 0
        self._way: deque[Segment] = deque()
        self._lost: list[Segment] = []
        self._cut_s: float | None = None
        self._resumes_s = -math.inf

    def __len__(self) -> int:
        return len(self._way)

    @property
    def cut(self) -> bool:
        return self._cut_s is not None

    def put(self, data: bytes, now_s: float) -> None:
        """Bytes from the sender, of any number."""
        for start in range(0, len(data), MSS_BYTES):
            self._put(data[start : start + MSS_BYTES], now_s)
        self.waiting_bytes += len(data)

    def end(self, now_s: float) -> None:
        """The sender has closed: so will the receiver see it, after all bytes."""
        self._put(None, now_s)

    def _put(self, data: bytes | None, now_s: float) -> None:
        segment = self.line.put(data, now_s)
        if segment.recovery_s:
            self._lost.append(segment)
        else:
            for lost in self._lost:
                self.line.noticed(lost, segment)
            self._lost.clear()
        self._way.append(segment)

    def next_s(self) -> float:
        """When the next segment is due [s]; inf: none, or none before the cut is mended."""
        if self.cut or not self._way:
            return math.inf
        return max(self._way[0].arrives_s, self._resumes_s)

    def take(self, now_s: float) -> Segment | None:
        """The next segment that has arrived, if any."""
        if self.next_s() > now_s:
            return None
        segment = self._way.popleft()
        self.waiting_bytes -= len(segment.data or b"")
        return segment

    def hold(self, now_s: float) -> None:
        """Nothing arrives any more; TCP keeps it all."""
        if self._cut_s is None:
            self._cut_s = now_s

    def resume(self, now_s: float) -> float:
        """The line carries again: from the first retransmission on that finds it mended. Returns when [s].

        A sender repeats the first segment that was not acknowledged after the retransmission timeout, then
        after twice that, and so on: after a long silence it takes a while to notice that all is well.
        """
        if self._cut_s is None:
            return now_s
        cut_s, self._cut_s = self._cut_s, None
        if not self._way:
            return now_s
        pause_s = self.line.timeout_s(now_s)
        again_s = max(cut_s, self._way[0].sent_s)
        if again_s >= now_s:
            return now_s
        while again_s < now_s:
            again_s += pause_s
            pause_s *= 2
        self._resumes_s = again_s
        waiting, self._way = self._way, deque()
        self._lost.clear()
        for segment in waiting:  # what was under way is lost, and takes its time on the line once more
            self._put(segment.data, now_s)
        return again_s
