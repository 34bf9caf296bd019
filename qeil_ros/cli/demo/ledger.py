"""What was seen on the topics, frame by frame. Pure: times and messages come in as arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

SOURCE_NAMES = {0: "none", 1: "offboard", 2: "local"}
LINK_NAMES = {0: "unknown", 1: "up", 2: "degraded", 3: "down"}
MODE_NAMES = {0: "nominal", 1: "constrained", 2: "local", 3: "hold"}


@dataclass(frozen=True)
class Answer:
    """One message on `result`.

    Attributes:
        seen_s: when the observer got it, on the observer's monotonic clock [s].
        times_s: encode, transfer, queue, inference and total as the message states them [s]; NaN where not
            taken.
    """

    seen_s: float
    source: str
    reason: str
    text: str
    times_s: dict[str, float]


@dataclass
class FrameRecord:
    """Everything seen of one frame, which its image's stamp names.

    Attributes:
        image_s: when the image was seen on the camera topic [s]; None: never.
        features_s: when its features were seen [s]; None: never.
        features_bytes: size of the coded features [bytes].
    """

    stamp_ns: int
    image_s: float | None = None
    features_s: float | None = None
    features_bytes: int = 0
    feature_bits: int = 0
    answers: list[Answer] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    @property
    def latency_s(self) -> float | None:
        """From the image to its first answer, both as seen from outside [s]."""
        if self.image_s is None or not self.answers:
            return None
        return self.answers[0].seen_s - self.image_s

    @property
    def correct(self) -> bool | None:
        """Whether the first answer is one of the accepted ones; None: not answered, or nobody knows."""
        if not self.expected or not self.answers:
            return None
        return normalise(self.answers[0].text) in {normalise(text) for text in self.expected}


@dataclass(frozen=True)
class Mark:
    """Something done to the graph, for example "kill"."""

    name: str
    at_s: float


@dataclass(frozen=True)
class SupervisorView:
    """The supervisor's last word."""

    seen_s: float
    mode: str
    link: str


class Ledger:
    """Matches images, features and answers by the image's stamp.

    Topics are independent: a frame's answer may be seen before its image. Stamps below `first_stamp_ns` are
    those of the frames that were played before the start to find out whether the graph is complete; they are
    kept apart.
    """

    def __init__(
        self, first_stamp_ns: int, expected: Callable[[int], tuple[str, ...]] = lambda stamp_ns: ()
    ) -> None:
        self.first_stamp_ns = first_stamp_ns
        self.frames: dict[int, FrameRecord] = {}
        self.warm_up: dict[int, FrameRecord] = {}
        self.marks: list[Mark] = []
        self.supervisor: SupervisorView | None = None
        self.heartbeats = 0
        self.paced = 0
        """Images that the encoder left out since the start, because it is to encode no more of them."""
        self._paced: tuple[int, int] | None = None  # its own count: at the start, and the last
        self.last_answer: Answer | None = None
        self._expected = expected

    def image(self, stamp_ns: int, seen_s: float) -> None:
        record = self._record(stamp_ns)
        if record.image_s is None:
            record.image_s = seen_s

    def features(self, stamp_ns: int, seen_s: float, size_bytes: int, feature_bits: int) -> None:
        record = self._record(stamp_ns)
        if record.features_s is None:
            record.features_s = seen_s
            record.features_bytes = size_bytes
            record.feature_bits = feature_bits

    def answer(self, stamp_ns: int, answer: Answer) -> None:
        self._record(stamp_ns).answers.append(answer)
        if stamp_ns >= self.first_stamp_ns:
            self.last_answer = answer

    def status(self, seen_s: float, mode: int, link: int) -> None:
        self.supervisor = SupervisorView(
            seen_s, MODE_NAMES.get(mode, f"mode {mode}"), LINK_NAMES.get(link, f"link {link}")
        )

    def heartbeat(self) -> None:
        self.heartbeats += 1

    def encoder_paced(self, count: int) -> None:
        """The encoder's count of images left out, as it reports it once a second."""
        first = count if self._paced is None or not self.frames else self._paced[0]
        self._paced = first, count
        self.paced = max(0, count - first)

    def mark(self, name: str, at_s: float) -> None:
        self.marks.append(Mark(name, at_s))

    def mark_time(self, name: str) -> float | None:
        """When that was last done [s]; None: not yet."""
        return next((mark.at_s for mark in reversed(self.marks) if mark.name == name), None)

    def in_order(self) -> list[FrameRecord]:
        """The frames of the run by their stamps, which increase in the order of publication."""
        return [self.frames[stamp] for stamp in sorted(self.frames)]

    def _record(self, stamp_ns: int) -> FrameRecord:
        kept = self.frames if stamp_ns >= self.first_stamp_ns else self.warm_up
        record = kept.get(stamp_ns)
        if record is None:
            record = kept[stamp_ns] = FrameRecord(stamp_ns, expected=self._expected(stamp_ns))
        return record


def normalise(text: str) -> str:
    """Letters' case, spaces and a full stop do not decide whether an answer is right."""
    return " ".join(text.casefold().rstrip(" .").split())
