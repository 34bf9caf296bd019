"""MCAP files that are whole at every moment, as another program reads them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header, String

from qeil_ros.nodes import mcap_file
from qeil_ros.nodes.mcap_file import Channel, McapFile, repair
from qeil_ros.nodes.message_text import definition_text

rosbag2 = pytest.importorskip("rosbags.rosbag2", reason="rosbags reads the files here")

CHATTER = Channel("/chatter", "std_msgs/msg/String", definition_text(String))
OTHER = Channel("/other", "std_msgs/msg/String", definition_text(String))
HEADERS = Channel("/headers", "std_msgs/msg/Header", definition_text(Header))
START_NS = 1_700_000_000_000_000_000


def text(number: int) -> bytes:
    return serialize_message(String(data=f"message {number} " * 20))


def content(path: Path) -> list[tuple[str, int, bytes]]:
    with rosbag2.Reader(path) as reader:
        return [(connection.topic, stamp_ns, bytes(data)) for connection, stamp_ns, data in reader.messages()]


@pytest.mark.parametrize("compress", [True, False])
def test_whole_after_every_chunk_and_with_an_index_at_the_end(tmp_path, compress):
    path = tmp_path / "log.mcap"
    file = McapFile(path, compress=compress)
    written = []
    for number in range(6):
        for channel in (CHATTER, OTHER) if number % 2 else (CHATTER, HEADERS):
            data = text(number) if channel is not HEADERS else serialize_message(Header(frame_id="f"))
            file.add(channel, data, START_NS + len(written))
            written.append((channel.topic, START_NS + len(written), data))
        file.flush()
        assert content(path) == written, "a reader sees what was flushed while the file is being written"
        assert path.stat().st_size == file.size_bytes
    file.close()
    assert content(path) == written
    with rosbag2.Reader(path) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        assert counts == {"/chatter": 6, "/other": 3, "/headers": 3}
        assert reader.start_time == START_NS and reader.message_count == 12
        (chatter,) = (c for c in reader.connections if c.topic == "/chatter")
        assert "string data" in chatter.msgdef.data
    assert deserialize_message(written[0][2], String).data.startswith("message 0")


def test_index_lets_a_reader_take_one_topic_and_a_span(tmp_path):
    file = McapFile(tmp_path / "log.mcap")
    for number in range(100):
        file.add(CHATTER, text(number), START_NS + 2 * number)
        file.add(OTHER, text(number), START_NS + 2 * number + 1)
        if number % 10 == 9:
            file.flush()
    file.close()
    with rosbag2.Reader(tmp_path / "log.mcap") as reader:
        wanted = [connection for connection in reader.connections if connection.topic == "/other"]
        found = list(reader.messages(wanted, start=START_NS + 50, stop=START_NS + 60))
    assert [stamp_ns - START_NS for _, stamp_ns, _ in found] == [51, 53, 55, 57, 59]


def test_what_exists_is_not_overwritten(tmp_path):
    (tmp_path / "log.mcap").write_text("mine")
    with pytest.raises(FileExistsError):
        McapFile(tmp_path / "log.mcap")
    assert (tmp_path / "log.mcap").read_text() == "mine"


@pytest.mark.parametrize("cut", [1, 40, 62, 63, 64, 100, 200, 300])
def test_repair_keeps_all_whole_records(tmp_path, cut):
    path = tmp_path / "log.mcap"
    file = McapFile(path, compress=False)
    for number in range(3):
        file.add(CHATTER, text(number), START_NS + number)
        file.flush()
    before = content(path)
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - cut)
    assert repair(path)
    found = content(path)
    assert found == before[: len(found)] and len(found) >= 2
    assert not repair(path), "nothing is left to repair"


def test_repair_of_a_whole_file_changes_nothing(tmp_path):
    path = tmp_path / "log.mcap"
    file = McapFile(path)
    file.add(CHATTER, text(0), START_NS)
    file.close()
    before = path.read_bytes()
    assert not repair(path) and path.read_bytes() == before


@pytest.mark.parametrize("data", [b"", b"not a log", b"\x89MCAP0\r"])
def test_repair_of_something_else_is_refused(tmp_path, data):
    path = tmp_path / "log.mcap"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="no MCAP file"):
        repair(path)
    assert path.read_bytes() == data


class FullDisk:
    """`os.pwrite` with so many bytes left; a write that goes over them is cut short, the next one fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.end = 1 << 60
        self._pwrite = os.pwrite
        monkeypatch.setattr(mcap_file.os, "pwrite", self)

    def __call__(self, descriptor: int, data: bytes, at: int) -> int:
        room = self.end - at
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._pwrite(descriptor, bytes(data)[:room], at)


def test_full_disk_leaves_the_file_whole(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    path = tmp_path / "log.mcap"
    file = McapFile(path, compress=False)
    file.add(CHATTER, text(0), START_NS)
    file.flush()
    good = content(path)
    disk.end = file.size_bytes + 20
    file.add(OTHER, text(1), START_NS + 1)
    with pytest.raises(OSError, match="No space"):
        file.flush()
    assert content(path) == good
    assert file.drop() == 1
    disk.end = 1 << 60
    file.add(OTHER, text(2), START_NS + 2)
    file.close()
    assert [entry[:2] for entry in content(path)] == [("/chatter", START_NS), ("/other", START_NS + 2)]


def test_file_that_cannot_be_begun_leaves_nothing(tmp_path, monkeypatch):
    FullDisk(monkeypatch).end = 10
    with pytest.raises(OSError, match="No space"):
        McapFile(tmp_path / "log.mcap")
    assert list(tmp_path.iterdir()) == []
