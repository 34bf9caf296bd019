"""`python -m bench.reproduce`: every reproduction in full; records in bench/results, reports in docs.

Exit code 1: a target was missed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from . import load, names
from .effort import Effort

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    from rich.console import Console

    code = 0
    for name in names():
        made = load(name).run(Effort.of(quick=False), command=f"python -m {__package__}")
        Console().print(made.table())
        file = f"reproduce_{name.replace('-', '_')}"
        results = ROOT / "bench/results"
        made.save(
            results / f"{file}.json", ROOT / f"docs/reproduction_{name.replace('-', '_')}.md", results / file
        )
        code = max(code, 1 if made.missed else 0)
    return code


if __name__ == "__main__":
    sys.exit(main())
