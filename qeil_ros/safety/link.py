"""Whether the offboard computer can be counted on, from its heartbeat and the answers themselves.

The heartbeat goes both ways. The server's says that it lives and names the newest message that it has of this
robot, a frame or, when there are none, the robot's own heartbeat: so a link that carries one way only is
noticed too, and a round trip is timed without any clock but this machine's.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from enum import IntEnum

from .latch import Latch
from .traffic import LinkFigures, Traffic

__all__ = ["Echo", "Link", "LinkConfig", "LinkFigures", "LinkMonitor"]


class Link(IntEnum):
    """The numbers are those of SupervisorStatus.LINK_*."""

    UNKNOWN = 0
    UP = 1
    DEGRADED = 2
    DOWN = 3


@dataclass(frozen=True)
class Echo:
    """What a server says of the newest message of ours that it has.

    Attributes:
        key: which one; None: it has none of this robot.
        held_s: how long it has had it [s]; NaN: unknown.
    """

    key: Hashable | None
    held_s: float = math.nan


@dataclass(frozen=True)
class LinkConfig:
    """
    Attributes:
        silence_periods: heartbeat periods without any sign of life after which the link is DOWN.
        most_silence_s: the same as a time [s]; the shorter of the two counts.
        late_periods: heartbeat periods of silence that make it DEGRADED.
        recover_s: how long all must be well before a worse state is left [s].
        window_s: span over which answers in time are counted [s].
        fewest_answers: fewer answers than that in the window say nothing.
        most_missed: share of answers missing their deadline from which on the link is DEGRADED, 0 to 1.
        traffic_window_s: span that the figures are about [s].
        lost_after_s: a frame without an answer for that long counts as lost [s].
    """

    silence_periods: float = 3.0
    most_silence_s: float = 0.3
    late_periods: float = 2.5
    recover_s: float = 0.5
    window_s: float = 2.0
    fewest_answers: int = 5
    most_missed: float = 0.2
    traffic_window_s: float = 5.0
    lost_after_s: float = 1.0


_DEFAULT_PERIOD_S = 0.1
_MOST_OUTCOMES = 1024


class LinkMonitor:
    """The state of the link. All times are of one monotonic clock of this machine; the server's is never
    looked at.

    A state gets worse at once and better only after `recover_s` without a reason against it.

    Args:
        now_s: the beginning of the watch: silence counts from here.
    """

    def __init__(self, config: LinkConfig, now_s: float) -> None:
        self.config = config
        self.restarts = 0
        """How often a server with another run id has taken over."""
        self._heard_s = now_s  # the last sign of life
        self._heard_any = False
        self._period_s = _DEFAULT_PERIOD_S
        self._run: int | None = None
        self._sequence = -1
        self._trouble = ""  # what the server itself says
        self._refusal = ""  # why it is of no use to us
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=_MOST_OUTCOMES)
        self._latch = Latch(config.recover_s, Link.UP, stepwise=False)
        self._traffic = Traffic(config.traffic_window_s, config.lost_after_s)
        self._deaf = 0  # heartbeats in a row by which the server does not hear us

    def sent(self, key: Hashable, size_bytes: int, now_s: float, *, frame: bool = True) -> None:
        """A message has left for the server: a frame, or (`frame` False) this robot's heartbeat."""
        self._traffic.sent(key, size_bytes, now_s, frame=frame)

    def figures(self, now_s: float) -> LinkFigures:
        """Rates, round trips and loss of late, from the messages that were told to `sent`."""
        return self._traffic.figures(now_s)

    def hear(
        self,
        run: int,
        sequence: int,
        period_s: float,
        now_s: float,
        *,
        trouble: str = "",
        refusal: str = "",
        echo: Echo | None = None,
    ) -> bool:
        """A heartbeat has arrived. False: it was an old one come again, and counts for nothing.

        Args:
            period_s: time to the next, as the server says [s]; nonsense is taken for 0.1.
            trouble: why the server cannot do all it should ("overloaded"): the link is DEGRADED while it
                says so.
            refusal: why it is of no use ("runs another model"): the link is DOWN while it says so.
            echo: what it has of us; None: not asked. A server that has for longer than the silence allowed
                heard nothing of what was `sent`, by two heartbeats in a row, is as good as dead.
        """
        if run == self._run and sequence <= self._sequence:
            return False
        if self._run is not None and run != self._run:
            self.restarts += 1
        self._run, self._sequence = run, sequence
        self._period_s = period_s if math.isfinite(period_s) and period_s > 0 else _DEFAULT_PERIOD_S
        self._trouble, self._refusal = trouble, refusal
        if echo is not None:
            if echo.key is not None:
                self._traffic.echoed(echo.key, echo.held_s, now_s)
            unheard = self._traffic.unheard_s(now_s) > self.silence_s
            self._deaf = self._deaf + 1 if unheard else 0
        self._alive(now_s)
        return True

    def answered(self, now_s: float, key: Hashable | None = None, server_s: float = math.nan) -> None:
        """A good answer has arrived, in time or not: as good a sign of life as a heartbeat.

        Args:
            key: of the frame, as it was told to `sent`; None: for a sign of life only.
            server_s: the server's own time with it, as it says [s]; NaN: unknown.
        """
        if key is not None:
            self._traffic.answered(key, server_s, now_s)
        self._deaf = 0
        self._alive(now_s)

    def outcome(self, in_time: bool, now_s: float) -> None:
        """Whether the offboard answer to a frame came in time, where it was waited for."""
        self._outcomes.append((now_s, in_time))

    @property
    def silence_s(self) -> float:
        """The silence after which the link is DOWN [s]."""
        return min(self.config.silence_periods * self._period_s, self.config.most_silence_s)

    @property
    def problem(self) -> str:
        """What makes the heartbeat unfit for this configuration; empty where nothing does."""
        if self._period_s < self.config.most_silence_s:
            return ""
        return (
            f"the server's heartbeat comes every {self._period_s:g} s, but silence of "
            f"{self.config.most_silence_s:g} s counts as a dead link; lower its period or raise the timeout"
        )

    def next_s(self, now_s: float) -> float:
        """When the state may change if nothing more is heard [s]; inf: it will not."""
        silences_s = (self._heard_s + self._late_s, self._heard_s + self.silence_s)
        silent_s = min((at_s for at_s in silences_s if at_s > now_s), default=math.inf)
        return min(silent_s, max(self._latch.falls_at_s(), now_s + 1e-3))

    def state(self, now_s: float) -> tuple[Link, str]:
        """The state at `now_s` and the reason; the reason is empty where the link is UP."""
        wanted, reason = self._judge(now_s)
        if wanted == Link.UNKNOWN:
            return wanted, reason
        level = Link(self._latch.update(wanted, now_s))
        if level > wanted:
            return level, f"recovering: well for less than {self.config.recover_s:g} s"
        return level, reason

    def _alive(self, now_s: float) -> None:
        # A gap is judged when it ends, too: nobody may have asked for the state while it lasted.
        state, _ = self._judge(now_s)
        if state != Link.UNKNOWN:
            self._latch.update(state, now_s)
        self._heard_any = True
        self._heard_s = max(self._heard_s, now_s)

    @property
    def _late_s(self) -> float:
        return self.config.late_periods * self._period_s

    def _judge(self, now_s: float) -> tuple[Link, str]:
        # Compared as in `next_s`: a moment that it names must not be missed by a rounding.
        if now_s >= self._heard_s + self.silence_s:
            heard = "heartbeat lost" if self._heard_any else "no heartbeat yet"
            return Link.DOWN, f"{heard}: silent for more than {self.silence_s:.3g} s"
        if not self._heard_any:
            return Link.UNKNOWN, "no heartbeat yet"
        if self._refusal:
            return Link.DOWN, self._refusal
        if self._deaf > 1:
            return Link.DOWN, "half-open: the server is heard, but does not hear this robot"
        if self._trouble:
            return Link.DEGRADED, self._trouble
        if now_s >= self._heard_s + self._late_s:
            return Link.DEGRADED, "heartbeat late"
        while self._outcomes and now_s - self._outcomes[0][0] > self.config.window_s:
            self._outcomes.popleft()
        missed = sum(not in_time for _, in_time in self._outcomes)
        count = len(self._outcomes)
        if count >= self.config.fewest_answers and missed > self.config.most_missed * count:
            return Link.DEGRADED, f"{missed} of {count} answers missed their deadline"
        return Link.UP, ""
