"""Ends what a launcher left behind, should the launcher die without doing it (SIGKILL, a crash, power to a
terminal).

Run as a script, in a session of its own: `python guardian.py MARK`. It sleeps until its standard input is
closed, which the kernel does when the launcher dies, however it dies; then it signals every process whose
environment carries MARK: SIGINT, SIGTERM, SIGKILL, with a pause after each. Children of children are found
too, and so are those that moved to another session. (The kernel's own parent-death signal would reach
direct children only, and fires when the *thread* that started them ends.)
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_GRACE_S = 3.0


def marked(mark: str) -> list[int]:
    """Ids of living processes whose environment holds `mark` (`NAME=value`), this one left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue  # ended meanwhile, or another user's
        if mark.encode() in environ.split(b"\0") and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


def end(mark: str, grace_s: float = _GRACE_S) -> None:
    """Signals the marked processes until none is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for pid in marked(mark):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        deadline = time.monotonic() + grace_s
        while marked(mark):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    end(sys.argv[1])


if __name__ == "__main__":
    main()
