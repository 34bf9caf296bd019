"""What a model can be evaluated on: pictures, and what is true in each of them, where anybody knows.

`open_dataset` takes a path, or `tabletop` for the shipped model's frozen scenes, and finds out what it is:

    photos/            pictures alone: answers can only be compared with the uncompressed model's
    photos/ + truth.json   {"name.jpg": "a caption or label", "other.jpg": ["one", "or another"]}
    classes/dog/1.jpg      a folder of pictures for each class
    dog.jpg, cat_720p.bmp  pictures named by their class, with --named or `named=True`
    coco/ + instances.json and captions.json (either or both), pictures beside them or in images/
    a rosbag2 (folder, .mcap, .db3) with an image topic; truth.json beside it maps stamps [ns] to answers
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from . import compressed, tabletop
from .preprocess import InputSpec, Preprocessor
from .scores import Boxes

__all__ = ["Dataset", "DatasetError", "Example", "open_dataset", "tabletop_scenes"]

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp")
SCENES = 1000
_IMAGE, _COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


class DatasetError(ValueError):
    """Data that a model cannot be evaluated on; the message says what was found and what to give instead."""


@dataclass(frozen=True)
class Example:
    """One picture and what is true in it; what nobody knows is empty."""

    name: str
    pixels: NDArray[np.uint8]
    """RGB [height, width, 3]."""
    captions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    boxes: Boxes | None = None
    """Corners in pixels; classes as `Dataset.categories` numbers them, from 0 without gaps."""


@dataclass(frozen=True)
class Dataset:
    """Pictures in order, each read when it is asked for: the same one every time."""

    name: str
    examples: Sequence[Callable[[], Example]] = field(repr=False)
    categories: Mapping[int, str] = field(default_factory=dict, repr=False)
    """The names of the boxes' classes."""

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]()

    def __iter__(self) -> Iterator[Example]:
        return (read() for read in self.examples)

    def limited(self, limit: int | None, seed: int | None = None) -> Dataset:
        """The first `limit` examples, or with a seed that many at random, in the order they had."""
        if limit is None or limit >= len(self):
            return self
        chosen = list(range(limit))
        if seed is not None:
            chosen = sorted(np.random.default_rng(seed).choice(len(self), limit, replace=False).tolist())
        return dataclasses.replace(self, examples=[self.examples[index] for index in chosen])


def open_dataset(
    source: str | Path,
    *,
    limit: int | None = None,
    seed: int | None = None,
    named: bool = False,
    topic: str = "",
) -> Dataset:
    """The data at a path, or of the name `tabletop`; see the module's docstring.

    Args:
        limit: at most so many examples: the first ones, or with a `seed` a random choice.
        named: pictures in a plain folder are named by their class.
        topic: of a recording with several image topics.

    Raises:
        DatasetError: there is nothing that a model could be evaluated on, or its truth cannot be read.
    """
    if limit is not None and limit < 1:
        raise DatasetError(f"limit is {limit}; want 1 or more")
    if str(source) == "tabletop":
        return tabletop_scenes().limited(limit, seed)
    path = Path(source).expanduser()
    if not path.exists():
        raise DatasetError(f"no data at {path}; give a folder of pictures, a recording, or `tabletop`")
    if path.is_file() or (path / "metadata.yaml").is_file():
        return _bag(path, topic, limit if seed is None else None).limited(limit, seed)
    if (path / "instances.json").is_file() or (path / "captions.json").is_file():
        return _coco(path).limited(limit, seed)
    return _pictures(path, named).limited(limit, seed)


def tabletop_scenes(count: int = SCENES) -> Dataset:
    """The first scenes of the stream that the shipped model was never trained on, drawn as they are read."""
    return Dataset(
        f"tabletop: frozen scenes 0 to {count - 1} of stream {tabletop.FROZEN_STREAM}",
        [partial(_scene, index) for index in range(count)],
    )


def _scene(index: int) -> Example:
    scene, picture = tabletop.photograph(index)
    return Example(f"scene {index}", picture, captions=(tabletop.caption(scene),))


# ---------------------------------------------------------------- folders of pictures


def _pictures(folder: Path, named: bool) -> Dataset:
    by_name = _truth(folder / "truth.json")
    plain = _files(folder)
    if plain:
        unknown = sorted(by_name.keys() - {path.name for path in plain})
        if unknown:
            raise DatasetError(f"{folder / 'truth.json'}: there is no picture {unknown[0]!r} in the folder")
        examples = [
            partial(
                _picture,
                path,
                captions=by_name.get(path.name, ()),
                labels=by_name.get(path.name, (_class_of(path),) if named else ()),
            )
            for path in plain
        ]
        return Dataset(folder.name, examples)
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    examples = [
        partial(_picture, path, labels=(_class_of(kind),), name=f"{kind.name}/{path.name}")
        for kind in classes
        for path in _files(kind)
    ]
    if not examples:
        raise DatasetError(
            f"no pictures in {folder}; looked for {', '.join(SUFFIXES)}, there and a folder below"
        )
    return Dataset(folder.name, examples)


def _picture(path: Path, name: str = "", **truth: Any) -> Example:
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise DatasetError(f"{path} is no picture that OpenCV can read; remove it from the folder")
    return Example(name or path.name, _rgb(pixels), **truth)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _class_of(path: Path) -> str:
    """`hot_dog.jpg` -> "hot dog", `cat_720p.jpg` -> "cat": the words of a name that hold no digit."""
    words = re.split(r"[\s_-]+", path.stem if path.suffix.lower() in SUFFIXES else path.name)
    return " ".join(word for word in words if not re.search(r"\d", word)) or path.stem


def _truth(path: Path) -> dict[str, tuple[str, ...]]:
    """A truth.json: name or stamp -> answers that are right. Empty where there is no such file."""
    if not path.is_file():
        return {}
    content = _json(path)
    truth = {}
    for key, value in content.items():
        answers = [value] if isinstance(value, str) else value
        if not isinstance(answers, list) or not answers or not all(isinstance(text, str) for text in answers):
            raise DatasetError(f"{path}: {key}: want a text or a list of texts, got {value!r}")
        truth[key] = tuple(answers)
    return truth


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: want an object, got a {type(content).__name__}")
    return content


# ---------------------------------------------------------------- COCO


def _coco(folder: Path) -> Dataset:
    """COCO's annotation files: boxes from `instances.json`, captions from `captions.json`."""
    files = [folder / name for name in ("instances.json", "captions.json") if (folder / name).is_file()]
    documents = [_json(file) for file in files]
    try:
        images = {int(image["id"]): str(image["file_name"]) for d in documents for image in d["images"]}
        notes: dict[int, list[dict[str, Any]]] = {number: [] for number in images}
        for note in itertools.chain.from_iterable(d["annotations"] for d in documents):
            notes[int(note["image_id"])].append(note)
        named = {int(c["id"]): str(c["name"]) for d in documents for c in d.get("categories", ())}
        # Detectors number COCO's 80 classes without the gaps that its category numbers have.
        ranks = {number: rank for rank, number in enumerate(sorted(named))}
        examples = [
            partial(
                _picture,
                _beside(folder, file),
                captions=tuple(str(note["caption"]) for note in notes[number] if "caption" in note),
                boxes=_boxes([note for note in notes[number] if "bbox" in note], ranks) if ranks else None,
            )
            for number, file in sorted(images.items())
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{folder}: the annotations are not COCO's: {error!r}") from error
    return Dataset(folder.name, examples, {rank: named[number] for number, rank in ranks.items()})


def _beside(folder: Path, file: str) -> Path:
    """The picture beside the annotations or in images/; never outside."""
    name = Path(file).name
    for path in (folder / name, folder / "images" / name):
        if path.is_file():
            return path
    raise DatasetError(f"{folder}: no picture {name}, which the annotations name, there or in images/")


def _boxes(notes: Sequence[Mapping[str, Any]], ranks: Mapping[int, int]) -> Boxes:
    left_top_size = np.array([note["bbox"] for note in notes], np.float64).reshape(-1, 4)
    corners = np.concatenate([left_top_size[:, :2], left_top_size[:, :2] + left_top_size[:, 2:]], axis=1)
    classes = np.array([ranks[int(note["category_id"])] for note in notes], np.int64)
    crowd = np.array([bool(note.get("iscrowd")) for note in notes], bool)
    return Boxes(corners, classes, crowd=crowd)


# ---------------------------------------------------------------- recordings


def _bag(path: Path, topic: str, limit: int | None) -> Dataset:
    from rosbags.highlevel import AnyReader
    from rosbags.highlevel.anyreader import AnyReaderError
    from rosbags.typesys import Stores, get_typestore

    by_stamp = _truth((path if path.is_dir() else path.parent) / "truth.json")
    examples: list[Callable[[], Example]] = []
    try:
        # Recordings of older ROS 2 releases do not hold their types.
        with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            connection = _image_topic(path, reader.connections, topic)
            for _, _, raw in itertools.islice(reader.messages([connection]), limit):
                message: Any = reader.deserialize(raw, connection.msgtype)
                stamp = message.header.stamp
                name = str(int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec))
                examples.append(partial(_frame, message, name, by_stamp.get(name, ())))
    except AnyReaderError as error:
        raise DatasetError(f"{path} is no recording that can be read: {error}") from error
    return Dataset(path.name, examples)


def _image_topic(path: Path, connections: Sequence[Any], topic: str) -> Any:
    images = [c for c in connections if c.msgtype in (_IMAGE, _COMPRESSED) and c.msgcount]
    found = [c for c in images if c.topic == topic] if topic else images
    if not found or len({c.topic for c in found}) > 1:
        there = ", ".join(sorted({c.topic for c in images})) or "none"
        problem = f"no image topic {topic}" if topic else "want one image topic, or be told which"
        raise DatasetError(f"{path}: {problem}; there are {there}")
    return found[0]


def _frame(message: Any, name: str, texts: tuple[str, ...]) -> Example:
    try:
        if hasattr(message, "format"):
            pixels = _rgb(compressed.decode(message.data))
        else:
            spec = InputSpec(
                message.width, message.height, layout="NHWC", dtype="uint8", interpolation="nearest"
            )
            big = bool(message.is_bigendian)
            size = (message.width, message.height)
            (pixels,) = Preprocessor(spec)(message.data, *size, message.step, message.encoding, big)
    except ValueError as error:
        raise DatasetError(f"the frame of stamp {name} ns: {error}") from error
    return Example(name, pixels, captions=texts, labels=texts)


def _rgb(bgr: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(bgr[:, :, ::-1])
