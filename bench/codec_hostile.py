"""Hostile input: a short run of the fuzzer with the usual kernels, and the long one that was recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .harness import Result, at_least, at_most, figure
from .ros import BenchError

__all__ = ["RECORDED", "results"]

ROOT = Path(__file__).resolve().parents[1]
RECORDED = Path(__file__).parent / "results" / "fuzz.json"
"""What `python -m tools.fuzz stream sequence --inputs 5000000 --json FILE` wrote, under sanitizers."""
TARGETS = ("stream", "sequence")
INPUTS = 10_000_000
MEMORY_MB = 64.0
_TIMEOUT_S = 300


def results(inputs: int, recorded: Path = RECORDED) -> Iterator[Result]:
    """Findings now, and in the recorded run.

    Raises:
        BenchError: the fuzzer could not be run.
    """
    now = _run(inputs)
    yield figure("hostile_now_inputs", _sum(now, "inputs"), "inputs")
    yield at_most("hostile_now_findings", _sum(now, "findings"), "", 0)
    record = json.loads(recorded.read_text(encoding="utf-8")) if recorded.is_file() else []
    yield at_least("hostile_recorded_inputs", _sum(record, "inputs"), "inputs", INPUTS)
    found = _sum(record, "findings") if record else float("nan")
    yield at_most("hostile_recorded_findings", found, "", 0)
    grown = max((target["memory_growth_bytes"] for target in record), default=float("nan"))
    yield at_most("hostile_recorded_memory_growth", grown / 1e6, "MB", MEMORY_MB)


def _sum(targets: Sequence[Mapping[str, Any]], count: str) -> float:
    return float(sum(target[count] for target in targets))


def _run(inputs: int) -> list[dict[str, Any]]:
    with TemporaryDirectory(prefix="qeil-bench-") as scratch:
        report = Path(scratch) / "report.json"
        command = [sys.executable, "-m", "tools.fuzz", *TARGETS, "--plain", "--inputs", str(inputs)]
        done = subprocess.run(
            [*command, "--json", str(report)], cwd=ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S
        )
        if not report.is_file():
            raise BenchError(f"the fuzzer ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        counts: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))
        return counts
