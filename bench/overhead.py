"""What the encoder node adds to the agent part of the model: preparing, coding, publishing, and ROS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import cv2
import numpy as np
import rclpy.serialization
from qeil_ros.msg import FeatureFrame
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from qeil_ros.cli.demo.sources import BagSource, image_payload, with_stamp
from qeil_ros.cli.packages import child_environ, packages
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.pipeline import AgentPipeline

from .harness import Report, Result, against, at_most, figure, input_file, median, percentile
from .ros import BenchError, graph, node, spin_until

DESCRIPTION = "p99 of image received to features published, less the agent part alone, at 30 Hz"

MODEL = "tabletop"
RATE_HZ = 30.0
THREADS = 1
FEATURE_BITS = 4
LIMIT_MS = 3.0
TIMEOUT_S = 60.0
SETTLE_FRAMES = 30
RAW_SIZE = (640, 480)
TOPIC = "/camera/image_raw"
IMAGE_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


def run(quick: bool) -> Report:
    rounds, seconds = (2, 3.0) if quick else (5, 20.0)
    frames = round(seconds * RATE_HZ)
    folder = ModelFolder.load(MODEL)
    recording = BagSource(folder.path / "recording")
    compressed = [frame.payload for frame in recording.frames()]
    raw = [_raw(payload) for payload in compressed[:: max(1, len(compressed) // 30)]]
    agent = _Agent(folder, compressed[0])
    results = [
        *_against_agent("jpeg", "compressed", compressed, agent, rounds, frames),
        *_against_agent("rgb8", "raw", raw, agent, rounds, frames),
    ]
    config = {
        "quick": quick,
        "model": MODEL,
        "model_digest": folder.digest,
        "threads": THREADS,
        "feature_bits": FEATURE_BITS,
        "rate_hz": RATE_HZ,
        "rounds": rounds,
        "seconds_a_round": seconds,
        "jpeg": f"{MODEL}/recording",
        "rgb8": "the same images at {}x{}".format(*RAW_SIZE),
    }
    parts = [*folder.path.glob("*.onnx"), *folder.path.glob("*.qwt")]
    files = [*sorted(parts), *sorted((folder.path / "recording").glob("*.mcap"))]
    inputs = [input_file(path, str(path.relative_to(folder.path.parent))) for path in files]
    return Report("overhead", config, inputs, results)


def _against_agent(
    name: str, transport: str, payloads: Sequence[bytes], agent: _Agent, rounds: int, frames: int
) -> list[Result]:
    """The node and the agent part alone in turn, at the same rate: the machine's moods hit both alike."""
    node_s: list[list[float]] = []
    seen_s: list[list[float]] = []
    alone_s: list[list[float]] = []
    with _Encoder(transport).running() as encoder:
        encoder.play(payloads, SETTLE_FRAMES)
        for number in range(rounds):
            if number % 2:
                alone_s.append(agent.play(frames))
            inside, outside = encoder.play(payloads, frames)
            node_s.append(inside)
            seen_s.append(outside)
            if not number % 2:
                alone_s.append(agent.play(frames))
    results = []
    for percent in (50, 99):
        ours = [percentile(times, percent) for times in node_s]
        alone = [percentile(times, percent) for times in alone_s]
        ratio = median(a / b for a, b in zip(ours, alone, strict=True))
        results.append(
            against(
                f"{name}_encode_p{percent}",
                median(ours) * 1e3,
                "ms",
                "agent alone",
                median(alone) * 1e3,
                ratio,
            )
        )
    # The strictest reading: the slowest frames of the node less the usual time of the agent part.
    added = [percentile(a, 99) - median(b) for a, b in zip(node_s, alone_s, strict=True)]
    results.append(at_most(f"{name}_overhead_p99", median(added) * 1e3, "ms", LIMIT_MS))
    outside = [percentile(times, 99) for times in seen_s]
    results.append(figure(f"{name}_seen_p99", median(outside) * 1e3, "ms"))
    encoded = sum(map(len, node_s))
    results.append(figure(f"{name}_not_encoded", float(rounds * frames - encoded), "frames"))
    return results


class _Agent:
    """The agent part alone, on one prepared image."""

    def __init__(self, folder: ModelFolder, payload: bytes) -> None:
        self._pipeline = AgentPipeline(folder, threads=THREADS)
        self._split = folder.default_split
        pixels = _pixels(payload)
        height, width = pixels.shape[:2]
        self._image = self._pipeline.prepare(pixels.tobytes(), width, height, 3 * width, "bgr8").copy()

    def play(self, frames: int) -> list[float]:
        """Seconds that each call took, at the camera's rate."""
        times = []
        for _ in _ticks(frames, _sleep):
            start_s = time.perf_counter()
            self._pipeline.features(self._image, self._split)
            times.append(time.perf_counter() - start_s)
        return times


class _Encoder:
    """An encoder node in another process, fed and watched from here."""

    def __init__(self, transport: str) -> None:
        self._transport = transport
        self._features: dict[int, tuple[float, float]] = {}

    @contextmanager
    def running(self) -> Iterator[_Encoder]:
        command = packages(child_environ()).executable("qeil_ros", "encoder")
        parameters = {
            "model": MODEL,
            "threads": THREADS,
            "feature_bits": FEATURE_BITS,
            "image_transport": self._transport,
        }
        command += ["--ros-args", "-r", f"image:={TOPIC}"]
        command += [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        kind, topic = (Image, TOPIC) if self._transport == "raw" else (CompressedImage, f"{TOPIC}/compressed")
        with ExitStack() as stack:
            launcher = stack.enter_context(graph({"encoder": command}))
            made, self._executor = stack.enter_context(node("camera"))
            self._publisher = made.create_publisher(kind, topic, IMAGE_QOS)
            made.create_subscription(FeatureFrame, "/features", self._on_features, 100)

            def subscribed() -> bool:
                if launcher.poll()["encoder"] is not None:
                    raise BenchError("the encoder has ended; what it said is above")
                return bool(self._publisher.get_subscription_count() and made.count_publishers("/features"))

            spin_until(self._executor, subscribed, TIMEOUT_S, "the encoder did not subscribe")
            yield self

    def _on_features(self, message: Any, info: Any) -> None:
        stamp = message.header.stamp
        stamp_ns = int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
        self._features[stamp_ns] = (message.encode_s, (info["received_timestamp"] - stamp_ns) * 1e-9)

    def play(self, payloads: Sequence[bytes], frames: int) -> tuple[list[float], list[float]]:
        """Seconds from arrival to publication as the node says, and from here to features seen here."""
        self._features.clear()
        for _, payload in zip(_ticks(frames, self._spin), itertools.cycle(payloads), strict=False):
            self._publisher.publish(with_stamp(payload, time.time_ns()))
        self._spin(time.monotonic() + 0.5)
        if not self._features:
            raise BenchError(f"the encoder published nothing for {frames} images")
        inside, outside = zip(*self._features.values(), strict=True)
        return list(inside), list(outside)

    def _spin(self, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left_s)


def _ticks(frames: int, wait: Callable[[float], None]) -> Iterator[int]:
    """The numbers of a camera's frames, each at its time; `wait(until_s)` passes the time before."""
    start_s = time.monotonic()
    for number in range(frames):
        wait(start_s + number / RATE_HZ)
        yield number


def _sleep(until_s: float) -> None:
    if (left_s := until_s - time.monotonic()) > 0:
        time.sleep(left_s)


def _pixels(payload: bytes) -> Any:
    """The image of a serialized CompressedImage, BGR [height, width, 3] uint8."""
    message = rclpy.serialization.deserialize_message(payload, CompressedImage)
    return cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)


def _raw(payload: bytes) -> bytes:
    """The same image as a serialized raw one of a usual camera's size."""
    large = cv2.resize(_pixels(payload), RAW_SIZE, interpolation=cv2.INTER_LINEAR)
    return image_payload(cv2.cvtColor(large, cv2.COLOR_BGR2RGB).tobytes(), *RAW_SIZE, "rgb8", 0)
