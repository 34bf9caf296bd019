"""Options that the commands share which need a machine's power and may have to be told it."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["CoreW", "IdleW", "ProcfsRoot"]

IdleW = Annotated[float, typer.Option(min=0, help="power of the idle machine [W], where nothing measures it")]
CoreW = Annotated[
    float, typer.Option(min=0, help="power that a busy core adds [W], where nothing measures it")
]
ProcfsRoot = Annotated[str, typer.Option(help="where to look for processor use")]
