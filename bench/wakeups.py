"""How long a process takes to notice a message after some idle milliseconds: what no hand-over can beat."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence

from .harness import median

__all__ = ["hand_over_s"]

_TIMES = struct.Struct("<dd")
_OTHER = """
import os, socket, struct, sys, time
end = socket.socket(fileno=int(sys.argv[1]))
os.sched_setaffinity(0, {int(sys.argv[2])})
work_s = float(sys.argv[3])
while end.recv(1):
    noticed_s = time.perf_counter()
    while time.perf_counter() < noticed_s + work_s:
        pass
    end.send(struct.pack("<dd", noticed_s, time.perf_counter()))
"""


def hand_over_s(cores: Sequence[int], work_s: float, rounds: int) -> float:
    """A message there and one back, to a process on each of these cores in turn, each of which is busy for
    `work_s` [s] in between: the middle of the sums over the cores, without the work [s]."""
    others = []
    for core in cores:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-c", _OTHER, str(theirs.fileno()), str(core), str(work_s)]
        with theirs:
            others.append((ours, subprocess.Popen(command, pass_fds=[theirs.fileno()])))
    sums = []
    for number in range(rounds + 5):
        spent_s = 0.0
        for end, _ in others:
            start_s = time.perf_counter()
            end.send(b"x")
            noticed_s, sent_s = _TIMES.unpack(end.recv(_TIMES.size))
            spent_s += time.perf_counter() - start_s - (sent_s - noticed_s)
        if number >= 5:
            sums.append(spent_s)
    for end, process in others:
        end.close()
        process.wait(10)
    return median(sums)
