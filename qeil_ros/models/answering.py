"""The server part and the local part on onnxruntime: features in, an answer a row out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .folder import ModelFolder, Split
from .parts import check_tensor
from .runtime import Runtime, zeros
from .sampling import Sampling, draw_tokens
from .schema import ModelError
from .tasks import Answer, SampleReader

__all__ = ["Answering", "AnsweringPart", "read_words"]

_MAX_WORDS_BYTES = 64 << 20


class Answering(Protocol):
    """What answers for one cut, whatever runs it."""

    device: str
    """What runs it, for people."""

    def run(self, features: NDArray[Any]) -> list[Answer]:
        """One answer per row of `features` [B, *split.shape] of the split's dtype.

        Raises:
            ValueError: the features have another shape or dtype.
        """
        ...

    @property
    def can_sample(self) -> bool:
        """Whether its answers are built of tokens, which may be drawn."""
        ...

    def sample(self, features: NDArray[Any], sampling: Sampling) -> list[Answer]:
        """One drawn answer per row of `features`; rows with the same features draw apart.

        Raises:
            ValueError: the features have another shape or dtype.
            ModelError: its answers cannot be drawn.
        """
        ...


class AnsweringPart:
    """The server part or the local part: features in, one answer a row out. Raises ModelError.

    `max_batch` is how many rows one run of the graph takes; None: any number. `run` takes any number all the
    same.
    """

    def __init__(
        self, folder: ModelFolder, split: Split, role: str, *, threads: int = 1, device: str = "cpu"
    ) -> None:
        self.split, self.role = split, role
        part = split.part(role)
        self._runtime = Runtime(folder.part_path(split, role), threads=threads, device=device)
        assert part is not None  # part_path has refused that
        self.device = self._runtime.device
        task = part.task or folder.task
        extra = task.extra_inputs
        self._features = self._runtime.input(part.input or ("features" if extra else ""))
        self._output = self._runtime.output(part.output)
        for name in extra:
            self._runtime.input(name)
        known = {self._features.name, *extra}
        if unknown := [info.name for info in self._runtime.inputs if info.name not in known]:
            raise ModelError(
                f"{self._runtime.path}: has an input {unknown[0]!r} that the task {task.kind!r} does not feed"
            )
        self.max_batch = self._features.shape[0] if self._features.shape else None
        check_tensor(
            self._runtime,
            self._features,
            (self.max_batch or 1, *split.shape),
            split.dtype,
            f"split {split.name!r}",
        )
        self._reader = task.reader(lambda file, sha256: read_words(folder, file, sha256))
        self.run(
            zeros((1, *split.shape), split.dtype)
        )  # warm up; a wrong vocabulary or label list shows here

    def run(self, features: NDArray[Any]) -> list[Answer]:
        """One answer per row of `features` [B, *split.shape] of the split's dtype.

        Raises:
            ValueError: the features have another shape or dtype.
        """
        return self._reader.answers(self._forward, self._checked(features))

    @property
    def can_sample(self) -> bool:
        """Whether its answers are built of tokens, which may be drawn."""
        return isinstance(self._reader, SampleReader)

    def sample(self, features: NDArray[Any], sampling: Sampling) -> list[Answer]:
        """One drawn answer per row of `features`; rows with the same features draw apart.

        Raises:
            ValueError: the features have another shape or dtype.
            ModelError: its answers cannot be drawn.
        """
        reader = self._reader
        if not isinstance(reader, SampleReader):
            raise ModelError(
                f"{self._runtime.path}: its answers cannot be drawn; only text, token by token, can"
            )
        generator = np.random.default_rng(sampling.seed)

        def choose(logits: NDArray[Any]) -> NDArray[np.int64]:
            return draw_tokens(logits, sampling.temperature, generator)

        return reader.samples(self._forward, self._checked(features), choose)

    def _checked(self, features: NDArray[Any]) -> NDArray[Any]:
        if features.shape[1:] != self.split.shape or features.dtype != self.split.dtype or not len(features):
            raise ValueError(
                f"want features [B, {', '.join(map(str, self.split.shape))}] of {self.split.dtype}, "
                f"got {list(features.shape)} of {features.dtype}"
            )
        return features

    def _forward(self, features: NDArray[Any], extra: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        size = self.max_batch
        if size is None or len(features) == size:
            return self._once(features, extra)
        blocks = [slice(start, start + size) for start in range(0, len(features), size)]
        outputs = [
            self._once(features[block], {name: x[block] for name, x in extra.items()}) for block in blocks
        ]
        return np.concatenate(outputs)

    def _once(self, features: NDArray[Any], extra: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """One run of the graph; rows are repeated up to the batch that a graph of fixed size wants."""
        rows = len(features)
        feeds = {self._features.name: features, **extra}
        if self.max_batch is not None and rows < self.max_batch:
            feeds = {name: _padded(x, self.max_batch) for name, x in feeds.items()}
        return self._runtime.run(feeds, self._output.name)[:rows]


def read_words(folder: ModelFolder, file: str, sha256: str = "") -> list[str]:
    """The lines of a vocabulary or label list of the folder, UTF-8, the number of a line its id. Raises
    ModelError.
    """
    path = folder.verified(file, sha256) if sha256 else folder.path / file
    try:
        if path.stat().st_size > _MAX_WORDS_BYTES:
            raise ModelError(f"{path}: is larger than {_MAX_WORDS_BYTES} bytes; this is no word list")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read as a word list: {error}") from error
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [line.rstrip("\r") for line in lines]


def _padded(x: NDArray[Any], rows: int) -> NDArray[Any]:
    return np.concatenate([x, np.repeat(x[-1:], rows - len(x), axis=0)])
