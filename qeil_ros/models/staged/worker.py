"""The process of one device: holds sections of the network ready and runs them, as its crew says.

Started by `process.DeviceProcess`, never by hand: `python -m qeil_ros.models.staged.worker SOCKET BEAT`, two
open files. It ends when the other end of the socket does.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import statistics
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import Bound
from ..schema import ModelError
from .memory import Region, Spec
from .place import Place, StageRuntime
from .wire import End, Message, Run

__all__ = ["BEAT_S", "main"]

BEAT_S = 0.01
_MOST_TEXT = 2000


@dataclass
class _Held:
    """A section that is loaded. `calls`: by the regions that it reads and writes."""

    runtime: StageRuntime
    input: str
    inputs: Spec
    outputs: list[str]
    given: list[Spec]
    fixed: bool
    calls: dict[tuple[int, int], Bound] = field(default_factory=dict)


class _Worker:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._held: dict[int, _Held] = {}
        self._regions: dict[int, Region] = {}

    def answer(self, message: Message, fds: list[int]) -> Message | None:
        """None: nothing is to be said."""
        kind = message["do"]
        if kind == "load":
            return self._load(message, fds[0])
        if kind == "open":
            self._regions[message["region"]] = Region(fds[0], message["size"])
            return None
        if kind == "close":
            self._close(message["region"])
            return None
        if kind == "ping":
            return {}
        raise ValueError(f"no such request: {kind!r}")

    def _load(self, message: Message, fd: int) -> Message:
        try:
            size = os.fstat(fd).st_size
            with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as file:
                model = file[:]
        finally:
            os.close(fd)
        runtime = self._place.open(model, f"section {message['section']}")
        inputs, outputs = Spec(tuple(message["shape"]), message["dtype"]), message["outputs"]
        feeds = {message["input"]: np.zeros(inputs.shape, inputs.dtype)}
        given, times = [], []
        for _ in range(message["trials"]):
            start_s = time.perf_counter()
            given = runtime.run_all(feeds, outputs)
            times.append(time.perf_counter() - start_s)
        specs = [Spec.of(array) for array in given]
        held = _Held(runtime, message["input"], inputs, outputs, specs, message["fixed"])
        self._held[message["section"]] = held
        return {
            "specs": [[spec.shape, spec.dtype] for spec in specs],
            "run_s": statistics.median(times),
            "device": runtime.device,
        }

    def run(self, section: int, source: int, target: int) -> float | Message:
        """What it took [s]; more where the outputs' sizes are not known beforehand."""
        held = self._held[section]
        call = held.calls.get((source, target))
        if call is None:
            feeds = self._feeds(held, source)
            if not held.fixed:
                return self._run_free(held, feeds, target)
            arrays = self._regions[target].arrays(held.given)
            call = held.runtime.bound(feeds, dict(zip(held.outputs, arrays, strict=True)))
            held.calls[source, target] = call
        start_s = time.perf_counter()
        call()
        return time.perf_counter() - start_s

    def _run_free(self, held: _Held, feeds: dict[str, NDArray[Any]], target: int) -> Message:
        start_s = time.perf_counter()
        given = held.runtime.run_all(feeds, held.outputs)
        passed_s = time.perf_counter() - start_s
        specs = [Spec.of(array) for array in given]
        region = self._regions[target]
        if Region.needed(specs) > region.size:
            raise ModelError(f"outputs of {Region.needed(specs)} bytes; there is room for {region.size}")
        for array, value in zip(region.arrays(specs), given, strict=True):
            np.copyto(array, value)
        return {"s": passed_s, "specs": [[spec.shape, spec.dtype] for spec in specs]}

    def _feeds(self, held: _Held, source: int) -> dict[str, NDArray[Any]]:
        return {held.input: self._regions[source].arrays([held.inputs])[0]}

    def _close(self, region: int) -> None:
        self._regions.pop(region, None)
        for held in self._held.values():
            held.calls = {key: call for key, call in held.calls.items() if region not in key}


def _beat(counters: memoryview) -> None:
    counters[1] = threading.get_native_id()
    while True:
        counters[0] += 1
        time.sleep(BEAT_S)


def serve(end: End) -> None:
    """Until the other end closes: first the place, then requests."""
    first = end.receive()
    if first is None:
        return
    place = first[0]
    worker = _Worker(Place(place["name"], place["runtime"], place["device"], (), place["threads"]))
    while (request := end.receive()) is not None:
        said, fds = request
        try:
            reply = worker.run(*said) if isinstance(said, Run) else worker.answer(said, fds)
        except Exception as error:  # whatever a driver throws is the crew's to judge, not the end of this
            reply = {"error": f"{type(error).__name__}: {error}"[:_MOST_TEXT]}
        if isinstance(reply, float):
            end.send_seconds(reply)
        elif reply is not None:
            end.send(reply)


def main(words: list[str]) -> None:
    """Entry point: numbers of the socket and of the memory for the sign of life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the crew's business
    beat = Region(int(words[1]), 64)
    threading.Thread(target=_beat, args=(beat.counters(),), daemon=True).start()
    with socket.socket(fileno=int(words[0])) as end:
        try:
            serve(End(end))
        except (BrokenPipeError, ConnectionResetError):
            return  # the crew has gone


if __name__ == "__main__":
    main(sys.argv[1:])
