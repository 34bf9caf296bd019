"""The proxy as a process of its own, commanded from here."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from .conditions import Conditions

__all__ = ["ImpairError", "Impaired"]

_ROOT = Path(__file__).resolve().parents[2]


class ImpairError(RuntimeError):
    """The proxy has refused a command, or has ended."""


class Impaired:
    """A proxy process. Use as a context manager; it ends with it, or with this process.

    Times that it gives are of the monotonic clock, which processes of one machine share. May be called from
    several threads.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.impair"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            start_new_session=True,  # Ctrl-C is for whoever uses it
        )
        self._lock = threading.Lock()

    def __enter__(self) -> Impaired:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """Ends the proxy and with it every connection."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def open(self, link: str, port: int, host: str = "127.0.0.1", seed: int = 0) -> int:
        """A link to a port; returns the port on loopback that leads there."""
        return int(self._ask(do="open", link=link, host=host, port=port, seed=seed)["port"])

    def set(self, link: str, conditions: Conditions, direction: str = "both") -> float:
        """What the link is like from now on. Returns when that took effect [s]."""
        return self._at(do="set", link=link, direction=direction, conditions=conditions.to_json())

    def cut(self, link: str, kind: str = "silent", direction: str = "both") -> float:
        """Cuts the link (kinds: see `proxy`). Returns when [s]."""
        return self._at(do="cut", link=link, kind=kind, direction=direction)

    def mend(self, link: str) -> float:
        """Undoes the cut. Returns when a connection that outlived it carries bytes again [s]."""
        return float(self._ask(do="mend", link=link)["carries_s"])

    def count(self, link: str) -> dict[str, int]:
        """`up_bytes` and `down_bytes` delivered so far, `connections` now, `accepted` ever."""
        answer = self._ask(do="count", link=link)
        return {name: int(value) for name, value in answer.items() if name not in ("ok", "at_s")}

    def _at(self, **command: Any) -> float:
        return float(self._ask(**command)["at_s"])

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            try:
                self._process.stdin.write(json.dumps(command) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except (BrokenPipeError, ValueError) as error:
                raise ImpairError(f"the proxy has ended: {error}") from error
        if not line:
            raise ImpairError(f"the proxy has ended with code {self._process.poll()}; what it said is above")
        answer: dict[str, Any] = json.loads(line)
        if not answer.get("ok"):
            raise ImpairError(f"{command}: {answer.get('error')}")
        return answer
