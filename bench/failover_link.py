"""One weak link, three ways over it: our features, JPEG images, raw images. Each has a link of its own of the
same kind; they take turns, so that none waits for another's processor time.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import rclpy
import rclpy.serialization
from qeil_ros.msg import InferenceResult
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from qeil_ros.cli.demo.observer import stamp_of
from qeil_ros.cli.demo.sources import image_payload, with_stamp
from qeil_ros.nodes.arrival import arrival_s

from .fleet import Fleet
from .harness import Result, at_least, figure
from .impair import Conditions
from .robot_log import OFFBOARD
from .ros import BenchError, script

__all__ = ["PEERS", "ROBOT", "WEAK_LINKS", "peer_commands", "results"]

ROBOT = "weak"
PEERS = ("jpeg", "raw")
RATE_HZ = 30.0
LEAST_IN_TIME_HZ = 29.0
_DRAIN_S = 1.0

WEAK_LINKS = {
    # The harder of the two readings of "50 ms": each way, as `mm-delay` and a `netem` at both ends have it.
    "5mbit_50ms_each_way_5loss": Conditions(delay_s=0.050, rate_bit_s=5e6, loss=0.05),
    "5mbit_50ms_round_trip_5loss": Conditions(delay_s=0.025, rate_bit_s=5e6, loss=0.05),
}
"""Both directions are so. The first one has the target."""

_CAMERA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_DEEP = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE)


def peer_commands(model: str) -> dict[str, tuple[str, ...]]:
    """The processes beyond the links of the other ways."""
    return {name: script("failover_peer.py", name, name, model) for name in PEERS}


@dataclass
class _Way:
    """One way: where its images go, and what was seen of each by its stamp."""

    name: str
    publisher: Any
    payloads: Sequence[bytes]
    published_s: dict[int, float] = field(default_factory=dict)
    answers: dict[int, tuple[float, int]] = field(default_factory=dict)
    seconds: float = 0.0

    def clear(self) -> None:
        self.published_s.clear()
        self.answers.clear()
        self.seconds = 0.0

    def in_time(self, deadline_s: float, source: int | None = None) -> int:
        return sum(
            seen_s - self.published_s[stamp] <= deadline_s and source in (None, given)
            for stamp, (seen_s, given) in self.answers.items()
            if given != InferenceResult.SOURCE_NONE
        )


class _Race:
    """The camera of the three ways, and the observer of their answers."""

    def __init__(self, jpegs: Sequence[bytes]) -> None:
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context)
        self.node = Node("race", context=self.context)
        self.lock = threading.Lock()
        create = self.node.create_publisher
        raws = [_raw(payload) for payload in jpegs[:: max(1, len(jpegs) // 30)]]
        camera = f"/{ROBOT}/camera/image_raw/compressed"
        self.ways = {
            "ours": _Way("ours", create(CompressedImage, camera, _CAMERA), jpegs),
            "jpeg": _Way("jpeg", create(CompressedImage, "/jpeg/image", _CAMERA), jpegs),
            "raw": _Way("raw", create(Image, "/raw/image", _CAMERA), raws),
        }
        topics = {"ours": f"/{ROBOT}/result", "jpeg": "/jpeg/answer", "raw": "/raw/answer"}
        for name, way in self.ways.items():
            self.node.create_subscription(InferenceResult, topics[name], self._bound(way), _DEEP)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="race", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(5)
        self.node.destroy_node()
        self.context.try_shutdown()

    def run(self, way: _Way, seconds: float, drain_s: float = _DRAIN_S) -> None:
        """Publishes the way's images at the camera's rate for so long, and waits for what comes late."""
        frames = round(seconds * RATE_HZ)
        start_s = time.monotonic()
        for number, payload in zip(range(frames), itertools.cycle(way.payloads), strict=False):
            time.sleep(max(0.0, start_s + number / RATE_HZ - time.monotonic()))
            stamp_ns = time.time_ns()
            stamped = with_stamp(payload, stamp_ns)
            with self.lock:
                way.published_s[stamp_ns] = time.monotonic()
            way.publisher.publish(stamped)
        way.seconds += frames / RATE_HZ
        time.sleep(drain_s)

    def warm_up(self, way: _Way, timeout_s: float) -> None:
        """BenchError: the way gives no answer."""
        deadline_s = time.monotonic() + timeout_s
        while not any(given == OFFBOARD for _, given in list(way.answers.values())):
            if time.monotonic() > deadline_s:
                raise BenchError(f"no answer of the server by way of {way.name} within {timeout_s:g} s")
            self.run(way, 0.5, 0.1)
        way.clear()

    def _bound(self, way: _Way) -> Any:
        def receive(message: Any, info: Any) -> None:
            with self.lock:
                stamp_ns = stamp_of(message)
                if stamp_ns in way.published_s:  # else one of before the way was cleared
                    way.answers.setdefault(stamp_ns, (arrival_s(info), int(message.source)))

        return receive

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return  # the race is over


def results(fleet: Fleet, jpegs: Sequence[bytes], deadline_s: float, quick: bool) -> Iterator[Result]:
    """Each weak link's figures, with the target where there is one."""
    rounds, seconds = (1, 2.0) if quick else (3, 10.0)
    links = dict(itertools.islice(WEAK_LINKS.items(), 1 if quick else None))
    with _race(jpegs) as race:
        for way in race.ways.values():
            race.warm_up(way, 60.0)
        for number, (link, conditions) in enumerate(links.items()):
            moved = dict.fromkeys(race.ways, 0)
            for way in race.ways.values():
                way.clear()
                fleet.network.set(_link_of(way), conditions)
            for _ in range(rounds):
                for way in race.ways.values():
                    before = fleet.network.count(_link_of(way))["down_bytes"]
                    race.run(way, seconds)
                    moved[way.name] += fleet.network.count(_link_of(way))["down_bytes"] - before
            yield from _judged(link, race, moved, deadline_s, target=number == 0)
        for way in race.ways.values():
            fleet.network.set(_link_of(way), Conditions())


def _judged(
    link: str, race: _Race, moved: dict[str, int], deadline_s: float, target: bool
) -> Iterator[Result]:
    for name, way in race.ways.items():
        with race.lock:
            rate_hz = way.in_time(deadline_s) / way.seconds
            server_hz = way.in_time(deadline_s, OFFBOARD) / way.seconds
        label = f"{link}_{name}"
        if name == "ours":
            made = at_least if target else _without_target
            yield made(f"{label}_in_time", rate_hz, "Hz", LEAST_IN_TIME_HZ)
            yield figure(f"{label}_by_server", server_hz, "Hz")
        else:
            yield figure(f"{label}_in_time", rate_hz, "Hz")
        yield figure(f"{label}_sent", moved[name] * 8e-6 / way.seconds, "Mbit/s")


def _without_target(name: str, value: float, unit: str, limit: float) -> Result:
    return figure(name, value, unit)


def _link_of(way: _Way) -> str:
    return ROBOT if way.name == "ours" else way.name


@contextmanager
def _race(jpegs: Sequence[bytes]) -> Iterator[_Race]:
    race = _Race(jpegs)
    try:
        yield race
    finally:
        race.close()


def _raw(payload: bytes) -> bytes:
    """The same image as the camera had it before it was compressed."""
    message = rclpy.serialization.deserialize_message(payload, CompressedImage)
    pixels = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise BenchError("the recording holds an image that OpenCV cannot read")
    height, width = pixels.shape[:2]
    return image_payload(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).tobytes(), width, height, "rgb8", 0)
