"""Reproductions of published experiments: modules with DESCRIPTION, Effort and run(effort) -> Reproduction.

`qeil reproduce NAME` runs one; `python -m bench.reproduce` runs all, or those named, in full and records
their results in `bench/results`, their reports in `docs`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

_NAMES = ("co-inference", "qeil")


def names() -> tuple[str, ...]:
    """The reproductions there are."""
    return _NAMES


def load(name: str) -> ModuleType:
    """The module of a reproduction. KeyError for an unknown one."""
    if name not in _NAMES:
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
