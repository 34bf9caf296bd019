"""One robot and its server with nothing wrong: what the supervisor takes, and what the fallback adds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from functools import partial

import psutil
import yaml

from qeil_ros.resources import share_dir

from .fleet import Fleet, Robot
from .harness import Result, at_least, at_most, figure, median, percentile
from .robot_log import OFFBOARD, Answer
from .ros import BenchError
from .stolen import STEP_S, Stolen, overlaps
from .watch import Watch

__all__ = ["START_TIMEOUT_S", "results"]

ROBOT = "calm"
RATE_HZ = 30.0
MOST_SUPERVISOR_PERCENT = 1.0
MOST_SUPERVISOR_MB = 60.0
LEAST_SUPERVISOR_HZ = 5.0
MOST_ADDED_MS = 1.0
START_TIMEOUT_S = 90.0
_SETTLE_S = 3.0
_BEFORE_S = 0.05


def results(model: str, jpegs: Sequence[bytes], quick: bool) -> list[Result]:
    """With the shipped parameters, at 30 Hz; BenchError: the robot's server never answered."""
    span_s = 6.0 if quick else 120.0
    with Fleet([Robot(ROBOT)], model=model) as fleet, Watch([ROBOT], jpegs, RATE_HZ) as watch:
        try:
            watch.until(partial(watch.well, ROBOT, 10), START_TIMEOUT_S, "the server answered")
        except BenchError as error:
            raise BenchError(f"{error}\n{fleet.last_words()}") from error
        time.sleep(_SETTLE_S)
        supervisor = psutil.Process(fleet.pid(ROBOT, "supervisor"))
        start_s, before_s = time.monotonic(), _cpu_s(supervisor)
        with Stolen() as stolen:
            time.sleep(span_s)
        percent = 100 * (_cpu_s(supervisor) - before_s) / (time.monotonic() - start_s)
        resident_mb = supervisor.memory_info().rss * 1e-6
        with watch.lock:
            log = watch.logs[ROBOT]
            answers = [answer for answer in log.answers if answer.seen_s >= start_s and _in_time(answer)]
            outside_s = [answer.seen_s - log.frames[answer.stamp_ns].offboard_s for answer in answers]
    config = yaml.safe_load((share_dir() / "config" / "robot.yaml").read_text())
    period_s = config["/**/supervisor"]["ros__parameters"]["period_s"]
    return [
        *_added([answer.added_s for answer in answers], outside_s),
        _undisturbed(answers, stolen),
        figure("calm_stolen_time", 100 * stolen.share, "%"),
        at_most("supervisor_cpu", percent, "% of a core", MOST_SUPERVISOR_PERCENT),
        at_most("supervisor_memory", resident_mb, "MB", MOST_SUPERVISOR_MB),
        at_least("supervisor_rate", 1 / period_s, "Hz", LEAST_SUPERVISOR_HZ),
    ]


def _in_time(answer: Answer) -> bool:
    """An answer that was simply passed on: not a spare that had to wait for its turn."""
    return answer.source == OFFBOARD and answer.reason == "offboard in time"


def _added(inside_s: Sequence[float], outside_s: Sequence[float]) -> Iterator[Result]:
    """By the fallback's own clock from arrival to publication, and as an observer sees both messages."""
    inside_ms = [1e3 * each for each in inside_s]
    seen_ms = [1e3 * each for each in outside_s if not math.isnan(each)]
    yield figure("fallback_added_answers", float(len(inside_ms)), "")
    yield figure("fallback_added_p50", median(inside_ms), "ms")
    yield at_most("fallback_added_p99", percentile(inside_ms, 99), "ms", MOST_ADDED_MS)
    yield figure("fallback_added_seen_p50", median(seen_ms), "ms")
    yield figure("fallback_added_seen_p99", percentile(seen_ms, 99), "ms")


def _undisturbed(answers: Sequence[Answer], stolen: Stolen) -> Result:
    """The same of the answers in whose last 50 ms no processor was taken from this machine, by the kernel's
    count."""
    windows = stolen.windows(STEP_S)
    kept_ms = [
        1e3 * answer.added_s
        for answer in answers
        if not overlaps(windows, answer.seen_s - _BEFORE_S, answer.seen_s)
    ]
    return figure("fallback_added_p99_unstolen", percentile(kept_ms, 99) if kept_ms else math.nan, "ms")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
