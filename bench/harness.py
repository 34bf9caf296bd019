"""What every benchmark needs: results with their targets, the machine, the JSON form, a table."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "eclipse-zenoh", "rosbags")


@dataclass(frozen=True)
class Result:
    """One figure.

    Attributes:
        peer: what it is compared with; None where it stands alone.
        ratio: value / peer_value.
        target: what is aimed at, as text, for example "ratio <= 2"; None where there is none.
        met: whether the target was reached; None where there is none.
    """

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    target: str | None = None
    met: bool | None = None


def figure(name: str, value: float, unit: str) -> Result:
    """A figure without a target."""
    return Result(name, value, unit)


def at_most(name: str, value: float, unit: str, limit: float) -> Result:
    """A figure that should not exceed `limit`. One that is not a number misses it."""
    return Result(name, value, unit, target=f"<= {limit:g} {unit}", met=bool(value <= limit))


def at_least(name: str, value: float, unit: str, limit: float) -> Result:
    """A figure that should reach `limit`. One that is not a number misses it."""
    return Result(name, value, unit, target=f">= {limit:g} {unit}".rstrip(), met=bool(value >= limit))


def against(
    name: str, value: float, unit: str, peer: str, peer_value: float, ratio: float, limit: float | None = None
) -> Result:
    """A figure beside a peer's; `ratio` should not exceed `limit`.

    The ratio is given, not computed: it is the median of the ratios of paired runs, in which drift cancels.
    """
    if limit is None:
        return Result(name, value, unit, peer, peer_value, ratio)
    return Result(name, value, unit, peer, peer_value, ratio, f"ratio <= {limit:g}", ratio <= limit)


@dataclass(frozen=True)
class Report:
    """All figures of one run of one benchmark, with what they depend on."""

    benchmark: str
    config: Mapping[str, Any]
    inputs: Sequence[Mapping[str, str]]
    results: Sequence[Result]

    @property
    def missed(self) -> list[Result]:
        return [r for r in self.results if r.met is False]

    def to_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "config": dict(self.config),
            "inputs": [dict(item) for item in self.inputs],
            "machine": machine(),
            "results": [{name: _finite(value) for name, value in asdict(r).items()} for r in self.results],
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n")

    def table(self) -> Any:
        """A rich table of the results."""
        from rich import box
        from rich.table import Table

        table = Table(title=self.benchmark, title_justify="left", box=box.SIMPLE, pad_edge=False)
        table.add_column("figure", no_wrap=True)
        for heading in ("value", "peer", "ratio"):
            table.add_column(heading, justify="right")
        table.add_column("target")
        table.add_column("")
        for r in self.results:
            table.add_row(
                r.name,
                f"{r.value:.4g} {r.unit}",
                f"{r.peer}: {r.peer_value:.4g} {r.unit}" if r.peer else "",
                f"{r.ratio:.2f}" if r.ratio is not None else "",
                r.target or "",
                {None: "", True: "[green]met[/]", False: "[bold red]missed[/]"}[r.met],
            )
        return table


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def median(values: Iterable[float]) -> float:
    """The lower median: a value that really occurred. NaN where there is none."""
    return percentile(values, 50)


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest-rank percentile. NaN where there are no values."""
    ranked = sorted(values)
    return ranked[max(math.ceil(percent / 100 * len(ranked)), 1) - 1] if ranked else math.nan


def input_file(path: Path, name: str = "") -> dict[str, str]:
    """An input of a benchmark with its digest."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": name or path.name, "sha256": digest}


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average_1min": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    names = ("model name", "Model", "Hardware")  # x86, then what Arm boards have
    if cpuinfo.is_file():
        fields = dict(
            [part.strip() for part in line.split(":", 1)]
            for line in cpuinfo.read_text().splitlines()
            if ":" in line
        )
        for name in names:
            if name in fields:
                return fields[name]
    return platform.processor() or platform.machine()
