"""Recorded data and published models, which are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

from .ros import BenchError

__all__ = ["data_dir"]


def data_dir() -> Path:
    """The folder that `QEIL_DATA` names, else `shared/data` beside the checkout.

    Raises:
        BenchError: it is not there.
    """
    folder = Path(os.environ.get("QEIL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (folder / "README.md").is_file():
        raise BenchError(f"no recorded data at {folder}; set QEIL_DATA to its folder")
    return folder
