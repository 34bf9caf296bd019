"""One fleet for all faults: three robots, each with its server behind a link of its own.

Starting it costs more than any of the tests, so they share it; each leaves it as it found it, and begins by
waiting until it is well. Deadlines and margins are long: a machine that is busy with other things shall not
decide what a test sees.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support import REAL_RCLPY
from system.faults.board import Board

from bench.fleet import Fleet, Robot
from bench.robot_log import Promises, promises
from bench.ros import BenchError
from bench.watch import Watch, recording

DEADLINE_S = 1.0
RATE_HZ = 10.0
WELL_S = 60.0

PLAIN = "plain"
"""A robot as shipped."""
HOT = "hot"
"""One whose temperatures and battery the tests make up, with a flight log on a disk that is soon full."""
TIMED = "timed"
"""One that lives in simulated time."""
DISK_BYTES = 20_000
SMALL_DISK = ("prlimit", f"--fsize={DISK_BYTES}") if shutil.which("prlimit") else ()
"""What makes a command's files end there, as a full disk does."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if REAL_RCLPY and here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="cuts links between our own Zenoh sessions"))


@dataclass
class Ground:
    """The fleet, what is seen of it, and what the tests may turn."""

    fleet: Fleet
    watch: Watch
    board: Board
    flight_log: Path
    names: tuple[str, ...] = field(default=(PLAIN, HOT, TIMED))

    def well(self) -> float:
        """Waits until every robot is answered by its server; returns when that was so [s]."""
        since_s = time.monotonic()
        try:
            for name in self.names:
                self.until(lambda name=name: self.watch.well(name, since_s=since_s), f"{name} well again")
        except BenchError as error:
            raise AssertionError(f"{error}\n{self.fleet.last_words()}") from error
        return time.monotonic()

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = WELL_S) -> None:
        self.watch.until(condition, timeout_s, what)

    def answers(self, robot: str, source: int, since_s: float) -> int:
        """How many images taken since then that source has answered."""
        with self.watch.lock:
            log = self.watch.logs[robot]
            frames = (log.frames[answer.stamp_ns] for answer in log.answers if answer.source == source)
            return sum(frame.published_s >= since_s for frame in frames)

    def mode(self, robot: str) -> int | None:
        """SupervisorStatus.mode as last heard."""
        with self.watch.lock:
            return self.watch.logs[robot].modes[-1][1] if self.watch.logs[robot].modes else None

    def judge(self, since_s: float, *robots: str, forged: str = "") -> dict[str, Promises]:
        """What became of these robots' images since then, once all of them have had their time; all, where
        none is named.

        On the robot `forged` answers to images that nobody took count for nothing: "no answer" is one.
        """
        until_s = time.monotonic()
        self.until(lambda: time.monotonic() > until_s + 1.2 * DEADLINE_S, "the last answers")
        judged = {}
        for name in robots or self.names:
            with self.watch.lock:
                promised = promises(self.watch.logs[name], DEADLINE_S, since_s, until_s)
            judged[name] = replace(promised, strangers=0) if name == forged else promised
        return judged

    def check(self, since_s: float, *robots: str, forged: str = "") -> dict[str, Promises]:
        """The same; all promises must have been kept."""
        judged = self.judge(since_s, *robots, forged=forged)
        for name, promised in judged.items():
            assert promised.kept, f"{name}: {promised}\n{self.fleet.last_words()}"
        return judged


@pytest.fixture(scope="package")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("faults")
    board = Board(folder / "board")
    flight_log = folder / "flight_log"
    common: dict[str, dict[str, Any]] = {
        # Every image becomes a frame even where the supervisor is dead.
        "encoder": {"deadline_s": DEADLINE_S, "safe_rate_hz": 0.0},
        "fallback": {"margin_s": 0.25, "slack_s": 0.1},
    }
    hot = {
        "sysfs_root": str(board.sys),
        "procfs_root": str(board.proc),
        "sensor_sources": ["sysfs"],
        "dwell_s": 0.3,
        "battery": True,
        "battery_floor_percent": 20.0,
        "flight_log": str(flight_log),
    }
    robots = (
        Robot(PLAIN, common),
        Robot(
            HOT,
            {**common, "supervisor": hot},
            prefixes={"supervisor": SMALL_DISK},
        ),
        Robot(TIMED, common, arguments={"use_sim_time": "true"}),
    )
    with (
        Fleet(robots, seed=3) as fleet,
        Watch([robot.name for robot in robots], recording(), RATE_HZ) as watch,
    ):
        board.live(watch.node, HOT)
        yield Ground(fleet, watch, board, flight_log)
        board.close()
