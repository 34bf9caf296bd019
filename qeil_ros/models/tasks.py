"""What a model's answer is and how its output tensors become one.

A task is a small frozen value from `model.yaml`; `task.reader(read)` gives the object that turns features
into answers. `read(file, sha256)` returns the text of a word list; a reader's `answers(forward, features)`
calls `forward` as often as the task needs: once to classify or embed, once a token to caption.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .detection import DetectTask
from .schema import ModelError, Section

ReadWords = Callable[[str, str], list[str]]
"""(file, sha256 or "") -> the lines of a word list of the model folder."""

Forward = Callable[[NDArray[Any], Mapping[str, NDArray[Any]]], NDArray[Any]]
"""(features [B, ...], further inputs by name, batch first) -> output [B, ...]."""

Choose = Callable[[NDArray[Any]], NDArray[np.int64]]
"""Logits [B, V] -> the token of each row [B]."""


@dataclass
class Answer:
    """The answer for one frame; what a task does not give stays empty (confidence: NaN)."""

    text: str = ""
    labels: list[str] = field(default_factory=list)
    """Best first."""
    scores: list[float] = field(default_factory=list)
    """One per label."""
    embedding: NDArray[Any] = field(default_factory=lambda: np.zeros(0, np.float32))
    confidence: float = math.nan
    """0 to 1."""
    boxes: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """One per label, or none: x_min, y_min, x_max, y_max in fractions of the image."""


class Reader(Protocol):
    def answers(self, forward: Forward, features: NDArray[Any]) -> list[Answer]:
        """One answer per row of `features` [B, ...]."""


@dataclass(frozen=True)
class CaptionTask:
    """Greedy decoding: `tokens` [B, T] int64 beside the features, `logits` [B, V] of the next token back.

    The part never sees more than `max_tokens` tokens, the begin token included.
    """

    kind: ClassVar[str] = "caption"
    extra_inputs: ClassVar[tuple[str, ...]] = ("tokens",)
    vocabulary: str
    begin: int
    end: int
    max_tokens: int
    sha256: str = ""

    @classmethod
    def parse(cls, section: Section) -> CaptionTask:
        return cls(
            vocabulary=section.file_name("vocabulary"),
            begin=section.integer("begin"),
            end=section.integer("end"),
            max_tokens=section.integer("max_tokens", 32, low=1, high=4096),
            sha256=section.sha256("sha256", ""),
        )

    def reader(self, read: ReadWords) -> Captioner:
        words = read(self.vocabulary, self.sha256)
        for key in ("begin", "end"):
            if getattr(self, key) >= len(words):
                raise ModelError(
                    f"task.{key}: {getattr(self, key)} is no line of {self.vocabulary} ({len(words)} lines)"
                )
        return Captioner(self, words)


@dataclass(frozen=True)
class ClassifyTask:
    """The best `top_k` classes by score: (output - zero_point) * scale, through `activation`."""

    kind: ClassVar[str] = "classify"
    extra_inputs: ClassVar[tuple[str, ...]] = ()
    labels: str
    top_k: int = 5
    activation: str = "softmax"
    scale: float = 1.0
    zero_point: int = 0
    sha256: str = ""

    @classmethod
    def parse(cls, section: Section) -> ClassifyTask:
        return cls(
            labels=section.file_name("labels"),
            top_k=section.integer("top_k", 5, low=1, high=1000),
            activation=section.text("activation", "softmax", choices=("softmax", "none")),
            scale=section.number("scale", 1.0),
            zero_point=section.integer("zero_point", 0, low=-(2**31)),
            sha256=section.sha256("sha256", ""),
        )

    def reader(self, read: ReadWords) -> Classifier:
        return Classifier(self, read(self.labels, self.sha256))


@dataclass(frozen=True)
class EmbedTask:
    """The output itself, flattened to a vector."""

    kind: ClassVar[str] = "embed"
    extra_inputs: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, section: Section) -> EmbedTask:
        return cls()

    def reader(self, read: ReadWords) -> Embedder:
        return Embedder()


@dataclass(frozen=True)
class GenerateTask:
    """Text by the server part's language model: transformers' `generate`, or an engine that does the same.

    `options` are generate's own (max_new_tokens, num_beams, repetition_penalty, ...) and go over those of the
    server part's generation_config.json. `prompt` comes before the answer and is not part of it. With
    `frames` above 1 the model answers for that many frames together, the newest last, taken at least
    `interval_s` apart.
    """

    kind: ClassVar[str] = "generate"
    extra_inputs: ClassVar[tuple[str, ...]] = ()
    prompt: str = ""
    frames: int = 1
    interval_s: float = 0.0
    dtype: str = "auto"
    """What the server part computes in; auto: float32 on a CPU, bfloat16 or else float16 on a GPU."""
    options: dict[str, bool | int | float | str] = field(default_factory=dict)

    @classmethod
    def parse(cls, section: Section) -> GenerateTask:
        options = section.section("options") if "options" in section else Section({}, section.where)
        section.value("options", None)
        return cls(
            prompt=section.text("prompt", ""),
            frames=section.integer("frames", 1, low=1, high=64),
            interval_s=section.number("interval_s", 0.0),
            dtype=section.text("dtype", "auto", choices=GENERATE_DTYPES),
            options={str(name): options.scalar(name) for name in options.keys()},  # noqa: SIM118 not a dict
        )

    def reader(self, read: ReadWords) -> Reader:
        """Raises ModelError: what a graph gives cannot be read as this task."""
        raise ModelError("the task 'generate' is for a server part that transformers runs, not for a graph")


GENERATE_DTYPES = ("auto", "float32", "float16", "bfloat16")

Task = CaptionTask | ClassifyTask | DetectTask | EmbedTask | GenerateTask


@runtime_checkable
class SampleReader(Protocol):
    """A reader whose answers are built of tokens, which may be drawn."""

    def samples(self, forward: Forward, features: NDArray[Any], choose: Choose) -> list[Answer]:
        """As `answers`, with tokens that `choose` draws."""


class Captioner:
    def __init__(self, task: CaptionTask, words: list[str]) -> None:
        self._task, self._words = task, words

    def answers(self, forward: Forward, features: NDArray[Any]) -> list[Answer]:
        """Captions by greedy search, all rows together; a row that has ended takes no part in later steps.

        The confidence is the mean of the chosen tokens' probabilities, the end token's included.
        """
        return self._search(forward, features, lambda logits: np.asarray(logits.argmax(axis=1), np.int64))

    def samples(self, forward: Forward, features: NDArray[Any], choose: Choose) -> list[Answer]:
        """The same with tokens that `choose` draws; the confidence is still the model's at temperature 1."""
        return self._search(forward, features, choose)

    def _search(self, forward: Forward, features: NDArray[Any], choose: Choose) -> list[Answer]:
        task = self._task
        count = len(features)
        captions: list[list[str]] = [[] for _ in range(count)]
        chances: list[list[float]] = [[] for _ in range(count)]
        rows = np.arange(count)
        tokens = np.full((count, 1), task.begin, np.int64)
        for _ in range(task.max_tokens):
            logits = forward(features, {"tokens": tokens})
            if logits.ndim != 2 or logits.shape != (len(rows), len(self._words)):
                raise ModelError(
                    f"the captioning part gave logits {logits.shape}, want {(len(rows), len(self._words))}: "
                    f"one per line of {task.vocabulary}"
                )
            chosen = choose(logits)
            chance = np.take_along_axis(softmax(logits), chosen[:, None], axis=1)[:, 0]
            going = chosen != task.end
            for row, token, p in zip(rows, chosen, chance, strict=True):
                chances[row].append(float(p))
                if token != task.end:
                    captions[row].append(self._words[token])
            if not going.any():
                break
            tokens = np.concatenate([tokens, chosen[:, None]], axis=1)
            if not going.all():
                features, tokens, rows = features[going], tokens[going], rows[going]
        return [
            Answer(text=" ".join(caption), confidence=_unit(float(np.mean(chance))))
            for caption, chance in zip(captions, chances, strict=True)
        ]


class Classifier:
    def __init__(self, task: ClassifyTask, labels: list[str]) -> None:
        self._task, self._labels = task, labels

    def answers(self, forward: Forward, features: NDArray[Any]) -> list[Answer]:
        """Labels best first, equals in the list's order; confidence: the best score, if from 0 to 1."""
        task = self._task
        output = forward(features, {})
        output = output.reshape(len(features), -1)
        if output.shape[1] != len(self._labels):
            raise ModelError(
                f"the part gave {output.shape[1]} scores, {task.labels} has {len(self._labels)} lines"
            )
        scores = (output.astype(np.float32) - np.float32(task.zero_point)) * np.float32(task.scale)
        if task.activation == "softmax":
            scores = softmax(scores)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : task.top_k]
        return [
            Answer(
                labels=[self._labels[index] for index in order],
                scores=[float(score) for score in row[order]],
                confidence=_unit(float(row[order[0]])),
            )
            for row, order in zip(scores, best, strict=True)
        ]


class Embedder:
    def answers(self, forward: Forward, features: NDArray[Any]) -> list[Answer]:
        output = forward(features, {})
        rows = output.reshape(len(features), -1).astype(np.float32)
        return [Answer(embedding=row) for row in rows]


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Along the last axis, in float32 or better; rows that hold only -inf or a NaN become NaN."""
    shifted: NDArray[Any] = logits.astype(np.promote_types(logits.dtype, np.float32))
    with np.errstate(invalid="ignore"):
        shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
        shifted /= shifted.sum(axis=-1, keepdims=True)
    return shifted


def _unit(value: float) -> float:
    """The value where it can be a probability, else NaN."""
    if -1e-6 <= value <= 1 + 1e-6:
        return min(max(value, 0.0), 1.0)
    return math.nan
