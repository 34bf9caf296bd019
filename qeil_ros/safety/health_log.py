"""What went wrong and came right again, and when: bounded, the latest events and a count of all.

Kept in memory by whoever watches something; shown in diagnostics, and so in the flight log.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Entry", "HealthLog"]


@dataclass(frozen=True)
class Entry:
    """An event, or several alike in a row.

    Attributes:
        subject: what it is about: a device, a sensor, the camera, the link.
        event: its kind, one of a few words: "fault", "back", "veto".
        text: for people.
        first_s, last_s: monotonic times of the first and the last of them [s].
        count: how many.
    """

    subject: str
    event: str
    text: str
    first_s: float
    last_s: float
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.subject}: {self.event}{': ' if self.text else ''}{self.text}{times}"


class HealthLog:
    """Not for several threads at a time.

    Args:
        most: entries kept; older ones only count.
    """

    def __init__(self, most: int = 256) -> None:
        if most < 1:
            raise ValueError(f"most is {most}; want 1 or more")
        self._entries: deque[Entry] = deque(maxlen=most)
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, subject: str, event: str, text: str, now_s: float) -> None:
        """An event; one like the newest of its subject only raises that one's count."""
        self._counts[subject, event] += 1
        for place in range(len(self._entries) - 1, -1, -1):
            entry = self._entries[place]
            if entry.subject == subject:
                if (entry.event, entry.text) == (event, text):
                    self._entries[place] = replace(entry, last_s=now_s, count=entry.count + 1)
                    return
                break
        self._entries.append(Entry(subject, event, text, now_s, now_s))

    def count(self, event: str, subject: str = "") -> int:
        """How often a kind of event has happened, to one subject or (empty) to all."""
        return sum(
            count for (who, what), count in self._counts.items() if what == event and subject in ("", who)
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those kept, in the order in which they first happened."""
        return tuple(self._entries)

    def recent(self, now_s: float, window_s: float) -> list[Entry]:
        """Those of the last `window_s`, newest first."""
        found = [entry for entry in self._entries if now_s - entry.last_s <= window_s]
        return sorted(found, key=lambda entry: -entry.last_s)

    def rows(self, now_s: float) -> list[dict[str, Any]]:
        """All entries for JSON; times as ages, since a monotonic time means nothing elsewhere [s]."""
        return [
            {
                "subject": entry.subject,
                "event": entry.event,
                "text": entry.text,
                "count": entry.count,
                "first_age_s": now_s - entry.first_s,
                "last_age_s": now_s - entry.last_s,
            }
            for entry in self._entries
        ]
