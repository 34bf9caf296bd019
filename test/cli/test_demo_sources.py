"""Recordings as the demonstration plays them: order, stamps, loops, truth."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from qeil_ros.cli.demo.sizes import image_sizes
from qeil_ros.cli.demo.sources import (
    COMPRESSED,
    IMAGE,
    BagSource,
    PhotoSource,
    SourceError,
    get_stamp,
    image_payload,
    schedule,
    source_stamp,
    with_stamp,
)

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_600_000_000_000_000_000


def write_bag(
    path: Path, topics: dict[str, list[tuple[int, bytes]]], kinds: dict[str, str] | None = None
) -> Path:
    """A bag of `topic: [(time from the start in ms, message)]`."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        for topic, messages in topics.items():
            connection = writer.add_connection(topic, IMAGE, typestore=STORE)
            for at_ms, payload in messages:
                writer.write(connection, START_NS + at_ms * 1_000_000, payload)
    return path


def picture(stamp_ns: int, encoding: str = "rgb8", width: int = 4, height: int = 2, value: int = 7) -> bytes:
    channels = {"rgb8": 3, "mono16": 2}[encoding]
    return image_payload(bytes([value]) * (width * height * channels), width, height, encoding, stamp_ns)


def test_the_written_image_is_a_ros_image() -> None:
    data = bytes(range(24))
    message = STORE.deserialize_cdr(image_payload(data, 4, 2, "rgb8", 5_000_000_007), IMAGE)
    assert (message.height, message.width, message.step, message.encoding) == (2, 4, 12, "rgb8")
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (5, 7)
    assert message.header.frame_id == "camera"
    assert bytes(message.data) == data


@pytest.mark.parametrize("little_endian", [True, False])
def test_a_new_stamp_changes_nothing_else(little_endian: bool) -> None:
    message = STORE.deserialize_cdr(picture(1), IMAGE)
    payload = bytes(STORE.serialize_cdr(message, IMAGE, little_endian=little_endian))
    moved = with_stamp(payload, 123_456_789_012)
    assert get_stamp(moved) == 123_456_789_012
    read = STORE.deserialize_cdr(moved, IMAGE)
    assert (read.header.stamp.sec, read.header.stamp.nanosec) == (123, 456_789_012)
    assert with_stamp(moved, get_stamp(payload)) == payload


def test_a_bag_is_played_at_its_times_under_its_stamps(tmp_path: Path) -> None:
    bag = write_bag(
        tmp_path / "bag", {"/cam": [(0, picture(1_000)), (50, picture(2_000)), (150, picture(3_000))]}
    )
    source = BagSource(bag)
    assert (source.topic, source.type_name) == ("/cam", IMAGE)
    assert [(f.due_s, f.stamp_ns) for f in schedule(source, 0.2)] == [
        (0.0, 1_000),
        (0.05, 2_000),
        (0.15, 3_000),
    ]
    assert [get_stamp(f.payload) for f in schedule(source, 0.2)] == [1_000, 2_000, 3_000]


def test_a_short_bag_starts_again_under_stamps_of_its_own(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/cam": [(0, picture(1_000)), (100, picture(2_000))]})
    source = BagSource(bag)
    frames = list(schedule(source, 1.0))
    assert [round(f.due_s, 6) for f in frames] == [round(i * 0.1, 6) for i in range(10)]
    stamps = [f.stamp_ns for f in frames]
    assert len(set(stamps)) == 10 and stamps == sorted(stamps)
    assert [source_stamp(source, stamp) for stamp in stamps] == [1_000, 2_000] * 5
    assert [get_stamp(f.payload) for f in frames] == stamps


def test_a_steady_rate_takes_the_place_of_the_recorded_times(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/cam": [(0, picture(1_000)), (700, picture(2_000))]})
    assert [f.due_s for f in schedule(BagSource(bag), 0.5, rate_hz=10)] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_stamps_that_repeat_or_are_missing_are_made_unique(tmp_path: Path) -> None:
    frozen = write_bag(tmp_path / "frozen", {"/cam": [(ms, picture(9_000)) for ms in (0, 10, 20)]})
    assert [f.stamp_ns for f in schedule(BagSource(frozen), 0.025)] == [9_000, 9_001, 9_002]
    unstamped = write_bag(tmp_path / "unstamped", {"/cam": [(ms, picture(0)) for ms in (0, 10)]})
    assert [f.stamp_ns for f in schedule(BagSource(unstamped), 0.015)] == [START_NS, START_NS + 10_000_000]


def test_colour_is_preferred_to_depth_and_the_user_to_both(tmp_path: Path) -> None:
    bag = write_bag(
        tmp_path / "bag",
        {"/depth": [(i, picture(i + 1, "mono16")) for i in range(3)], "/rgb": [(0, picture(1))]},
    )
    assert BagSource(bag).topic == "/rgb"
    assert BagSource(bag, "/depth").topic == "/depth"
    with pytest.raises(SourceError, match=r"no image topic /nose in .*; it has /depth, /rgb"):
        BagSource(bag, "/nose")


def test_truth_is_found_beside_the_bag_for_every_time_around(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/cam": [(0, picture(1_000)), (100, picture(2_000))]})
    (bag / "truth.json").write_text(json.dumps({"1000": "a cube", "2000": ["a ball", "one ball"]}))
    source = BagSource(bag)
    stamps = [f.stamp_ns for f in schedule(source, 0.4)]
    found = [source.truth[source_stamp(source, stamp)] for stamp in stamps]
    assert found == [("a cube",), ("a ball", "one ball")] * 2


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no bag at .*nothing"):
        BagSource(tmp_path / "nothing")
    (tmp_path / "junk.mcap").write_bytes(b"no bag")
    with pytest.raises(SourceError, match=r"junk\.mcap is no bag"):
        BagSource(tmp_path / "junk.mcap")
    with pytest.raises(SourceError, match="no folder at"):
        PhotoSource(tmp_path / "nothing")
    with pytest.raises(SourceError, match="no photos in"):
        PhotoSource(tmp_path)
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"a\.png is no image"):
        list(PhotoSource(tmp_path).frames())


def test_a_folder_of_photos_is_published_as_rgb8(tmp_path: Path) -> None:
    for name, colour in (
        ("b.png", (255, 0, 0)),
        ("a.png", (0, 0, 255)),
    ):  # blue and red, as OpenCV orders them
        cv2.imwrite(str(tmp_path / name), np.full((3, 5, 3), colour, np.uint8))
    (tmp_path / "truth.json").write_text(json.dumps({"b.png": "blue"}))
    source = PhotoSource(tmp_path, rate_hz=2.0)
    frames = list(islice(schedule(source, 60.0), 3))
    assert [f.due_s for f in frames] == [0.0, 0.5, 1.0]
    messages = [STORE.deserialize_cdr(f.payload, IMAGE) for f in frames]
    assert [m.encoding for m in messages] == ["rgb8"] * 3
    assert [tuple(m.data[:3]) for m in messages] == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    truths = [source.truth.get(source_stamp(source, f.stamp_ns), ()) for f in frames]
    assert truths == [(), ("blue",), ()]


def test_sizes_of_raw_images(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/cam": [(0, picture(1, width=64, height=48))]})
    sizes = image_sizes(BagSource(bag), (16, 16))
    assert sizes.raw == 64 * 48 * 3
    grey = np.full((48, 64, 3), 7, np.uint8)
    assert sizes.jpeg == len(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 75])[1])
    assert 0 < sizes.jpeg_small < sizes.jpeg


def test_sizes_of_a_jpeg_recording_are_its_own(data_dir: Path) -> None:
    source = BagSource(data_dir / "bags" / "donkeycar_mcap")
    assert source.type_name == COMPRESSED
    sizes = image_sizes(source, None, frames=10)
    own = [len(STORE.deserialize_cdr(f.payload, COMPRESSED).data) for f in islice(source.frames(), 10)]
    assert sizes.jpeg == pytest.approx(sum(own) / 10)
    assert sizes.raw == 160 * 120 * 3


def test_a_recording_of_20_hz_gives_20_frames_a_second(data_dir: Path) -> None:
    for folder in ("donkeycar_mcap", "donkeycar_sqlite3"):
        source = BagSource(data_dir / "bags" / folder)
        frames = list(schedule(source, 45.0))
        assert len(frames) == 900
        assert len({f.stamp_ns for f in frames}) == 900
