"""What a long benchmark is doing, on stderr: a line for each stage, with a bar where somebody can see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Tell", "stage"]

Tell = Callable[[int, int], None]
"""(steps done, steps in all)"""


@contextmanager
def stage(name: str) -> Iterator[Tell]:
    """Says what begins and, at its end, how long it took; the function that it gives moves the bar."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    start_s = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
    console.print(f"{name}: {time.monotonic() - start_s:.1f} s")
