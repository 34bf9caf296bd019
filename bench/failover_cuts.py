"""Cuts at random phases, robot by robot, and what they come to. Everything random takes the seed."""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .fleet import Fleet
from .impair import ImpairError
from .progress import Tell
from .robot_log import Cut
from .ros import BenchError
from .watch import Watch

__all__ = ["KINDS", "Cutter", "Plan", "cut_all", "plan", "share_out"]

LEAST_CUT_S, MOST_CUT_S = 0.05, 3.0
PAUSE_S = (0.1, 0.6)
"""From being answered by the server again to the next cut, at random."""
PATIENCE_S = 20.0
"""For a robot to be answered by the server again; over that the run goes on, and the outcome says inf."""

KINDS: dict[str, float] = {
    "silent": 0.33,  # nothing passes, nobody is told
    "silent-to-server": 0.10,  # heartbeats still come
    "silent-to-robot": 0.10,  # the server still hears
    "half-open": 0.15,  # what is sent is swallowed, and at the end reset
    "reset": 0.15,  # connections are reset, also new ones
    "stopped": 0.12,  # SIGSTOP, SIGCONT
    "killed": 0.05,  # SIGKILL, and a new start
}
"""What is done, and how often of all."""

_ON_LINK = {
    "silent": ("silent", "both"),
    "silent-to-server": ("silent", "down"),
    "silent-to-robot": ("silent", "up"),
    "half-open": ("half", "both"),
    "reset": ("reset", "both"),
}


@dataclass(frozen=True)
class Plan:
    """One cut to come: what, for how long [s], and how long to wait before it [s]."""

    kind: str
    duration_s: float
    pause_s: float


def plan(count: int, seed: int) -> list[Plan]:
    """So many cuts, of each kind its share, shuffled; durations are spread evenly on a logarithmic scale."""
    rng = random.Random(seed)
    # Systematic sampling: evenly spaced points, moved by chance together, so that few cuts differ in kind.
    ends, offset = list(itertools.accumulate(KINDS.values())), rng.random()
    points = [(number + offset) / count * ends[-1] for number in range(count)]
    kinds = [list(KINDS)[bisect.bisect_right(ends[:-1], point)] for point in points]
    rng.shuffle(kinds)
    return [
        Plan(
            kind,
            math.exp(rng.uniform(math.log(LEAST_CUT_S), math.log(MOST_CUT_S))),
            rng.uniform(*PAUSE_S),
        )
        for kind in kinds
    ]


class Cutter:
    """Does the cuts of one robot, one after the other."""

    def __init__(self, fleet: Fleet, watch: Watch, robot: str, plans: Sequence[Plan]) -> None:
        self._fleet, self._watch, self.robot, self._plans = fleet, watch, robot, plans
        self.cuts: list[Cut] = []

    def run(self, tell: Callable[[], None], stop: threading.Event) -> None:
        for planned in self._plans:
            if stop.wait(planned.pause_s):
                return
            cut = self._do(planned)
            self.cuts.append(cut)
            tell()
            # Some go on without being back: their outcome says so.
            self._wait(functools.partial(self._watch.well, self.robot, since_s=cut.carries_s))

    def _do(self, planned: Plan) -> Cut:
        if planned.kind == "killed":
            return self._kill(planned)
        if planned.kind == "stopped":
            start_s = self._fleet.stop(self.robot)
            time.sleep(planned.duration_s)
            end_s = self._fleet.go_on(self.robot)
            return Cut(planned.kind, start_s, end_s, end_s)
        kind, direction = _ON_LINK[planned.kind]
        network = self._fleet.network
        start_s = network.cut(self.robot, kind, direction)
        time.sleep(planned.duration_s)
        end_s = time.monotonic()
        carries_s = max(end_s, network.mend(self.robot))
        return Cut(planned.kind, start_s, end_s, carries_s, deaf=direction != "down")

    def _kill(self, planned: Plan) -> Cut:
        log = self._watch.logs[self.robot]
        start_s = self._fleet.kill(self.robot)
        time.sleep(planned.duration_s)
        end_s = time.monotonic()
        self._fleet.start(self.robot)
        self._wait(lambda: log.heartbeats and log.heartbeats[-1][0] > end_s)
        with self._watch.lock:
            heard_s = [seen_s for seen_s, _ in log.heartbeats if seen_s > end_s]
        return Cut(planned.kind, start_s, end_s, min(heard_s, default=end_s))

    def _wait(self, condition: Callable[[], object]) -> bool:
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.01)
        return True


def share_out(count: int, robots: Sequence[str], seed: int) -> dict[str, list[Plan]]:
    """So many cuts in all, by robot."""
    shares = [count // len(robots) + (n < count % len(robots)) for n in range(len(robots))]
    return {
        robot: plan(share, seed * 1000 + n)
        for n, (robot, share) in enumerate(zip(robots, shares, strict=True))
    }


def cut_all(fleet: Fleet, watch: Watch, plans: Mapping[str, Sequence[Plan]], tell: Tell) -> list[Cutter]:
    """Does the cuts of these robots of the fleet, all robots at the same time.

    Raises:
        BenchError: the cutting itself failed.
    """
    cutters = [Cutter(fleet, watch, robot, planned) for robot, planned in plans.items()]
    count = sum(map(len, plans.values()))
    stop = threading.Event()
    failures: list[Exception] = []

    def run(cutter: Cutter) -> None:
        try:
            cutter.run(lambda: tell(sum(len(one.cuts) for one in cutters), count), stop)
        except (BenchError, ImpairError, RuntimeError, OSError) as error:
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(cutter,), daemon=True) for cutter in cutters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise BenchError(f"cutting failed: {failures[0]}\n{fleet.last_words()}") from failures[0]
    return cutters
