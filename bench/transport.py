"""rosless against bare Zenoh: the round trip of one message, and a camera's stream without a drop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt32

from .harness import Report, against, at_most, figure, median, percentile
from .ros import BenchError, graph, node, script, spin_until
from .transport_peer import HEIGHT, PING, PONG, WIDTH

DESCRIPTION = "round trip of 32 KiB against bare Zenoh; 640x480 images at 30 Hz without a drop"

MESSAGE_BYTES = 32 * 1024
RATE_HZ = 30.0
TIMEOUT_S = 30.0
RATIO_LIMIT = 2.0
# A camera's, a little deeper than its default of 5: the transport is measured, not this process's pauses.
IMAGE_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


def run(quick: bool) -> Report:
    rounds, messages, seconds = (6, 100, 5.0) if quick else (30, 300, 60.0)
    results = [*_round_trips(rounds, messages), *_camera(seconds)]
    config = {
        "quick": quick,
        "message_bytes": MESSAGE_BYTES,
        "rounds": rounds,
        "messages_a_round": messages,
        "image": f"{WIDTH}x{HEIGHT} rgb8",
        "image_rate_hz": RATE_HZ,
        "image_seconds": seconds,
    }
    return Report("transport", config, [], results)


def _round_trips(rounds: int, messages: int) -> list[Any]:
    """Both stacks in turn, in one run, so that the machine's moods hit both alike."""
    peers = {name: script("transport_peer.py", name) for name in ("echo-rclpy", "echo-zenoh")}
    message = CompressedImage(format="jpeg", data=os.urandom(MESSAGE_BYTES))
    with ExitStack() as stack:
        stack.enter_context(graph(peers))
        ping_rclpy = stack.enter_context(_RclpyPing(message))
        ping_zenoh = stack.enter_context(_ZenohPing(serialize_message(message)))
        ours: list[list[float]] = []
        bare: list[list[float]] = []
        for number in range(rounds):
            order = [(ping_rclpy, ours), (ping_zenoh, bare)]
            for ping, times in order if number % 2 else reversed(order):
                times.append([ping() for _ in range(messages)])
    results = []
    for percent, limit in ((50, RATIO_LIMIT), (99, None)):
        mine = [percentile(times, percent) for times in ours]
        theirs = [percentile(times, percent) for times in bare]
        ratio = median(a / b for a, b in zip(mine, theirs, strict=True))
        results.append(
            against(
                f"round_trip_p{percent}",
                median(mine) * 1e6,
                "us",
                "bare zenoh",
                median(theirs) * 1e6,
                ratio,
                limit,
            )
        )
    return results


class _RclpyPing:
    """Sends a message to the echo node and waits for it to come back."""

    def __init__(self, message: CompressedImage) -> None:
        self._message = message
        self._answered = False
        self._stack = ExitStack()

    def __enter__(self) -> Callable[[], float]:
        made, self._executor = self._stack.enter_context(node("ping"))
        self._publisher = made.create_publisher(CompressedImage, "/ping", 10)
        made.create_subscription(CompressedImage, "/pong", self._on_pong, 10)
        _until_answered(self.ping, "echo-rclpy")
        return self.ping

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _on_pong(self, message: CompressedImage) -> None:
        if len(message.data) != MESSAGE_BYTES:
            raise BenchError(f"{len(message.data)} bytes came back, {MESSAGE_BYTES} were sent")
        self._answered = True

    def ping(self, timeout_s: float = TIMEOUT_S) -> float:
        self._answered = False
        start_s = time.perf_counter()
        self._publisher.publish(self._message)
        spin_until(self._executor, lambda: self._answered, timeout_s, "no echo of rclpy")
        return time.perf_counter() - start_s


class _ZenohPing:
    """The same bytes without a node around them."""

    def __init__(self, payload: bytes) -> None:
        self._payload = bytes(payload)
        self._answered = threading.Event()

    def __enter__(self) -> Callable[[], float]:
        import zenoh

        from qeil_ros.rosless.config import session_config

        self._session = zenoh.open(session_config(os.environ))
        self._publisher = self._session.declare_publisher(PING)
        self._subscriber = self._session.declare_subscriber(PONG, self._on_pong)
        try:
            _until_answered(self.ping, "echo-zenoh")
        except BaseException:
            self._session.close()
            raise
        return self.ping

    def __exit__(self, *exception: object) -> None:
        self._session.close()

    def _on_pong(self, sample: Any) -> None:
        if len(sample.payload.to_bytes()) == len(self._payload):
            self._answered.set()

    def ping(self, timeout_s: float = TIMEOUT_S) -> float:
        self._answered.clear()
        start_s = time.perf_counter()
        self._publisher.put(self._payload)
        if not self._answered.wait(timeout_s):
            raise BenchError(f"no echo of bare Zenoh within {timeout_s:g} s")
        return time.perf_counter() - start_s


def _until_answered(ping: Callable[[float], float], peer: str, warm_up: int = 50) -> None:
    """Waits until the other process is there, then warms both up."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        try:
            ping(0.2)
            break
        except BenchError:
            if time.monotonic() > deadline_s:
                raise BenchError(f"{peer} did not answer within {TIMEOUT_S:g} s") from None
    time.sleep(0.5)  # echoes of the pings that were given up must not be taken for answers
    for _ in range(warm_up):
        ping(TIMEOUT_S)


def _camera(seconds: float) -> list[Any]:
    """A camera in another process; every counted image must arrive."""
    count = round(seconds * RATE_HZ)
    ages_s: dict[int, float] = {}
    others = {"before": 0, "after": 0}  # images that do not count: until it was told to start, and afterwards

    def on_image(message: Image, info: Any) -> None:
        number = int(message.header.frame_id)
        if number >= 0:
            ages_s[number] = (info["received_timestamp"] - _nanoseconds(message.header.stamp)) * 1e-9
        else:
            others["after" if ages_s else "before"] += 1

    with (
        graph({"camera": script("transport_peer.py", "camera", str(RATE_HZ))}),
        node("viewer") as (made, executor),
    ):
        made.create_subscription(Image, "/image", on_image, IMAGE_QOS)
        start = made.create_publisher(UInt32, "/start", 10)
        spin_until(executor, lambda: others["before"] >= 10, TIMEOUT_S, "no image came")
        start.publish(UInt32(data=count))
        spin_until(
            executor, lambda: others["after"], seconds + TIMEOUT_S, "the camera did not come to an end"
        )
    return [
        at_most("image_drops", float(count - len(ages_s)), "images", 0.0),
        figure("image_transfer_p50", median(ages_s.values()) * 1e3, "ms"),
        figure("image_transfer_p99", percentile(ages_s.values(), 99) * 1e3, "ms"),
    ]


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
