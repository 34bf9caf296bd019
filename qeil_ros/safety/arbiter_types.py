"""What the arbiter takes and gives, and what it knows of a frame that waits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from .cost import Cost

__all__ = ["COUNTS", "ArbiterConfig", "Key", "Pending", "Publish", "RunLocal", "Source"]

F = TypeVar("F")
A = TypeVar("A")


COUNTS = (
    "frames",
    "frames_repeated",
    "frames_stale",
    "frames_crowded_out",
    "answers_none",
    "answers_offboard",
    "answers_local",
    "answers_held_up",
    "offboard_late",
    "offboard_repeated",
    "offboard_early",
    "offboard_unneeded",
    "local_failed",
    "local_late",
    "local_unneeded",
    "hedges",
    "hedges_needed",
    "hedges_denied",
    "rehearsals",
)


class Source(IntEnum):
    """The numbers are those of InferenceResult.SOURCE_*."""

    NONE = 0
    OFFBOARD = 1
    LOCAL = 2


class Key(NamedTuple):
    """A frame: the encoder's run and the number within it."""

    run: int
    sequence: int


@dataclass(frozen=True)
class ArbiterConfig:
    """
    Attributes:
        margin_s: how long before the deadline a frame must be answered [s].
        slack_s: how much later than asked the local model may come to start [s].
        most_pending: frames waiting at most.
        remembered: answered frames remembered, to know a repetition and a late answer.
        longest_s: no frame waits longer, whatever it claims to have left [s].
        hedge_share: local runs that may be wasted, as a share of the frames, 0 to 1; 0: none is hedged.
        hedge_burst: local runs that may be wasted at once.
        hedge_below: a frame is hedged when its offboard answer has become less likely than that, 0 to 1.
        rehearse_s: when no local run has begun for so long, one is begun for the sake of the estimate of its
            time [s]; it does not count as a hedge. 0: never.
    """

    margin_s: float = 0.02
    slack_s: float = 0.005
    most_pending: int = 64
    remembered: int = 4096
    longest_s: float = 60.0
    hedge_share: float = 0.1
    hedge_burst: int = 10
    hedge_below: float = 0.5
    rehearse_s: float = 10.0


@dataclass(frozen=True)
class Publish(Generic[F, A]):
    """Publish this now. `waited`: the offboard computer was given its chance, and has used or missed it."""

    key: Key
    frame: F
    source: Source
    answer: A | None
    reason: str
    waited: bool = True


@dataclass(frozen=True)
class RunLocal(Generic[F]):
    """Run the local model on this frame now, and report with `Arbiter.local_done`."""

    key: Key
    frame: F


@dataclass
class Pending(Generic[F, A]):
    """A frame that waits.

    Attributes:
        give_up_s: when it must be answered at the latest [s].
        cost: of a local run on it; None where no local model can answer it.
        held: its answer, waiting for its turn.
        spare: the offboard answer that came while the local model is to answer.
        reserve: the local answer that came while the offboard computer is still waited for.
        doubtful_s: when it had better be hedged [s].
        heard: an offboard answer to it has come.
        hedged: its local run was begun before it was due; paid: from the allowance; denied: it was not begun,
            for want of allowance.
        overtaken: a later frame of its run has its answer.
        hurried: the offboard computer was not waited for.
    """

    key: Key
    frame: F
    arrived_s: float
    give_up_s: float
    cost: Cost | None
    held: Publish[F, A] | None = None
    spare: A | None = None
    reserve: A | None = None
    doubtful_s: float = 0.0
    heard: bool = False
    running: bool = False
    hedged: bool = False
    paid: bool = False
    denied: bool = False
    failed: str = ""
    overtaken: bool = False
    why_local: str = ""
    hurried: bool = False

    def fits(self, run_s: float, now_s: float) -> bool:
        return now_s + run_s <= self.give_up_s

    @property
    def runnable(self) -> bool:
        """Whether a local run on it could still be of use, time aside."""
        done = self.held is not None or self.reserve is not None
        return not (done or self.running or self.failed) and self.cost is not None
