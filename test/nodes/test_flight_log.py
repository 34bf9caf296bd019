"""The flight log: rotated, bounded, and alive through full disks and kills."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rclpy.serialization import serialize_message
from std_msgs.msg import String
from support import REPO, wait_until

from qeil_ros.nodes import flight_log as module
from qeil_ros.nodes.flight_log import Channel, FlightLog, files
from qeil_ros.nodes.message_text import definition_text

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="rosbags reads the files here")

CHATTER = Channel("/chatter", "std_msgs/msg/String", definition_text(String))


def message(number: int, size: int = 40) -> bytes:
    return serialize_message(String(data=f"{number} " + os.urandom(size // 2).hex()))


def numbers(path: Path) -> list[int]:
    from rclpy.serialization import deserialize_message

    with rosbag2.Reader(path) as reader:
        return [
            int(deserialize_message(bytes(data), String).data.split()[0]) for _, _, data in reader.messages()
        ]


def start(folder: Path, **options: object) -> FlightLog:
    return FlightLog(folder, "robot.supervisor", **{"most_bytes": 1 << 20, "flush_s": 0.01, **options})


def test_what_was_added_is_in_the_file(tmp_path):
    log = start(tmp_path / "not" / "there")
    for number in range(50):
        log.add(CHATTER, message(number))
    log.close()
    (path,) = files(tmp_path / "not" / "there")
    assert path.name.startswith("robot.supervisor_000001_")
    assert numbers(path) == list(range(50))
    assert (log.written, log.lost, log.problem) == (50, 0, "")


def test_nothing_said_nothing_written(tmp_path):
    start(tmp_path / "log").close()
    assert not (tmp_path / "log").exists()


def test_files_are_rotated_and_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LEAST_FILE_BYTES", 1 << 12)
    log = start(tmp_path, most_bytes=1 << 15)
    (tmp_path / "somebody_elses.mcap").write_text("stays")
    (tmp_path / "other_000001_20260101T000000.mcap").write_text("stays too")
    for number in range(300):
        log.add(CHATTER, message(number, 1000))
        if number % 10 == 9:
            wait_until(lambda number=number: log.written == number + 1)
    log.close()
    found = files(tmp_path, "robot.supervisor")
    sizes = [path.stat().st_size for path in found]
    # The newest one is still growing when room is made for it.
    assert len(found) > 2 and sum(sizes) <= (1 << 15) + (1 << 14)
    kept = [number for path in found for number in numbers(path)]
    assert kept == list(range(kept[0], 300)) and kept[0] > 0
    assert (tmp_path / "somebody_elses.mcap").exists()
    assert (tmp_path / "other_000001_20260101T000000.mcap").exists()


def test_numbers_go_on_and_decide_the_order_whatever_the_clock_says(tmp_path, monkeypatch):
    for stamp in ("20260301T000000", "20200101T000000"):
        monkeypatch.setattr(module.time, "strftime", lambda _, stamp=stamp: stamp)
        log = start(tmp_path)
        log.add(CHATTER, message(1))
        log.close()
    assert [path.name[-27:] for path in files(tmp_path)] == [
        "r_000001_20260301T000000.mcap"[-27:],
        "r_000002_20200101T000000.mcap"[-27:],
    ]


def test_full_disk_costs_messages_which_are_counted(tmp_path, monkeypatch):
    full = False
    write = os.pwrite

    def pwrite(descriptor, data, at):
        if full and at > 200:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data, at)

    monkeypatch.setattr("qeil_ros.nodes.mcap_file.os.pwrite", pwrite)
    log = start(tmp_path)
    log.add(CHATTER, message(0))
    wait_until(lambda: log.written == 1)
    full = True
    log.add(CHATTER, message(1))
    wait_until(lambda: log.lost == 1)
    assert "No space left" in log.problem and str(tmp_path) in log.problem
    full = False
    log.add(CHATTER, message(2))
    wait_until(lambda: log.written == 2)
    assert log.problem == ""
    log.close()
    assert numbers(files(tmp_path)[0]) == [0, 2]


def test_folder_that_cannot_be_made_is_reported_and_tried_again(tmp_path):
    (tmp_path / "log").write_text("a file")
    log = start(tmp_path / "log")
    log.add(CHATTER, message(0))
    wait_until(lambda: log.lost == 1)
    assert log.problem
    (tmp_path / "log").unlink()
    log.add(CHATTER, message(1))
    wait_until(lambda: log.written == 1)
    log.close()


def test_slow_disk_does_not_take_memory_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_PENDING_BYTES", 10_000)
    log = start(tmp_path, flush_s=3600.0)
    for number in range(30):
        log.add(CHATTER, message(number, 1000))
    assert 15 <= log.lost < 30
    log.close()


def test_killed_while_it_writes_the_log_is_readable_up_to_the_last_chunk(tmp_path):
    code = f"""
import itertools, sys
sys.path[:0] = [{str(REPO)!r}, {str(REPO / "test")!r}]
from pathlib import Path
import qeil_ros.nodes
from nodes_flight_log import CHATTER, message, start
log = start(Path({str(tmp_path)!r}), flush_s=0.002)
for number in itertools.count():
    log.add(CHATTER, message(number, 2000))
    if number % 50 == 49:
        print(log.written, flush=True)
        import time; time.sleep(0.002)
"""
    helper = tmp_path / "nodes_flight_log.py"
    helper.write_text(Path(__file__).read_text())
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(REPO), str(REPO / "test")])},
    )
    assert process.stdout is not None
    written = 0
    deadline = time.monotonic() + 60
    while written < 300 and time.monotonic() < deadline:
        written = int(process.stdout.readline() or -1)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stdout.close()
    assert written >= 300
    path = files(tmp_path)[-1]
    before = path.read_bytes()
    log = start(tmp_path)  # the next run mends what the kill has cut off
    log.add(CHATTER, message(0))
    log.close()
    found = [number for each in files(tmp_path)[:-1] for number in numbers(each)]
    assert len(found) >= written and found == list(range(found[0], found[0] + len(found)))
    assert path.read_bytes()[: len(before) // 2] == before[: len(before) // 2]
