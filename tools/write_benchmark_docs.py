"""Writes the recorded results of docs/benchmarks.md from bench/results; none is typed by hand.

python tools/write_benchmark_docs.py            # writes them between the page's two marks
python tools/write_benchmark_docs.py --check    # exit code 1 where they are not what was recorded
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
RESULTS = REPO / "bench" / "results"
PAGE = REPO / "docs" / "benchmarks.md"
sys.path.insert(0, str(REPO))

from tools.marked import replaced  # noqa: E402  this file is run as a script, too

WHOLE = ("transport", "overhead", "planner", "failover")
"""Every figure of these is shown, of others (and of reproductions) those with a target; `codec`, `models` and
`pruning` have pages of their own."""
AIMED = ("thermal", "reproduce_co_inference", "reproduce_qeil")


def figures(records: Mapping[str, Mapping[str, Any]]) -> str:
    """The tables, in Markdown, of recorded runs by name."""
    return "\n".join(line for name, record in records.items() for line in _table(name, record)) + "\n"


def recorded() -> dict[str, dict[str, Any]]:
    """The records there are, in the page's order."""
    files = ((name, RESULTS / f"{name}.json") for name in (*WHOLE, *AIMED))
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files if file.is_file()}


def _table(name: str, record: Mapping[str, Any]) -> Iterator[str]:
    machine = record["machine"]
    load = machine.get("load_average_1min")
    busy = "" if load is None else f", load {load:.1f} at the end"
    yield f"### Recorded: `{name}`"
    yield ""
    yield f"{machine['processor']}, {machine['cores']} cores that other machines share{busy}."
    yield ""
    yield "| figure | value | peer | ratio | target | |"
    yield "|---|---|---|---|---|---|"
    for r in record["results"]:
        if name in AIMED and not r["target"]:
            continue
        cells = (
            r["name"],
            f"{_number(r['value'])} {r['unit']}".strip(),
            f"{r['peer']} {_number(r['peer_value'])}" if r["peer"] else "",
            "" if r["ratio"] is None else f"{r['ratio']:.2f}",
            r["target"] or "",
            {True: "met", False: "**missed**", None: ""}[r["met"]],
        )
        yield f"| {' | '.join(cells)} |"
    yield ""


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def main(arguments: Sequence[str]) -> int:
    if set(arguments) - {"--check"}:
        print(__doc__)
        return 2
    before = PAGE.read_text(encoding="utf-8")
    text = replaced(before, figures(recorded()))
    if "--check" in arguments:
        print(f"{PAGE} {'is' if text == before else 'is not'} what {RESULTS} gives")
        return 0 if text == before else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
