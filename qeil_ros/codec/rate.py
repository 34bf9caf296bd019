"""A stream of at most so many bytes: the finest step, or the best width and number of rows, that fit."""

from __future__ import annotations

from collections.abc import Callable

_TRIES = 16
_OCTAVES = 40.0
_OCTAVE_SHARE = 1 / 256
_NEAR = 128
"""Within one part in this many of the limit the search is over, and within that share of an octave."""


def finest_step(size_of: Callable[[float], int], step: float, elements: int, limit: int) -> float:
    """The step not below `step` whose stream has at most `limit` bytes and nearly fills them.

    Sizes fall by about one bit an element when the step doubles, by less where most codes are zero: the
    search follows the chord between a step that is too fine and one that fits, in logarithms of the step.

    Args:
        size_of: bytes of the stream at a step; the last call is not for the step returned in general.
        elements: number of them.

    Raises:
        ValueError: not even the coarsest stream fits.
    """
    size = size_of(step)
    if size <= limit:
        return step
    fine, fine_size = 0.0, size
    coarse: float | None = None
    coarse_size = 0
    for _ in range(_TRIES):
        if coarse is None:
            octaves = min(fine + max(0.5, 8 * (fine_size - limit) / elements), _OCTAVES)
        else:
            share = (fine_size - limit) / (fine_size - coarse_size)
            octaves = fine + min(max(share, 0.1), 0.9) * (coarse - fine)
        size = size_of(step * 2**octaves)
        if size <= limit:
            coarse, coarse_size = octaves, size
            if limit - size <= limit // _NEAR:
                break
        elif octaves == _OCTAVES:
            break
        else:
            fine, fine_size = octaves, size
        if coarse is not None and coarse - fine < _OCTAVE_SHARE:
            break
    if coarse is None:
        raise ValueError(f"max_bytes is {limit}; this tensor's coarsest stream has {size} bytes")
    return float(step * 2**coarse)
