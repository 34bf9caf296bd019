"""What a run comes to: one flat record, computed from the ledger alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from qeil_ros.cli.demo.ledger import Answer, FrameRecord, Ledger

TIMES = ("encode", "transfer", "queue", "inference", "total")


@dataclass(frozen=True)
class Percentiles:
    """Nearest-rank percentiles: each is a value that really occurred. NaN where there are no values."""

    p50: float
    p95: float
    p99: float
    count: int

    @staticmethod
    def of(values: Iterable[float]) -> Percentiles:
        ranked = sorted(v for v in values if not math.isnan(v))

        def rank(percent: float) -> float:
            return ranked[max(math.ceil(percent / 100 * len(ranked)), 1) - 1] if ranked else math.nan

        return Percentiles(rank(50), rank(95), rank(99), len(ranked))


@dataclass(frozen=True)
class ImageSizes:
    """Mean sizes of the recording's images, to hold the features against [bytes]; NaN where unknown.

    Attributes:
        raw: uncompressed, as `sensor_msgs/Image` carries it; three bytes a pixel for compressed recordings.
        jpeg: the recording's own JPEG, else JPEG at quality 75.
        jpeg_small: JPEG at quality 75 of the image reduced to what the model looks at.
    """

    raw: float = math.nan
    jpeg: float = math.nan
    jpeg_small: float = math.nan


MOST_LEFT_OUT = 0.1
"""Share of the images that the encoder may leave out before the run counts as failed: a machine that falls
behind for a moment drops images, as it should; one that cannot keep up with the camera fails."""


@dataclass(frozen=True)
class Summary:
    """One run of the demonstration. Latencies are the messages' own; lateness is judged from outside.

    Attributes:
        frames_in: images seen on the camera topic.
        answers: frames that at least one answer was seen for.
        duplicates: answers beyond the first of a frame.
        late_published: first answers seen later than the deadline after their image.
        missing: images without an answer.
        unknown: answers to frames whose image was not seen.
        superseded: images that never became features, because the encoder keeps only the newest, or because
            it was to encode no more of them.
        paced: images of the latter kind, by the encoder's own count: held to the rate of the operating point,
            or of the safe point where the supervisor had fallen silent.
        by_source: answers by who gave them.
        failover_s: from the kill to the first answer by the robot alone after it [s].
        recovery_s: from the restart to the first answer from offboard after it [s].
        source_changes: frames that another source answered than the frame before.
        source_changes_after_restart: the same among the answers seen after the restart.
    """

    recording: str
    model: str
    seconds: float
    deadline_s: float
    frames_played: int
    frames_in: int
    answers: int
    duplicates: int
    late_published: int
    missing: int
    unknown: int
    superseded: int
    paced: int
    by_source: dict[str, int]
    with_truth: int
    correct: int
    feature_bits: dict[str, int]
    bytes_per_frame: float
    image_sizes: ImageSizes
    times_s: dict[str, Percentiles]
    seen_total_s: Percentiles
    killed_at_s: float | None
    restarted_at_s: float | None
    failover_s: float | None
    recovery_s: float | None
    offboard_after_restart: int
    source_changes: int
    source_changes_after_restart: int | None
    faults: list[str] = field(default_factory=list)

    @property
    def correct_share(self) -> float:
        """Right answers among those whose truth is known; NaN where none is."""
        return self.correct / self.with_truth if self.with_truth else math.nan

    def to_json(self) -> dict[str, Any]:
        """As JSON knows it: no NaN, `ok` and `correct_share` beside the fields."""
        record = {"ok": not self.faults, **asdict(self), "correct_share": self.correct_share}
        return {name: _finite(value) for name, value in record.items()}


def summarise(
    ledger: Ledger,
    *,
    deadline_s: float,
    start_s: float,
    now_s: float,
    recording: str = "",
    model: str = "",
    frames_played: int = 0,
    image_sizes: ImageSizes | None = None,
) -> Summary:
    """Computes the summary of what the ledger holds at `now_s`.

    Args:
        deadline_s: time from image to answer that is promised [s].
        start_s: when the play began, on the ledger's clock [s].
        now_s: the present, on the ledger's clock [s]; frames still within their deadline are not missing yet.
    """
    frames = ledger.in_order()
    seen = [f for f in frames if f.image_s is not None]
    answered = [f for f in frames if f.answers]
    firsts = [(f, f.answers[0]) for f in answered]
    due = [f for f in seen if f.image_s is not None and now_s - f.image_s > deadline_s]
    superseded = sum(1 for f in due if f.features_s is None and not f.answers)
    with_features = [f for f in frames if f.features_s is not None]
    sizes = [f.features_bytes for f in with_features]
    kill_s, restart_s = ledger.mark_time("kill"), ledger.mark_time("restart")
    after_restart = _after(firsts, restart_s, "offboard")
    summary = Summary(
        recording=recording,
        model=model,
        seconds=now_s - start_s,
        deadline_s=deadline_s,
        frames_played=frames_played,
        frames_in=len(seen),
        answers=len(answered),
        duplicates=sum(len(f.answers) - 1 for f in answered),
        late_published=sum(1 for f in answered if (f.latency_s or 0) > deadline_s),
        missing=sum(1 for f in due if not f.answers),
        unknown=sum(1 for f in answered if f.image_s is None),
        superseded=superseded,
        paced=min(ledger.paced, superseded),
        by_source=dict(Counter(a.source for _, a in firsts)),
        with_truth=sum(1 for f in answered if f.correct is not None),
        correct=sum(1 for f in answered if f.correct),
        feature_bits={
            str(bits): n for bits, n in sorted(Counter(f.feature_bits for f in with_features).items())
        },
        bytes_per_frame=sum(sizes) / len(sizes) if sizes else math.nan,
        image_sizes=image_sizes or ImageSizes(),
        times_s={name: Percentiles.of(a.times_s.get(name, math.nan) for _, a in firsts) for name in TIMES},
        seen_total_s=Percentiles.of(f.latency_s for f in answered if f.latency_s is not None),
        killed_at_s=None if kill_s is None else kill_s - start_s,
        restarted_at_s=None if restart_s is None else restart_s - start_s,
        failover_s=_delay(_after(firsts, kill_s, "local"), kill_s),
        recovery_s=_delay(after_restart, restart_s),
        offboard_after_restart=len(after_restart),
        source_changes=_changes(firsts),
        source_changes_after_restart=None if restart_s is None else _changes(firsts, restart_s),
    )
    summary.faults.extend(_faults(summary))
    return summary


def _after(firsts: list[tuple[FrameRecord, Answer]], mark_s: float | None, source: str) -> list[float]:
    """When answers of that source were seen after the mark [s]."""
    if mark_s is None:
        return []
    return sorted(a.seen_s for _, a in firsts if a.source == source and a.seen_s >= mark_s)


def _changes(firsts: list[tuple[FrameRecord, Answer]], since_s: float = -math.inf) -> int:
    """How often the source changes from one frame to the next, among answers seen since then."""
    sources = [answer.source for _, answer in firsts if answer.seen_s >= since_s]
    return sum(source != before for before, source in pairwise(sources))


def _delay(seen_s: list[float], mark_s: float | None) -> float | None:
    return seen_s[0] - mark_s if seen_s and mark_s is not None else None


def _faults(summary: Summary) -> list[str]:
    """What the run promised and did not keep, in words; empty: all kept."""
    broken = [
        (summary.frames_in == 0, "no image was seen on the camera topic"),
        (
            summary.missing > summary.superseded or summary.superseded > MOST_LEFT_OUT * summary.frames_in,
            missing_text(summary),
        ),
        (summary.unknown > 0, f"{summary.unknown} answers to images that were not seen"),
        (
            summary.missing == summary.unknown == 0 and summary.frames_in != summary.answers,
            f"{summary.frames_in} images, {summary.answers} answers",
        ),
        (summary.duplicates > 0, f"{summary.duplicates} answers beyond the first of a frame"),
        (summary.late_published > 0, f"{summary.late_published} answers published after their deadline"),
        (
            summary.by_source.get("none", 0) > 0,
            f"{summary.by_source.get('none', 0)} frames that nobody could answer",
        ),
        (
            summary.restarted_at_s is not None and summary.offboard_after_restart == 0,
            "no answer from offboard after the restart",
        ),
    ]
    return [text for is_broken, text in broken if is_broken]


def missing_text(summary: Summary) -> str:
    """Images without an answer, and why: an image that is never encoded is no frame, and none is due."""
    why = [
        (summary.paced, "left out to keep to the rate that the supervisor permits, or that holds without it"),
        (summary.superseded - summary.paced, "replaced by newer ones before the encoder came to them"),
        (summary.missing - summary.superseded, "encoded, but not answered"),
    ]
    reasons = "; ".join(f"{count} {reason}" for count, reason in why if count > 0)
    return f"{summary.missing} images without an answer ({reasons})"


def _finite(value: Any) -> Any:
    """NaN as null, at any depth."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
