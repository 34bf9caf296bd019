"""The result message of the fallback: a frame, an answer or none, and where the time and the energy went."""

from __future__ import annotations

import array
import math
import threading
from dataclasses import dataclass
from typing import Any

from qeil_ros.models.sampling import Drawn
from qeil_ros.models.tasks import Answer
from qeil_ros.msg import InferenceResult
from qeil_ros.safety.arbiter import Publish, Source

from .recent import Recent

__all__ = ["AnswerTimes", "Frame", "Reply", "message_of", "result", "transfer_s"]

_MOST_J = 1e6
_SOURCE_CHARACTERS = 512


@dataclass(frozen=True)
class Frame:
    """A frame that waits.

    Attributes:
        message: the FeatureFrame.
        arrived_s: when it arrived, on the monotonic clock [s].
        coded: what its data decode to, where that was done on arrival.
    """

    message: Any
    arrived_s: float
    coded: Any = None


@dataclass(frozen=True)
class Reply:
    """An answer: an InferenceResult that has the model's part filled in, and where its time went [s].

    Attributes:
        arrived_s: when it arrived over the link, on the monotonic clock; NaN for the local model's.
        energy_j: what the answer took on the robot [J]; NaN where unknown.
        energy_source: what that figure rests on.
    """

    message: Any
    queue_s: float
    inference_s: float
    arrived_s: float = math.nan
    energy_j: float = math.nan
    energy_source: str = ""


def message_of(answer: Answer) -> Any:
    """The answer of a model part as an InferenceResult with nothing else filled in."""
    boxes, embedding = array.array("f"), array.array("f")
    boxes.frombytes(answer.boxes.tobytes())
    embedding.frombytes(answer.embedding.tobytes())
    message = InferenceResult(
        text=answer.text,
        labels=answer.labels,
        scores=answer.scores,
        boxes=boxes,
        embedding=embedding,
        confidence=answer.confidence,
        offboard_energy_j=math.nan,
    )
    if isinstance(answer, Drawn):
        message.samples, message.samples_agreeing = answer.samples, answer.agreeing
        message.offboard_energy_j = answer.energy_j
        message.offboard_energy_source = answer.energy_source
        message.offboard_energy_quality = int(answer.energy_quality)
    return message


def result(action: Publish[Frame, Reply], now_s: float) -> Any:
    """The InferenceResult to publish at `now_s`; the reply's own message, completed."""
    frame, reply = action.frame.message, action.answer
    message = reply.message if reply else InferenceResult(confidence=math.nan, offboard_energy_j=math.nan)
    message.header = frame.header
    message.run, message.sequence = action.key
    message.source, message.reason = int(action.source), action.reason
    message.model, message.model_digest = frame.model, frame.model_digest
    message.encode_s = frame.encode_s
    message.queue_s = reply.queue_s if reply else math.nan
    message.inference_s = reply.inference_s if reply else math.nan
    message.transfer_s = transfer_s(action.frame, reply)
    message.total_s = frame.encode_s + now_s - action.frame.arrived_s
    message.bytes_sent = len(frame.data)
    message.energy_j, message.energy_source, message.energy_quality = _energy(action)
    if not _told(message):
        message.offboard_energy_j, message.offboard_energy_source = math.nan, ""
        message.offboard_energy_quality = InferenceResult.QUALITY_NONE
    return message


def _told(message: Any) -> bool:
    """Whether what the server says of its energy can be: it is passed on as it came."""
    return (
        0.0 <= message.offboard_energy_j <= _MOST_J
        and len(message.offboard_energy_source) <= _SOURCE_CHARACTERS
        and message.offboard_energy_source.isprintable()
        and InferenceResult.QUALITY_NONE < message.offboard_energy_quality <= InferenceResult.QUALITY_REPLAYED
    )


def transfer_s(frame: Frame, reply: Reply | None) -> float:
    """Both ways over the link [s]: the round trip less what the server says it took; NaN for no round trip.

    A server that claims more time than there was is wrong about itself, and the link is left with none.
    """
    if reply is None:
        return math.nan
    rest_s = reply.arrived_s - frame.arrived_s - reply.queue_s - reply.inference_s
    return rest_s if math.isnan(rest_s) else max(0.0, rest_s)


def _energy(action: Publish[Frame, Reply]) -> tuple[float, str, int]:
    """(J, source, quality) spent on the robot: by the encoder, and by the local model where it answered."""
    frame, reply = action.frame.message, action.answer
    if reply is None or action.source != Source.LOCAL:
        return frame.energy_j, frame.energy_source, frame.energy_quality
    energy_j = frame.energy_j + reply.energy_j
    if math.isnan(energy_j):
        return math.nan, "", InferenceResult.QUALITY_NONE
    quality = max(frame.energy_quality, InferenceResult.QUALITY_MODELLED)
    return energy_j, f"encoder: {frame.energy_source}; local: {reply.energy_source}", quality


class AnswerTimes:
    """How long answers took of late, and what of that was our own doing. For several threads."""

    def __init__(self, window_s: float = 10.0) -> None:
        self._total_s = {source: Recent(window_s) for source in Source}
        self._added_s = Recent(window_s)
        self._lock = threading.Lock()

    def add(self, action: Publish[Frame, Reply], total_s: float, now_s: float) -> None:
        """An answer was published at `now_s`, `total_s` after the image had come."""
        with self._lock:
            self._total_s[action.source].add(total_s, now_s)
            if action.source == Source.OFFBOARD and action.answer is not None:
                self._added_s.add(now_s - action.answer.arrived_s, now_s)

    def figures(self, now_s: float) -> dict[str, float]:
        """Medians and 99th percentiles: `total_SOURCE_*` from the image's arrival to the publication of its
        answer, `added_*` from the offboard answer's arrival on [s]; NaN where there was none.
        """
        with self._lock:
            named = {f"total_{source.name.lower()}": recent for source, recent in self._total_s.items()}
            named["added"] = self._added_s
            found = {name: recent.quantiles(0.5, 0.99, now_s=now_s) for name, recent in named.items()}
        return {
            f"{name}_{which}_s": value
            for name, values in found.items()
            for which, value in zip(("p50", "p99"), values, strict=True)
        }
