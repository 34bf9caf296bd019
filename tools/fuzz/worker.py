"""One process that tries inputs: `python -m tools.fuzz.worker` with orders as JSON, from tools.fuzz."""

from __future__ import annotations

import faulthandler
import json
import mmap
import random
import resource
import signal
import sys
import time
from pathlib import Path

from tools.fuzz import kernels
from tools.fuzz.mutate import mutated

_REPORT_EVERY = 2000
SLOT = 1 << 16
"""Bytes of the file that holds the input being tried, so that it survives a crash: length, then content."""


def main() -> None:
    orders = json.loads(sys.argv[1])
    faulthandler.enable()
    # A timer, not dump_traceback_later(): that starts a thread an input, of which sanitizers keep books.
    faulthandler.register(signal.SIGALRM, chain=True)
    if orders["module"]:
        kernels.install(Path(orders["module"]))
    from tools.fuzz.targets import TARGETS

    target = TARGETS[orders["target"]]()
    corpus = target.corpus()
    draw = random.Random(orders["seed"])
    current = mmap.mmap(-1, SLOT) if not orders["current"] else _mapped(Path(orders["current"]))
    accepted, slowest_s, before_kib = 0, 0.0, 0
    for done in range(1, orders["inputs"] + 1):
        data = mutated(corpus, draw, target.seal)[: SLOT - 4]
        current[:4] = len(data).to_bytes(4, "little")
        current[4 : 4 + len(data)] = data
        signal.setitimer(signal.ITIMER_REAL, orders["hang_s"])
        started_s = time.perf_counter()
        try:
            target.run(data)
            accepted += 1
        except target.refusals:
            pass
        slowest_s = max(slowest_s, time.perf_counter() - started_s)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if done == _REPORT_EVERY:  # what is allocated once has been
            before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if done % _REPORT_EVERY == 0 or done == orders["inputs"]:
            peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            growth = max(peak_kib - before_kib, 0) * 1024 if before_kib else 0
            print(
                json.dumps(
                    {"done": done, "accepted": accepted, "slowest_s": slowest_s, "growth_bytes": growth}
                )
            )
            sys.stdout.flush()
            if growth > target.memory_bytes:
                raise MemoryError(f"memory grew by {growth} bytes; {target.memory_bytes} are allowed")


def _mapped(path: Path) -> mmap.mmap:
    with path.open("wb+") as file:
        file.truncate(SLOT)
        return mmap.mmap(file.fileno(), SLOT)


if __name__ == "__main__":
    main()
