"""`python -m tools.fuzz [TARGET ...]`: tries hostile inputs in parallel and reports findings."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.fuzz import kernels
from tools.fuzz.targets import TARGETS

OUT = kernels.ROOT / "build" / "fuzz"


@dataclass
class Run:
    """One worker and what it has said so far."""

    target: str
    seed: int
    process: subprocess.Popen[str]
    current: Path
    said: dict[str, Any] = field(
        default_factory=lambda: {"done": 0, "accepted": 0, "slowest_s": 0.0, "growth_bytes": 0}
    )
    error: list[str] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz",
        description=__doc__,
        epilog="example: python -m tools.fuzz stream --inputs 100000",
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; none: all")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for each target (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations (default %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--hang-s", type=float, default=10.0, help="an input that takes longer is a finding")
    parser.add_argument("--plain", action="store_true", help="the usual kernels, without sanitizers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here")
    wanted = parser.parse_args()
    if unknown := sorted(set(wanted.targets) - set(TARGETS)):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    OUT.mkdir(parents=True, exist_ok=True)
    module = "" if wanted.plain else str(_built())
    reports, failed = [], 0
    for name in wanted.targets or TARGETS:
        runs = [_start(name, module, part, wanted) for part in range(wanted.workers)]
        _watch(runs, wanted.inputs)
        report = _report(name, runs) | {"sanitized": bool(module)}
        reports.append(report)
        failed += report["findings"]
        print(json.dumps(report))
    if wanted.json:
        wanted.json.write_text(json.dumps(reports, indent=2) + "\n")
    return 1 if failed else 0


def _built() -> Path:
    print("compiling the kernels with sanitizers ...", file=sys.stderr)
    return kernels.build(OUT)


def _start(name: str, module: str, part: int, wanted: argparse.Namespace) -> Run:
    share = wanted.inputs // wanted.workers + (part < wanted.inputs % wanted.workers)
    seed, current = (
        wanted.seed * 1000 + part,
        OUT / f"{name}-{os.getpid()}-{part}.current",
    )  # several runs may go on at once
    orders = {"target": name, "module": module, "inputs": share, "seed": seed, "hang_s": wanted.hang_s}
    process = subprocess.Popen(
        [sys.executable, "-m", "tools.fuzz.worker", json.dumps({**orders, "current": str(current)})],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=kernels.ROOT,
        env=kernels.environment() if module else None,
    )
    run = Run(name, seed, process, current)
    assert process.stdout is not None and process.stderr is not None
    stdout, stderr = process.stdout, process.stderr
    threading.Thread(
        target=lambda: [run.said.update(json.loads(line)) for line in stdout], daemon=True
    ).start()
    threading.Thread(target=lambda: run.error.extend(stderr), daemon=True).start()
    return run


def _watch(runs: list[Run], inputs: int) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as bar:
        task = bar.add_task(runs[0].target, total=inputs)
        while any(run.process.poll() is None for run in runs):
            time.sleep(0.2)
            bar.update(task, completed=sum(run.said["done"] for run in runs))


def _report(name: str, runs: list[Run]) -> dict[str, Any]:
    findings = 0
    for run in runs:
        if run.process.returncode == 0:
            run.current.unlink()
            continue
        findings += 1
        kept: Path | str = "its way to the first input"
        if run.current.is_file():
            raw = run.current.read_bytes()
            kept = OUT / f"{name}-{run.seed}.finding"
            kept.write_bytes(raw[4 : 4 + int.from_bytes(raw[:4], "little")])
        print(f"{name}: a worker ended with {run.process.returncode} on {kept}", file=sys.stderr)
        print("".join(run.error[-40:]), file=sys.stderr)
    return {
        "target": name,
        "inputs": sum(run.said["done"] for run in runs),
        "accepted": sum(run.said["accepted"] for run in runs),
        "slowest_s": max(run.said["slowest_s"] for run in runs),
        "memory_growth_bytes": max(run.said["growth_bytes"] for run in runs),
        "findings": findings,
    }


if __name__ == "__main__":
    sys.exit(main())
