"""The other ways: a computer off the robot that gets the image itself and runs the whole model on it.

Runs as a process of its own: `python failover_peer.py NAME {jpeg,raw} MODEL`. Only the newest image counts,
as for our own nodes; nothing is coded, prepared or decided on the robot.
"""

from __future__ import annotations

import sys
from typing import Any

import qeil_ros.rosless  # noqa: F401  serves rclpy where no ROS 2 is installed

import rclpy  # isort: skip
from qeil_ros.msg import InferenceResult  # isort: skip
from rclpy.executors import ExternalShutdownException  # isort: skip
from rclpy.node import Node  # isort: skip
from sensor_msgs.msg import CompressedImage, Image  # isort: skip

from qeil_ros.models.engine import OnnxEngine
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.pipeline import AgentPipeline
from qeil_ros.nodes import qos
from qeil_ros.nodes.results import message_of


class WholeModel(Node):  # type: ignore[misc]
    """Subscribes `/NAME/image`, publishes `/NAME/answer`."""

    def __init__(self, name: str, way: str, model: str) -> None:
        super().__init__(name)
        folder = ModelFolder.load(model)
        self._split = folder.default_split
        self._pipeline = AgentPipeline(folder)
        self._engine = OnnxEngine(folder)
        self._answers = self.create_publisher(InferenceResult, f"/{name}/answer", qos.RESULTS)
        kind, callback = (CompressedImage, self._on_jpeg) if way == "jpeg" else (Image, self._on_raw)
        self.create_subscription(kind, f"/{name}/image", callback, qos.IMAGES)

    def _on_jpeg(self, message: Any) -> None:
        self._answer(message, self._pipeline.prepare_compressed(message.data))

    def _on_raw(self, message: Any) -> None:
        prepare = self._pipeline.prepare
        self._answer(
            message, prepare(message.data, message.width, message.height, message.step, message.encoding)
        )

    def _answer(self, image: Any, prepared: Any) -> None:
        features = self._pipeline.features(prepared, self._split)
        shape = self._pipeline.folder.splits[self._split].shape
        (answer,) = self._engine.submit(self._split, features.reshape(1, *shape)).result()
        result = message_of(answer)
        result.header, result.source = image.header, InferenceResult.SOURCE_OFFBOARD
        self._answers.publish(result)

    def close(self) -> None:
        self._engine.close()
        self.destroy_node()


def main(name: str, way: str, model: str) -> None:
    rclpy.init(args=[])
    node = WholeModel(name, way, model)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the benchmark is over
    finally:
        node.close()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
