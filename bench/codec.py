"""The codec against its targets: kernels, bytes of real features, score against bytes, moving recordings."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from qeil_ros.models.basis import Statistics
from qeil_ros.models.datasets import Dataset, Example, open_dataset, tabletop_scenes
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.image_baseline import shrunk
from qeil_ros.models.schema import ModelError

from . import codec_hostile, codec_plot, codec_size, codec_temporal
from .codec_curve import Line, best, join, picture_lines, saving, stream_line
from .codec_cut import Cut, halves, training_scenes, views, with_basis, without_basis
from .data import data_dir
from .harness import Report, Result, against, at_least, figure, input_file
from .model_zoo import ENTRIES
from .progress import stage
from .ros import BenchError

DESCRIPTION = "kernels, bytes of real features, task score against bytes, differences between frames"

KERNELS = ("preparation", "quantization", "entropy")
"""The benchmarks of the kernels, whose figures are part of this one."""
WANTED = 0.91
"""The score at which bytes are compared: exact match, or agreement with the uncoded model."""
OF_JPEG_FILE, OF_JPEG_SCAN = 0.5, 1.0
SAVED = 0.4
PHOTO_MODELS = ("mobilenet_v1", "mobilenet_v2", "squeezenet")
WIDTHS = (4, 8)
"""Of the tensors whose sizes are compared."""


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        fineness: of entropy-coded streams: the step is that of so many bits over +-4 standard deviations.
        basis_fineness: the same in a basis.
        qualities, photo_qualities: of compressed pictures.
        frames: of the recordings; widths: bits of the steps that differences are tried in.
        hostile: inputs for each target of the fuzzer.
    """

    scenes: int
    training_scenes: int
    packed: tuple[int, ...]
    fineness: tuple[float, ...]
    basis_fineness: tuple[float, ...]
    kept: tuple[int, ...]
    qualities: tuple[int, ...]
    photos: int | None
    photo_models: tuple[str, ...]
    photo_fineness: tuple[float, ...]
    photo_qualities: tuple[int, ...]
    sized: int
    rounds: int
    frames: int
    widths: tuple[float, ...]
    hostile: int

    @classmethod
    def of(cls, quick: bool) -> Effort:
        if quick:
            return cls(
                scenes=50,
                training_scenes=150,
                packed=(1, 2),
                fineness=(2, 2.5),
                basis_fineness=(1, 1.5, 2.25),
                kept=(),
                qualities=(15, 30, 60),
                photos=6,
                photo_models=("squeezenet",),
                photo_fineness=(2, 4),
                photo_qualities=(10, 50),
                sized=2,
                rounds=6,
                frames=8,
                widths=(3.5,),
                hostile=1500,
            )
        return cls(
            scenes=1000,
            training_scenes=2000,
            packed=(1, 2, 3, 4),
            fineness=(1.5, 2, 2.25, 2.5, 2.75, 3, 4),
            basis_fineness=(0.5, 1, 1.25, 1.5, 1.75, 2, 2.5, 3),
            kept=(12, 8, 5),
            qualities=(5, 10, 15, 20, 25, 30, 40, 60),
            photos=None,
            photo_models=PHOTO_MODELS,
            photo_fineness=(1, 1.5, 2, 2.5, 3, 4, 5),
            photo_qualities=(5, 10, 20, 40, 60, 80, 90, 97),
            sized=8,
            rounds=64,
            frames=100,
            widths=(2, 2.5, 3, 3.25, 3.5, 3.75, 4),
            hostile=100_000,
        )


@dataclass(frozen=True)
class CodecReport(Report):
    """The results, and what they were taken from.

    Attributes:
        curves: for each cut the lines of score against bytes, ours (`streams`) and `pictures`.
        sizes: for each cut and width every way to send the features, with bytes and times.
        sequences: for each recording and cut the bytes of differences beside those of frames.
    """

    curves: Sequence[Mapping[str, Any]] = field(default_factory=list)
    sizes: Sequence[Mapping[str, Any]] = field(default_factory=list)
    sequences: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            **super().to_json(),
            "curves": list(self.curves),
            "sizes": list(self.sizes),
            "sequences": list(self.sequences),
        }


def draw(report: CodecReport, file: Path) -> None:
    """The curves of a run as a picture."""
    codec_plot.draw(report.curves, file)


def run(quick: bool) -> CodecReport:
    bench = _Bench(Effort.of(quick))
    results: list[Result] = []
    for name in KERNELS:
        with stage(name):
            results += importlib.import_module(f"{__package__}.{name}").results(quick)
    with TemporaryDirectory(prefix="qeil-bench-") as scratch:
        results += bench.tabletop(Path(scratch))
        try:
            data = data_dir()
        except BenchError as error:
            bench.skip(f"photos, the car's recording and the video: {error}")
            missing = ("donkeycar", "video")
            results += [at_least(f"inter_{name}_saved", float("nan"), "", SAVED) for name in missing]
        else:
            results += bench.photos(data, Path(scratch))
    with stage("hostile input"):
        results += codec_hostile.results(bench.effort.hostile)
    config = {"quick": quick, "wanted": WANTED, "skipped": bench.skipped, **dataclasses.asdict(bench.effort)}
    results.sort(key=lambda result: result.target is None)  # what has a target comes first
    return CodecReport("codec", config, bench.inputs, results, bench.curves, bench.sizes, bench.sequences)


class _Bench:
    """One run, and what it has gathered so far."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.curves: list[dict[str, Any]] = []
        self.sizes: list[dict[str, Any]] = []
        self.sequences: list[dict[str, Any]] = []
        self.inputs: list[dict[str, str]] = []
        self.skipped: list[str] = []

    def skip(self, what: str) -> None:
        self.skipped.append(what)
        print(f"left out: {what}", file=sys.stderr)

    # --- the default model on its scenes

    def tabletop(self, scratch: Path) -> Iterator[Result]:
        effort, shipped = self.effort, ModelFolder.load("tabletop")
        split = shipped.default_split
        self._took(shipped)
        folder, rotated = without_basis(shipped, split), shipped
        if shipped.split(split).basis is None:
            with stage(f"basis of tabletop, {effort.training_scenes} training scenes") as tell:
                learned = training_scenes(effort.training_scenes)
                rotated = with_basis(folder, split, learned, scratch / "tabletop", tell)
        with stage(f"features of {effort.scenes} frozen scenes"):
            cut = Cut.of(folder, split, list(tabletop_scenes(effort.scenes)))
        turned = dataclasses.replace(cut, folder=rotated)
        with stage("tabletop: score against bytes, streams") as tell:
            streams = list(_told(self._tabletop_streams(cut, turned), tell))
        with stage("tabletop: score against bytes, pictures"):
            jpeg = ["jpeg 4:2:0", "jpeg 4:2:0 optimized", "jpeg 4:2:0 progressive", "jpeg 4:4:4 optimized"]
            pictures = list(picture_lines(cut, [*jpeg, "webp"], effort.qualities))
            if len(effort.qualities) > 4:
                pictures += picture_lines(cut, ["jpeg 4:2:0 optimized", "webp"], effort.qualities[4:], 0.75)
        yield from self._curve("tabletop", "exact match", streams, pictures, OF_JPEG_FILE, OF_JPEG_SCAN)
        with stage("tabletop: sizes and times"):
            yield from self._sizes("tabletop", cut, turned)
        for dataset in (
            open_dataset(folder.path / "recording", limit=effort.frames),
            codec_temporal.sliding(effort.frames),
        ):
            with stage(f"tabletop: {len(dataset)} frames of {dataset.name}"):
                moving = Cut.of(folder, split, list(dataset))
                yield self._sequence(f"inter_tabletop_{dataset.name}", [moving, turned_as(moving, rotated)])

    def _tabletop_streams(self, cut: Cut, turned: Cut) -> Iterator[Line]:
        effort = self.effort
        yield stream_line(cut, "packed", [{"bits": bits} for bits in effort.packed])
        yield stream_line(cut, "rans", _steps(cut, effort.fineness))
        yield stream_line(turned, "rans, basis", _steps(turned, effort.basis_fineness))
        if effort.kept:
            coarse = [fineness - 0.5 for fineness in effort.basis_fineness[1:6]]
            yield stream_line(turned, "rans, basis, nearest level", _steps(turned, coarse, rdo=0.0))
            yield stream_line(turned, "packed, basis", [{"bits": bits} for bits in effort.packed[:2]])
            sizes = [{"coder": "rans", "bits": 5, "max_bytes": size} for size in (65, 80, 95, 110)]
            yield stream_line(turned, "rans, basis, at most so many bytes", sizes)
        for kept in effort.kept:
            options = _steps(turned, effort.basis_fineness[1:6], keep=kept)
            yield stream_line(turned, f"rans, basis, {kept} of {len(cut.features[0])} tokens", options)

    # --- published models on photos and recordings

    def photos(self, data: Path, scratch: Path) -> Iterator[Result]:
        effort = self.effort
        photos = [*open_dataset(data / "images/coco28"), *open_dataset(data / "images/coral", named=True)]
        photos = [dataclasses.replace(photo, captions=()) for photo in photos[: effort.photos]]
        recordings = {
            "donkeycar": open_dataset(data / "bags/donkeycar_mcap", limit=effort.frames),
            "video": codec_temporal.video(data / "video/carnd_test_video.mp4", effort.frames),
        }
        self.inputs.append(input_file(data / "video/carnd_test_video.mp4"))
        self.inputs += [input_file(file) for file in sorted((data / "bags/donkeycar_mcap").glob("*.mcap"))]
        for name in ("coco28", "coral"):
            files = sorted((data / "images" / name).iterdir())
            self.inputs += [input_file(file, f"{name}/{file.name}") for file in files]
        for entry in ENTRIES:
            if entry.name in effort.photo_models:
                folder = entry.make(data, scratch / entry.name)
                self._took(folder)
                yield from self._model(folder, photos, recordings, scratch)

    def _model(
        self, folder: ModelFolder, photos: list[Example], recordings: Mapping[str, Dataset], scratch: Path
    ) -> Iterator[Result]:
        pictures: list[Line] = []
        for split in folder.splits:
            name = f"{folder.name}_{split}"
            with stage(f"{name}: score against bytes of {len(photos)} photos"):
                cut = Cut.of(folder, split, photos)
                bases = self._bases(cut, scratch / name)
                streams = list(self._photo_streams(cut, bases))
                if not pictures:  # the whole model is the same at every cut
                    pictures = list(self._photo_pictures(cut))
            yield from self._curve(name, "agreement with the uncoded model", streams, pictures)
            with stage(f"{name}: sizes and times"):
                first = cut.part(halves(len(photos))[1])
                yield from self._sizes(name, first, turned_as(first, bases[1]) if bases else None)
            for recording, dataset in recordings.items():
                with stage(f"{name}: {len(dataset)} frames of {recording}"):
                    moving = Cut.of(folder, split, list(dataset))
                    tried = [moving, turned_as(moving, bases[0])] if bases else [moving]
                    yield self._sequence(f"inter_{name}_{recording}", tried)

    def _bases(self, cut: Cut, scratch: Path) -> list[ModelFolder]:
        """For the even photos a basis learned from the odd ones, and the other way round; none where there
        are too few to learn one."""
        halved = halves(len(cut.pictures))
        axis = cut.folder.split(cut.name).channel_axis
        learned = [views([cut.pictures[row] for row in half]) for half in halved]
        try:
            if len(learned[1]) < Statistics(cut.features.shape[1:], axis).enough:
                return []
        except ModelError:  # features without positions
            return []
        return [
            with_basis(cut.folder, cut.name, learned[1 - which], scratch.with_name(f"{scratch.name}_{which}"))
            for which in (0, 1)
        ]

    def _photo_streams(self, cut: Cut, bases: Sequence[ModelFolder]) -> Iterator[Line]:
        fineness = self.effort.photo_fineness
        yield stream_line(cut, "packed", [{"bits": bits} for bits in (1, 2, 3, 4, 6, 8)])
        yield stream_line(cut, "rans", [*_steps(cut, fineness), {"bits": 8, "coder": "rans"}])
        if bases:
            parts = [
                turned_as(cut.part(rows), basis)
                for rows, basis in zip(halves(len(cut.pictures)), bases, strict=True)
            ]
            yield join([stream_line(part, "rans, basis", _steps(parts[0], fineness)) for part in parts])

    def _photo_pictures(self, cut: Cut) -> Iterator[Line]:
        qualities = self.effort.photo_qualities
        yield from picture_lines(cut, ["jpeg 4:2:0", "jpeg 4:2:0 progressive", "webp"], qualities)
        yield from picture_lines(cut, ["jpeg 4:2:0 progressive", "webp"], qualities, 0.5)

    # --- what all of them have

    def _took(self, folder: ModelFolder) -> None:
        parts = {split.part(role) for split in folder.splits.values() for role in ("agent", "server")}
        files = sorted({part.file for part in parts if part is not None})
        self.inputs += [input_file(folder.path / file, f"{folder.name}/{file}") for file in files]

    def _curve(
        self,
        name: str,
        score: str,
        streams: Sequence[Line],
        pictures: Sequence[Line],
        of_file: float | None = None,
        of_scan: float | None = None,
    ) -> Iterator[Result]:
        """At the wanted score our best line beside the best of each kind of picture."""
        self.curves.append(
            {
                "name": name,
                "score": score,
                "wanted": WANTED,
                "streams": [line.to_json(WANTED) for line in streams],
                "pictures": [line.to_json(WANTED) for line in pictures],
            }
        )
        ours = best(streams, WANTED)
        jpeg = [line for line in pictures if "jpeg" in line.name]
        rivals = {
            "jpeg": ([line for line in jpeg if "," not in line.name], of_file),
            "jpeg_scan": ([line for line in jpeg if line.name.endswith("scan")], of_scan),
            "webp": ([line for line in pictures if "webp" in line.name], None),
        }
        for kind, (lines, limit) in rivals.items():
            theirs = best(lines, WANTED)
            found = saving(ours, theirs, WANTED)
            yield against(
                f"{name}_beside_{kind}", found.ours, "bytes", theirs.name, found.theirs, found.ratio, limit
            )
            yield figure(f"{name}_beside_{kind}_ratio_standard_error", found.error, "")

    def _sizes(self, name: str, cut: Cut, turned: Cut | None) -> Iterator[Result]:
        inputs = list(cut.features[: self.effort.sized])
        shown = [shrunk(e.pixels, cut.folder.input, 1.0) for e in cut.pictures[: self.effort.sized]]
        pictures = codec_size.measure(codec_size.picture_ways(), shown, max(4, self.effort.rounds // 8))
        axis = cut.folder.split(cut.name).channel_axis
        for bits in WIDTHS:
            ways = codec_size.tensor_ways(bits, axis, inputs)
            if turned is not None and (bits < 8 or cut.features.dtype.kind == "f"):
                step = float(np.mean([codec_size.quantized(x, bits)[0] for x in inputs]))
                ways.append(codec_size.basis_way(turned, step))
            measured = codec_size.measure(ways, inputs, self.effort.rounds)
            ways_json = [way.to_json() for way in (*measured, *pictures)]
            self.sizes.append({"name": name, "bits": bits, "ways": ways_json})
            yield from codec_size.rows(f"{name}_{bits}bit", measured)

    def _sequence(self, name: str, cuts: Sequence[Cut]) -> Result:
        """What differences save, where frames by themselves just keep the score at the fewest bytes."""
        tried = []
        for cut in cuts:
            spelt = name if cut.folder.split(cut.name).basis is None else f"{name}, basis"
            tried += [codec_temporal.compare(spelt, cut, bits) for bits in self.effort.widths]
        self.sequences += [one.to_json() for one in tried]
        return at_least(f"{name}_saved", codec_temporal.operating_point(tried, WANTED).saved, "", SAVED)


def turned_as(cut: Cut, folder: ModelFolder) -> Cut:
    """The same features, coded in the basis that `folder` has."""
    return dataclasses.replace(cut, folder=folder)


def _steps(cut: Cut, fineness: Sequence[float], **options: Any) -> list[dict[str, Any]]:
    deviation = cut.deviation
    return [{"coder": "rans", "step": 8 * deviation / 2**bits, **options} for bits in fineness]


def _told(lines: Iterator[Line], tell: Any) -> Iterator[Line]:
    for done, line in enumerate(lines, 1):
        tell(done, 8)
        yield line
