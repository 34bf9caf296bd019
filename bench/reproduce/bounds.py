"""The rate-distortion bounds against Blahut and Arimoto's D(R), and the paper's quantizers between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.planning import blahut_arimoto as ba
from qeil_ros.planning import rate_distortion as rd
from qeil_ros.planning.weight_quantizers import measure

from ..harness import at_least, at_most, figure
from .effort import Effort
from .section import Grid, Section

__all__ = ["GRID_ERROR_PERCENT", "point", "run"]

LOW_BITS, HIGH_BITS = 0.2, 7.0
GRID_ERROR_PERCENT = 1.0
PAPERS_POINT = 2.17, 0.1170
SAMPLES = 200_000
_NEAR_BITS = 0.02
"""What is left to that rate goes along the slope: the error is of second order, 1e-4 of D."""
SEED = 3
WIDTHS = range(2, 9)
"""At one bit a magnitude has none, and D_U is infinite."""
REAL_RATES = (1.0, 2.0, 3.0, 4.0)


def run(effort: Effort, weights: NDArray[np.float32], of: str, tell: Callable[[int, int], None]) -> Section:
    """Rates from 0.2 to 7 bits; lambda is 1, which loses nothing: D scales with 1/lambda.

    Args:
        weights: real ones, whose D(R) is computed too; `of` names their model.
    """
    rates = np.geomspace(LOW_BITS, HIGH_BITS, effort.rates)
    rows = []
    for number, rate_bits in enumerate(rates):
        rows.append(point(float(rate_bits), effort.cells))
        tell(number + 1, len(rates))
    held = sum(row["lower"] <= row["distortion"] <= row["upper"] for row in rows)
    error = max(row["grid_error_percent"] for row in rows)
    theirs = point(PAPERS_POINT[0], effort.cells)["distortion"]
    exponential = np.random.default_rng(SEED).laplace(size=SAMPLES)
    quantized = [vars(m) for m in measure(exponential, WIDTHS)]
    real = _real(weights)
    below = [row for row in real if row["distortion"] < row["lower"]]
    return Section(
        "bounds",
        "Distortion bounds against numerical D(R)",
        f"D_L (Eq 24) and D_U (Eq 26) for exponential magnitudes, lambda = 1, against Blahut and Arimoto's "
        f"D(R) at {len(rates)} rates from {LOW_BITS} to {HIGH_BITS:g} bits, on grids of {effort.cells} and "
        f"{2 * effort.cells} steps in a distortion, extrapolated; the error named is that of the finer grid. "
        f"Below: the two quantizers on {SAMPLES:,} exponential magnitudes, and D(R) of real weights.",
        results=[
            at_least("bounds_hold", held, "rates", len(rates)),
            at_most("bounds_grid_error", error, "% of D", GRID_ERROR_PERCENT),
            figure(
                "bounds_upper_to_numerical_at_7_bits", rows[-1]["upper"] / rows[-1]["distortion"], "times"
            ),
            figure(
                "bounds_numerical_to_lower_at_7_bits", rows[-1]["distortion"] / rows[-1]["lower"], "times"
            ),
        ],
        agrees=[
            f"D_L <= D(R) <= D_U at {held} of {len(rates)} rates.",
            f"At R = {PAPERS_POINT[0]} D is {theirs:.4f}; {PAPERS_POINT[1]:.4f} in the paper, whose grid is "
            "not given.",
            _tightness(quantized),
        ],
        differs=[
            "D_U does not close on D(R): it tends to twice D_L, and D(R) to D_L itself. Above 3 bits D_L "
            "says what is possible, D_U does not.",
            f"The bounds are those of exponential magnitudes. For the weights of {of} D(R) "
            + (
                f"lies below the fitted D_L at {len(below)} of {len(real)} rates: there it bounds nothing."
                if below
                else "lies between the fitted bounds at all rates tried."
            ),
        ],
        tables=[
            Grid(
                "Exponential magnitudes, lambda = 1",
                ["R [bits]", "D_L", "D(R)", "D_U", "grid error [%]", "D(R) known to [bits]"],
                [[r["rate_bits"], *_three(r), r["grid_error_percent"], r["gap_bits"]] for r in rows],
            ),
            Grid(
                "The quantizers on exponential magnitudes: mean absolute error over D_U(b - 1)",
                ["quantizer", *(f"{bits} bits" for bits in WIDTHS)],
                [
                    [name, *(q["distortion"] / q["upper"] for q in quantized if q["quantizer"] == name)]
                    for name in ("uniform", "power_of_two")
                ],
            ),
            Grid(
                f"D(R) of the weights of {of}, lambda fitted to them",
                ["R [bits]", "D_L", "D(R)", "D_U"],
                [[r["rate_bits"], *_three(r)] for r in real],
            ),
        ],
        data={"exponential": rows, "quantizers": quantized, "real": {"of": of, "points": real}},
        figure="Bounds, numerical D(R) and the paper's two quantizers on exponential magnitudes (left); "
        f"the same bounds and the D(R) of the weights of {of} (right).",
    )


def _three(row: dict[str, Any]) -> tuple[float, float, float]:
    return row["lower"], row["distortion"], row["upper"]


def point(rate_bits: float, cells: int) -> dict[str, Any]:
    """D(R) at one rate, from a grid of `cells` steps in a distortion and one of half its step.

    The error of a grid is of second order in its step, a third of the difference is what the finer grid still
    has: it is taken away, and told as the error.
    """
    upper, lower = float(rd.distortion_upper(rate_bits, 1.0)), float(rd.distortion_lower(rate_bits, 1.0))
    scale = min(upper, 2 * lower)
    coarse, fine = (_distortion(ba.exponential(1.0, scale / n), rate_bits) for n in (cells, 2 * cells))
    return {
        "rate_bits": rate_bits,
        "lower": lower,
        "distortion": fine[0] + (fine[0] - coarse[0]) / 3,
        "upper": upper,
        "grid_error_percent": 100 * abs(fine[0] - coarse[0]) / 3 / fine[0],
        "gap_bits": fine[1],
    }


def _distortion(source: ba.Source, rate_bits: float) -> tuple[float, float]:
    """(D at that very rate, how many bits the rate may be above the true R(D)), along the slope found."""
    found = ba.at_rate(source, rate_bits, tolerance_bits=_NEAR_BITS)
    # dR/dD = -slope / ln 2 bits
    beyond_bits = found.rate_bits - rate_bits
    return found.distortion + beyond_bits * math.log(2) / found.slope, found.gap_bits


def _real(weights: NDArray[np.float32]) -> list[dict[str, Any]]:
    theta = np.abs(weights.astype(np.float64))
    rate = 1 / float(theta.mean())
    rows = []
    for rate_bits in REAL_RATES:
        lower = float(rd.distortion_lower(rate_bits, rate))
        distortion, _ = _distortion(ba.from_samples(theta, lower / 10), rate_bits)
        upper = float(rd.distortion_upper(rate_bits, rate))
        rows.append({"rate_bits": rate_bits, "lower": lower, "distortion": distortion, "upper": upper})
    return rows


def _tightness(quantized: list[dict[str, Any]]) -> str:
    close = {
        name: [q["bits"] for q in quantized if q["quantizer"] == name and q["distortion"] <= 1.5 * q["upper"]]
        for name in ("uniform", "power_of_two")
    }
    uniform, power = (", ".join(map(str, close[name])) or "none" for name in ("uniform", "power_of_two"))
    return (
        f"Practical quantizers come near the bounds: uniform within 1.5 D_U at widths of {uniform} bits, "
        f"powers of two at {power}."
    )
