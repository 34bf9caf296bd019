"""The screen of camera images: how often it raises a false alarm, what it finds, and what it takes.

False alarms on recordings of cameras, frame after frame, and on photos, each seen for the first time. Found:
perturbations that fool a published classifier, by projected gradient descent; by an attacker who does not
know of the screen, and by one who leaves the flat places alone, which passes.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from qeil_ros.models.datasets import open_dataset
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.pipeline import AgentPipeline
from qeil_ros.models.preprocess import InputSpec, Preprocessor
from qeil_ros.nodes.screening import expected
from qeil_ros.safety.inputs import ImageScreen, Problem, ScreenConfig

from .data import data_dir
from .harness import Report, Result, at_least, at_most, figure, input_file, median, percentile
from .progress import stage
from .screen_attack import Classifier, flat_places

DESCRIPTION = "false alarms and finds of the screen of camera images, and its cost"

CAMERA_HZ = 30.0
LEARN_FRAMES = 48
"""Frames of a stream before an attack begins: what the screen knows of the camera by then."""
_SQUEEZENET = "weights/squeezenet_v1.1.onnx"
_MEAN = (104.0, 117.0, 123.0)
_VIDEOS = ("video/carnd_test_video.mp4", "video/intel_bottle-detection.mp4")
_BAG = "bags/donkeycar_mcap"
_COLOUR = "/camera/camera/color/image_raw"

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """Images in order. `stream`: of one camera; else each of another one."""

    name: str
    images: Callable[[], Iterator[Image]]
    stream: bool = True


def run(quick: bool) -> Report:
    data = data_dir()
    squeezenet = InputSpec(227, 227, channels="bgr", mean=_MEAN)
    tabletop = ModelFolder.load("tabletop")
    found = _sources(data, tabletop)
    results: list[Result] = []
    with stage("false alarms"):
        results += _false_alarms(found, {"64": tabletop.input, "227": squeezenet}, 6 if quick else 1)
    with stage("cost"):
        results += _cost(tabletop, found, 60 if quick else 600)
    levels = (2, 8) if quick else (1, 2, 4, 8)  # grey levels
    with stage("attacks") as tell:
        results += _attacks(data / _SQUEEZENET, squeezenet, found, levels, 4 if quick else 24, tell)
    return Report(
        "screen",
        {
            "quick": quick,
            "levels": list(levels),
            "learn_frames": LEARN_FRAMES,
            "settings": vars(ScreenConfig()),
        },
        [input_file(data / name, name) for name in (_SQUEEZENET, *_VIDEOS)],
        results,
    )


def _sources(data: Path, tabletop: ModelFolder) -> list[Source]:
    def dataset(path: Path, topic: str = "") -> Callable[[], Iterator[Image]]:
        return lambda: (example.pixels for example in open_dataset(path, topic=topic))

    return [
        Source("donkeycar", dataset(data / _BAG)),
        *(Source(Path(name).stem, _video(data / name)) for name in _VIDEOS),
        Source("tabletop", dataset(tabletop.path / "recording")),
        Source("coco28", dataset(data / "images" / "coco28"), stream=False),
        Source("coral", dataset(data / "images" / "coral"), stream=False),
        Source("realsense", dataset(data / "bags" / "realsense_single_mcap", _COLOUR), stream=False),
    ]


def _video(path: Path) -> Callable[[], Iterator[Image]]:
    def frames() -> Iterator[Image]:
        video = cv2.VideoCapture(str(path))
        while (read := video.read())[0]:
            yield np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), np.uint8)

    return frames


def _prepared(spec: InputSpec) -> Callable[[Image], NDArray[Any]]:
    prepare = Preprocessor(spec)

    def prepared(image: Image) -> NDArray[Any]:
        height, width = image.shape[:2]
        return prepare(np.ascontiguousarray(image), width, height, 3 * width, "rgb8", False)

    return prepared


# --- false alarms


def _false_alarms(sources: Sequence[Source], specs: dict[str, InputSpec], every: int) -> list[Result]:
    results, kinds = [], Counter[str]()
    totals: dict[bool, list[int]] = {True: [0, 0], False: [0, 0]}
    for source in sources:
        for side, spec in specs.items():
            alarms, count = _alarms(source, spec, every, kinds)
            results.append(figure(f"{source.name}_{side}_false_alarms", 100 * alarms / count, "%"))
            totals[source.stream][0] += alarms
            totals[source.stream][1] += count
    for name, stream, limit in (("stream", True, 0.5), ("photo", False, 5.0)):
        alarms, count = totals[stream]
        upper = float(beta.ppf(0.95, alarms + 1, count - alarms)) if alarms < count else 1.0
        results += [
            figure(f"{name}_images", count, ""),
            at_most(f"{name}_false_alarms", 100 * alarms / count, "%", limit),
            figure(f"{name}_false_alarms_upper95", 100 * upper, "%"),
        ]
    return results + [
        figure(f"false_alarms_{problem.value}", kinds[problem.value], "") for problem in Problem
    ]


def _alarms(source: Source, spec: InputSpec, every: int, kinds: Counter[str]) -> tuple[int, int]:
    """Images of which anything was suspected, and all. Of a stream every so-manieth frame."""
    prepared, screen = _prepared(spec), ImageScreen(expected(spec))
    alarms = count = 0
    for number, image in enumerate(itertools.islice(source.images(), 0, None, every if source.stream else 1)):
        if not source.stream:
            screen = ImageScreen(expected(spec))
        found = screen.check(prepared(image), number * every / CAMERA_HZ)
        kinds.update(suspicion.problem.value for suspicion in found)
        alarms += bool(found)
        count += 1
    return alarms, count


# --- cost


def _cost(tabletop: ModelFolder, sources: Sequence[Source], frames: int) -> list[Result]:
    """As the encoder has it: the content ten times a second, between the parts of a frame's own work."""
    pipeline, source = AgentPipeline(tabletop), next(s for s in sources if s.name == "tabletop")
    screen = ImageScreen(expected(tabletop.input), ScreenConfig(content_s=0.1))
    took_s, encode_s = [], []
    images = list(itertools.islice(itertools.cycle(itertools.islice(source.images(), 60)), frames))
    for number, image in enumerate(images):
        height, width = image.shape[:2]
        began_s = time.perf_counter()
        prepared = pipeline.prepare(image, width, height, 3 * width, "rgb8")
        middle_s = time.perf_counter()
        screen.check(prepared, number / CAMERA_HZ)
        screened_s = time.perf_counter()
        features = pipeline.features(prepared, tabletop.default_split)
        pipeline.code(features, tabletop.split(tabletop.default_split).feature_bits)
        took_s.append(screened_s - middle_s)
        encode_s.append(time.perf_counter() - began_s)
    mean_s = math.fsum(took_s) / len(took_s)
    return [
        at_most("screen_share_of_frame_at_30hz", 100 * mean_s * CAMERA_HZ, "%", 1.0),
        figure("screen_p50", 1e6 * median(took_s), "us"),
        figure("screen_p99", 1e6 * percentile(took_s, 99), "us"),
        figure("encode_with_screen_p50", 1e3 * median(encode_s), "ms"),
    ]


# --- attacks


def _attacks(
    path: Path,
    spec: InputSpec,
    sources: Sequence[Source],
    levels: Sequence[int],
    most: int,
    tell: Callable[[int, int], None],
) -> list[Result]:
    """Photos and frames of two drives: attacked so that the classifier errs, then shown to the screen."""
    model, rng = Classifier(path, _MEAN), np.random.default_rng(0)
    cases = [*_photos(sources, spec, most), *_frames(sources, spec, most)]
    kinds = [(eps, False) for eps in levels] + [(max(levels), True)]
    tallies = {(stream, *kind): _Tally() for stream in (False, True) for kind in kinds}
    for number, (stream, pixels, screen) in enumerate(cases):
        own = int(model.classes(pixels)[0])
        for eps, knowing in kinds:
            where = flat_places(pixels) if knowing else None
            attacked = model.attacked(pixels, eps, rng, where)
            fooled = int(model.classes(attacked)[0]) != own
            # Each is shown to a screen that has seen the same.
            values = (attacked - np.array(_MEAN, np.float32).reshape(1, 3, 1, 1)).astype(np.float32)
            found = {entry.problem for entry in screen().check(values, 1e6)}
            tallies[stream, eps, knowing].add(fooled, Problem.ADVERSARIAL in found)
        tell(number + 1, len(cases))
    results = []
    for (stream, eps, knowing), tally in tallies.items():
        name = f"{'stream' if stream else 'photo'}_eps{eps}{'_knowing' if knowing else ''}"
        share = 100 * tally.found / tally.all
        results.append(figure(f"{name}_fooled", 100 * tally.fooled / tally.all, "%"))
        if not knowing and eps >= (2 if stream else 8):
            results.append(at_least(f"{name}_found", share, "%", 90.0))
        else:
            results.append(figure(f"{name}_found", share, "%"))
    return results


@dataclass
class _Tally:
    all: int = 0
    fooled: int = 0
    found: int = 0

    def add(self, fooled: bool, found: bool) -> None:
        self.all += 1
        self.fooled += fooled
        self.found += found


Case = tuple[bool, NDArray[np.float32], Callable[[], ImageScreen]]
"""Of a stream; pixels [1, 3, H, W] in the model's order, 0 to 255; a screen that has seen what was before."""


def _photos(sources: Sequence[Source], spec: InputSpec, most: int) -> Iterator[Case]:
    images = itertools.chain.from_iterable(s.images() for s in sources if s.name in ("coco28", "coral"))
    for image in itertools.islice(images, most):
        yield False, _pixels(_prepared(spec)(image)), lambda: ImageScreen(expected(spec))


def _frames(sources: Sequence[Source], spec: InputSpec, most: int) -> Iterator[Case]:
    """Frames from the second half of each drive, after `LEARN_FRAMES` of it that were not attacked."""
    drives = [source for source in sources if source.stream and source.name != "tabletop"]
    for source in drives:
        frames = [_prepared(spec)(image).copy() for image in itertools.islice(source.images(), 400)]
        learn = list(itertools.islice(itertools.cycle(frames[: len(frames) // 2]), LEARN_FRAMES))

        def learnt(learn: Sequence[NDArray[Any]] = learn) -> ImageScreen:
            screen = ImageScreen(expected(spec))
            for number, frame in enumerate(learn):
                screen.check(frame, number / CAMERA_HZ)
            return screen

        rest = frames[len(frames) // 2 :]
        step = max(1, len(rest) * len(drives) // most)
        for frame in rest[::step]:
            yield True, _pixels(frame), learnt


def _pixels(values: NDArray[Any]) -> NDArray[np.float32]:
    pixels = values + np.array(_MEAN, np.float32).reshape(1, 3, 1, 1)
    return np.asarray(np.clip(np.rint(pixels), 0, 255), np.float32)
