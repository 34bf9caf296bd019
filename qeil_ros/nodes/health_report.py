"""The supervisor's health log: what changed for the worse or the better, and when."""

from __future__ import annotations

from collections.abc import Mapping

from qeil_ros.safety.health_log import HealthLog
from qeil_ros.safety.inputs import Problem
from qeil_ros.safety.link import Link
from qeil_ros.safety.modes import Mode

from .diagnostics import Part
from .supervisor_status import View

__all__ = ["HealthReport"]

_SHOWN = 8


class HealthReport:
    """Fed with every tick; writes down changes only."""

    def __init__(self) -> None:
        self.log = HealthLog()
        self._mode, self._link = Mode.NOMINAL, Link.UNKNOWN
        self._unread: Mapping[str, str] = {}
        self._stuck: frozenset[str] = frozenset()
        self._screened: dict[Problem, int] = {}

    def update(self, view: View, now_s: float) -> None:
        """Takes in a tick: the mode, the link, and sensors that fail or come back."""
        decision, add = view.verdict.decision, self.log.add
        if decision.mode != self._mode:
            add("mode", decision.mode.name.lower(), "; ".join(decision.reasons), now_s)
        if view.link != self._link:
            add("link", view.link.name.lower(), view.link_reason, now_s)
        # What a machine simply does not have has no source, and is no fault.
        unread = {r.name: r.reason for r in view.verdict.readings if not r.good and r.source}
        for name in sorted(unread.keys() - self._unread.keys()):
            add(name, "unreadable", unread[name], now_s)
        for name in sorted(self._unread.keys() - unread.keys()):
            add(name, "back", "", now_s)
        stuck = frozenset(view.stuck)
        for name in sorted(stuck - self._stuck):
            add(name, "stuck", "the sensor does not answer", now_s)
        self._mode, self._link, self._unread, self._stuck = decision.mode, view.link, unread, stuck

    def hear_encoder(self, values: Mapping[str, str], now_s: float) -> None:
        """Takes in the encoder's diagnostics: what its screen found since the last time."""
        for problem in Problem:
            text = values.get(f"images_{problem.value}", "")
            count = int(text) if text.isdecimal() else 0
            if count and count != self._screened.get(problem, 0):  # fewer: the encoder was started anew
                self.log.add("camera", problem.value, "", now_s)
            self._screened[problem] = count

    def show(self, part: Part, now_s: float) -> None:
        """The newest events, newest first, with their ages; and how many there were."""
        newest = sorted(self.log.entries, key=lambda entry: -entry.last_s)[:_SHOWN]
        for place, entry in enumerate(newest, 1):
            part.set(f"event_{place}", f"{now_s - entry.last_s:.0f} s ago: {entry}")
        for event in ("unreadable", "stuck", "hold", "down"):
            part.set(f"{event}_events", self.log.count(event))
