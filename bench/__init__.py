"""Benchmarks: one module each, with `DESCRIPTION` and `run(quick) -> Report`.

`qeil bench NAME` runs one, `python -m bench` all of them in full, recording the results in `results/`.
Figures are medians of paired runs with the 99th percentile beside them; a missed target is reported so.
A benchmark drives the project as a user does: nodes, topics, public functions.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import qeil_ros.rosless  # noqa: F401  serves rclpy where no ROS 2 is installed

_NAMES = (
    "codec",
    "failover",
    "models",
    "overhead",
    "planner",
    "preparation",
    "pruning",
    "screen",
    "staging",
    "staging_faults",
    "thermal",
    "transport",
)


def names() -> tuple[str, ...]:
    """The benchmarks there are."""
    return _NAMES


def load(name: str) -> ModuleType:
    """The module of a benchmark. KeyError for an unknown one."""
    if name not in _NAMES:
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}")
