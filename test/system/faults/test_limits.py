"""Heat, an emptying battery and a full disk: frames are slowed or stopped, never left without an answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from system.faults.board import CRITICAL_C
from system.faults.conftest import DISK_BYTES, HOT, SMALL_DISK, Ground

from qeil_ros.platform.replay import load_sbc_bench

NOMINAL, HOLD = 0, 3
RAMP_S = 3.0


def frames_between(ground: Ground, start_s: float, end_s: float) -> int:
    """How many of the images of that time were encoded."""
    with ground.watch.lock:
        frames = ground.watch.logs[HOT].frames.values()
        return sum(f.features_s is not None and start_s <= f.published_s < end_s for f in frames)


def modes_since(ground: Ground, since_s: float) -> set[int]:
    with ground.watch.lock:
        return {mode for at_s, mode in ground.watch.logs[HOT].modes if at_s >= since_s}


def recover(ground: Ground, since_s: float) -> None:
    """As cool and as full as before, and every frame until then kept its promise."""
    ground.board.temperature_c, ground.board.charge = 45.0, 0.9
    ground.until(lambda: ground.mode(HOT) == NOMINAL, "nominal again")
    ground.check(since_s, HOT)


def test_heat_stops_frames_before_it_is_critical_and_they_come_back(ground: Ground) -> None:
    since_s = ground.well()
    try:
        start_s = time.monotonic()
        while (share := (time.monotonic() - start_s) / RAMP_S) < 1:
            ground.board.temperature_c = 45.0 + share * (CRITICAL_C + 2 - 45.0)
            time.sleep(0.05)
        ground.until(lambda: ground.mode(HOT) == HOLD, "frames stopped by heat")
        held_s = time.monotonic() + 0.5  # the encoder has heard of it
        time.sleep(1.5)
        assert frames_between(ground, held_s, time.monotonic()) == 0
        assert len(modes_since(ground, since_s)) >= 3  # slowed before it was stopped
    finally:
        recover(ground, since_s)


def test_a_recorded_board_heats_up(ground: Ground, data_dir: Path) -> None:
    """A Raspberry Pi's hour under full load in three seconds, with trip points that it comes near to."""
    trace = load_sbc_bench(data_dir / "traces" / "sbc_bench" / "4hOp.txt")
    recorded = trace.columns["temperature/cpu"]
    lift_c = CRITICAL_C + 1.0 - float(recorded.max())
    since_s = ground.well()
    try:
        start_s = time.monotonic()
        while (share := (time.monotonic() - start_s) / RAMP_S) < 1:
            ground.board.temperature_c = trace.at(share * trace.duration_s)["temperature/cpu"] + lift_c
            time.sleep(0.05)
        assert modes_since(ground, since_s) - {NOMINAL}, "the heat was not noticed"
    finally:
        recover(ground, since_s)


def test_the_battery_empties_and_is_charged(ground: Ground) -> None:
    since_s = ground.well()
    try:
        for percent in range(90, 14, -5):
            ground.board.charge = percent / 100
            time.sleep(0.15)
        ground.until(lambda: ground.mode(HOT) == HOLD, "frames stopped at the battery's floor")
    finally:
        recover(ground, since_s)


def test_a_full_disk_costs_the_log_and_nothing_else(ground: Ground) -> None:
    """The flight log's file cannot grow any more; status, frames and the supervisor itself go on."""
    if not SMALL_DISK:
        pytest.skip("no prlimit here, which makes a disk small")
    since_s = ground.well()
    ground.until(
        lambda: any(path.stat().st_size >= DISK_BYTES // 2 for path in ground.flight_log.rglob("*.mcap")),
        "the disk full",
    )
    sizes = [path.stat().st_size for path in ground.flight_log.rglob("*") if path.is_file()]
    assert all(size <= DISK_BYTES for size in sizes), sizes
    pid = ground.fleet.pid(HOT, "supervisor")
    ground.until(lambda: ground.watch.logs[HOT].modes[-1][0] > since_s + 1.5, "a status with the disk full")
    assert ground.fleet.pid(HOT, "supervisor") == pid
    ground.check(since_s)
