"""How coverage, energy and time grow with parameters, samples and tokens: the scaling formalisms, fitted.

Paper: QEIL, arXiv 2602.06057, Eq 1 to 4. Its constants are `PAPER_*`; it does not state the unit of N, and
the printed alpha does not reproduce its own data, so a law is to be fitted before it is believed:
`fit_coverage`, `fit_energy`, `fit_latency`. The fits (robust, with intervals and warnings beyond the data)
are ours.

Symbols: N parameters, S samples a query, T tokens a sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cloglog import regress_shares
from .regression import Regression, regress, regress_positive

__all__ = [
    "PAPER_COVERAGE",
    "PAPER_ENERGY",
    "PRECISION_FACTORS",
    "Coverage",
    "Energy",
    "Fit",
    "Latency",
    "fit_coverage",
    "fit_energy",
    "fit_latency",
]

Floats = NDArray[np.float64]
Law = TypeVar("Law", covariant=True)

EXPONENTS = ("exponent_n", "exponent_s", "exponent_t")
PRECISION_FACTORS: Mapping[str, float] = {"fp16": 1.0, "fp8": 0.65}
"""f(Q) of Eq 2, as printed."""


@dataclass(frozen=True)
class Coverage:
    """C(S, N, T) = 1 - exp(-alpha N^exponent_n S^exponent_s T^exponent_t), Eq 1: the share of queries that
    one of S samples answers. The paper's first version has one b for N and S, its second one each."""

    alpha: float
    exponent_n: float
    exponent_s: float
    exponent_t: float

    def __call__(self, parameters: ArrayLike, samples: ArrayLike, tokens: ArrayLike) -> Floats:
        """Coverage, 0 to 1, for arguments that broadcast."""
        n, s, t = (np.asarray(a, np.float64) for a in (parameters, samples, tokens))
        return np.asarray(
            -np.expm1(-self.alpha * n**self.exponent_n * s**self.exponent_s * t**self.exponent_t)
        )


@dataclass(frozen=True)
class Energy:
    """E = c1 N^exponent_n T^exponent_t S^exponent_s times the factors of Eq 2 that the caller multiplies:
    f(Q), power, utilisation, efficiency. As printed both exponents of T and S are 1; a fit shows whether."""

    c1: float
    exponent_n: float
    exponent_s: float = 1.0
    exponent_t: float = 1.0

    def __call__(
        self, parameters: ArrayLike, samples: ArrayLike, tokens: ArrayLike, factors: ArrayLike = 1.0
    ) -> Floats:
        """Energy [J] for arguments that broadcast; `factors`: f(Q) P gamma_util lambda."""
        n, s, t = (np.asarray(a, np.float64) for a in (parameters, samples, tokens))
        law = self.c1 * n**self.exponent_n * s**self.exponent_s * t**self.exponent_t
        return np.asarray(law * np.asarray(factors, np.float64))


@dataclass(frozen=True)
class Latency:
    """Seconds of a query, Eq 3 and 4 with the device folded into the coefficients:
    prefill x N T_prompt + (decode x N + step) x T S + constant + log_samples x log S.

    Eq 4 counts S - 1 decode steps because the paper lets S stand for samples and for decoded tokens; here
    each of S samples decodes T tokens. The log S term is the overhead of several devices. `step_s` is ours:
    what a token takes however small the model is, which is most of a small model's time.
    """

    prefill_s: float
    decode_s: float
    constant_s: float
    log_samples_s: float = 0.0
    step_s: float = 0.0

    def __call__(
        self, parameters: ArrayLike, samples: ArrayLike, tokens: ArrayLike, prompt_tokens: ArrayLike
    ) -> Floats:
        """Seconds, for arguments that broadcast."""
        n, s, t, prompt = (np.asarray(a, np.float64) for a in (parameters, samples, tokens, prompt_tokens))
        terms = self.prefill_s * n * prompt + (self.decode_s * n + self.step_s) * t * s
        return np.asarray(terms + self.constant_s + self.log_samples_s * np.log(s))


PAPER_COVERAGE = Coverage(1e-4, 0.7, 0.7, 0.2)
"""As printed, without a unit of N; with N in parameters it gives 1 for every model of the paper's table."""
PAPER_ENERGY = Energy(1.0, 0.9)
"""Only the exponent is printed."""


@dataclass(frozen=True, eq=False)
class Fit(Generic[Law]):
    """A law with what it rests on.

    Attributes:
        regression: estimates with intervals, in the space in which the fit was made.
        ranges: of each variable in the data: (least, most).
        note: what space that is.
    """

    law: Law
    regression: Regression
    ranges: Mapping[str, tuple[float, float]]
    note: str

    def warnings(self, reach: float = 2.0, **values: float) -> list[str]:
        """Why a prediction for `values` (parameters=, samples=, tokens=) is not backed by the data.

        Args:
            reach: factor beyond the data from which on it counts as extrapolation.
        """
        found = []
        for name, value in values.items():
            low, high = self.ranges[name]
            if not low / reach <= value <= high * reach:
                found.append(f"{name} {value:g} is far from the data, which have {low:g} to {high:g}")
        return found + [
            f"the data do not tell {name}: what it goes with does not vary by itself"
            for name in self.regression.unidentified
        ]


def fit_coverage(
    parameters: ArrayLike,
    samples: ArrayLike,
    tokens: ArrayLike,
    coverage: ArrayLike,
    trials: ArrayLike | None = None,
) -> Fit[Coverage]:
    """Fits Eq 1. log(-log(1 - C)) is linear in log N, log S, log T.

    With `trials` (queries behind each coverage) the fit is the maximum-likelihood one of binomial counts, and
    shares of 0 and 1 are data like others; without, it is a robust regression of the transformed shares.

    Args:
        parameters, samples, tokens, coverage: [n] each, coverage 0 to 1.

    Raises:
        ValueError: shapes differ, a value is impossible, or the points are too few.
    """
    logs, ranges = _logs(parameters=parameters, samples=samples, tokens=tokens)
    share = np.asarray(coverage, np.float64)
    columns = {"log_alpha": np.ones_like(share), **_exponents(logs)}
    if not ((share >= 0) & (share <= 1)).all():
        raise ValueError("coverage must be from 0 to 1")
    if trials is not None:
        found = regress_shares(columns, share, trials)
        note = "binomial counts, complementary log-log link"
    else:
        if not ((share > 0) & (share < 1)).all():
            raise ValueError("a coverage of 0 or 1 says nothing without the number of queries: give trials")
        found = regress(columns, np.log(-np.log1p(-share)))
        note = "log(-log(1 - C)), Huber regression"
    law = Coverage(math.exp(_value(found, "log_alpha")), *(_value(found, name) for name in EXPONENTS))
    return Fit(law, found, ranges, note)


def fit_energy(
    parameters: ArrayLike,
    samples: ArrayLike,
    tokens: ArrayLike,
    energy_j: ArrayLike,
    factors: ArrayLike = 1.0,
) -> Fit[Energy]:
    """Fits Eq 2 in log space; the exponents of S and T are left free, as the test of what Eq 2 asserts.

    Args:
        parameters, samples, tokens, energy_j: [n] each. factors: known factors, [n] or one.

    Raises:
        ValueError: as `fit_coverage`.
    """
    logs, ranges = _logs(parameters=parameters, samples=samples, tokens=tokens)
    energy = np.asarray(energy_j, np.float64) / np.asarray(factors, np.float64)
    if not (np.isfinite(energy) & (energy > 0)).all():
        raise ValueError("energies and factors must be positive")
    found = regress({"log_c1": np.ones_like(energy), **_exponents(logs)}, np.log(energy))
    law = Energy(math.exp(_value(found, "log_c1")), *(_value(found, name) for name in EXPONENTS))
    return Fit(law, found, ranges, "log E, Huber regression")


def fit_latency(
    parameters: ArrayLike,
    samples: ArrayLike,
    tokens: ArrayLike,
    prompt_tokens: ArrayLike,
    latency_s: ArrayLike,
) -> Fit[Latency]:
    """Fits `Latency`, each point by its error relative to the fit. No coefficient is below 0: such a term is
    left out.

    Args:
        parameters, samples, tokens, prompt_tokens, latency_s: [n] each.

    Raises:
        ValueError: as `fit_coverage`.
    """
    logs, ranges = _logs(parameters=parameters, samples=samples, tokens=tokens, prompt_tokens=prompt_tokens)
    n, s, t, prompt = (np.exp(log) for log in logs.values())
    seconds = np.asarray(latency_s, np.float64)
    if not (np.isfinite(seconds) & (seconds > 0)).all():
        raise ValueError("latencies must be positive")
    columns = {
        "decode_s": n * t * s,
        "constant_s": np.ones_like(n),
        "prefill_s": n * prompt,
        "log_samples_s": np.log(s),
        "step_s": t * s,
    }
    found, left_out = regress_positive(columns, seconds)
    terms = ("prefill_s", "decode_s", "constant_s", "log_samples_s", "step_s")
    law = Latency(*(_value(found, name) for name in terms))
    note = "relative errors, Huber regression"
    if left_out:
        note += f"; not below 0, so left out: {', '.join(left_out)}"
    return Fit(law, found, ranges, note)


def _logs(**variables: ArrayLike) -> tuple[dict[str, Floats], dict[str, tuple[float, float]]]:
    logs, ranges = {}, {}
    for name, values in variables.items():
        array = np.asarray(values, np.float64)
        if array.ndim != 1 or not (np.isfinite(array) & (array > 0)).all():
            raise ValueError(f"{name} must be a list of positive numbers")
        logs[name], ranges[name] = np.log(array), (float(array.min()), float(array.max()))
    return logs, ranges


def _exponents(logs: Mapping[str, Floats]) -> dict[str, Floats]:
    return dict(zip(EXPONENTS, (logs["parameters"], logs["samples"], logs["tokens"]), strict=True))


def _value(found: Regression, name: str) -> float:
    """A coefficient; 0 for what the data do not determine."""
    return found.estimates[name].value if name in found.estimates else 0.0
