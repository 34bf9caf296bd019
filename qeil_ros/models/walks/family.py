"""Decoders of one architecture in several sizes: small ones trained to walk through a fixed map, and larger
ones that only take time."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..schema import ModelError
from .decoder import Size, Weights

__all__ = ["SEEDED", "TRAINED", "WEIGHTS", "load", "named"]

WEIGHTS = Path(__file__).resolve().parent.parent / "zoo" / "walks" / "weights.npz"

TRAINED = (Size(32, 2), Size(40, 2), Size(48, 2), Size(64, 2))
"""Whose answers can be right; `tools/train_walks.py` trains them, all with the same questions and steps."""
SEEDED = (Size(192, 6), Size(384, 6), Size(512, 8))
"""With random weights: they answer nonsense, in the time that their size takes."""


def named(name: str) -> Size:
    """The size of that name. ValueError: there is none."""
    for size in (*TRAINED, *SEEDED):
        if size.name == name:
            return size
    known = ", ".join(size.name for size in (*TRAINED, *SEEDED))
    raise ValueError(f"no size {name!r} in the family; there are {known}")


def load(size: Size, seed: int = 0) -> Weights:
    """The trained weights of a size, or random ones by the seed where it has none. Raises ModelError."""
    if size not in TRAINED:
        return size.random(np.random.default_rng([seed, size.width, size.layers]))
    try:
        with np.load(WEIGHTS, allow_pickle=False) as file:
            prefix = f"{size.name}/"
            return {
                name.removeprefix(prefix): file[name].astype(np.float32)
                for name in file.files
                if name.startswith(prefix)
            }
    except (OSError, ValueError) as error:
        raise ModelError(f"{WEIGHTS}: cannot be read ({error}); reinstall the package") from error
