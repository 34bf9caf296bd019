"""Recorded networks: mahimahi's packet delivery opportunities and the CICV5G round trips."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["OPPORTUNITY_BYTES", "Delays", "Opportunities", "delays_5g", "opportunities"]

OPPORTUNITY_BYTES = 1500


class Opportunities:
    """When packets may leave, repeated for ever: `times_s` within one period of `period_s` [s], ascending.

    As in mahimahi's link: an opportunity takes 1500 bytes, several small packets share one, a packet may need
    several, and what is left of one when nobody waits is lost.
    """

    def __init__(self, times_s: tuple[float, ...], period_s: float) -> None:
        if not times_s or period_s <= 0 or times_s[-1] > period_s:
            raise ValueError(f"{len(times_s)} opportunities in a period of {period_s} s make no trace")
        self.times_s, self.period_s = times_s, period_s

    @property
    def mean_bit_s(self) -> float:
        return len(self.times_s) * OPPORTUNITY_BYTES * 8 / self.period_s

    def at(self, number: int) -> float:
        """When the opportunity with that number is [s]."""
        turn, place = divmod(number, len(self.times_s))
        return turn * self.period_s + self.times_s[place]

    def first_from(self, time_s: float) -> int:
        """Number of the first opportunity at `time_s` or later."""
        turn, rest_s = divmod(time_s, self.period_s)
        return int(turn) * len(self.times_s) + bisect_left(self.times_s, rest_s)


@dataclass(frozen=True)
class Delays:
    """Round trips over time, repeated for ever: from `times_s[i]` on it is `round_trips_s[i]` [s]."""

    times_s: tuple[float, ...]
    round_trips_s: tuple[float, ...]
    period_s: float

    def at(self, time_s: float) -> float:
        """The round trip at that time [s]."""
        return self.round_trips_s[max(0, bisect_right(self.times_s, time_s % self.period_s) - 1)]


@lru_cache(maxsize=8)
def opportunities(path: str) -> Opportunities:
    """Reads a mahimahi trace: one line an opportunity, its time in whole milliseconds, ascending.

    Raises:
        ValueError: another file. OSError: none.
    """
    try:
        times_ms = [int(line) for line in Path(path).read_text().split()]
    except ValueError as error:
        raise ValueError(f"{path} is no mahimahi trace: {error}") from None
    if not times_ms or times_ms[0] < 0 or times_ms[-1] == 0 or sorted(times_ms) != times_ms:
        raise ValueError(f"{path} is no mahimahi trace: its times do not ascend from 0")
    return Opportunities(tuple(t / 1e3 for t in times_ms), times_ms[-1] / 1e3)


@lru_cache(maxsize=8)
def delays_5g(path: str) -> Delays:
    """Reads a CICV5G recording: a heading, then rows with the columns pub_time, sub_time and delay in ms.

    Raises:
        ValueError: another file. OSError: none.
    """
    rows = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
    try:
        names = [name.partition("(")[0] for name in rows[0]]
        sent, delay = names.index("pub_time"), names.index("delay")
        pairs = [(int(row[sent]) / 1e3, float(row[delay]) / 1e3) for row in rows[1:]]
    except (ValueError, IndexError) as error:
        raise ValueError(f"{path} is no CICV5G recording: {error}") from None
    if len(pairs) < 2 or min(delay_s for _, delay_s in pairs) < 0:
        raise ValueError(f"{path} is no CICV5G recording: {len(pairs)} rows, or a negative delay")
    start_s = pairs[0][0]
    times_s = tuple(t - start_s for t, _ in pairs)
    return Delays(times_s, tuple(delay_s for _, delay_s in pairs), times_s[-1] + 0.05)
