"""The camera of the demonstration: a node that publishes a recording's images. Runs as a process of its own.

Until its service `~/play` is called it publishes the first image now and then, under stamps that belong to no
frame of the recording, so that whoever waits for the graph can see whether an image gets through it.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from qeil_ros.cli.demo.sources import (
    COMPRESSED,
    BagSource,
    PhotoSource,
    Scheduled,
    Source,
    SourceError,
    schedule,
    with_stamp,
)

NODE_NAME = "demo_player"
WARM_UP_PERIOD_S = 0.25

# Reliable, so that whoever asks for reliable images gets them; best-effort readers match as well.
IMAGE_QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)


class Player(Node):  # type: ignore[misc]
    """Publishes images when told to, at their times."""

    def __init__(self, source: Source) -> None:
        super().__init__(NODE_NAME)
        kind = CompressedImage if source.type_name == COMPRESSED else Image
        self._source = source
        self._publisher = self.create_publisher(kind, source.topic, IMAGE_QOS)
        self._asked = threading.Event()
        self.create_service(Trigger, "~/play", self._on_play)

    def _on_play(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = not self._asked.is_set()
        response.message = "playing" if response.success else "already playing"
        self._asked.set()
        return response

    def warm_up(self) -> None:
        """Publishes the first image under the stamps 1, 2, 3, ... ns until `~/play` is called."""
        first = next(self._source.frames())
        stamp_ns = 0
        while rclpy.ok() and not self._asked.wait(WARM_UP_PERIOD_S):
            stamp_ns += 1
            self._publisher.publish(with_stamp(first.payload, stamp_ns))

    def play(self, frames: Iterable[Scheduled]) -> int:
        """Publishes the frames and returns how many.

        A frame that this process is late for moves the rest: frames never come closer together than recorded,
        as they would not from a camera.
        """
        start_s = time.monotonic()
        played = 0
        for frame in frames:
            wait_s = start_s + frame.due_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            else:
                start_s -= wait_s
            if not rclpy.ok():
                break
            self._publisher.publish(frame.payload)
            played += 1
        return played


def make_source(bag: Path | None, images: Path | None, topic: str | None, rate_hz: float | None) -> Source:
    """The recording that the command line asks for: a bag or a folder of photos."""
    if images is not None:
        return PhotoSource(images, rate_hz, topic)
    if bag is None:
        raise SourceError("nothing to play: give a bag or a folder of images")
    return BagSource(bag, topic)


def arguments(
    bag: Path | None, images: Path | None, topic: str | None, rate_hz: float | None, seconds: float
) -> list[str]:
    """The command line that makes `main` play this."""
    given = {"--bag": bag, "--images": images, "--topic": topic, "--rate": rate_hz, "--seconds": seconds}
    return [word for name, value in given.items() if value is not None for word in (name, str(value))]


def main(args: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bag", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--topic")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args(args)
    try:
        source = make_source(options.bag, options.images, options.topic, options.rate)
    except SourceError as error:
        print(f"player: {error}", file=sys.stderr)
        return 1
    rclpy.init(args=[])
    player = Player(source)
    executor = SingleThreadedExecutor()
    executor.add_node(player)
    spinning = threading.Thread(target=_spin, args=(executor,), daemon=True)
    spinning.start()
    try:
        player.warm_up()
        played = player.play(schedule(source, options.seconds, options.rate))
        print(f"played {played}", flush=True)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        executor.shutdown()
        spinning.join(5)
        player.destroy_node()
        rclpy.try_shutdown()
    return 0


def _spin(executor: SingleThreadedExecutor) -> None:
    with suppress(ExternalShutdownException):  # the thread that plays sees it too
        executor.spin()


if __name__ == "__main__":
    sys.exit(main())
