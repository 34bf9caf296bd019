"""Which frames of several robots run together, and when: earliest deadline first. Pure: the time comes in."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["Batch", "DeadlineBatcher", "Waiting"]

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting(Generic[T]):
    """A frame that waits: whose it is, what it can be batched with, its times [s] on one monotonic clock."""

    source: Hashable
    key: Hashable
    item: T
    arrived_s: float
    deadline_s: float


@dataclass
class Batch(Generic[T]):
    """Frames of one key to run now, earliest deadline first, and the frames that are too late."""

    run: list[Waiting[T]] = field(default_factory=list)
    late: list[Waiting[T]] = field(default_factory=list)


class DeadlineBatcher(Generic[T]):
    """Frames wait here until they are run, replaced by newer ones of the same robot, or too late.

    The batch is always built around the frame with the earliest deadline. It is given at once when it is
    full, or when each of the `sources` robots has a frame in it; else when its first frame has waited
    `max_wait_s`, or would miss its deadline if it waited on.

    Args:
        max_batch: frames in a batch at most, 1 or more.
        max_wait_s: how long a frame waits for others [s].
        max_queue: frames of one robot that wait at most; a further one replaces that robot's oldest.
        sources: robots served; nobody waits for more frames than there are robots.
    """

    def __init__(self, max_batch: int, max_wait_s: float, max_queue: int, sources: int) -> None:
        if max_batch < 1 or max_queue < 1 or sources < 1 or not max_wait_s >= 0:
            raise ValueError(
                f"want max_batch, max_queue, sources of 1 or more and max_wait_s of 0 or more, "
                f"got {max_batch}, {max_queue}, {sources}, {max_wait_s}"
            )
        self._max_batch, self._max_wait_s, self._max_queue = max_batch, max_wait_s, max_queue
        self._waiting: list[Waiting[T]] = []
        self.expect(sources)

    def expect(self, sources: int) -> None:
        """So many robots send frames from now on."""
        self._enough = max(1, min(self._max_batch, sources))

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, frame: Waiting[T]) -> Waiting[T] | None:
        """Lets a frame wait. Returns the same robot's oldest frame where it had to give way, else None."""
        same = [other for other in self._waiting if other.source == frame.source]
        replaced = None
        if len(same) >= self._max_queue:
            replaced = min(same, key=lambda other: other.arrived_s)
            self._waiting.remove(replaced)
        self._waiting.append(frame)
        return replaced

    def take(self, now_s: float, service_s: float = 0.0) -> Batch[T]:
        """The batch to run now, which may be empty, and the frames that cannot be answered in time any more.

        Args:
            service_s: how long running a batch takes, as far as known [s]; 0 drops only what is late already.
        """
        batch: Batch[T] = Batch()
        batch.late = [frame for frame in self._waiting if frame.deadline_s <= now_s + service_s]
        if batch.late:
            late = set(map(id, batch.late))
            self._waiting = [frame for frame in self._waiting if id(frame) not in late]
        chosen = self._candidates()
        if chosen and now_s >= self._release_s(chosen, service_s):
            taken = set(map(id, chosen))
            self._waiting = [frame for frame in self._waiting if id(frame) not in taken]
            batch.run = chosen
        return batch

    def next_s(self, service_s: float = 0.0) -> float | None:
        """The moment [s] at which `take` will have something if nothing else comes; None: nobody waits."""
        chosen = self._candidates()
        if not chosen:
            return None
        return min(
            self._release_s(chosen, service_s), *(frame.deadline_s - service_s for frame in self._waiting)
        )

    def clear(self) -> int:
        """Forgets all that wait; returns how many there were."""
        count, self._waiting = len(self._waiting), []
        return count

    def _candidates(self) -> list[Waiting[T]]:
        if not self._waiting:
            return []
        ordered = sorted(self._waiting, key=lambda frame: frame.deadline_s)
        return [frame for frame in ordered if frame.key == ordered[0].key][: self._max_batch]

    def _release_s(self, chosen: list[Waiting[T]], service_s: float) -> float:
        if len(chosen) >= self._enough:
            return chosen[0].arrived_s
        waited_s = min(frame.arrived_s for frame in chosen) + self._max_wait_s
        # Waiting may not eat the time that the most urgent frame needs to be run; half its slack is kept for
        # that.
        slack_s = chosen[0].deadline_s - service_s - chosen[0].arrived_s
        return min(waited_s, chosen[0].arrived_s + max(0.0, slack_s / 2))
