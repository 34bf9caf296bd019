"""`python -m bench.reproduce [NAME ...]`: reproductions in full; records in bench/results, reports in docs.

Exit code 1: a target was missed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from . import load, names

ROOT = Path(__file__).resolve().parents[2]


def main(wanted: Sequence[str]) -> int:
    from rich.console import Console

    if unknown := sorted(set(wanted) - set(names())):
        print(f"nothing to reproduce called {', '.join(unknown)}; there are: {', '.join(names())}")
        return 2
    code = 0
    for name in wanted or names():
        module = load(name)
        made = module.run(module.Effort.of(quick=False), command=f"python -m {__package__} {name}")
        Console().print(made.table())
        file = f"reproduce_{name.replace('-', '_')}"
        results = ROOT / "bench/results"
        made.save(
            results / f"{file}.json", ROOT / f"docs/reproduction_{name.replace('-', '_')}.md", results / file
        )
        code = max(code, 1 if made.missed else 0)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
