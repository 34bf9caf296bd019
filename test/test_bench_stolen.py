"""Stolen time is found where it was, and only there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.stolen import Stolen, overlaps, steal_ticks

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PER_STEP = round(0.01 / TICK_S)
"""Ticks in 10 ms."""


def stat(*steal: int) -> str:
    lines = ["cpu  9 9 9 9 9 9 9 9 0 0", *(f"cpu{i} 1 2 3 4 5 6 7 {s} 0 0" for i, s in enumerate(steal))]
    return "\n".join([*lines, "intr 5 5", "ctxt 7"])


def watched(tmp_path: Path, course: list[tuple[float, tuple[int, ...]]]) -> Stolen:
    file, now = tmp_path / "stat", [0.0]
    file.write_text(stat(*course[0][1]))
    stolen = Stolen(file, lambda: now[0])
    for at, (time_s, steal) in enumerate(course):
        now[0] = time_s
        file.write_text(stat(*steal))
        stolen.look(last=at == len(course) - 1)
    return stolen


def test_only_single_processors_count() -> None:
    assert steal_ticks(stat(4, 5)) == (4, 5)
    assert steal_ticks("cpu 1 2\ncpu0 1 2 3 4\n") == (0,)  # a kernel without the counter


def test_a_piece_is_found_where_it_was(tmp_path: Path) -> None:
    course = [(0.01 * step, (0, 0)) for step in range(300)]
    course += [(3.0 + 0.01 * step, (0, min(step + 1, 5) * PER_STEP)) for step in range(300)]
    stolen = watched(tmp_path, course)
    ((start_s, end_s),) = stolen.windows()
    assert 2.94 < start_s <= 3.0 and 3.03 < end_s < 3.06
    assert overlaps(stolen.windows(), 3.01, 3.02) and not overlaps(stolen.windows(), 3.2, 9.0)
    assert stolen.share == pytest.approx(0.05 / (2 * 5.99), rel=0.01)


def test_a_little_now_and_then_is_no_piece(tmp_path: Path) -> None:
    course = [(0.2 * step, (step * PER_STEP, 0)) for step in range(50)]
    stolen = watched(tmp_path, course)
    assert stolen.windows() == [] and stolen.share == pytest.approx(0.025)


def test_it_watches_by_itself() -> None:
    with Stolen() as stolen:
        pass
    assert 0 <= stolen.share <= 1
