"""Figures of merit of an answering machine, by their definitions, with their units.

Paper: QEIL, arXiv 2602.06057, Eq 23 and 30 to 32. Where its table is something else than its equation, that
has a name of its own.
"""

from __future__ import annotations

__all__ = ["cost_per_query", "ece", "ipw", "ipw_of_table", "ppp"]

JOULES_PER_KWH = 3.6e6
_TABLE_NUMERATOR = 60.0


def ipw(coverage: float, power_w: float) -> float:
    """Intelligence per watt, C / P_avg (Eq 23, 30) [1/W]; coverage from 0 to 1."""
    return coverage / _positive("power_w", power_w)


def ipw_of_table(power_w: float) -> float:
    """What the paper's table gives as IPW: 60 / P_avg, whatever the coverage; no equation of it [1/W]."""
    return _TABLE_NUMERATOR / _positive("power_w", power_w)


def ece(coverage: float, energy_j: float) -> float:
    """Energy-coverage efficiency, C / (E / 1000) (Eq 31) [1/kJ]."""
    return coverage / (_positive("energy_j", energy_j) / 1000.0)


def ppp(throughput_hz: float, coverage: float, power_w: float, cost_usd: float) -> float:
    """Price-power-performance, throughput C / (P_avg cost) (Eq 32) [queries / (s W USD)].

    Args:
        throughput_hz: queries a second. cost_usd: of a query.
    """
    return throughput_hz * coverage / (_positive("power_w", power_w) * _positive("cost_usd", cost_usd))


def cost_per_query(
    energy_j: float,
    usd_per_kwh: float,
    *,
    hardware_usd: float = 0.0,
    lifetime_queries: float = float("inf"),
    maintenance_usd: float = 0.0,
) -> float:
    """Price of a query: amortisation, energy, maintenance (Eq 5 to 7) [USD].

    The paper multiplies energy by a price per kWh without converting; here joules become kWh.
    """
    amortisation = hardware_usd / _positive("lifetime_queries", lifetime_queries)
    return amortisation + energy_j / JOULES_PER_KWH * usd_per_kwh + maintenance_usd


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ValueError(f"{name} is {value}; want a value above 0")
    return value
