"""The constants of QEIL's formalisms as printed (arXiv 2602.06057, Eq 1 to 7), as a preset. None is ours.

Where the paper gives an interval it is (low, high). Its laws with these constants do not reproduce its own
table: fit before you believe (`scaling`).
"""

from __future__ import annotations

from collections.abc import Mapping

from .scaling import PAPER_COVERAGE, PAPER_ENERGY, PRECISION_FACTORS

__all__ = [
    "COST_SHARE",
    "COVERAGE",
    "EFFICIENCY",
    "ENERGY",
    "EXPONENTS",
    "LATENCY_CONSTANT_S",
    "LIFETIME_OPERATIONS",
    "LINK_BYTES_S",
    "PRECISION",
    "USD_PER_KWH",
    "UTILISATION",
]

Range = tuple[float, float]

COVERAGE = PAPER_COVERAGE
"""Eq 1."""
ENERGY = PAPER_ENERGY
"""Eq 2."""
PRECISION = PRECISION_FACTORS
"""f(Q), Eq 2."""
UTILISATION: Range = (0.6, 0.9)
"""gamma_util, Eq 2."""
EFFICIENCY: Mapping[str, Range] = {"cpu": (1.0, 1.0), "gpu": (0.3, 0.5), "npu": (0.1, 0.2)}
"""lambda, Eq 2."""
LATENCY_CONSTANT_S: Range = (1e-3, 5e-3)
"""Overhead, Eq 3."""
LINK_BYTES_S = 32e9
"""PCIe 4.0, Eq 4."""
USD_PER_KWH: Range = (0.10, 0.15)
"""Eq 6."""
LIFETIME_OPERATIONS: Mapping[str, float] = {"cpu": 1e10, "npu": 1e13, "datacentre gpu": 1e14}
"""Eq 5."""
COST_SHARE: Range = (0.4, 0.7)
"""rho, Eq 7: what a heterogeneous edge saves of the cloud's cost."""
EXPONENTS: Mapping[str, Mapping[str, Range]] = {
    "coverage": {"exponent_n": (0.65, 0.75), "exponent_s": (0.65, 0.75), "exponent_t": (0.17, 0.23)},
    "energy": {"exponent_n": (0.9, 0.9), "exponent_s": (1.0, 1.0), "exponent_t": (1.0, 1.0)},
}
"""What Eq 1 and Eq 2 print, to hold fits against: b 0.7 +- 0.05, delta 0.2 +- 0.03, gamma_E about 0.9."""
