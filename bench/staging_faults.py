"""A placed network whose devices are killed while it runs: when that is noticed, what becomes of the request.

Two processes on a core each hold a network's halves, and each other's ready. Again and again one of them is
killed, or stopped so that it hangs, at a random moment of a request. It is started anew and comes back.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from qeil_ros.cli.place.keeper import SharedHealth
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.staged.staged import Staged
from qeil_ros.safety.health import Health, HealthConfig

from .data import data_dir
from .harness import Report, Result, at_least, at_most, figure, input_file, median, percentile
from .ros import BenchError
from .staging import FILE, MOST_DIFFERENCE, Network, places
from .stolen import STEP_S, Stolen, overlaps

DESCRIPTION = "devices killed and hung while they run stages: detection, answers, degraded latency"

MOST_DETECTION_S = 0.1
HUNG = 0.3
"""The share of the faults that hang a device instead of ending it."""
_HEALTHY, _DEGRADED = 12, 6
"""Requests before each fault and after it."""
_RETURN = HealthConfig(
    quarantine_s=0.1, longest_s=0.1, recovery_share=0.5, recovery_stage_s=0.05, recovery_ramp_s=0.05
)
"""A tenth of the quarantine that devices have otherwise, after every fault: a thousand take their time. The
requests after a fault are over before the process starts anew, which takes a core."""
_WAIT_S = 30.0


@dataclass
class Seen:
    """What happened. `degraded`: when each such request began, and what it took [s]. `stolen`: spans in which
    the machine was kept from its processors."""

    detection_s: dict[str, list[float]] = field(default_factory=lambda: {"killed": [], "hung": []})
    healthy_s: list[float] = field(default_factory=list)
    struck_s: list[float] = field(default_factory=list)
    degraded: list[tuple[float, float]] = field(default_factory=list)
    stolen: list[tuple[float, float]] = field(default_factory=list)
    asked: int = 0
    answered: int = 0
    wrong: int = 0
    by_the_dead: int = 0
    not_noticed: int = 0
    not_back: int = 0
    false_alarms: int = 0


def run(quick: bool, faults: int = 0, progress: Callable[[int, int], None] | None = None) -> Report:
    """`faults`: how many; 0: 15 in a quick run, else 1,000."""
    faults = faults or (15 if quick else 1000)
    path = data_dir() / "weights" / FILE
    seen = inject(Network.load(path), faults, 0, progress or (lambda done, total: None))
    share = returning(Network.load(path))
    config = {"quick": quick, "faults": faults, "hung_share": HUNG, "seed": 0}
    return Report("staging_faults", config, [input_file(path)], [*results(seen), share])


def inject(network: Network, faults: int, seed: int, progress: Callable[[int, int], None]) -> Seen:
    """Kills or hangs one of two devices at random moments."""
    rng = np.random.default_rng(seed)
    image = network.image(0)
    whole = Runtime(network.path, threads=1)
    (expected,) = whole.run_all({network.graph.image: image}, network.graph.outputs)
    seen = Seen()
    two = places(("onnxruntime", "onnxruntime"))
    health = SharedHealth(Health([place.name for place in two], _RETURN))
    with (
        Stolen() as stolen,
        Staged(network.graph, network.shapes, network.chain, two, network.halves(), health=health) as staged,
    ):

        def ask(into: list[float]) -> float:
            seen.asked += 1
            start_s = time.monotonic()
            (given,) = staged.run(image)
            into.append(time.monotonic() - start_s)
            seen.answered += 1
            seen.wrong += bool(np.abs(given - expected).max() > MOST_DIFFERENCE * np.abs(expected).max())
            return start_s

        for _ in range(_HEALTHY):
            ask([])
        for number in range(faults):
            for _ in range(_HEALTHY):
                ask(seen.healthy_s)
            victim = int(rng.integers(2))
            kind = "hung" if rng.random() < HUNG else "killed"
            _strike(staged, victim, kind, float(rng.uniform(0, 1.2)), seen, ask)
            for _ in range(_DEGRADED):
                if staged.crew.in_service[victim]:
                    break  # it is back already
                start_s = ask(taken := [])
                seen.degraded.append((start_s, taken[0]))
                if not staged.crew.in_service[victim]:
                    seen.by_the_dead += any(place == victim for place, _ in staged.crew.latest)
            if not staged.crew.wait_whole(_WAIT_S):
                seen.not_back += 1
                break
            time.sleep(_RETURN.recovery_stage_s + _RETURN.recovery_ramp_s)
            progress(number + 1, faults)
        seen.false_alarms = len(staged.faults) - sum(map(len, seen.detection_s.values()))
    seen.stolen = stolen.windows(STEP_S)  # as long as a request: the margin of the bound is gone with it
    return seen


def _strike(
    staged: Staged, victim: int, kind: str, moment: float, seen: Seen, ask: Callable[[list[float]], float]
) -> None:
    """One fault, `moment` of a request's usual time after the request began."""
    pid, name, before = _pid(staged, victim), staged.places[victim].name, len(staged.faults)
    struck_s = [0.0]

    def hit() -> None:
        struck_s[0] = time.monotonic()
        with suppress(ProcessLookupError):  # a false alarm was first
            os.kill(pid, signal.SIGSTOP if kind == "hung" else signal.SIGKILL)

    def noticed() -> list[float]:
        return [fault.at_s for fault in staged.faults[before:] if fault.place == name]

    timer = threading.Timer(moment * median(seen.healthy_s[-_HEALTHY:]), hit)
    timer.start()
    ask(seen.struck_s)
    timer.join()
    until_s = time.monotonic() + 1.0
    while not noticed() and time.monotonic() < until_s:
        time.sleep(0.001)
    if not noticed():
        seen.not_noticed += 1
    elif noticed()[0] >= struck_s[0]:
        seen.detection_s[kind].append(noticed()[0] - struck_s[0])


def _pid(staged: Staged, victim: int) -> int:
    """A place's process; on a busy machine one may have been taken for hung, and is awaited. BenchError: it
    does not come back (a signal to process 0 would strike this whole process group)."""
    staged.crew.wait_whole(_WAIT_S)
    pid = staged.crew.pids()[victim]
    if not pid:
        raise BenchError(f"a device's process was not back within {_WAIT_S:g} s")
    return pid


def returning(network: Network) -> Result:
    """Of the requests in the first second after a device is back, the share that it takes part in."""
    image = network.image(0)
    two = places(("onnxruntime", "onnxruntime"))
    config = HealthConfig(quarantine_s=0.0, recovery_stage_s=1.0, recovery_ramp_s=1.0)
    health = SharedHealth(Health([place.name for place in two], config))
    with Staged(network.graph, network.shapes, network.chain, two, network.halves(), health=health) as staged:
        os.kill(_pid(staged, 0), signal.SIGKILL)
        staged.run(image)
        while staged.crew.in_service[0]:
            time.sleep(0.001)
        staged.crew.wait_whole(_WAIT_S)
        took_part, until_s = [], time.monotonic() + 0.8
        while time.monotonic() < until_s:
            staged.run(image)
            took_part.append(any(place == 0 for place, _ in staged.crew.latest))
    return at_most(
        "share of requests with a device in its first second back", float(np.mean(took_part)), "", 0.55
    )


def results(seen: Seen) -> list[Result]:
    """The figures and their targets."""
    optimal_s = median(seen.healthy_s)
    bound_s = optimal_s * 2  # D = 2 devices, one of them healthy
    noticed = [*seen.detection_s["killed"], *seen.detection_s["hung"]]
    taken_s = [each for _, each in seen.degraded]
    kept_s = [each for start_s, each in seen.degraded if not overlaps(seen.stolen, start_s, start_s + each)]
    return [
        figure("faults", len(noticed), ""),
        at_most("detection, worst", 1e3 * max(noticed, default=float("inf")), "ms", 1e3 * MOST_DETECTION_S),
        *(
            figure(f"detection, {kind}: {what}", 1e3 * value, "ms")
            for kind, taken in seen.detection_s.items()
            for what, value in (("median", median(taken)), ("p99", percentile(taken, 99)))
        ),
        figure("false alarms", seen.false_alarms, ""),
        at_most("faults not noticed", seen.not_noticed, "", 0),
        at_most("requests without an answer", seen.asked - seen.answered, "", 0),
        at_most("wrong answers", seen.wrong, "", 0),
        at_most("requests that a device out of service served", seen.by_the_dead, "", 0),
        at_most("devices that did not come back", seen.not_back, "", 0),
        figure("requests", seen.asked, ""),
        figure("latency, healthy: median", 1e3 * optimal_s, "ms"),
        figure("latency of the struck request: median", 1e3 * median(seen.struck_s), "ms"),
        figure("latency of the struck request: worst", 1e3 * max(seen.struck_s), "ms"),
        at_most("latency, degraded: median", 1e3 * median(taken_s), "ms", 1e3 * bound_s),
        figure("latency, degraded: p99", 1e3 * percentile(taken_s, 99), "ms"),
        figure("degraded requests", len(taken_s), ""),
        figure("degraded requests within the bound", _within(taken_s, bound_s), "%"),
        figure("degraded requests while the machine had its processors", len(kept_s), ""),
        at_least("degraded requests within the bound, of those", _within(kept_s, bound_s), "%", 99.0),
    ]


def _within(taken_s: Sequence[float], bound_s: float) -> float:
    """The share that took no longer [%]; 0 where there is none."""
    return 100 * float(np.mean([each <= bound_s for each in taken_s])) if taken_s else 0.0
