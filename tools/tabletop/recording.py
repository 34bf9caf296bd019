"""A recording of a camera over the table, as a rosbag2 folder (mcap), and what is true in each frame.

`truth.json` maps each frame's header stamp, in nanoseconds, to the captions that are right for it.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from qeil_ros.models import tabletop

STREAM = 55_000_001  # neither trained nor scored on
TOPIC = "/camera/image_raw/compressed"
FIRST_STAMP_NS = 1_767_225_600 * 10**9  # 2026-01-01 00:00:00 UTC


@dataclass(frozen=True)
class Take:
    """How the recording is made. A scene stays for `hold` frames; every fifth one brings another room."""

    frames: int = 360
    rate_hz: int = 20
    hold: int = 15
    width: int = 320
    height: int = 240
    quality: int = 80
    noise: float = 3.0


def frames(take: Take) -> Iterator[tuple[int, tabletop.Scene, bytes]]:
    """Stamp (ns), scene and JPEG of each frame."""
    rng = np.random.default_rng(STREAM)
    room = tabletop.Surroundings()
    for number in range(take.frames):
        cut, moment = divmod(number, take.hold)
        drawn = tabletop.scene_from_seed(cut, STREAM)
        if moment == 0 and cut % 5 == 0:
            room = replace(drawn.surroundings, noise=take.noise)
        scene = _moved(tabletop.Scene(drawn.things, room), moment / take.hold)
        if tabletop.caption(scene) != tabletop.caption(drawn):
            raise RuntimeError(f"frame {number}: moving the things made `{tabletop.caption(drawn)}` untrue")
        picture = tabletop.render(scene, take.width, take.height, rng)
        quality = (cv2.IMWRITE_JPEG_QUALITY, take.quality)
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), quality)
        yield FIRST_STAMP_NS + number * 10**9 // take.rate_hz, scene, data.tobytes()


def _moved(scene: tabletop.Scene, phase: float) -> tabletop.Scene:
    """Things slide and turn a little while a scene is held; what stands on another moves with it."""
    moved = []
    for i, thing in enumerate(scene.things):
        leader = i if thing.on is None else thing.on
        angle = 2 * math.pi * phase + 2.1 * leader
        moved.append(
            replace(
                thing,
                x=thing.x + 0.03 * math.cos(angle),
                depth=thing.depth + 0.03 * math.sin(angle),
                yaw=thing.yaw + 0.5 * phase,
            )
        )
    return replace(scene, things=tuple(moved))


def write_recording(folder: Path, take: Take) -> int:
    """Write bag and truth to `folder`, in place of what was there; returns the bag's size in bytes."""
    store = get_typestore(Stores.ROS2_JAZZY)
    image = store.types["sensor_msgs/msg/CompressedImage"]
    header, time = store.types["std_msgs/msg/Header"], store.types["builtin_interfaces/msg/Time"]
    if folder.exists():
        shutil.rmtree(folder)
    truth: dict[str, list[str]] = {}
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(TOPIC, image.__msgtype__, typestore=store)
        for stamp, scene, data in frames(take):
            truth[str(stamp)] = [tabletop.caption(scene)]
            message = image(
                header=header(stamp=time(*divmod(stamp, 10**9)), frame_id="camera"),
                format="rgb8; jpeg compressed bgr8",
                data=np.frombuffer(data, np.uint8),
            )
            writer.write(connection, stamp, store.serialize_cdr(message, image.__msgtype__))
    (folder / "truth.json").write_text(json.dumps(truth, indent=0) + "\n", encoding="utf-8")
    return sum(file.stat().st_size for file in folder.iterdir())
