"""How levels are chosen, as an encoder asks for it; and the table of what quantizes.

The quantizers themselves are `_kernels.Quantizer`: one object serves tensor after tensor, of any quantizer
(`kind`: its id) and width (`width`: its bits). `data` and `out` are a tensor's bytes; element i uses
parameter set `i // inner % count`; sizes that do not fit raise ValueError.

| call | does |
|---|---|
| `choose(data, dtype, inner, count, kind, width, *clip_rule(...), parameters)` | writes parameters |
| `load(parameters, count, kind, width, wide=False)` | checks and takes them; -1, or the index of a bad set |
| `weigh(costs, rate)` | until load(): codes of least error^2 + rate * cost (uint16 a code, in 1/256 bit) |
| `encode(data, dtype, inner, out, seed=None)` | quantizes and packs at once; a seed rounds stochastically |
| `decode(payload, dtype, inner, out)` | the inverse; False if unused bits of the payload are set |
| `codes(data, dtype, inner, out, seed=None)` | the codes, a uint8 each |
| `values(codes, dtype, inner, out)` | the inverse; ignores bits over the width |
| `indices(data, dtype, inner, out)` | int16 multiples of the step, code - 2**(width - 1), bound by no width |
| `index_values(indices, dtype, inner, out)` | the inverse; both: kind 2, 2 bits or more, load(wide=True) |
| `_kernels.parameter_bytes(kind, count)` | 1 and 4 a set with a zero (kinds 1, 5, 6), 1 and 2 a set without |
| `_kernels.quantizer_levels(kind, width)` | the integers T that the codes stand for |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

GranularityName = Literal["tensor", "channel", "group"]


@dataclass(frozen=True)
class Percentile:
    """Clip where `percent` of a set's values are kept: as many are cut at either end.

    Where the levels are symmetric about zero, it is the percentage of the magnitudes.
    """

    percent: float = 99.9

    def __post_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise ValueError(f"percent is {self.percent}; above 0 and up to 100 are possible")


Clip = Literal["auto", "range", "mse", "percentile", "exponential"] | tuple[float, float] | Percentile

MSE_BITS = 4
"""Up to this width `auto` clips uniform levels by squared error: the range wastes most on rare values."""
MAX_MAGNITUDE = 2.0**126
EVENLY_SPACED = (1, 2, 3)
"""Ids of the quantizers with a step: uniform, symmetric, sign_magnitude."""


def clip_rule(clip: Clip, kind: int, bits: int, step: float | None = None) -> tuple[str, float, float]:
    """`rule`, `low` and `high` of the kernel's choose() for quantizer `kind`.

    "auto" minimises the squared error, except for the uniform quantizer of more than four bits, which covers
    the range, so that no value is far off. A `step` fixes the distance of evenly spaced levels instead.
    """
    if step is not None:
        if kind not in EVENLY_SPACED:
            raise ValueError(f"a step was given for quantizer {kind}, whose levels are not evenly spaced")
        if not 0 < step <= MAX_MAGNITUDE:
            raise ValueError(f"step is {step}; it must be positive, finite and at most 2**126")
        return "step", float(step), 0.0
    if isinstance(clip, Percentile):
        return "percentile", clip.percent, 0.0
    if isinstance(clip, tuple):
        if len(clip) != 2:
            raise ValueError(f"clip is {clip!r}; a pair (low, high) is possible")
        low, high = (float(end) for end in clip)
        if not (
            math.isfinite(low) and math.isfinite(high) and low < high and max(-low, high) <= MAX_MAGNITUDE
        ):
            raise ValueError(
                f"clip is ({low}, {high}); it must be finite, ascending and at most 2**126 in magnitude"
            )
        return "pair", low, high
    if clip == "auto":
        return ("range" if kind == 1 and bits > MSE_BITS else "mse"), 0.0, 0.0
    if clip == "percentile":
        return "percentile", Percentile().percent, 0.0
    if clip not in ("range", "mse", "exponential"):
        raise ValueError(
            f"clip is {clip!r}; auto, range, mse, percentile, exponential or a pair (low, high) are possible"
        )
    return clip, 0.0, 0.0
