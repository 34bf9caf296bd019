"""A network in stages on this machine, and its devices killed: two benchmarks' figures as sections."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from .. import staging, staging_faults
from ..harness import Report, Result, at_least
from ..progress import Tell
from ..ros import BenchError
from .section import Section

__all__ = ["faults", "staged"]


def staged(quick: bool) -> Section:
    """What staging costs, and whether it changes the answer."""
    results, missing = _results("staging", lambda: staging.run(quick))
    return Section(
        "staging",
        "A network in stages on two backends",
        "Published networks cut in the middle of their work. On one runtime, in one process: against the "
        "uncut network. On two runtimes, in one process: against each half run by itself. The same in two "
        "processes, so that one can fail without the other: over what the halves take in the same frame, "
        "beside what bare messages take between processes that sleep and are woken as often.",
        results=results,
        not_given=[*missing, "How stages are joined, and what that costs."],
    )


def faults(quick: bool, tell: Tell) -> Section:
    """Whether a device's death is noticed, and every request answered."""
    results, missing = _results("faults", lambda: staging_faults.run(quick, progress=tell))
    return Section(
        "faults",
        "Devices killed while they run stages",
        "Two devices run a network's halves, each a process; again and again one of them is killed, or "
        "stopped so that it hangs, at a random moment of a request (seeded), and comes back. The bound on "
        "the latency is the paper's, tau_optimal D / D_healthy: twice the healthy one where one of two is "
        "left.",
        results=results,
        not_given=[
            *missing,
            "How a fault is detected, how often it is looked for, and the ramp back from 50 %.",
        ],
    )


def _results(name: str, run: Callable[[], Report]) -> tuple[Sequence[Result], list[str]]:
    """A benchmark's figures under this report's names; without its data a target that is missed."""
    try:
        report = run()
    except BenchError as error:
        return [at_least(f"{name}_ran", math.nan, "times", 1)], [f"Not measured: {error}"]
    return [replace(result, name=f"{name}: {result.name}") for result in report.results], []
