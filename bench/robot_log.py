"""What was seen of one robot on its topics, and what that says about its promises. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = [
    "DOWN",
    "LOCAL",
    "LOCAL_MODE",
    "NONE",
    "OFFBOARD",
    "Answer",
    "Cut",
    "CutOutcome",
    "Frame",
    "Promises",
    "RobotLog",
    "first_answers",
    "is_late",
    "outcome",
    "outcomes",
    "promises",
]

NONE, OFFBOARD, LOCAL = 0, 1, 2  # InferenceResult.SOURCE_*
DOWN = 3  # SupervisorStatus.LINK_DOWN
LOCAL_MODE = 2  # SupervisorStatus.MODE_LOCAL
NOTICED = "heartbeat lost"  # what a local answer gives as its reason where the server is known to be gone


@dataclass(frozen=True)
class Answer:
    """One message on `result`: when it was seen on the observer's monotonic clock [s], and what it says.

    Attributes:
        added_s: of `total_s`, what none of the steps before the fallback took [s]; NaN where one is unknown.
    """

    seen_s: float
    stamp_ns: int
    run: int
    sequence: int
    source: int
    reason: str
    total_s: float
    added_s: float = math.nan


@dataclass
class Frame:
    """Everything seen of one image, which its stamp names.

    Attributes:
        published_s: when the image was handed to the middleware [s].
        features_s: when its features were seen [s]; None: never, so it was no frame.
        features_bytes: their size [bytes].
        offboard_s: when the server's answer was seen on the robot's side of the link [s]; NaN: never.
    """

    stamp_ns: int
    published_s: float
    features_s: float | None = None
    features_bytes: int = 0
    offboard_s: float = math.nan
    answers: list[Answer] = field(default_factory=list)


@dataclass
class RobotLog:
    """What the observer writes down of one robot, in the order in which it was seen.

    Attributes:
        links: FallbackStatus.link and when it was said [s]. modes: SupervisorStatus.mode likewise.
        heartbeats: when one was seen [s], and the server's run.
        strangers: when an answer to an image was seen that nobody had published [s].
    """

    name: str
    frames: dict[int, Frame] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    links: list[tuple[float, int]] = field(default_factory=list)
    modes: list[tuple[float, int]] = field(default_factory=list)
    heartbeats: list[tuple[float, int]] = field(default_factory=list)
    strangers: list[float] = field(default_factory=list)

    def published(self, stamp_ns: int, now_s: float) -> None:
        self.frames[stamp_ns] = Frame(stamp_ns, now_s)

    def answered(self, answer: Answer) -> None:
        frame = self.frames.get(answer.stamp_ns)
        if frame is None:
            self.strangers.append(answer.seen_s)
            return
        frame.answers.append(answer)
        self.answers.append(answer)

    def images(self, since_s: float, until_s: float) -> list[Frame]:
        """Those published from `since_s` on and before `until_s` [s]."""
        return [frame for frame in self.frames.values() if since_s <= frame.published_s < until_s]

    def newest_sources(self, count: int) -> list[int]:
        return [answer.source for answer in self.answers[-count:]]


@dataclass(frozen=True)
class Promises:
    """What became of the frames of some time.

    Attributes:
        images: published. frames: of these, encoded; only they are promised an answer.
        late: seen later than the deadline after the image was published.
        late_by_own_clock: the message itself says that it took longer.
        stale: answers with content after a later frame of the same run had one.
        by_source: first answers by source.
        slowest_s: from the image to its first answer [s].
    """

    images: int
    frames: int
    unanswered: int
    duplicates: int
    late: int
    late_by_own_clock: int
    stale: int
    strangers: int
    by_source: dict[int, int]
    slowest_s: float

    @property
    def kept(self) -> bool:
        """Every frame was answered once, in time, in order; "no answer" counts as one."""
        broken = self.unanswered, self.duplicates, self.late, self.stale, self.strangers
        return self.frames > 0 and not any(broken)


def promises(log: RobotLog, deadline_s: float, since_s: float, until_s: float) -> Promises:
    """Judges the images published from `since_s` on and before `until_s` [s]."""
    images = log.images(since_s, until_s)
    frames = [frame for frame in images if frame.features_s is not None or frame.answers]
    firsts = first_answers(images)
    stamps = {frame.stamp_ns for frame in images}
    return Promises(
        images=len(images),
        frames=len(frames),
        unanswered=len(frames) - len(firsts),
        duplicates=sum(len(frame.answers) - 1 for frame, _ in firsts),
        late=sum(is_late(frame, answer, deadline_s) for frame, answer in firsts),
        late_by_own_clock=sum(answer.total_s > deadline_s for _, answer in firsts),
        stale=_stale(answer for answer in log.answers if answer.stamp_ns in stamps),
        strangers=sum(since_s <= seen_s < until_s for seen_s in log.strangers),
        by_source=dict(Counter(answer.source for _, answer in firsts)),
        slowest_s=max((answer.seen_s - frame.published_s for frame, answer in firsts), default=math.nan),
    )


def first_answers(images: Iterable[Frame]) -> list[tuple[Frame, Answer]]:
    """The images that were answered, each with its first answer."""
    return [(frame, frame.answers[0]) for frame in images if frame.answers]


def is_late(frame: Frame, answer: Answer, deadline_s: float) -> bool:
    """Whether the answer was seen later than the deadline after its image was published."""
    return answer.seen_s - frame.published_s > deadline_s


def _stale(answers: Iterable[Answer]) -> int:
    newest: dict[int, int] = {}
    stale = 0
    for answer in answers:
        if answer.source == NONE:
            continue  # nothing in it could be stale
        stale += answer.sequence < newest.get(answer.run, -1)
        newest[answer.run] = max(answer.sequence, newest.get(answer.run, -1))
    return stale


@dataclass(frozen=True)
class Cut:
    """Something that took the server away from a robot.

    Attributes:
        kind: what was done. start_s: when [s].
        end_s: when it was undone [s].
        carries_s: when the server could be heard again [s]; later than `end_s` where TCP has to notice first,
            or the server has to start.
        deaf: the robot heard nothing meanwhile; False: heartbeats went on.
    """

    kind: str
    start_s: float
    end_s: float
    carries_s: float
    deaf: bool = True

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True)
class CutOutcome:
    """How a robot took a cut.

    Attributes:
        noticed_s: from the cut to the first sign that it was noticed [s]; inf: none.
        back_s: from the server being heard again to the first answer of it [s]; inf: none.
        changes: changes of the source from answer to answer until the next cut; two are one failover.
        flaps: how often the link was given up, or the mode left, more than once for one cut.
    """

    cut: Cut
    noticed_s: float
    back_s: float
    changes: int
    flaps: int

    @property
    def strays(self) -> int:
        """Changes of the source beyond one failover: single frames that the other one was faster with."""
        return max(0, self.changes - 2)


def outcome(log: RobotLog, cut: Cut, next_s: float) -> CutOutcome:
    """Judges one cut by what was seen until the next one at `next_s` [s]."""
    answers = [answer for answer in log.answers if cut.start_s <= answer.seen_s < next_s]
    signs = [
        *(answer.seen_s for answer in answers if answer.source == LOCAL and NOTICED in answer.reason),
        *(at_s for at_s, link in log.links if link == DOWN and cut.start_s <= at_s < next_s),
    ]
    # An answer that was under way when the link was mended is one of before.
    again = [
        answer.seen_s
        for answer in answers
        if answer.source == OFFBOARD and log.frames[answer.stamp_ns].published_s >= cut.carries_s
    ]
    sources = [OFFBOARD, *(answer.source for answer in answers if answer.source != NONE)]
    return CutOutcome(
        cut=cut,
        noticed_s=min(signs, default=math.inf) - cut.start_s,
        back_s=min(again, default=math.inf) - cut.carries_s,
        changes=sum(a != b for a, b in pairwise(sources)),
        flaps=sum(
            max(0, _entries(said, state, cut.start_s, next_s) - 1)
            for said, state in ((log.links, DOWN), (log.modes, LOCAL_MODE))
        ),
    )


def _entries(said: Sequence[tuple[float, int]], state: int, start_s: float, end_s: float) -> int:
    """How often that state was entered within that time."""
    return sum(
        before != state == after and start_s <= at_s < end_s for (_, before), (at_s, after) in pairwise(said)
    )


def outcomes(log: RobotLog, cuts: Sequence[Cut], end_s: float) -> list[CutOutcome]:
    """The outcome of each cut of a robot, the last one judged by what was seen until `end_s` [s]."""
    ends = [*(cut.start_s for cut in cuts[1:]), end_s]
    return [outcome(log, cut, next_s) for cut, next_s in zip(cuts, ends, strict=True)]
