"""When a virtual machine was kept from its processors: late then is late whatever the software does."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["Stolen", "overlaps"]

STEP_S = 0.01
"""The least that the counters usually tell."""
LEAST_S = 0.02
"""Of one processor's time, within `WITHIN_S`: less than that a margin bears."""
WITHIN_S = 0.1
_PERIOD_S = 0.01


class Stolen:
    """Watches the processors' steal counters (/proc/stat, in ticks of usually 10 ms) from entry to exit.

    Attributes:
        share: of all processors' time, what was stolen; NaN before any time has passed.
    """

    def __init__(self, stat: Path = Path("/proc/stat"), clock: Callable[[], float] = time.monotonic) -> None:
        self._stat, self._clock = stat, clock
        self._seen: list[tuple[float, tuple[int, ...]]] = []  # only where a counter has changed, and the ends
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stolen-time", daemon=True)

    def __enter__(self) -> Stolen:
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.look(last=True)

    def _watch(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            self.look()

    def look(self, *, last: bool = False) -> None:
        """Reads the counters once; `last`: kept even if nothing has changed."""
        ticks = steal_ticks(self._stat.read_text())
        if last or not self._seen or ticks != self._seen[-1][1]:
            self._seen.append((self._clock(), ticks))

    @property
    def share(self) -> float:
        (start_s, first), (end_s, newest) = self._seen[0], self._seen[-1]
        passed_s = (end_s - start_s) * max(1, len(newest))
        return _seconds(sum(newest) - sum(first)) / passed_s if passed_s > 0 else float("nan")

    def windows(self, least_s: float = LEAST_S) -> list[tuple[float, float]]:
        """Spans [s] of at most `WITHIN_S` in which one processor lost `least_s` or more, those that touch
        joined, in order. `STEP_S` is the least that can be told."""
        found: list[tuple[float, float]] = []
        first = 0
        for now_s, ticks in self._seen:
            while now_s - self._seen[first][0] > WITHIN_S:
                first += 1
            before = self._seen[max(0, first - 1)][1]  # the state when the span began
            lost_s = _seconds(max((b - a for a, b in zip(before, ticks, strict=True)), default=0))
            if lost_s < least_s:
                continue
            start_s = self._seen[first][0] - lost_s  # it was lost before it was seen to be
            if found and start_s <= found[-1][1]:
                found[-1] = found[-1][0], now_s
            else:
                found.append((start_s, now_s))
        return found


def steal_ticks(stat: str) -> tuple[int, ...]:
    """The steal counter of each processor in the text of /proc/stat, in order; 0 where a kernel has none."""
    lines = [line.split() for line in stat.splitlines() if line.startswith("cpu") and line[3:4].isdigit()]
    return tuple(int(words[8]) if len(words) > 8 else 0 for words in lines)


def overlaps(windows: Sequence[tuple[float, float]], start_s: float, end_s: float) -> bool:
    """Whether any of the windows has a moment in common with that span."""
    return any(begin <= end_s and start_s <= end for begin, end in windows)


def _seconds(ticks: int) -> float:
    return ticks / os.sysconf("SC_CLK_TCK")
