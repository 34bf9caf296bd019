"""What the fallback says of itself: the link, what became of frames of late, and where their time went."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qeil_ros.msg import FallbackStatus, InferenceResult
from qeil_ros.safety.link import Link
from qeil_ros.safety.traffic import LinkFigures, nearest_rank

__all__ = ["AnswerFigures", "fallback_status"]

_MOST = 1024


@dataclass(frozen=True)
class _Answer:
    time_s: float
    source: int
    split: str
    feature_bits: int
    encode_s: float
    transfer_s: float
    server_s: float
    total_s: float
    bytes_sent: float
    energy_j: float
    energy_source: str
    energy_quality: int

    @property
    def kind(self) -> tuple[int, str, int]:
        """Frames that can be compared: answered by the same side, coded alike."""
        return self.source, self.split, self.feature_bits


class AnswerFigures:
    """Answers of the last `window_s`, at most 1024, and counts of all. Not for several threads at a time."""

    def __init__(self, window_s: float = 2.0) -> None:
        self.window_s = window_s
        self.counts: Counter[int] = Counter()
        self.missed = 0
        self._answers: deque[_Answer] = deque(maxlen=_MOST)

    def add(self, frame: Any, answer: Any, waited: bool, now_s: float) -> None:
        """An answer was published.

        Args:
            frame: its FeatureFrame. answer: its InferenceResult.
            waited: whether the offboard answer was waited for.
        """
        self.counts[answer.source] += 1
        self.missed += waited and answer.source != InferenceResult.SOURCE_OFFBOARD
        self._answers.append(
            _Answer(
                now_s,
                answer.source,
                frame.split,
                frame.feature_bits,
                answer.encode_s,
                answer.transfer_s,
                answer.queue_s + answer.inference_s,
                answer.total_s,
                float(answer.bytes_sent),
                answer.energy_j,
                answer.energy_source,
                answer.energy_quality,
            )
        )

    def fill(self, status: Any, now_s: float) -> None:
        """Fills the part of a FallbackStatus that is about answers."""
        while self._answers and now_s - self._answers[0].time_s > self.window_s:
            self._answers.popleft()
        status.window_s = self.window_s
        status.answers_offboard = self.counts[InferenceResult.SOURCE_OFFBOARD]
        status.answers_local = self.counts[InferenceResult.SOURCE_LOCAL]
        status.answers_none = self.counts[InferenceResult.SOURCE_NONE]
        status.offboard_missed = self.missed
        status.rate_hz = len(self._answers) / self.window_s
        newest = self._answers[-1] if self._answers else None
        alike = [answer for answer in self._answers if newest and answer.kind == newest.kind]
        status.answers = len(alike)
        for name in ("encode_s", "transfer_s", "server_s", "total_s", "bytes_sent", "energy_j"):
            setattr(status, name, _quantile((getattr(answer, name) for answer in alike), 0.5))
        status.total_p99_s = _quantile((answer.total_s for answer in alike), 0.99)
        if newest is not None:
            status.source, status.split, status.feature_bits = newest.kind
            status.energy_source, status.energy_quality = newest.energy_source, newest.energy_quality


def fallback_status(
    answers: AnswerFigures,
    link: Link,
    reason: str,
    figures: LinkFigures,
    restarts: int,
    server: Any,
    now_s: float,
) -> Any:
    """The message, without its stamp.

    Args:
        link, reason, figures: of the link, at `now_s`.
        restarts: of the server.
        server: its last OffboardStatus; None before the first.
    """
    status = FallbackStatus(
        link=int(link),
        link_reason=reason,
        server_restarts=restarts,
        link_bytes_s=figures.rate_bytes_s,
        link_bytes_s_is_bound=figures.rate_is_bound,
        round_trip_s=figures.round_trip_s,
        round_trip_p99_s=figures.round_trip_p99_s,
        round_trip_least_s=figures.round_trip_least_s,
        jitter_s=figures.jitter_s,
        loss=figures.loss,
        server_load=server.load if server else math.nan,
        server_queue=server.queue if server else 0,
        server_p50_s=server.inference_p50_s if server else math.nan,
    )
    answers.fill(status, now_s)
    return status


def _quantile(values: Iterable[float], fraction: float) -> float:
    return nearest_rank(sorted(value for value in values if not math.isnan(value)), fraction)
