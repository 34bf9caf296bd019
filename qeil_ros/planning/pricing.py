"""What a query costs, as a law that bills can be fitted to.

Paper: QEIL, arXiv 2602.06057, Eq 5 to 7: amortisation of the hardware in proportion to the samples, energy at
a price per kWh, maintenance. The paper multiplies joules by a price per kWh; here they are converted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .metrics import JOULES_PER_KWH
from .regression import regress_positive
from .scaling import Fit

__all__ = ["Cost", "fit_cost", "heterogeneous"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cost:
    """USD of a query.

    Attributes:
        usd_per_sample: hardware's price / samples in its life (Eq 5). usd_per_kwh: of energy (Eq 6).
        maintenance_usd: of a query, whatever it takes.
    """

    usd_per_sample: float
    usd_per_kwh: float
    maintenance_usd: float = 0.0

    def __call__(self, samples: ArrayLike, energy_j: ArrayLike) -> Floats:
        """USD, for arguments that broadcast."""
        s, joules = np.asarray(samples, np.float64), np.asarray(energy_j, np.float64)
        energy = joules / JOULES_PER_KWH * self.usd_per_kwh
        return np.asarray(self.usd_per_sample * s + energy + self.maintenance_usd)


def heterogeneous(cloud_usd: float, share: float) -> float:
    """(1 - rho) Cost_cloud (Eq 7) [USD]. ValueError: a share that is none."""
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; want 0 to 1")
    return (1.0 - share) * cloud_usd


def fit_cost(samples: ArrayLike, energy_j: ArrayLike, cost_usd: ArrayLike) -> Fit[Cost]:
    """Fits `Cost` to what queries cost, each by its relative error; no price is below 0.

    Args:
        samples, energy_j, cost_usd: [n] each, above 0.

    Raises:
        ValueError: a value is impossible, or the points are too few.
    """
    s, joules, usd = (np.asarray(a, np.float64) for a in (samples, energy_j, cost_usd))
    for name, array in (("samples", s), ("energy_j", joules), ("cost_usd", usd)):
        if array.ndim != 1 or not (np.isfinite(array) & (array > 0)).all():
            raise ValueError(f"{name} must be a list of positive numbers")
    columns = {
        "usd_per_kwh": joules / JOULES_PER_KWH,
        "usd_per_sample": s,
        "maintenance_usd": np.ones_like(s),
    }
    found, left_out = regress_positive(columns, usd)
    values = {name: estimate.value for name, estimate in found.estimates.items()}
    law = Cost(*(values.get(name, 0.0) for name in ("usd_per_sample", "usd_per_kwh", "maintenance_usd")))
    note = "relative errors, Huber regression" + (f"; left out: {', '.join(left_out)}" if left_out else "")
    ranges = {
        "samples": (float(s.min()), float(s.max())),
        "energy_j": (float(joules.min()), float(joules.max())),
    }
    return Fit(law, found, ranges, note)
