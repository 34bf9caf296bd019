"""Models through the running graph: camera topic, encoder, offboard node, fallback, result topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import psutil
from numpy.typing import NDArray
from qeil_ros.msg import FeatureFrame, InferenceResult
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage

from qeil_ros.cli.packages import child_environ, packages
from qeil_ros.models.datasets import Dataset
from qeil_ros.models.evaluate import prepared
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.nodes import qos

from .ros import BenchError, graph, node, spin_until

__all__ = ["encoder_memory", "graph_labels", "whole_labels"]

TIMEOUT_S = 60.0
TOPIC = "/camera/image_raw"
_CAMERA = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
_ENCODER = {"image_transport": "compressed", "deadline_s": 10.0}


def whole_labels(folder: ModelFolder, parts: Sequence[Path], photos: Dataset) -> list[str]:
    """The first label that published files give, run one behind the other with nothing in between."""
    sessions = [ort.InferenceSession(str(part), providers=["CPUExecutionProvider"]) for part in parts]
    labels = (folder.path / folder.task.labels).read_text(encoding="utf-8").splitlines()
    prepare = Preprocessor(folder.input)
    found = []
    for photo in photos:
        tensor = prepared(prepare, photo.pixels)
        for session in sessions:
            (tensor,) = session.run(None, {session.get_inputs()[0].name: tensor})
        found.append(labels[int(tensor.reshape(-1).argmax())])
    return found


def graph_labels(folder: ModelFolder, photos: Dataset, bits: int) -> list[str]:
    """The first label of the answer to each photo, where it came from off the robot; else empty.

    Photos go to the encoder without loss, one at a time.
    """
    model = {"model": str(folder.path)}
    commands = {
        "encoder": _command("encoder", {**model, **_ENCODER, "feature_bits": bits}),
        "co_inference": _command("co_inference", model),
        "fallback": _command("fallback", model),
    }
    answers: dict[int, str] = {}

    def on_result(message: Any) -> None:
        offboard = message.source == InferenceResult.SOURCE_OFFBOARD
        answers[message.header.stamp.sec] = message.labels[0] if offboard and message.labels else ""

    with _Camera(commands) as camera:
        camera.node.create_subscription(InferenceResult, "/result", on_result, qos.RESULTS)
        camera.wait_for("/offboard/status")
        # The route leads off the robot once some heartbeats have come.
        deadline_s, number = time.monotonic() + TIMEOUT_S, len(photos)
        while not any(answers.values()):
            if time.monotonic() > deadline_s:
                raise BenchError(f"no answer came from off the robot within {TIMEOUT_S:g} s")
            number += 1
            camera.show(photos[0].pixels, number, lambda n=number: n in answers)
        for number, photo in enumerate(photos, start=1):
            camera.show(photo.pixels, number, lambda n=number: n in answers)
    return [answers[number] for number in range(1, len(photos) + 1)]


def encoder_memory(photos: Dataset) -> tuple[float, bool]:
    """(resident memory [MB] of an encoder with the shipped model after some photos, whether it has torch)."""
    seen: set[int] = set()
    with _Camera({"encoder": _command("encoder", {"model": "tabletop", **_ENCODER})}) as camera:
        camera.node.create_subscription(
            FeatureFrame, "/features", lambda message: seen.add(message.header.stamp.sec), qos.FEATURES
        )
        camera.wait_for("/features")
        for number, photo in enumerate(photos, start=1):
            camera.show(photo.pixels, number, lambda n=number: n in seen)
        process = camera.process("encoder")
        return process.memory_info().rss / 1e6, "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()


class _Camera:
    """A graph of these processes, and a camera in it that shows a picture and waits for what comes of it."""

    def __init__(self, commands: dict[str, list[str]]) -> None:
        self._commands = commands

    def __enter__(self) -> _Camera:
        with ExitStack() as stack:
            self._launcher = stack.enter_context(graph(self._commands))
            self.node, self._executor = stack.enter_context(node("camera"))
            self._publisher = self.node.create_publisher(CompressedImage, f"{TOPIC}/compressed", _CAMERA)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def wait_for(self, topic: str) -> None:
        """Until the encoder listens and somebody publishes the topic. BenchError: that does not happen."""

        def ready() -> bool:
            return bool(self._publisher.get_subscription_count() and self.node.count_publishers(topic))

        self._spin_until(ready, f"nobody published {topic}")

    def show(self, pixels: NDArray[np.uint8], number: int, answered: Callable[[], object]) -> None:
        """Publishes a picture under the stamp `number` [s]. BenchError: `answered()` does not come true."""
        ok, data = cv2.imencode(
            ".png", np.ascontiguousarray(pixels[:, :, ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 1]
        )
        if not ok:
            raise BenchError(f"OpenCV cannot write a picture of {pixels.shape} as PNG")
        message = CompressedImage(format="rgb8; png compressed bgr8", data=data.reshape(-1))
        message.header.stamp.sec = number
        self._publisher.publish(message)
        self._spin_until(answered, f"no answer to picture {number}")

    def _spin_until(self, condition: Callable[[], object], problem: str) -> None:
        def holds() -> bool:
            if ended := [name for name, code in self._launcher.poll().items() if code is not None]:
                raise BenchError(f"{', '.join(ended)} has ended; what it said is above")
            return bool(condition())

        spin_until(self._executor, holds, TIMEOUT_S, problem)

    def process(self, name: str) -> psutil.Process:
        """The process that was started under that name."""
        children = psutil.Process().children(recursive=True)
        return next(child for child in children if child.cmdline() == self._commands[name])


def _command(executable: str, parameters: dict[str, Any]) -> list[str]:
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    found = [*packages(child_environ()).executable("qeil_ros", executable), "--ros-args", *words]
    return [*found, "-r", f"image:={TOPIC}"]
