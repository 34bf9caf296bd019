"""Packages that only some commands need: imported when they are used, and missed in one clear line."""

from __future__ import annotations

import importlib
from typing import Any

from .schema import ModelError

__all__ = ["require"]


def require(module: str, *, extra: str) -> Any:
    """The module of that name, imported now.

    Raises:
        ModelError: it is not installed; the message says which extra of this project brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ModelError(
            f"this needs the Python package {package!r}, which cannot be imported ({error}); "
            f'install it with: pip install "qeil-ros[{extra}]"'
        ) from error
