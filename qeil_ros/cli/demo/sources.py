"""What the demonstration plays: the images of a rosbag, or a folder of photos."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")
PHOTO_TOPIC = "/camera/image_raw"
PHOTO_RATE_HZ = 5.0
PHOTO_START_NS = 1_000_000_000
# Encodings whose values are no colours: a topic of these is only played when nothing else is there.
_DEPTH_ENCODINGS = ("mono16", "16UC1", "32FC1", "8UC1")

Truth = Mapping[int, tuple[str, ...]]


class SourceError(ValueError):
    """The recording cannot be played; the message says what to give instead."""


@dataclass(frozen=True)
class Frame:
    """One image of a recording.

    Attributes:
        offset_s: when it is due, from the start of the recording [s].
        stamp_ns: its header's stamp [ns].
        payload: the message, CDR with its encapsulation header.
    """

    offset_s: float
    stamp_ns: int
    payload: bytes


class Source(Protocol):
    """A recording that can be played from its start any number of times.

    Attributes:
        topic: fully qualified name of the topic that the images are published on.
        type_name: `sensor_msgs/msg/Image` or `sensor_msgs/msg/CompressedImage`.
        duration_s: time until the recording may start again [s].
        first_stamp_ns: stamp of the first frame [ns].
        loop_ns: what is added to the stamps each time around, more than they span [ns].
        truth: accepted answers by stamp; empty where nobody knows them.
    """

    name: str
    topic: str
    type_name: str
    duration_s: float
    first_stamp_ns: int
    loop_ns: int
    truth: Truth

    def frames(self) -> Iterator[Frame]: ...


class BagSource:
    """The images of one topic of a rosbag2 (mcap or sqlite3), read as they are played."""

    def __init__(self, path: Path, topic: str | None = None) -> None:
        """Chooses `topic`, or the colour image topic with the most messages.

        Raises:
            SourceError: no bag at `path`, or no such image topic in it.
        """
        self.path = path
        self.name = str(path)
        with _open_bag(path) as reader:
            images = [c for c in reader.connections if c.msgtype in (IMAGE, COMPRESSED) and c.msgcount > 0]
            self.topic = _choose_topic(reader, images, topic, path)
            connections = [c for c in images if c.topic == self.topic]
            self.type_name = connections[0].msgtype
            times = [time_ns for _, time_ns, _ in reader.messages(connections)]
        self._start_ns = times[0]
        interval_s = (times[-1] - times[0]) / max(len(times) - 1, 1) / 1e9
        self.duration_s = (times[-1] - times[0]) / 1e9 + (interval_s or 1.0)
        # Headers are stamped by the camera and may span more than the times at which they were recorded.
        self.loop_ns = 1_000_000_000 * (2 * int(self.duration_s) + 2)
        self.first_stamp_ns = next(self.frames()).stamp_ns
        self.truth = read_truth(_truth_path(path))

    def frames(self) -> Iterator[Frame]:
        with _open_bag(self.path) as reader:
            connections = [c for c in reader.connections if c.topic == self.topic]
            for _, time_ns, payload in reader.messages(connections):
                data = bytes(payload)
                # A driver that leaves the stamp at zero gives nothing to match answers by.
                yield Frame((time_ns - self._start_ns) / 1e9, get_stamp(data) or time_ns, data)


class PhotoSource:
    """A folder of photos, published as rgb8 `sensor_msgs/Image` at a steady rate in order of name."""

    def __init__(self, folder: Path, rate_hz: float | None = None, topic: str | None = None) -> None:
        """
        Raises:
            SourceError: no folder, or no photos in it.
        """
        if not folder.is_dir():
            raise SourceError(f"no folder at {folder}; give a folder of photos ({', '.join(PHOTO_SUFFIXES)})")
        self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in PHOTO_SUFFIXES)
        if not self.paths:
            raise SourceError(f"no photos in {folder}; looked for {', '.join(PHOTO_SUFFIXES)}")
        self.name = str(folder)
        self.topic = topic or PHOTO_TOPIC
        self.type_name = IMAGE
        self._interval_s = 1 / (rate_hz or PHOTO_RATE_HZ)
        self.duration_s = len(self.paths) * self._interval_s
        self.first_stamp_ns = PHOTO_START_NS
        self.loop_ns = 1_000_000_000 * (int(self.duration_s) + 1)
        by_name = _read_json(folder / "truth.json")
        self.truth: Truth = {
            self.stamp_of(index): _captions(by_name[path.name])
            for index, path in enumerate(self.paths)
            if path.name in by_name
        }

    def stamp_of(self, index: int) -> int:
        """Stamp of the photo with that place in the order of names [ns]."""
        return PHOTO_START_NS + round(index * self._interval_s * 1e9)

    def frames(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            yield Frame(
                index * self._interval_s, self.stamp_of(index), self._serialized(path, self.stamp_of(index))
            )

    def _serialized(self, path: Path, stamp_ns: int) -> bytes:
        import cv2

        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if pixels is None:
            raise SourceError(f"{path} is no image that OpenCV can read; remove it from the folder")
        height, width = pixels.shape[:2]
        rgb = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        return image_payload(rgb.tobytes(), width, height, "rgb8", stamp_ns)


@dataclass(frozen=True)
class Scheduled:
    """One publication: when, under which stamp, and what."""

    due_s: float
    stamp_ns: int
    payload: bytes


def schedule(source: Source, seconds: float, rate_hz: float | None = None) -> Iterator[Scheduled]:
    """The publications of `seconds` of play [s], the recording starting again as often as it takes.

    With `rate_hz` frames are due at that steady rate instead of as recorded. Stamps are unique and increase:
    the recording's own plus `loop_ns` for each time around; one that repeats is moved on by a nanosecond.
    """
    previous_ns = -1
    index = 0
    for turn in itertools.count():
        for frame in source.frames():
            due_s = index / rate_hz if rate_hz else turn * source.duration_s + frame.offset_s
            if due_s >= seconds:
                return
            previous_ns = max(frame.stamp_ns + turn * source.loop_ns, previous_ns + 1)
            yield Scheduled(due_s, previous_ns, with_stamp(frame.payload, previous_ns))
            index += 1


def source_stamp(source: Source, stamp_ns: int) -> int:
    """The recording's own stamp [ns] of a frame that was played under `stamp_ns`."""
    turns = max(stamp_ns - source.first_stamp_ns, 0) // source.loop_ns
    return stamp_ns - turns * source.loop_ns


def _stamp_format(payload: bytes) -> str:
    return "<iI" if payload[1] & 1 else ">iI"


def get_stamp(payload: bytes) -> int:
    """Stamp [ns] of a serialized message that starts with a std_msgs/Header."""
    seconds, nanoseconds = struct.unpack_from(_stamp_format(payload), payload, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)


def with_stamp(payload: bytes, stamp_ns: int) -> bytes:
    """The same message under another stamp [ns], without deserializing it."""
    return payload[:4] + struct.pack(_stamp_format(payload), *divmod(stamp_ns, 1_000_000_000)) + payload[12:]


def image_payload(data: bytes, width: int, height: int, encoding: str, stamp_ns: int) -> bytes:
    """A `sensor_msgs/Image` of tightly packed rows as CDR, little-endian."""
    step = len(data) // height
    out = bytearray(b"\x00\x01\x00\x00")
    out += struct.pack("<iI", *divmod(stamp_ns, 1_000_000_000))
    _put_string(out, "camera")
    _align(out, 4)
    out += struct.pack("<II", height, width)
    _put_string(out, encoding)
    out += b"\x00"  # is_bigendian
    _align(out, 4)
    out += struct.pack("<II", step, len(data))
    return bytes(out) + data


def _align(out: bytearray, size: int) -> None:
    out += bytes(-(len(out) - 4) % size)


def _put_string(out: bytearray, text: str) -> None:
    _align(out, 4)
    encoded = text.encode() + b"\x00"
    out += struct.pack("<I", len(encoded)) + encoded


def read_truth(path: Path) -> Truth:
    """`{"<stamp in ns>": "caption" or ["caption", ...]}`; nothing where there is no such file."""
    return {int(stamp): _captions(value) for stamp, value in _read_json(path).items()}


def _captions(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(v) for v in value)  # type: ignore[attr-defined]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise SourceError(
            f"{path} holds a {type(content).__name__}; expected an object of answers by stamp or name"
        )
    return content


def _truth_path(bag: Path) -> Path:
    return (bag if bag.is_dir() else bag.parent) / "truth.json"


@contextmanager
def _open_bag(path: Path) -> Iterator[Any]:
    from rosbags.highlevel import AnyReader
    from rosbags.highlevel.anyreader import AnyReaderError

    if not path.exists():
        raise SourceError(f"no bag at {path}; give the folder of a rosbag2, or an .mcap file")
    try:
        reader = AnyReader([path])
        reader.open()
    except AnyReaderError as error:
        raise SourceError(f"{path} is no bag that can be read: {error}") from error
    try:
        yield reader
    finally:
        reader.close()


def _choose_topic(reader: Any, images: list[Any], wanted: str | None, path: Path) -> str:
    names = sorted({c.topic for c in images})
    if wanted is not None:
        if wanted not in names:
            raise SourceError(f"no image topic {wanted} in {path}; it has {', '.join(names) or 'none'}")
        return wanted
    if not names:
        raise SourceError(f"no sensor_msgs/Image or CompressedImage in {path}; give another bag")

    def preference(topic: str) -> tuple[bool, int, str]:
        connections = [c for c in images if c.topic == topic]
        _, _, payload = next(iter(reader.messages(connections)))
        encoding = getattr(reader.deserialize(payload, connections[0].msgtype), "encoding", "jpeg")
        return encoding in _DEPTH_ENCODINGS, -sum(c.msgcount for c in connections), topic

    chosen: str = min(names, key=preference)
    return chosen
