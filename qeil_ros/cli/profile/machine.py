"""A device profile of this machine: its times, its clocks, its power."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.evaluate import prepared
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.part_cost import operations
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.schema import ModelError
from qeil_ros.planning.device import Clock, Device, ModelTimes
from qeil_ros.platform import Actuator, PowerModel, actuators

from .power import PowerMeter, at_clock, busy_w, pick_clocks, power_of
from .timing import FULL, QUICK, time_model

__all__ = ["measure"]

Work = Callable[[], object]

_POWER_S = {False: 3.0, True: 0.5}
_SPEED_S = {False: 1.0, True: 0.2}


def measure(
    folders: Sequence[ModelFolder],
    pictures: Sequence[Sequence[NDArray[np.uint8]]],
    *,
    name: str,
    robot: bool = True,
    server: bool = True,
    quick: bool = False,
    threads: int = 1,
    server_device: str = "auto",
    power_model: PowerModel | None = None,
    clocks: bool = False,
    roots: tuple[str, str] = ("/sys", "/proc"),
) -> Device:
    """The profile, with a progress bar on stderr.

    Args:
        pictures: RGB [height, width, 3], some for each model.
        clocks: cap the processor's clocks, to measure at each; they are put back.
        roots: of sysfs and procfs.

    Raises:
        ModelError: a part cannot be loaded, or none is here.
        ActuatorError: clocks may not be capped here, or cannot be put back.
    """
    notes: list[str] = []
    with _bar() as tell:
        timed = [
            time_model(
                folder,
                images,
                threads=threads,
                server_device=server_device,
                effort=QUICK if quick else FULL,
                robot=robot,
                server=server,
                progress=tell,
            )
            for folder, images in zip(folders, pictures, strict=True)
        ]
        work = _work(folders[0], pictures[0], robot, threads, server_device)
        meter = PowerMeter(*roots)
        try:
            tell(0, 0, "power at rest")
            rest = meter.mean(_POWER_S[quick])
            caps = [cap for cap in actuators(roots[0]) if cap.name.startswith("clock/policy")]
            chosen = _chosen(caps, notes) if clocks else {}
            found: list[Clock] = []
            for label, hz in chosen.items() or {"as it is": 0.0}.items():
                tell(0, 0, f"power and speed at the clock {label}")
                with at_clock(caps if hz else [], hz):
                    busy = meter.mean(_POWER_S[quick], work)
                    each_s = _speed(work, _SPEED_S[quick])
                found.append(Clock(label, each_s, busy_w(busy, rest, power_model, threads), hz))
        finally:
            meter.close()
    fastest = min(clock.slowdown for clock in found)
    return Device(
        name,
        tuple(
            Clock(c.name, float(f"{c.slowdown / fastest:.4g}"), c.busy_w, c.hz) for c in found
        ),
        seconds_per_flop=_seconds_per_flop(folders[0], timed[0], notes),
        description=" ".join(notes),
        power=power_of(rest, power_model),
        models=tuple(timed),
    )  # fmt: skip


def _work(
    folder: ModelFolder,
    pictures: Sequence[NDArray[np.uint8]],
    robot: bool,
    threads: int,
    server_device: str,
) -> Work:
    """What keeps this machine busy in the way that frames do."""
    name = next(
        (n for n in (folder.default_split, *folder.splits) if folder.has("agent" if robot else "server", n)),
        folder.default_split,
    )
    if robot and folder.has("agent", name):
        agent = folder.agent(name, threads=threads)
        image = np.array(prepared(Preprocessor(folder.input), pictures[0]))
        return lambda: agent.run(image)
    cut = folder.split(name)
    part = folder.server(name, threads=threads, device=server_device)
    features = np.zeros((1, *cut.shape), cut.dtype)
    return lambda: part.run(features)


def _chosen(caps: Sequence[Actuator], notes: list[str]) -> dict[str, float]:
    """The clocks to measure at; none, with a note, where there is no choice."""
    problems = [f"{cap.name}: {cap.problem}" for cap in caps if cap.problem]
    if problems or not caps:
        notes.append(f"Clocks could not be capped: {problems[0] if problems else 'this machine shows none'}.")
        return {}
    offered = max((cap.clocks_hz() for cap in caps), key=lambda clocks: clocks[-1:])
    if not (chosen := pick_clocks(offered)):
        notes.append("The processor offers only one clock.")
    return chosen


def _speed(work: Work, seconds: float) -> float:
    """The median time of the work [s]."""
    times: list[float] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or not times:
        start_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_s)
    return statistics.median(times)


def _seconds_per_flop(folder: ModelFolder, timed: ModelTimes, notes: list[str]) -> float:
    """By the first part that was timed; 0 where its operations cannot be counted."""
    for split in timed.splits:
        try:
            counted = operations(folder, split.name)
        except ModelError as error:
            notes.append(f"Only timed models can be planned with this profile: {error}.")
            return 0.0
        if split.agent_s and counted.agent_flop:
            return float(f"{split.agent_s[0] / counted.agent_flop:.4g}")
        if split.first_s and counted.server_flop:
            return float(f"{split.first_s / counted.server_flop:.4g}")
    return 0.0


@contextmanager
def _bar() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr; 0 of 0 steps: something of unknown length."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, what: bar.update(
            task, completed=done, total=total or None, description=what
        )
