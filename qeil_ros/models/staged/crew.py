"""The devices of a placement at work: one process each, watched, replaced where they fail.

Paper: the safety layer of QEIL, arXiv 2602.06057 v2: a fault is noticed within 100 ms, the work goes to
healthy devices, and a device that comes back returns at half of its capacity. How:

* A process that ends closes its socket: whoever waits for its answer knows at once.
* A process that stops (and with it the device or its driver) gives no sign of life: noticed by looking
  every `look_s`, after `silent_s` in vain; where it only waits for a busy processor, ten times that.
* A device that hangs while its process lives is late: `slower` times what a section took, and `overdue_s`.

What a section gives lies in memory of its own for each process, so a request goes on at the section that was
lost, on another device that holds it ready, and nothing that a half-dead device still writes is ever read.
"""

from __future__ import annotations

import itertools
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..schema import ModelError
from .chain import check_image
from .crew_types import AtOnce, Fault, Fill, Health, Member, NoDevice, Slot, Timing, held
from .memory import Region, Spec
from .place import Place
from .process import DeviceProcess, Loaded, Lost, StageError
from .program import Program

__all__ = ["Crew", "Fault", "Health", "NoDevice", "Timing"]

_MOST_FAULTS = 4096
_FREE_ROOM = 16
"""Times the size that a first run gave is kept for outputs whose size depends on the image."""
_FREE_BYTES = 1 << 16
_STARVED = 10.0
"""A process that only waits for a processor may be silent for so many times longer."""


class Crew:
    """The processes of a placement. Requests may come from several threads; up to `depth` are under way at a
    time, each device working on one of them: so a pipeline is kept full.

    Args:
        places: what `Section.place` counts.
        room_bytes: of weights that each place can hold; a place holds its own sections, and of the others,
            from the last one on, as many as fit. Empty: all hold all.
        health: decides over the return of devices; None: they return at once.
        depth: requests under way at a time.

    Attributes:
        faults: the latest ones, oldest first.
        alone: numbers of the sections that only one place holds.
        latest: for each section the place that ran it last, and how long that took by itself [s].

    Raises:
        ModelError: a section cannot be loaded on its place.
    """

    def __init__(
        self,
        program: Program,
        places: Sequence[Place],
        *,
        room_bytes: Sequence[float] = (),
        health: Health | None = None,
        timing: Timing | None = None,
        depth: int = 1,
    ) -> None:
        self.program, self.timing = program, timing or Timing()
        self._health = health or AtOnce()
        self.faults: deque[Fault] = deque(maxlen=_MOST_FAULTS)
        self._names = itertools.count()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._whole = False  # no device is out or on its way back: nothing is to be thought about
        self._generation = 0
        self._depth = depth
        self._inputs: list[Spec] = [Spec(program.input_shape, program.input_dtype)]
        kept = held(program, len(places), room_bytes)
        self._members = [Member(place, kept[i]) for i, place in enumerate(places)]
        self.alone = [k for k in range(len(program.sections)) if sum(k in h for h in kept) == 1]
        self.latest: list[tuple[int, float]] = [(-1, 0.0)] * len(program.sections)
        self._slots: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for number in range(depth):
            region = Region.for_tensors(self._inputs)
            self._slots.put(Slot(number, next(self._names), region, region.arrays(self._inputs)[0]))
        self._threads: list[threading.Thread] = []
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        self._spawn(self._watch, "watch")

    # ---------------------------------------------------------------- requests

    def run(self, image: NDArray[Any] | Fill) -> list[NDArray[Any]]:
        """The network's outputs, in the graph's order, whichever devices fail meanwhile.

        Args:
            image: an array, which is copied; or what writes the image into the array that it is given, which
                lies where the first device reads: then nothing is copied.

        Raises:
            NoDevice: none that could go on came back within `Timing.patience_s`.
            ModelError: the image has another shape, or every device that holds a section refuses to run it.
        """
        slot = self._slots.get()
        try:
            if callable(image):
                image(slot.image)
            else:
                check_image(image, slot.image)
                np.copyto(slot.image, image)
            admitted = self._admitted()
            source = slot.name, slot.region
            last: tuple[Spec, ...] = ()
            for number in range(len(self.program.sections)):
                source, last = self._section(number, source, slot.number, admitted)
            return [array.copy() for array in source[1].arrays(last)]
        finally:
            self._slots.put(slot)

    def _section(
        self, number: int, source: tuple[int, Region], slot: int, admitted: set[int] | None
    ) -> tuple[tuple[int, Region], tuple[Spec, ...]]:
        until_s = time.monotonic() + self.timing.patience_s
        refused: dict[int, StageError] = {}
        while True:
            index = self._next(number, admitted, refused, until_s)
            if index is None:
                raise next(iter(refused.values()))
            member = self._members[index]
            with self._changed:
                process, target = member.process, member.regions.get((number, slot))
            if process is None or target is None:
                continue  # it failed just now
            try:
                taken_s, outputs = self._run_on(process, number, source, target)
            except Lost as lost:
                self._fail(index, process, str(lost))
                continue
            except StageError as error:
                refused[index] = error
                continue
            for other, refusal in refused.items():  # another one can: then it was the device
                self._fail(other, self._members[other].process, str(refusal))
            self.latest[number] = index, taken_s
            return target, outputs

    def _run_on(
        self, process: DeviceProcess, number: int, source: tuple[int, Region], target: tuple[int, Region]
    ) -> tuple[float, tuple[Spec, ...]]:
        with process.lock:
            loaded = process.loaded[number]
            if process.generation != self._generation:
                process.keep_only(self._alive(), self._generation)
            within_s = self.timing.slower * loaded.typical_s + self.timing.overdue_s
            taken_s, outputs = process.run(number, source, target, within_s)
        loaded.took(taken_s)
        return taken_s, outputs

    def _next(
        self, number: int, admitted: set[int] | None, refused: dict[int, StageError], until_s: float
    ) -> int | None:
        """The place for a section: its own, else the fastest that holds it. None: all have refused it."""
        if admitted is None and self._whole and not refused:
            return self.program.sections[number].place
        with self._changed:
            while True:
                serving = [i for i, m in enumerate(self._members) if m.process and number in m.held]
                if left := [i for i in serving if i not in refused]:
                    return min(left, key=lambda i: self._rank(number, i, admitted))
                if refused:
                    return None
                if not self._changed.wait(max(0.0, until_s - time.monotonic())):
                    names = ", ".join(m.place.name for m in self._members if number in m.held)
                    raise NoDevice(f"none of {names} is in service; section {number} cannot run")

    def _rank(self, number: int, index: int, admitted: set[int] | None) -> tuple[bool, bool, float]:
        waits = admitted is not None and index not in admitted
        process = self._members[index].process
        taken_s = process.loaded[number].typical_s if process else 0.0
        return waits, index != self.program.sections[number].place, taken_s

    def _admitted(self) -> set[int] | None:
        """The places that take part in this request: one at half of its capacity does in every second. None:
        all do, and have since some request before."""
        if self._whole:
            return None
        now_s = time.monotonic()
        found = set()
        with self._changed:
            whole = True
            for index, member in enumerate(self._members):
                share = self._health.share(member.place.name, now_s)
                member.credit = min(1.0, member.credit + share) if share < 1 else 1.0
                whole = whole and share >= 1 and member.process is not None
                if member.credit >= 1.0 - 1e-9:
                    found.add(index)
                    member.credit -= 1.0
            self._whole = whole
        return found

    # ---------------------------------------------------------------- what is known

    @property
    def section_s(self) -> list[float]:
        """What each section takes where it belongs, lately [s]; NaN: that place is out."""
        with self._changed:
            found = []
            for number, section in enumerate(self.program.sections):
                process = self._members[section.place].process
                found.append(process.loaded[number].typical_s if process else float("nan"))
            return found

    @property
    def in_service(self) -> list[bool]:
        """Of each place, whether its process serves."""
        with self._changed:
            return [member.process is not None for member in self._members]

    def pids(self) -> list[int]:
        """Of each place's process; 0: it has none."""
        with self._changed:
            return [member.process.pid if member.process else 0 for member in self._members]

    def wait_whole(self, within_s: float) -> bool:
        """Until all places serve; False: they do not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: all(m.process for m in self._members), within_s)

    # ---------------------------------------------------------------- starting, failing, coming back

    def _start(self) -> None:
        """The owners of the sections in order, since each must know what the one before gives; then the rest,
        which may fail and come later."""
        now_s = time.monotonic()
        owners = {section.place for section in self.program.sections}
        absent = [i for i, m in enumerate(self._members) if self._health.share(m.place.name, now_s) <= 0]
        if wanted := owners.intersection(absent):
            names = ", ".join(self._members[i].place.name for i in sorted(wanted))
            raise ModelError(f"{names} is to run a section and is not healthy")
        processes = {i: DeviceProcess(m.place) for i, m in enumerate(self._members) if i not in absent}
        try:
            for number, section in enumerate(self.program.sections):
                loaded = self._load(processes[section.place], number)
                self._inputs.append(loaded.outputs[0])
            for index, process in processes.items():
                self._complete(process, self._members[index])
        except Lost as lost:
            for process in processes.values():
                process.close()
            raise ModelError(f"a device failed while it loaded its sections: {lost}") from lost
        except BaseException:
            for process in processes.values():
                process.close()
            raise
        for index, process in processes.items():
            self._enter(self._members[index], process)
        for index in absent:
            self._spawn(lambda i=index: self._mend(i), "mend")

    def _complete(self, process: DeviceProcess, member: Member) -> None:
        for number in member.held:
            if number not in process.loaded:
                self._load(process, number)

    def _load(self, process: DeviceProcess, number: int) -> Loaded:
        section = self.program.sections[number]
        loaded = process.load(number, section, self._inputs[number])
        known = self._inputs[number + 1 : number + 2]
        if known and known[0] != loaded.outputs[0]:
            raise ModelError(
                f"{process.place.name}: section {number} gives {loaded.outputs[0]}, elsewhere {known[0]}"
            )
        return loaded

    def _enter(self, member: Member, process: DeviceProcess) -> None:
        """Regions of its own for a process, and into service with it."""
        regions = {}
        for number in member.held:
            outputs = process.loaded[number].outputs
            size = Region.needed(outputs)
            if not self.program.sections[number].fixed:
                size = max(_FREE_BYTES, _FREE_ROOM * size)
            for slot in range(self._depth):
                regions[number, slot] = next(self._names), Region.create(size)
        with self._changed:
            member.process, member.regions = process, regions
            self._generation += 1
            member.silent_s, member.beats, member.credit = 0.0, -1, 0.0
            self._changed.notify_all()

    def _alive(self) -> set[int]:
        """Regions that may still be read or written."""
        with self._changed:
            found = {name for member in self._members for name, _ in member.regions.values()}
        return found | self._slot_names

    @property
    def _slot_names(self) -> set[int]:
        return set(range(self._depth))  # the first names that were given

    def _fail(self, index: int, process: DeviceProcess | None, reason: str) -> None:
        """Takes a device out of service, once, and sees to its return."""
        member, now_s = self._members[index], time.monotonic()
        with self._changed:
            if process is None or member.process is not process or self._closing.is_set():
                return
            member.process, self._whole = None, False
            self.faults.append(Fault(member.place.name, reason, now_s))
            self._health.fault(member.place.name, reason, now_s)
        process.kill(reason)
        self._spawn(lambda: self._mend(index, process), "mend")

    def _mend(self, index: int, dead: DeviceProcess | None = None) -> None:
        """Starts a device's process anew, until it runs again and may return."""
        if dead is not None:
            dead.close()
        member = self._members[index]
        name = member.place.name
        while not self._closing.wait(0.0):
            with self._changed:
                ready = self._health.may_return(name, time.monotonic())
            if not ready:
                self._closing.wait(self.timing.look_s)
                continue
            process = None
            try:
                process = DeviceProcess(member.place)
                self._complete(process, member)
            except (OSError, ModelError, Lost) as error:
                if process is not None:
                    process.close()
                with self._changed:
                    self._health.fault(name, f"does not come back: {error}", time.monotonic())
                self._closing.wait(self.timing.retry_s)
                continue
            with self._changed:
                self._health.back(name, time.monotonic())
            self._enter(member, process)
            break
        else:
            return
        if self._closing.is_set():
            process.close()

    def _watch(self) -> None:
        """Looks for signs of life, also of devices that nobody waits for; ends of processes wake it."""
        looked_s = time.monotonic()
        while not self._closing.is_set():
            serving = [(i, m, m.process) for i, m in enumerate(self._members) if m.process is not None]
            with suppress(OSError, ValueError):  # one has been closed just now
                select.select(
                    [p.exit_fd for _, _, p in serving if p.exit_fd >= 0], [], [], self.timing.look_s
                )
            passed_s = time.monotonic() - looked_s
            due = passed_s >= self.timing.look_s
            looked_s += passed_s if due else 0.0
            for index, member, process in serving:
                if ended := process.ended():
                    self._fail(index, process, ended)
                elif due:
                    self._listen(index, member, process, min(passed_s, 2 * self.timing.look_s))

    def _listen(self, index: int, member: Member, process: DeviceProcess, passed_s: float) -> None:
        beats = process.beats
        member.silent_s = member.silent_s + passed_s if beats == member.beats else 0.0
        member.beats = beats
        silences = member.silent_s / self.timing.silent_s
        if silences >= _STARVED or (silences >= 1 and not process.wants_processor()):
            self._fail(index, process, f"no sign of life for {1e3 * member.silent_s:.0f} ms")

    def _spawn(self, work: Any, name: str) -> None:
        thread = threading.Thread(target=work, name=f"qeil-{name}", daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def close(self) -> None:
        """Ends all processes. Requests under way fail."""
        self._closing.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(2.0)
        for member in self._members:
            with self._changed:
                process, member.process = member.process, None
            if process is not None:
                process.close()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
