"""Recordings: played, recorded and compared, in both storages; and the player's schedule."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader
from support import REPO, wait_until

from qeil_ros.cli.bag.commands import _spread, _with_clock_rate
from qeil_ros.cli.bag.storage import playback_profile

TOPIC = "/camera/image_raw/compressed"


def qeil(environ: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qeil_ros.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ, cwd=REPO)


@contextmanager
def recording(environ: dict[str, str], path: Path, count: int, *words: str) -> Iterator[None]:
    """A running `bag record`, until it has `count` messages; it must end well."""
    words = (*words, "--max-messages", str(count))
    command = [sys.executable, "-m", "qeil_ros.cli", "bag", "record", "-o", str(path), *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ, cwd=REPO)
    assert process.stderr is not None
    assert "recording to" in process.stderr.readline()
    try:
        yield
        assert process.wait(30) == 0, process.stderr.read()
    finally:
        process.kill()
        process.wait()


def read(path: Path) -> tuple[list[int], list[bytes], list[object]]:
    """Stamps, payloads and QoS profiles of a recording of one topic."""
    with Reader(path) as reader:
        messages = list(reader.messages())
        profiles = [profile for c in reader.connections for profile in c.ext.offered_qos_profiles]
    return [stamp for _, stamp, _ in messages], [bytes(data) for _, _, data in messages], profiles


@pytest.mark.parametrize(
    ("source", "storage"), [("donkeycar_mcap", "sqlite3"), ("donkeycar_sqlite3", "mcap")]
)
def test_play_and_record_keep_bytes_and_distances(
    source: str, storage: str, ros_graph: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    """What is played arrives byte for byte, each message at its distance from the first."""
    copy = tmp_path / "copy"
    with recording(ros_graph, copy, 160, TOPIC, "--storage", storage):
        done = qeil(
            ros_graph,
            *(
                "bag",
                "play",
                str(data_dir / "bags" / source),
                "--wait",
                "20",
                "--rate",
                "4",
                "--duration",
                "8",
            ),
            *("--start-offset", "2", "--json"),
        )
        assert done.returncode == 0, done.stderr
        figures = json.loads(done.stdout)
        assert figures["topics"] == {TOPIC: 160}
    stamps, payloads, _ = read(data_dir / "bags" / source)
    begin = stamps[0] + 2_000_000_000
    chosen = [at for at, stamp in enumerate(stamps) if begin <= stamp < begin + 8_000_000_000]
    copied_stamps, copied_payloads, copied_profiles = read(copy)
    assert copied_payloads == [payloads[at] for at in chosen]
    assert len(copied_profiles) == 1
    # A busy machine may hold up messages, but the schedule is absolute: it is kept to the end.
    late = np.array(copied_stamps) - np.array([stamps[at] for at in chosen]) / 4
    assert abs(late[:80].min() - late[80:].min()) < 50e6
    assert json.loads(qeil(ros_graph, "bag", "info", str(copy), "--json").stdout)["storage"] == storage


def test_a_copy_of_a_copy_is_the_same(ros_graph: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "bags/donkeycar_mcap"
    for number, storage in enumerate(("sqlite3", "mcap")):
        target = tmp_path / f"copy{number}"
        with recording(ros_graph, target, 40, "--topics", TOPIC, "--storage", storage, "--compress"):
            done = qeil(
                ros_graph, "bag", "play", str(source), "--wait", "20", "--rate", "4", "--duration", "2"
            )
            assert done.returncode == 0, done.stderr
        source = target
    assert read(source)[1] == read(data_dir / "bags/donkeycar_mcap")[1][:40]


def test_clock_remap_and_loop(ros_graph: dict[str, str], data_dir: Path) -> None:
    """The clock starts at the recording's time, advances at the rate, and starts over with each loop."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import CompressedImage

    with Reader(data_dir / "bags/donkeycar_mcap") as reader:
        start_ns = reader.start_time
    rclpy.init(args=[])
    node = rclpy.create_node("listener")
    clocks: list[int] = []
    images: list[object] = []
    node.create_subscription(
        Clock,
        "/clock",
        lambda m: clocks.append(m.clock.sec * 10**9 + m.clock.nanosec),
        qos_profile_sensor_data,
    )
    node.create_subscription(CompressedImage, "/renamed", images.append, 10)
    player = subprocess.Popen(
        [
            *(sys.executable, "-m", "qeil_ros.cli", "bag", "play", str(data_dir / "bags/donkeycar_mcap")),
            *("--wait", "20", "--clock", "50", "--loop", "--duration", "0.5", "--rate", "2"),
            *("--remap", f"{TOPIC}:=/renamed"),
        ],
        env=ros_graph,
        cwd=REPO,
        stderr=subprocess.DEVNULL,
    )
    try:

        def spun(condition) -> bool:  # type: ignore[no-untyped-def]
            rclpy.spin_once(node, timeout_sec=0.05)
            return condition()

        wait_until(lambda: spun(lambda: clocks and len(images) > 25), what="three loops of ten images")
    finally:
        player.send_signal(signal.SIGINT)
        assert player.wait(20) == 0
        node.destroy_node()
        rclpy.shutdown()
    steps = np.diff(clocks)
    assert min(clocks) >= start_ns
    assert max(clocks) < start_ns + 500_000_000 + 40_000_000
    assert (steps < 0).sum() >= 2
    assert np.median(steps[steps > 0]) == 40_000_000


def test_everything_is_recorded_as_it_appears(ros_graph: dict[str, str], tmp_path: Path) -> None:
    import rclpy
    from rclpy.qos import DurabilityPolicy, QoSProfile
    from std_msgs.msg import Int32, String

    copy = tmp_path / "all"
    rclpy.init(args=[])
    node = rclpy.create_node("source")
    try:
        with recording(ros_graph, copy, 21, "--all", "--exclude-regex", "rosout|parameter"):
            latched = node.create_publisher(
                String, "latched", QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            )
            latched.publish(String(data="before anyone listened"))
            numbers = node.create_publisher(Int32, "numbers", 10)
            node.create_publisher(Int32, "left_out_parameter", 10)
            wait_until(
                lambda: numbers.get_subscription_count() and latched.get_subscription_count(), what="recorder"
            )
            for number in range(20):
                numbers.publish(Int32(data=number))
                time.sleep(0.01)
    finally:
        node.destroy_node()
        rclpy.shutdown()
    with Reader(copy) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        durabilities = {c.topic: c.ext.offered_qos_profiles[0].durability.name for c in reader.connections}
    assert counts == {"/latched": 1, "/numbers": 20}
    assert durabilities == {"/latched": "TRANSIENT_LOCAL", "/numbers": "VOLATILE"}


def test_every_type_of_a_real_recording_plays(ros_graph: dict[str, str], data_dir: Path) -> None:
    bag = data_dir / "bags/all_sensor_msgs.mcap"
    done = qeil(ros_graph, "bag", "play", str(bag), "--rate", "50", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)["topics"]
    with Reader(bag) as reader:
        recorded = {
            c.topic: c.msgcount
            for c in reader.connections
            if c.msgtype.startswith("sensor_msgs/") and c.msgcount
        }
    assert {topic: counts.get(topic) for topic in recorded} == recorded


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_that_is_stopped_is_whole(
    number: signal.Signals, ros_graph: dict[str, str], tmp_path: Path
) -> None:
    """Ctrl-C finishes the recording, index and metadata, with all that had come in."""
    import rclpy
    from std_msgs.msg import Int32

    copy = tmp_path / "stopped"
    rclpy.init(args=[])
    node = rclpy.create_node("source")
    publisher = node.create_publisher(Int32, "numbers", 10)
    process = subprocess.Popen(
        [sys.executable, "-m", "qeil_ros.cli", "bag", "record", "-o", str(copy), "/numbers"],
        env=ros_graph,
        cwd=REPO,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(publisher.get_subscription_count, what="the recorder")
        for value in range(5):
            publisher.publish(Int32(data=value))
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        node.destroy_node()
        rclpy.shutdown()
    stamps, payloads, _ = read(copy)
    assert 1 <= len(payloads) <= 5
    assert stamps == sorted(stamps)
    assert json.loads(qeil(ros_graph, "bag", "info", str(copy), "--json").stdout)["messages"] == len(payloads)


def test_an_existing_folder_is_not_overwritten(ros_graph: dict[str, str], tmp_path: Path) -> None:
    done = qeil(ros_graph, "bag", "record", "-a", "-o", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "exists already" in done.stderr


def test_words_after_options() -> None:
    options = ("--topics", "-m")
    assert _spread(["b", "--topics", "x", "y", "--loop", "z"], options) == [
        *("b", "--topics", "x", "--topics", "y", "--loop", "z"),
    ]
    assert _with_clock_rate(["--clock"]) == ["--clock", "40.0"]
    assert _with_clock_rate(["--clock", "100", "b"]) == ["--clock", "100", "b"]
    assert _with_clock_rate(["--clock", "--loop"]) == ["--clock", "40.0", "--loop"]


def test_playback_profiles() -> None:
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

    from qeil_ros.cli.bag.storage import recorded_profile

    latched = QoSProfile(depth=3, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    again = playback_profile([recorded_profile(latched)])
    assert (again.depth, again.durability) == (3, DurabilityPolicy.TRANSIENT_LOCAL)
    mixed = playback_profile([recorded_profile(latched), recorded_profile(qos_profile_sensor_data)])
    assert (mixed.depth, mixed.durability) == (5, DurabilityPolicy.VOLATILE)
    assert mixed.reliability == ReliabilityPolicy.BEST_EFFORT
    assert playback_profile([]).depth == 10


class FakeTime(threading.Event):
    """Time that passes when somebody waits, and for no other reason."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, timeout: float | None = None) -> bool:
        self.now_s += timeout or 0.0
        return self.is_set()


class FakePublisher:
    """Notes when it was asked to publish; slow, to show that lateness does not add up."""

    def __init__(self, sink: list[tuple[float, bytes]], time: FakeTime, cost_s: float) -> None:
        self.sink, self.time, self.cost_s = sink, time, cost_s

    def publish(self, data: bytes) -> None:
        self.sink.append((self.time.now_s, data))
        self.time.now_s += self.cost_s


class FakeNode:
    def __init__(self, time: FakeTime, cost_s: float) -> None:
        self.sent: list[tuple[float, bytes]] = []
        self.time, self.cost_s = time, cost_s

    def create_publisher(self, *arguments: object) -> FakePublisher:
        return FakePublisher(self.sent, self.time, self.cost_s)


def test_schedule_does_not_drift(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qeil_ros.cli.bag import player

    now = FakeTime()
    monkeypatch.setattr(player, "time", now)
    with Reader(data_dir / "bags/donkeycar_mcap") as reader:
        node = FakeNode(now, cost_s=0.002)
        played = player.Player(node, reader, player.Playback(rate=10.0, duration_s=10.0)).play(now)
    assert sum(played.counts.values()) == len(node.sent) == 200
    # Each publish costs 2 ms of the 5 ms between messages; relative sleeping would end 0.4 s late.
    late = [at - node.sent[0][0] - index * 0.005 for index, (at, _) in enumerate(node.sent)]
    assert max(late) < 0.01  # what the recording itself is off the grid
    assert min(played.late_s) >= 0.0


def test_stop_ends_playing_at_once(data_dir: Path) -> None:
    from qeil_ros.cli.bag.player import Playback, Player

    stop = threading.Event()
    with Reader(data_dir / "bags/donkeycar_mcap") as reader:
        player = Player(FakeNode(FakeTime(), 0.0), reader, Playback(rate=0.01))
        threading.Timer(0.2, stop.set).start()
        played = player.play(stop)
    assert sum(played.counts.values()) == 1
