"""`python -m bench`: runs every benchmark in full and records the results in bench/results.

`python -m bench NAME ...` runs these only. Exit code 1: a target was missed; 2: a benchmark failed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from . import load, names
from .ros import BenchError

RESULTS = Path(__file__).parent / "results"


def main(wanted: list[str]) -> int:
    from rich.console import Console

    console = Console()
    if unknown := sorted(set(wanted) - set(names())):
        console.print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names())}")
        return 2
    code = 0
    for name in wanted or names():
        try:
            module = load(name)
            report = module.run(quick=False)
        except BenchError as error:
            console.print(f"{name}: {error}", style="bold red")
            code = 2
            continue
        console.print(report.table())
        report.write(RESULTS / f"{name}.json")
        if hasattr(module, "draw"):
            module.draw(report, RESULTS / f"{name}.png")
        code = max(code, 1 if report.missed else 0)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
