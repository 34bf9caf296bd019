"""What one direction of a link is like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["Conditions"]


@dataclass(frozen=True)
class Conditions:
    """One direction of a link. The default is loopback as it is.

    Attributes:
        delay_s: time on the way [s].
        jitter_s: the delay varies uniformly by so much to either side [s]; order is kept, as TCP does.
        rate_bit_s: bits a second on the wire, headers included [bit/s]; 0: unlimited.
        loss: probability that a segment is lost, 0 to 1, retransmissions included.
        round_trip_s: what a sender needs to notice a loss [s]; 0: twice `delay_s`.
        queue_bytes: bytes on their way or waiting for it at most; then the sender is held back [bytes].
        opportunities: path of a mahimahi trace: when packets of 1500 bytes may leave; empty: none.
        delays: path of a CICV5G recording, whose round trips replace `delay_s`, half each way; empty: none.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    rate_bit_s: float = 0.0
    loss: float = 0.0
    round_trip_s: float = 0.0
    queue_bytes: int = 65536
    opportunities: str = ""
    delays: str = ""

    def __post_init__(self) -> None:
        for name in ("delay_s", "jitter_s", "rate_bit_s", "round_trip_s"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; give a finite number from 0")
        if not 0 <= self.loss < 1:
            raise ValueError(f"loss is {self.loss}; give a probability from 0, below 1")
        if self.queue_bytes < 1:
            raise ValueError(f"queue_bytes is {self.queue_bytes}; give at least 1")
        if self.rate_bit_s and self.opportunities:
            raise ValueError("rate_bit_s and opportunities were both given; give one of them")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Conditions:
        """ValueError: a name that there is not, or a value out of range."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(given) - known):
            raise ValueError(f"no condition {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return cls(**given)
