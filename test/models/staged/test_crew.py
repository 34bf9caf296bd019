"""Processes that run a placed network, and what becomes of it where they die or hang."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from qeil_ros.models.schema import ModelError
from qeil_ros.models.staged.crew import Crew, NoDevice, Timing
from qeil_ros.models.staged.memory import Region, Spec
from qeil_ros.models.staged.place import Place
from qeil_ros.models.staged.process import DeviceProcess
from qeil_ros.models.staged.program import cut
from qeil_ros.models.staged.staged import Staged

PLACES = [Place("a"), Place("b")]
PATIENT = Timing(overdue_s=5.0)
"""On a busy machine an answer may take its time; hangs show in missing signs of life."""


def crew_of(network, assignment=None, **options):
    program = cut(network.graph, network.shapes, network.chain, assignment or network.halves())
    return Crew(program, PLACES, timing=options.pop("timing", PATIENT), **options)


def wait(condition, within_s=10.0):
    until_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < until_s:
        time.sleep(0.002)
    assert condition()


class Wary:
    """Says what a crew asks of health: no device returns before it is let."""

    def __init__(self):
        self.let, self.share_now, self.told = False, 1.0, []

    def fault(self, name, reason, now_s):
        self.told.append((name, reason))

    def may_return(self, name, now_s):
        return self.let

    def back(self, name, now_s):
        self.told.append((name, "back"))
        return True

    def share(self, name, now_s):
        return self.share_now if ("a", "back") in self.told and name == "a" else 1.0


def test_a_crew_loses_a_device_in_every_way_and_answers(network):
    health = Wary()
    with crew_of(network, health=health) as crew:
        assert network.right(crew.run(network.image))
        assert [place for place, _ in crew.latest] == [0, 1] and crew.alone == []
        assert all(seconds > 0 for seconds in crew.section_s)
        assert network.right(crew.run(lambda image: np.copyto(image, network.image)))
        # Killed: known at once, and the next request is answered by the other.
        os.kill(crew.pids()[0], signal.SIGKILL)
        assert network.right(crew.run(network.image))
        assert [place for place, _ in crew.latest] == [1, 1]
        (fault,) = crew.faults
        assert fault.place == "a" and "signal 9" in fault.reason
        assert health.told == [("a", fault.reason)] and crew.in_service == [False, True]
        # It comes back when it may, at half of its capacity.
        health.share_now, health.let = 0.5, True
        assert crew.wait_whole(20)
        assert health.told[-1] == ("a", "back")
        served = []
        for _ in range(8):
            assert network.right(crew.run(network.image))
            served.append(crew.latest[0][0])
        assert served.count(0) == 4
        health.share_now = 1.0
        # Stopped, with nobody waiting for it: the missing sign of life tells.
        os.kill(crew.pids()[1], signal.SIGSTOP)
        wait(lambda: len(crew.faults) == 2)
        assert "no sign of life" in crew.faults[1].reason
        assert network.right(crew.run(network.image))
        assert crew.wait_whole(20)
        assert network.right(crew.run(network.image)) and [place for place, _ in crew.latest] == [0, 1]
        pids = crew.pids()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_with_all_devices_lost_a_request_waits_or_is_told(network):
    health = Wary()
    with crew_of(network, health=health, timing=Timing(overdue_s=5.0, patience_s=0.2)) as crew:
        for pid in crew.pids():
            os.kill(pid, signal.SIGKILL)
        wait(lambda: not any(crew.in_service))
        with pytest.raises(NoDevice, match="none of a, b is in service"):
            crew.run(network.image)
    with crew_of(network, health=health, timing=Timing(overdue_s=5.0, patience_s=20.0)) as crew:
        for pid in crew.pids():
            os.kill(pid, signal.SIGKILL)
        wait(lambda: not any(crew.in_service))
        threading.Timer(0.1, lambda: setattr(health, "let", True)).start()
        assert network.right(crew.run(network.image))


def test_a_placement_changes_while_requests_run(network):
    count = len(network.chain)
    with Staged(
        network.graph, network.shapes, network.chain, PLACES, network.halves(), timing=PATIENT, depth=2
    ) as staged:
        going, wrong = True, []

        def ask():
            asked = 0
            while going:
                wrong.extend([] if network.right(staged.run(network.image)) else [1])
                asked += 1
            return asked

        with ThreadPoolExecutor(2) as pool:
            found = [pool.submit(ask) for _ in range(2)]
            old = staged.crew
            assert staged.reassign([1] * count) and not staged.reassign([1] * count)
            going = False
            assert min(future.result(20) for future in found) > 0
        assert not wrong and not staged.faults
        assert old.in_service == [False, False]
        staged.run(network.image)
        assert [place for place, _ in staged.crew.latest] == [1]


def test_a_place_holds_ready_what_it_has_room_for(network):
    with crew_of(network, room_bytes=[1.0, 1e9]) as crew:
        assert crew.alone == [1]  # "a" has room for nothing beside its own
        os.kill(crew.pids()[0], signal.SIGKILL)
        assert network.right(crew.run(network.image))


def test_images_are_checked_before_a_device_sees_them(network):
    with crew_of(network) as crew:
        with pytest.raises(ModelError, match="the network takes"):
            crew.run(np.zeros((1, 3, 2, 2), np.float32))
        assert network.right(crew.run(network.image)) and not crew.faults


def test_what_cannot_be_loaded_is_told_and_leaves_no_process(network):
    program = cut(network.graph, network.shapes, network.chain, network.halves())
    with pytest.raises(ModelError, match=r"b: .*cuda"):
        Crew(program, [PLACES[0], Place("b", device="cuda")])
    with pytest.raises(ModelError, match="no core 99999"):
        DeviceProcess(Place("far", cores=(99999,)))


def test_regions_are_the_same_memory_elsewhere():
    tensors = [Spec((3,), "float32"), Spec((2, 2), "int64"), Spec((0, 4), "uint8")]
    here = Region.for_tensors(tensors)
    there = Region(os.dup(here.fd), here.size)
    here.arrays(tensors)[1][:] = [[1, 2], [3, 4]]
    np.testing.assert_array_equal(there.arrays(tensors)[1], [[1, 2], [3, 4]])
    assert there.arrays(tensors)[2].shape == (0, 4)
    assert all(array.ctypes.data % 64 == 0 for array in here.arrays(tensors)[:2])
    with pytest.raises(ValueError, match="buffer"):
        here.arrays([Spec((here.size,), "float64")])


@pytest.mark.parametrize("wrong", [{"look_s": 0}, {"slower": 0.5}, {"overdue_s": -1}, {"patience_s": -1}])
def test_times_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="no sense"):
        Timing(**wrong)


def test_a_process_that_waits_for_a_processor_may_be_silent_longer(network, monkeypatch):
    monkeypatch.setattr(DeviceProcess, "wants_processor", lambda self: True)
    with crew_of(network) as crew:
        os.kill(crew.pids()[1], signal.SIGSTOP)
        wait(lambda: crew.faults)
        silent_ms = float(crew.faults[0].reason.split()[-2])
        assert silent_ms >= 10 * 1e3 * crew.timing.silent_s - 1


def test_whether_a_process_waits_for_a_processor_is_asked_of_the_kernel():
    process = DeviceProcess(Place("a"))
    try:
        wait(lambda: process.beats > 1)
        os.kill(process.pid, signal.SIGSTOP)
        wait(lambda: not process.wants_processor())  # stopped: it wants nothing
        assert not process.wants_processor()
    finally:
        process.close()
    assert not process.wants_processor()  # it is no more
