"""The recorded results on docs/benchmarks.md are what bench/results holds."""

from __future__ import annotations

import pytest

from bench.harness import Report, against, at_most, figure
from tools import write_benchmark_docs
from tools.marked import BEGIN, END, replaced


def test_the_page_is_what_the_records_give():
    page = write_benchmark_docs.PAGE.read_text(encoding="utf-8")
    written = replaced(page, write_benchmark_docs.figures(write_benchmark_docs.recorded()))
    assert page == written, "run: python tools/write_benchmark_docs.py"


def test_a_table_shows_values_peers_and_misses():
    results = [
        figure("plain", 3.14159, "ms"),
        at_most("slow", 12.0, "ms", 10.0),
        at_most("unknown", float("nan"), "ms", 10.0),
        against("beside", 2.0, "us", "numpy", 8.0, 0.25, 1.0),
    ]
    record = Report("planner", {}, [], results).to_json()
    text = write_benchmark_docs.figures({"planner": record})
    assert "| plain | 3.142 ms |  |  |  |  |" in text
    assert "| slow | 12 ms |  |  | <= 10 ms | **missed** |" in text
    assert "| unknown | none ms |  |  | <= 10 ms | **missed** |" in text
    assert "| beside | 2 us | numpy 8 | 0.25 | ratio <= 1 | met |" in text
    assert "plain" not in write_benchmark_docs.figures({"thermal": record}), "only what has a target"


def test_figures_go_between_the_marks():
    page = f"before\n{BEGIN}old\n{END}after\n"
    assert replaced(page, "new\n") == f"before\n{BEGIN}new\n{END}after\n"
    with pytest.raises(ValueError, match="lacks"):
        replaced("nothing", "new\n")
