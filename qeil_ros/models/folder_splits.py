"""The cuts that a `model.yaml` declares, and the parts on either side: records, and how they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .detection import DetectTask
from .digests import canonical_sha256
from .schema import Section, shown
from .tasks import CaptionTask, ClassifyTask, EmbedTask, GenerateTask, Task

__all__ = ["DTYPES", "KINDS", "BasisFile", "PartFile", "Split", "WeightsFile", "read_split", "read_task"]

KINDS = {".onnx": "onnx", ".qwt": "packed", "/": "transformers"}
"""What the end of a part's file name says about it."""
DTYPES = ("float32", "float16", "uint8", "int8")

_TASKS: dict[str, type[Task]] = {
    "caption": CaptionTask,
    "classify": ClassifyTask,
    "detect": DetectTask,
    "embed": EmbedTask,
    "generate": GenerateTask,
}


@dataclass(frozen=True)
class WeightsFile:
    """The file beside a graph that holds its weights (ONNX external data): graphs end at 2 GB."""

    file: str
    sha256: str


@dataclass(frozen=True)
class BasisFile:
    """The basis (basis.Basis) that the features of a cut travel in, and how many components it has."""

    file: str
    sha256: str
    components: int


@dataclass(frozen=True)
class PartFile:
    """One part of a model: a file, or a folder (the name ends in `/`), below the model folder.

    `input` and `output` name the tensors of a graph; empty: its only one. `task` is how a local part's output
    reads where the model's task does not fit it; None: as the model's.
    """

    file: str
    sha256: str
    input: str = ""
    output: str = ""
    licence: str = ""
    """SPDX identifier; empty: the model's."""
    task: Task | None = None
    weights: WeightsFile | None = None

    @property
    def digest(self) -> str:
        """sha256 (hex) of all that the part consists of."""
        return self.sha256 if self.weights is None else canonical_sha256([self.sha256, self.weights.sha256])

    @property
    def kind(self) -> str:
        """`onnx`, `packed` or `transformers`."""
        return next(kind for end, kind in KINDS.items() if self.file.endswith(end))


@dataclass(frozen=True)
class Split:
    """One cut of the model: the tensor that travels (`shape` without the batch), the parts on either side.

    `feature_bits` per value of the tensor, 1 to 8, are what the cut wants where nobody says otherwise.
    `channel_axis` of `shape`: 0 or the last one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    agent: PartFile
    server: PartFile
    local: PartFile | None = None
    feature_bits: int = 8
    channel_axis: int = 0
    basis: BasisFile | None = None

    @property
    def coded_shape(self) -> tuple[int, ...]:
        """Of the tensor in the stream: with a basis the features are rotated and may have fewer channels."""
        if self.basis is None:
            return self.shape
        sizes = list(self.shape)
        sizes[self.channel_axis] = self.basis.components
        return tuple(sizes)

    @property
    def coded_dtype(self) -> str:
        """Of the tensor in the stream."""
        return self.dtype if self.basis is None else "float32"

    def part(self, role: str) -> PartFile | None:
        return {"agent": self.agent, "server": self.server, "local": self.local}[role]


def read_split(splits: Section, name: Any) -> Split:
    """The cut of that name. ModelError: the section is wrong; the message says where and what."""
    if not isinstance(name, str) or not name.isidentifier():
        raise splits.error(str(name), "the name of a split wants letters, digits and underscores only")
    section = splits.section(name)
    shape = section.shape("shape")
    first = section.text("channels", "last", choices=("first", "last")) == "first"
    split = Split(
        name=name,
        shape=shape,
        dtype=section.text("dtype", "float32", choices=DTYPES),
        agent=_part(section.section("agent"), "onnx", "packed"),
        server=_part(section.section("server"), "onnx", "transformers"),
        local=_part(section.section("local"), "onnx", task=True) if "local" in section else None,
        feature_bits=section.integer("feature_bits", 8, low=1, high=8),
        channel_axis=0 if first else len(shape) - 1,
        basis=_basis(section.section("basis"), shape[0 if first else -1]) if "basis" in section else None,
    )
    for optional in ("local", "basis"):
        section.value(optional, None)
    section.done()
    return split


def _part(section: Section, *kinds: str, task: bool = False) -> PartFile:
    part = PartFile(
        file=section.file_name("file", folder="transformers" in kinds),
        sha256=section.sha256("sha256"),
        input=section.text("input", ""),
        output=section.text("output", ""),
        licence=section.text("licence", ""),
        task=read_task(section.section("task")) if task and "task" in section else None,
        weights=_weights(section.section("weights")) if "weights" in section else None,
    )
    section.value("weights", None)
    if task:
        section.value("task", None)
    ends = [end for end, kind in KINDS.items() if kind in kinds]
    if not part.file.endswith(tuple(ends)):
        raise section.error("file", f"want a name that ends in {' or '.join(ends)}, got {shown(part.file)}")
    section.done()
    return part


def _basis(section: Section, channels: int) -> BasisFile:
    components = section.integer("components", channels, low=1, high=channels)
    basis = BasisFile(section.file_name("file"), section.sha256("sha256"), components)
    section.done()
    return basis


def _weights(section: Section) -> WeightsFile:
    weights = WeightsFile(section.file_name("file"), section.sha256("sha256"))
    section.done()
    return weights


def read_task(section: Section) -> Task:
    """The task that a section describes. ModelError as above."""
    kind = section.text("kind", choices=_TASKS)
    task = _TASKS[kind].parse(section)
    section.done()
    return task
