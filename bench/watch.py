"""The robots' camera, and the observer of their topics."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import rclpy
from qeil_ros.msg import FallbackStatus, FeatureFrame, InferenceResult, OffboardStatus, SupervisorStatus
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage

from qeil_ros.cli.demo.observer import stamp_of
from qeil_ros.cli.demo.sources import BagSource, with_stamp
from qeil_ros.models.folder import ModelFolder
from qeil_ros.nodes.arrival import arrival_s

from .robot_log import OFFBOARD, Answer, RobotLog
from .ros import BenchError

__all__ = ["Watch", "recording"]

# Deep: a busy observer falls behind, it does not miss anything.
_DEEP = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE)
_LIVE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
_CAMERA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


def recording(model: str = "tabletop") -> list[bytes]:
    """The JPEG images of the model's own recording, as serialized messages."""
    return [frame.payload for frame in BagSource(ModelFolder.load(model).path / "recording").frames()]


class Watch:
    """A node of this process that publishes images to every robot at a steady rate and writes down what it
    sees. `logs` are written on other threads; hold `lock` to read what must be consistent.
    """

    def __init__(self, robots: Sequence[str], payloads: Sequence[bytes], rate_hz: float) -> None:
        self.logs = {name: RobotLog(name) for name in robots}
        self.lock = threading.Lock()
        self.period_s = 1 / rate_hz
        self.shooting = threading.Event()
        self.shooting.set()
        self._payloads = payloads
        self._stop = threading.Event()
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context)
        self.node = Node("watch", context=self.context)
        self._cameras = {
            name: self.node.create_publisher(CompressedImage, f"/{name}/camera/image_raw/compressed", _CAMERA)
            for name in robots
        }
        for name, log in self.logs.items():
            for kind, topic, callback, profile in (
                (FeatureFrame, "features", self._on_features, _DEEP),
                (InferenceResult, "result", self._on_result, _DEEP),
                (InferenceResult, "offboard/result", self._on_offboard, _LIVE),
                (FallbackStatus, "fallback/status", self._on_link, _LIVE),
                (SupervisorStatus, "status", self._on_status, _LIVE),
                (OffboardStatus, "offboard/status", self._on_heartbeat, _LIVE),
            ):
                self.node.create_subscription(kind, f"/{name}/{topic}", self._bound(callback, log), profile)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._threads = [
            threading.Thread(target=self._spin, name="watch", daemon=True),
            threading.Thread(target=self._shoot, name="camera", daemon=True),
        ]

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._executor.shutdown()
        for thread in self._threads:
            thread.join(5)
        self.node.destroy_node()
        self.context.try_shutdown()

    def well(self, robot: str, answers: int = 3, since_s: float = 0.0) -> bool:
        """Whether the newest answers of a robot are all the server's, to images taken after `since_s` [s]."""
        with self.lock:
            log = self.logs[robot]
            newest = log.answers[-answers:]
            return len(newest) == answers and all(
                answer.source == OFFBOARD and log.frames[answer.stamp_ns].published_s >= since_s
                for answer in newest
            )

    def until(self, condition: Callable[[], object], timeout_s: float, what: str) -> None:
        """BenchError: `condition()` has not become true within `timeout_s` [s]."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise BenchError(f"{what}: not within {timeout_s:g} s")
            time.sleep(0.01)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No images are taken meanwhile."""
        self.shooting.clear()
        try:
            yield
        finally:
            self.shooting.set()

    # ---- camera

    def _shoot(self) -> None:
        """Images of all robots, evenly spread over the period."""
        robots = list(self.logs.items())
        step_s = self.period_s / len(robots)
        due_s = time.monotonic()
        payloads = itertools.cycle(self._payloads)
        for number in itertools.count():
            name, log = robots[number % len(robots)]
            if self._stop.wait(max(0.0, due_s - time.monotonic())):
                return
            # A camera that was held up goes on from there, it does not catch up.
            due_s = max(due_s + step_s, time.monotonic())
            if not self.shooting.is_set():
                continue
            stamp_ns = time.time_ns()
            payload = with_stamp(next(payloads), stamp_ns)
            with self.lock:
                log.published(stamp_ns, time.monotonic())
            self._cameras[name].publish(payload)

    # ---- what is seen

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):  # the watch is over
            self._executor.spin()

    def _bound(self, callback: Callable[[RobotLog, Any, float], None], log: RobotLog) -> Callable[..., None]:
        def receive(message: Any, info: Any) -> None:
            seen_s = arrival_s(info)
            with self.lock:
                callback(log, message, seen_s)

        return receive

    @staticmethod
    def _on_features(log: RobotLog, message: Any, seen_s: float) -> None:
        frame = log.frames.get(stamp_of(message))
        if frame is not None and frame.features_s is None:
            frame.features_s, frame.features_bytes = seen_s, len(message.data)

    @staticmethod
    def _on_result(log: RobotLog, message: Any, seen_s: float) -> None:
        log.answered(
            Answer(
                seen_s=seen_s,
                stamp_ns=stamp_of(message),
                run=int(message.run),
                sequence=int(message.sequence),
                source=int(message.source),
                reason=str(message.reason),
                total_s=float(message.total_s),
                added_s=float(
                    message.total_s
                    - (message.encode_s + message.transfer_s + message.queue_s + message.inference_s)
                ),
            )
        )

    @staticmethod
    def _on_offboard(log: RobotLog, message: Any, seen_s: float) -> None:
        frame = log.frames.get(stamp_of(message))
        if frame is not None and frame.offboard_s != frame.offboard_s:
            frame.offboard_s = seen_s

    @staticmethod
    def _on_link(log: RobotLog, message: Any, seen_s: float) -> None:
        log.links.append((seen_s, int(message.link)))

    @staticmethod
    def _on_status(log: RobotLog, message: Any, seen_s: float) -> None:
        log.modes.append((seen_s, int(message.mode)))

    @staticmethod
    def _on_heartbeat(log: RobotLog, message: Any, seen_s: float) -> None:
        log.heartbeats.append((seen_s, int(message.run)))
