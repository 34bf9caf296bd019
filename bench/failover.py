"""Links cut and servers killed at random moments, weak links, and heat: is every frame answered in time?"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from qeil_ros.models.folder import ModelFolder

from . import failover_calm, failover_link, failover_plot, thermal
from .data import data_dir
from .failover_cuts import KINDS, LEAST_CUT_S, MOST_CUT_S, Cutter, cut_all, share_out
from .fleet import Fleet, Robot
from .harness import Report, Result, at_most, figure, input_file, median, percentile
from .progress import stage
from .robot_log import (
    LOCAL,
    NONE,
    OFFBOARD,
    CutOutcome,
    Promises,
    RobotLog,
    first_answers,
    is_late,
    outcomes,
    promises,
)
from .ros import BenchError
from .stolen import Stolen, overlaps
from .watch import Watch, recording

DESCRIPTION = "frames answered by their deadline through cuts, killed servers, weak links and heat"

MODEL = "tabletop"
DEADLINE_S = 0.2  # as shipped
RATE_HZ = 10.0
SEED = 7
CUTS = 1000
MOST_NOTICED_MS = 300.0
MOST_BACK_S = 2.0
# A cut that is over before the silence counts as one need not be noticed.
SURELY_NOTICED_S = 0.4


def run(quick: bool) -> Report:
    cuts, names = 6 if quick else CUTS, ["robot1", "robot2"]  # more of them would need more than two cores
    folder = ModelFolder.load(MODEL)
    jpegs = recording(MODEL)
    robots = [Robot(name) for name in (*names, failover_link.ROBOT)]
    with stage("one robot, nothing wrong"):
        calm = failover_calm.results(MODEL, jpegs, quick)
    results: list[Result] = []
    heat = _heat_results()
    with Fleet(robots, beyond=failover_link.peer_commands(MODEL), model=MODEL, seed=SEED) as fleet:
        with Watch(names, jpegs, RATE_HZ) as watch:
            with stage(f"starting {len(robots)} robots and their servers"):
                _wait_until_well(fleet, watch)
            with stage(f"{cuts} cuts") as tell:
                start_s = time.monotonic()
                with Stolen() as stolen:
                    cutters = cut_all(fleet, watch, share_out(cuts, names, SEED), tell)
                    end_s = time.monotonic()
                    time.sleep(2 * DEADLINE_S)  # the last frames have their time
        with watch.lock:
            judged = [_judge(watch.logs[c.robot], c, start_s, end_s) for c in cutters]
            results += _cut_results(judged)
            results += _unstolen([watch.logs[c.robot] for c in cutters], judged, stolen, start_s, end_s)
        with stage("weak links"):
            results += failover_link.results(fleet, jpegs, DEADLINE_S, quick)
    results += [*calm, *heat]
    config = {
        "quick": quick,
        "model": MODEL,
        "model_digest": folder.digest,
        "deadline_s": DEADLINE_S,
        "rate_hz": RATE_HZ,
        "robots": len(names),
        "seed": SEED,
        "cuts": {kind: sum(o.cut.kind == kind for _, every in judged for o in every) for kind in KINDS},
        "cut_s": [LEAST_CUT_S, MOST_CUT_S],
        "network": "TCP proxy on loopback; a loss is a stall as Linux's TCP would have, order is kept",
        "weak_links": {name: c.to_json() for name, c in failover_link.WEAK_LINKS.items()},
        "curves": failover_plot.curves([o for _, every in judged for o in every]),
    }
    inputs = [input_file(path, f"{MODEL}/recording/{path.name}") for path in _recorded(folder)]
    return Report("failover", config, inputs, results)


def draw(report: Report, path: Path) -> None:
    """Draws when cuts were noticed, when the server was back, and what came over the weak links."""
    failover_plot.draw(report, path)


def _recorded(folder: ModelFolder) -> list[Path]:
    return sorted((folder.path / "recording").glob("*.mcap"))


def _wait_until_well(fleet: Fleet, watch: Watch) -> None:
    try:
        for name in watch.logs:
            watch.until(
                partial(watch.well, name, 10), failover_calm.START_TIMEOUT_S, f"{name} answered by its server"
            )
    except BenchError as error:
        raise BenchError(f"{error}\n{fleet.last_words()}") from error


def _heat_results() -> list[Result]:
    """Of a short run of the benchmark `thermal`, what has a target, and how hot it would have been."""
    try:
        data_dir()
    except BenchError:  # without the recordings nothing was shown, so the target was missed
        return [at_most("heat_over_guarded", math.nan, "samples", 0)]
    return [
        replace(result, name=f"heat_{result.name}")
        for result in thermal.results(quick=True)
        if result.target or result.name.endswith("_over_uncontrolled")
    ]


# ---- what the cuts come to

Judged = tuple[Promises, list[CutOutcome]]


def _judge(log: RobotLog, cutter: Cutter, start_s: float, end_s: float) -> Judged:
    return promises(log, DEADLINE_S, start_s, end_s), outcomes(log, cutter.cuts, end_s)


def _cut_results(judged: Sequence[Judged]) -> Iterator[Result]:
    kept = [promised for promised, _ in judged]
    every = [outcome for _, outcomes_ in judged for outcome in outcomes_]
    sources: Counter[int] = Counter()
    for promised in kept:
        sources.update(promised.by_source)

    def total(name: str) -> float:
        return float(sum(getattr(promised, name) for promised in kept))

    yield figure("cuts", float(len(every)), "")
    yield figure("frames", total("frames"), "")
    yield figure("images_superseded", total("images") - total("frames"), "")
    yield at_most("unanswered", total("unanswered"), "frames", 0)
    yield at_most("duplicates", total("duplicates"), "answers", 0)
    yield at_most("stale", total("stale"), "answers", 0)
    yield at_most("late", total("late"), "answers", 0)
    yield figure("late_by_their_own_clock", total("late_by_own_clock"), "answers")
    yield at_most("no_answer", float(sources[NONE]), "frames", 0)
    yield figure("answered_by_server", sources[OFFBOARD] / max(1, sources.total()), "share")
    yield figure("answered_by_robot", sources[LOCAL] / max(1, sources.total()), "share")
    deaf = [o for o in every if o.cut.deaf and o.cut.carries_s - o.cut.start_s >= SURELY_NOTICED_S]
    noticed_ms = [o.noticed_s * 1e3 for o in deaf]
    yield figure("noticed_p50", median(noticed_ms), "ms")
    yield at_most("noticed_p99", percentile(noticed_ms, 99), "ms", MOST_NOTICED_MS)
    yield at_most("unnoticed", float(sum(math.isinf(ms) for ms in noticed_ms)), "cuts", 0)
    back_s = [o.back_s for o in every]
    yield figure("back_p50", median(back_s), "s")
    yield figure("back_p99", percentile(back_s, 99), "s")
    yield at_most("back_slowest", max(back_s, default=math.nan), "s", MOST_BACK_S)
    yield at_most("flaps", float(sum(o.flaps for o in every)), "", 0)
    yield figure("strays", float(sum(o.strays for o in every)), "changes")


def _unstolen(
    logs: Sequence[RobotLog], judged: Sequence[Judged], stolen: Stolen, start_s: float, end_s: float
) -> Iterator[Result]:
    """What is left of the broken promises without those that fell into time stolen from a virtual machine."""
    windows = stolen.windows()
    firsts = first_answers(frame for log in logs for frame in log.images(start_s, end_s))
    late = [(f, a) for f, a in firsts if is_late(f, a, DEADLINE_S)]
    none = [(f, a) for f, a in firsts if a.source == NONE]
    every = [outcome for _, outcomes_ in judged for outcome in outcomes_]
    slow = [o for o in every if o.back_s > MOST_BACK_S]
    flaps = [o for o in every if o.flaps]
    yield figure("stolen_time", stolen.share, "share")
    yield figure("stolen_pieces", float(len(windows)), "")
    for name, pairs in (("late", late), ("no_answer", none)):
        left = sum(not overlaps(windows, frame.published_s, answer.seen_s) for frame, answer in pairs)
        yield figure(f"{name}_unstolen", float(left), "frames")
    for name, chosen in (("back_slow", slow), ("flaps", flaps)):
        left = sum(not overlaps(windows, o.cut.start_s, o.cut.carries_s + o.back_s) for o in chosen)
        yield figure(f"{name}_unstolen", float(left), "cuts")
