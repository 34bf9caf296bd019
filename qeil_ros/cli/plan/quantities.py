"""Rates and times as people write them on the command line."""

from __future__ import annotations

import math
import re

__all__ = ["byte_rate", "seconds"]

_RATES = {
    "bit/s": 1 / 8, "kbit/s": 1e3 / 8, "Mbit/s": 1e6 / 8, "Gbit/s": 1e9 / 8,
    "B/s": 1.0, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9,
}  # fmt: skip
_TIMES = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_NUMBER = re.compile(r"\s*(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)\s*([A-Za-z/]*)\s*")


def byte_rate(text: str) -> float:
    """`20`, `20 Mbit/s`, `2.5MB/s` as bytes a second; a bare number is in Mbit/s. Raises ValueError."""
    return _read(text, _RATES, "Mbit/s", "a rate")


def seconds(text: str) -> float:
    """`0.2`, `0.2 s`, `200ms` in seconds. Raises ValueError."""
    return _read(text, _TIMES, "s", "a time")


def _read(text: str, units: dict[str, float], bare: str, what: str) -> float:
    match = _NUMBER.fullmatch(text)
    unit = (match[2] or bare) if match else ""
    factor = units.get(unit) or units.get(f"{unit}/s")
    if match is None or factor is None or not math.isfinite(value := float(match[1]) * factor):
        raise ValueError(f"{text!r} is not {what}; want a number and one of {', '.join(units)}")
    return value
