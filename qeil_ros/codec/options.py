"""What an encoder is asked for, in one value that is checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from .quantize import EVENLY_SPACED, Clip, GranularityName, clip_rule
from .stream import MAX_GROUP_SIZE, MIN_GROUP_SIZE, Coder, Quantizer
from .tokens import FillName, Keep

QuantizerName = Literal[
    "auto", "uniform", "symmetric", "sign_magnitude", "power_of_two", "laplacian", "gaussian"
]
CoderName = Literal["packed", "rans"]
RoundingName = Literal["nearest", "stochastic"]

MAX_RDO = 100.0


@dataclass(frozen=True)
class Options:
    """How a tensor is coded. The defaults are fixed-width codes of 8 bits that cover the tensor's range.

    Attributes:
        bits: a value, 1 to 8. An integer tensor at 8 bits is kept without loss. With the coder "rans" and the
            quantizer "symmetric" they stand for a step: that of `bits` over +-4 times the root mean square,
            of integers the standard deviation.
        quantizer: "auto" is "uniform" for packed codes and "symmetric" for coded ones; or "sign_magnitude",
            "power_of_two", or the Lloyd-Max tables "laplacian" and "gaussian".
        granularity: "tensor", "channel" (along `axis`) or "group" (of `group_size` elements in C order):
            what shares a scale.
        axis: the channel axis; the entropy coder cuts it into bands with tables of their own.
        clip: "range" covers every value within half a step; "mse" minimises the squared error and lets rare
            values saturate; "percentile" (99.9; or quantize.Percentile(p)) and "exponential" as their names
            say; "auto" takes "range" for uniform levels above 4 bits and else "mse"; a pair (low, high) is
            the range to cover.
        coder: "packed" codes of fixed width, or "rans", entropy-coded.
        step: between evenly spaced levels, instead of what `bits` and `clip` say.
        rounding: "nearest" level, or "stochastic": to a neighbour with a probability that makes the mean
            right, by `seed`.
        rdo: how much bits count against squared error where symmetric codes are entropy-coded: 1 is the
            slope of the rate-distortion function at high rate, 0 rounds to the nearest.
        keep: rows (tokens) to keep: a number, a fraction (a float up to 1), or the rows themselves.
        fill: what dropped rows become: "merged", their mean, which travels too, or "zero".
        max_bytes: of the whole stream. The best width or step, up to what `bits` says, is searched for.

    Raises:
        ValueError: an option that is not possible, by itself or with the others.
    """

    bits: int = 8
    quantizer: QuantizerName = "auto"
    granularity: GranularityName = "tensor"
    axis: int = -1
    group_size: int = 64
    clip: Clip = "auto"
    coder: CoderName = "packed"
    step: float | None = None
    rounding: RoundingName = "nearest"
    seed: int = 0
    rdo: float = 1.0
    keep: Keep = None
    fill: FillName = "merged"
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        if (
            isinstance(self.bits, bool)
            or not isinstance(self.bits, (int, np.integer))
            or not 1 <= self.bits <= 8
        ):
            raise ValueError(f"bits is {self.bits!r}; whole numbers from 1 to 8 are possible")
        for name, kind in (
            ("quantizer", QuantizerName),
            ("granularity", GranularityName),
            ("coder", CoderName),
            ("rounding", RoundingName),
            ("fill", FillName),
        ):
            if getattr(self, name) not in get_args(kind):
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; {', '.join(get_args(kind))} are possible"
                )
        if self.granularity == "group" and not MIN_GROUP_SIZE <= self.group_size <= MAX_GROUP_SIZE:
            raise ValueError(
                f"group_size is {self.group_size}; {MIN_GROUP_SIZE} to {MAX_GROUP_SIZE} are possible"
            )
        clip_rule(self.clip, self.kind, self.bits, self.step)
        if self.rounding == "stochastic" and (self.kind not in EVENLY_SPACED or self.signed):
            raise ValueError("stochastic rounding needs evenly spaced levels, and codes that no rdo chooses")
        if not (math.isfinite(self.rdo) and 0 <= self.rdo <= MAX_RDO):
            raise ValueError(f"rdo is {self.rdo}; 0 to {MAX_RDO:g} are possible")
        if self.max_bytes is not None and self.max_bytes < 1:
            raise ValueError(f"max_bytes is {self.max_bytes}; at least 1 is possible")
        if self.max_bytes is not None and self.step is not None:
            raise ValueError("max_bytes searches for the step; give one of the two")

    @property
    def kind(self) -> Quantizer:
        """The quantizer of a tensor that is not kept without loss."""
        if self.quantizer == "auto":
            return Quantizer.UNIFORM if self.coder == "packed" else Quantizer.SYMMETRIC
        return Quantizer[self.quantizer.upper()]

    @property
    def coder_id(self) -> Coder:
        return Coder[self.coder.upper()]

    @property
    def signed(self) -> bool:
        """Whether codes are multiples of the step that no width bounds."""
        return self.coder == "rans" and self.kind is Quantizer.SYMMETRIC and self.bits > 1

    def but(self, **changes: Any) -> Options:
        """The same with other values. TypeError names an option that there is not."""
        if not changes:
            return self
        if unknown := changes.keys() - {field.name for field in fields(self)}:
            raise TypeError(f"{', '.join(sorted(unknown))}: no such option")
        return replace(self, **changes)
