"""What each cut and each bit costs: a model's scores, bytes and times at every asked operating point.

A table's rows are made on the code that the robot and the server run. The first row of a cut is its
reference: the agent part as it is stored, the features uncoded. The local part, where there is one, stands
beside it: what the robot would answer alone, and at what cost.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .datasets import Dataset, Example
from .features import FeatureReader, FeatureWriter, distortion
from .folder import ModelFolder
from .judge import MAIN_SCORES, Judge, for_scoring
from .parts import AgentPart
from .preprocess import Preprocessor
from .schema import ModelError
from .scores import Score
from .tasks import Answer

__all__ = ["Progress", "Row", "Table", "evaluate", "main_score", "prepared"]

AS_STORED = 0
"""The weight width that is the agent part as its file has it."""
AS_SENT: tuple[Mapping[str, Any], ...] = ({"coder": "rans"},)
"""How the encoder node codes features where nobody says otherwise."""
UNCODED = 0
"""The feature width that is the features as the agent part gives them."""

_CHUNK_BYTES = 64 << 20
_TIMED_FRAMES = 8
_SWITCH_S = 120.0

Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, what is being done)"""


@dataclass(frozen=True)
class Row:
    """One operating point of one cut. Times are medians a frame [ms], NaN where there was nothing to do."""

    split: str
    source: str
    """`offboard` or `local`: which part answered."""
    weight_bits: int
    """Of the agent part; 0: as stored."""
    feature_bits: int
    """0: uncoded."""
    coding: Mapping[str, Any]
    scores: Mapping[str, Score]
    bytes_mean: float
    bytes_p99: float
    distortion: float
    """What coding did to the features: mean |x - x^| / mean |x|, the mean over the frames."""
    agent_ms: float
    encode_ms: float
    decode_ms: float
    answer_ms: float
    """One frame by itself through the answering part."""

    @property
    def score(self) -> Score:
        """The score to look at first."""
        return self.scores[main_score(self.scores)]

    def to_json(self) -> dict[str, Any]:
        record = dataclasses.asdict(self)
        return {key: _finite(value) for key, value in record.items()}


@dataclass(frozen=True)
class Table:
    """Every operating point of a model on some data."""

    model: str
    digest: str
    dataset: str
    frames: int
    inputs_sha256: str
    """Over the pixels and the truth of every frame, in order."""
    threads: int
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    """What was asked for and could not be done, and why."""

    def to_json(self) -> dict[str, Any]:
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**record, "rows": [row.to_json() for row in self.rows]}


def main_score(found: Mapping[str, Score]) -> str:
    """The name of the score to look at first."""
    return next(name for name in MAIN_SCORES if name in found)


def evaluate(
    folder: ModelFolder,
    dataset: Dataset,
    *,
    splits: Sequence[str] = (),
    weight_bits: Sequence[int] = (AS_STORED,),
    feature_bits: Sequence[int] = (8,),
    codings: Sequence[Mapping[str, Any]] = AS_SENT,
    against: ModelFolder | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Table:
    """Runs the model over the data at every combination of cut, weight width, feature width and coding.

    Args:
        splits: cuts by name; none: the default one.
        weight_bits: widths of the agent part, 1 to 8, or 0 for the part as it is stored.
        feature_bits: widths of the features, 1 to 8, or 0 for features that are not coded.
        codings: further arguments of `qeil_ros.codec.encode`, each a way of coding to try; by default that of
            the encoder node.
        against: the model whose answers agreement is with, of the same cuts and input; None: this one, its
            agent part as stored.
        threads: of every part.

    Raises:
        ModelError: a part cannot be loaded.
        DatasetError: a picture cannot be read.
        ValueError, TypeError: there is no picture, or features cannot be coded in a way that was asked for.
    """
    if not len(dataset):
        raise ValueError(f"{dataset.name} holds no picture")
    names = [folder.split(name).name for name in splits or [folder.default_split]]
    points = [(bits, coding) for bits in feature_bits for coding in (codings if bits != UNCODED else [{}])]
    run = _Run(folder, dataset, against, threads, progress)
    coded = sum(bits != UNCODED for bits, _ in points)
    whole = len({AS_STORED, *weight_bits}) + (against is not None)
    run.steps = len(dataset) * len(names) * (whole + coded * len({*weight_bits}))
    rows: list[Row] = []
    for name in names:
        rows += run.split(name, weight_bits, points)
    return Table(
        folder.name,
        folder.digest,
        dataset.name,
        len(dataset),
        run.inputs.hexdigest(),
        threads,
        rows,
        run.notes,
    )


@dataclass
class _Point:
    """One way of coding, and what came of it so far."""

    bits: int
    coding: Mapping[str, Any]
    weight_bits: int = AS_STORED
    answers: list[Answer] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    distortions: list[float] = field(default_factory=list)
    encode_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)


class _Run:
    """One evaluation: the data, the scores' truth, and what is told on the way."""

    def __init__(
        self,
        folder: ModelFolder,
        dataset: Dataset,
        against: ModelFolder | None,
        threads: int,
        progress: Progress | None,
    ) -> None:
        self._folder, self._dataset, self._against = for_scoring(folder), dataset, against
        self._threads, self._progress = threads, progress
        self._judge = Judge(folder, dataset)
        self._prepare = Preprocessor(folder.input)
        self._seen = False
        self.inputs = hashlib.sha256()
        self.notes: list[str] = []
        self.steps, self._done = 0, 0

    def split(
        self, name: str, weight_bits: Sequence[int], wanted: list[tuple[int, Mapping[str, Any]]]
    ) -> list[Row]:
        """The rows of one cut: the reference, the local part's, and every point asked for."""
        agent = self._folder.agent(name, threads=self._threads)
        server = self._folder.server(name, threads=self._threads)
        local = self._folder.local(name, threads=self._threads) if self._folder.has("local", name) else None
        rows: list[Row] = []
        reference = self._answers_of(for_scoring(self._against), name) if self._against else []
        answer_ms = local_ms = math.nan
        for width in dict.fromkeys([AS_STORED, *weight_bits]):
            if width != AS_STORED and (problem := _set_width(agent, width)):
                self.notes.append(f"split {name!r}: {problem}")
                self._tell(len(self._dataset) * (1 + sum(bits != UNCODED for bits, _ in wanted)), name)
                continue
            exact = _Point(UNCODED, {}, width)
            coded = [_Point(bits, coding, width) for bits, coding in wanted if bits != UNCODED]
            if width not in weight_bits:  # run for the reference only
                coded = []
            alone = _Point(UNCODED, {}, width)
            agent_s: list[float] = []
            for features, took in self._features(agent, name):
                agent_s += took
                if math.isnan(answer_ms):
                    answer_ms = _one_by_one_ms(server.run, features)
                    local_ms = _one_by_one_ms(local.run, features) if local else math.nan
                exact.answers += server.run(features)
                exact.sizes += [features[0].nbytes] * len(features)
                if local is not None:
                    alone.answers += local.run(features)
                for point in coded:
                    point.answers += server.run(self._through_the_codec(features, point, name))
                    self._tell(len(features), name)
            reference = reference or exact.answers
            points = [exact, *coded] if width == AS_STORED or UNCODED in [b for b, _ in wanted] else coded
            median_agent_ms = _median_ms(agent_s)
            rows += [self._row(name, "offboard", p, reference, median_agent_ms, answer_ms) for p in points]
            if local is not None:
                rows.append(self._row(name, "local", alone, reference, median_agent_ms, local_ms))
        return rows

    def _answers_of(self, folder: ModelFolder, name: str) -> list[Answer]:
        """What a model says of each frame, its features not coded."""
        agent, server = (
            folder.agent(name, threads=self._threads),
            folder.server(name, threads=self._threads),
        )
        return [answer for features, _ in self._features(agent, name) for answer in server.run(features)]

    def _features(self, agent: AgentPart, split: str) -> Iterator[tuple[NDArray[Any], list[float]]]:
        """Features [B, ...] of the frames, some at a time, and the seconds that each took."""
        shape = self._folder.split(split).shape
        dtype = np.dtype(self._folder.split(split).dtype)
        size = max(1, min(64, _CHUNK_BYTES // max(1, math.prod(shape) * dtype.itemsize)))
        examples = iter(self._dataset)
        while chunk := list(itertools.islice(examples, size)):
            features = np.empty((len(chunk), *shape), dtype)
            took = []
            for row, example in zip(features, chunk, strict=True):
                self._see(example)
                image = prepared(self._prepare, example.pixels)
                start_s = time.perf_counter()
                row[...] = agent.run(image)[0]
                took.append(time.perf_counter() - start_s)
            self._tell(len(chunk), split)
            yield features, took
        self._seen = True

    def _see(self, example: Example) -> None:
        if not self._seen:
            self._judge.see(example)
            truth = (
                example.pixels.shape,
                example.captions,
                example.labels,
                None if example.boxes is None else example.boxes.corners.tolist(),
            )
            self.inputs.update(repr(truth).encode())
            self.inputs.update(np.ascontiguousarray(example.pixels).data)

    def _through_the_codec(self, features: NDArray[Any], point: _Point, split: str) -> NDArray[Any]:
        writer, reader = FeatureWriter(self._folder, split), FeatureReader(self._folder, split)
        received = np.empty_like(features)
        for row, out in zip(features, received, strict=True):
            start_s = time.perf_counter()
            stream = writer.encode(row, bits=point.bits, **point.coding)
            coded_s = time.perf_counter()
            out[...] = reader.decode(stream)
            end_s = time.perf_counter()
            point.encode_s.append(coded_s - start_s)
            point.decode_s.append(end_s - coded_s)
            point.sizes.append(len(stream))
            point.distortions.append(distortion(row, out))
        return received

    def _row(
        self,
        split: str,
        source: str,
        point: _Point,
        reference: list[Answer],
        agent_ms: float,
        answer_ms: float,
    ) -> Row:
        sizes = point.sizes or [0]
        return Row(
            split=split,
            source=source,
            weight_bits=point.weight_bits,
            feature_bits=point.bits,
            coding=dict(point.coding),
            scores=self._judge.scores(point.answers, reference),
            bytes_mean=float(np.mean(sizes)),
            bytes_p99=float(np.percentile(sizes, 99, method="inverted_cdf")),
            distortion=float(np.mean(point.distortions)) if point.distortions else 0.0,
            agent_ms=agent_ms,
            encode_ms=_median_ms(point.encode_s),
            decode_ms=_median_ms(point.decode_s),
            answer_ms=answer_ms,
        )

    def _tell(self, frames: int, split: str) -> None:
        self._done += frames
        if self._progress is not None:
            self._progress(self._done, self.steps, split)


def prepared(preprocessor: Preprocessor, pixels: NDArray[np.uint8]) -> NDArray[Any]:
    """The model's input [1, ...] of a picture, RGB [height, width, 3]; valid until the next call."""
    height, width = pixels.shape[:2]
    return preprocessor(np.ascontiguousarray(pixels), width, height, 3 * width, "rgb8")


@runtime_checkable
class _Widths(Protocol):
    """An agent part that holds its weights at several widths."""

    bits: int

    def set_bits(self, bits: int) -> None: ...


def _set_width(agent: AgentPart, bits: int) -> str:
    """Has the agent part run with weights of that many bits; else says why it cannot."""
    if not isinstance(agent, _Widths):
        return f"weights of {bits} bits: this agent part has only the width that is stored"
    try:
        agent.set_bits(bits)
    except (ModelError, ValueError) as error:
        return f"weights of {bits} bits: {error}"
    deadline_s = time.monotonic() + _SWITCH_S
    while agent.bits != bits:
        if time.monotonic() > deadline_s:
            raise ModelError(f"the agent part did not change to {bits} bits within {_SWITCH_S:g} s")
        time.sleep(0.01)
    return ""


def _one_by_one_ms(run: Callable[[NDArray[Any]], Any], features: NDArray[Any]) -> float:
    times = []
    for row in features[:_TIMED_FRAMES]:
        start_s = time.perf_counter()
        run(row[None])
        times.append(time.perf_counter() - start_s)
    return _median_ms(times)


def _median_ms(times_s: Iterable[float]) -> float:
    times = list(times_s)
    return 1e3 * float(np.median(times)) if times else math.nan


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
