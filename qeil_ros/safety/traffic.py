"""What the link is like, from the traffic itself: rates, round trips, jitter and loss. Pure.

No clock but this machine's is looked at. A round trip runs from a message's own departure to the arrival of
what names it (an answer, or the server's heartbeat), less the time that the server says it kept it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

__all__ = ["LinkFigures", "Traffic", "nearest_rank"]

_MOST = 1024
_BINS = 8
_FEWEST_IN_BIN = 3
_LEAST_SPREAD = 1.5


@dataclass(frozen=True)
class LinkFigures:
    """The recent past of a link. NaN where nothing tells.

    Attributes:
        span_s: the time that the figures are about [s]; 0: nothing was sent yet.
        sent_hz, sent_bytes_s: frames and bytes of frames that were sent a second [Hz, B/s].
        confirmed_bytes_s: those of them that were answered [B/s].
        round_trip_s, round_trip_p99_s, round_trip_least_s: median, 99th percentile and minimum of the time
            over the link both ways, without the server's own [s]. It includes the sending of the payload.
        jitter_s: median change from one round trip to the next [s].
        loss: share of frames without an answer, 0 to 1. On a link that repeats lost packets a lost packet is
            no lost frame, but a slow one; a frame is lost in a cut, or where a queue overflows.
        rate_bytes_s: what the link can carry [B/s], see `rate_is_bound`.
        rate_is_bound: the rate is only known to be no less: all frames were of much the same size, or their
            size makes no difference that rises above the noise.
        source: what the figures rest on.
    """

    span_s: float = 0.0
    sent_hz: float = 0.0
    sent_bytes_s: float = 0.0
    confirmed_bytes_s: float = 0.0
    round_trip_s: float = math.nan
    round_trip_p99_s: float = math.nan
    round_trip_least_s: float = math.nan
    jitter_s: float = math.nan
    loss: float = math.nan
    rate_bytes_s: float = math.nan
    rate_is_bound: bool = True
    source: str = "nothing was sent yet"


@dataclass
class _Sent:
    size_bytes: int
    sent_s: float
    frame: bool
    answered: bool = False
    round_trip_s: float = field(default=math.nan)


class Traffic:
    """What was sent in the last `window_s`, at most 1024 messages, and what came of it.

    Args:
        window_s: span that the figures are about [s].
        lost_after_s: a frame that has no answer after that time counts as lost [s], until one comes.
    """

    def __init__(self, window_s: float = 5.0, lost_after_s: float = 1.0) -> None:
        if not 0 < lost_after_s < window_s:
            raise ValueError(f"want 0 < lost_after_s < window_s, got {lost_after_s} and {window_s}")
        self.window_s, self.lost_after_s = window_s, lost_after_s
        self._sent: OrderedDict[Hashable, _Sent] = OrderedDict()
        self._heard_s = -math.inf  # departure of the newest message that is known to have arrived

    def sent(self, key: Hashable, size_bytes: int, now_s: float, *, frame: bool = True) -> None:
        """A message has left: a frame, to which an answer is due, or (`frame` False) a heartbeat."""
        self._forget(now_s)
        if key not in self._sent:
            self._sent[key] = _Sent(size_bytes, now_s, frame)
            if len(self._sent) > _MOST:
                self._sent.popitem(last=False)

    def answered(self, key: Hashable, server_s: float, now_s: float) -> None:
        """The answer to a frame has arrived, in time or not. Server's time with it [s]; NaN: unknown."""
        entry = self._sent.get(key)
        if entry is not None and not entry.answered:
            entry.answered = True
            self._arrived(entry, server_s, now_s)

    def echoed(self, key: Hashable, held_s: float, now_s: float) -> None:
        """The server says that this message is the newest it has, and how long it has had it [s]."""
        entry = self._sent.get(key)
        if entry is not None and math.isnan(entry.round_trip_s):
            self._arrived(entry, held_s, now_s)

    def unheard_s(self, now_s: float) -> float:
        """For how long messages have been leaving without a sign that one of them has arrived [s].

        What is still under way by the longest of the recent round trips is not counted; 0: all is well.
        """
        self._forget(now_s)
        first_s = next((entry.sent_s for entry in self._sent.values() if entry.sent_s > self._heard_s), now_s)
        usual_s = max((e.round_trip_s for e in self._sent.values() if e.round_trip_s > 0), default=0.0)
        return max(0.0, now_s - first_s - usual_s)

    def figures(self, now_s: float) -> LinkFigures:
        self._forget(now_s)
        entries = list(self._sent.values())
        if not entries:
            return LinkFigures()
        frames = [entry for entry in entries if entry.frame]
        answered = [entry for entry in frames if entry.answered]
        due = [e for e in frames if e.answered or now_s - e.sent_s > self.lost_after_s]
        timed = [entry for entry in entries if not math.isnan(entry.round_trip_s)]
        trips = [entry.round_trip_s for entry in timed]
        # A span that has only begun would make any rate of it.
        span_s = min(self.window_s, max(now_s - entries[0].sent_s, self.lost_after_s))
        confirmed_bytes_s = sum(entry.size_bytes for entry in answered) / span_s
        rate_bytes_s, is_bound = _rate(timed, confirmed_bytes_s)
        ordered = sorted(trips)
        return LinkFigures(
            span_s=span_s,
            sent_hz=len(frames) / span_s,
            sent_bytes_s=sum(entry.size_bytes for entry in frames) / span_s,
            confirmed_bytes_s=confirmed_bytes_s,
            round_trip_s=nearest_rank(ordered, 0.5),
            round_trip_p99_s=nearest_rank(ordered, 0.99),
            round_trip_least_s=ordered[0] if ordered else math.nan,
            jitter_s=median(abs(b - a) for a, b in pairwise(trips)) if len(trips) > 1 else math.nan,
            loss=(len(due) - len(answered)) / len(due) if due else math.nan,
            rate_bytes_s=rate_bytes_s,
            rate_is_bound=is_bound,
            source=f"{len(answered)} of {len(frames)} frames answered, {len(trips)} round trips timed, "
            f"in {span_s:.3g} s",
        )

    def _arrived(self, entry: _Sent, server_s: float, now_s: float) -> None:
        self._heard_s = max(self._heard_s, entry.sent_s)
        if server_s >= 0:
            # A server that claims more time than there was is wrong about itself: the link is left with none.
            entry.round_trip_s = max(0.0, now_s - entry.sent_s - server_s)

    def _forget(self, now_s: float) -> None:
        while self._sent and now_s - next(iter(self._sent.values())).sent_s > self.window_s:
            self._sent.popitem(last=False)


def nearest_rank(ordered: Sequence[float], fraction: float) -> float:
    """The nearest-rank quantile of values in ascending order; NaN where there is none."""
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, max(0, math.ceil(fraction * len(ordered)) - 1))]


def _rate(timed: list[_Sent], confirmed_bytes_s: float) -> tuple[float, bool]:
    """(what the link can carry [B/s], whether that is only a lower bound).

    A larger payload takes longer by its additional bytes over the rate, and queues only ever add to that: so
    the rate is the slope through the quickest messages of each size, here by Theil and Sen's median of pairs.
    Where sizes do not tell, what has been carried bounds the rate from below.
    """
    bound = max((e.size_bytes / e.round_trip_s for e in timed if e.round_trip_s > 0), default=0.0)
    bound = max(bound, confirmed_bytes_s)
    by_size = sorted(timed, key=lambda entry: entry.size_bytes)
    count = min(_BINS, len(by_size) // _FEWEST_IN_BIN)
    if count < 2 or by_size[-1].size_bytes < _LEAST_SPREAD * by_size[0].size_bytes:
        return bound or math.nan, True
    edges = [round(i * len(by_size) / count) for i in range(count + 1)]
    quickest = [
        min(by_size[first:last], key=lambda entry: entry.round_trip_s) for first, last in pairwise(edges)
    ]
    pairs = [(a, b) for i, a in enumerate(quickest) for b in quickest[i + 1 :] if b.size_bytes > a.size_bytes]
    if not pairs:
        return bound or math.nan, True
    slope = median((b.round_trip_s - a.round_trip_s) / (b.size_bytes - a.size_bytes) for a, b in pairs)
    base = median(e.round_trip_s - slope * e.size_bytes for e in quickest)
    noise_s = median(abs(e.round_trip_s - slope * e.size_bytes - base) for e in quickest)
    explained_s = slope * (quickest[-1].size_bytes - quickest[0].size_bytes)
    # Two points lie on any line: the noise between messages of a size then stands in for the residuals.
    if count == 2:
        half = [entry.round_trip_s for entry in by_size[: edges[1]]]
        noise_s = median(abs(trip - min(half)) for trip in half)
    if slope <= 0 or explained_s <= 2 * noise_s:
        return bound or math.nan, True
    return max(1.0 / slope, bound), False
