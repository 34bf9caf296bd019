"""A model folder: `model.yaml` parsed and checked, its digest, and its parts.

    format: 1
    name: tabletop-captioner
    version: "1.0"
    licence: Apache-2.0
    description: one line
    input: {width: 64, height: 64, channels: rgb, layout: NCHW, dtype: float32, ...}     # InputSpec
    splits:
      vision:
        shape: [17, 128]                  # of one frame's features, without the batch
        dtype: float32
        feature_bits: 4                   # bits per value that this cut wants where nobody says; default 8
        channels: last                    # or first: which axis of the shape counts channels; default last
        basis: {file: basis.npz, sha256: ..., components: 128}   # optional: what the features code best in
        agent:  {file: agent.onnx,  sha256: ..., input: pixel_values, output: features}
        server: {file: server.onnx, sha256: ...}
        local:  {file: local.onnx,  sha256: ...}      # optional: what the robot answers with alone
    #   Each part may state its own licence, and a graph too large for one file its `weights: {file, sha256}`;
    #   the local part may have a task of its own, where it answers otherwise than the server.
    default_split: vision
    task: {kind: caption, vocabulary: vocab.txt, begin: 1, end: 2, max_tokens: 16}
    #     {kind: classify, labels: labels.txt, top_k: 5, activation: softmax, scale: 1.0, zero_point: 0}
    #     {kind: detect, labels: coco.names, decoder: fastestdet, threshold: 0.5, iou: 0.45}
    #     {kind: embed}
    #     {kind: generate, prompt: "", frames: 1, options: {max_new_tokens: 20, ...}}   # by transformers

What a part is, its file's name says: `.onnx` a graph for onnxruntime, `.qwt` a graph with its weights packed
in several widths, a name that ends in `/` a folder that transformers serves.
`extra` and `scores` may follow, for people and experiments; nothing at run time reads them.
A machine may hold only the parts that it runs: a file is looked for, and its sha256 compared, when it is
loaded.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from .digests import canonical_sha256, file_sha256, folder_sha256, part_sha256
from .folder_splits import BasisFile, PartFile, Split, WeightsFile, read_split, read_task
from .preprocess import InputSpec
from .schema import ModelError, Section, shown
from .tasks import Task

if TYPE_CHECKING:
    from .answering import Answering, AnsweringPart
    from .basis import Basis
    from .parts import AgentPart

__all__ = [
    "ZOO",
    "BasisFile",
    "ModelError",
    "ModelFolder",
    "PartFile",
    "Split",
    "WeightsFile",
    "file_sha256",
    "folder_sha256",
    "part_sha256",
    "resolve",
]

ZOO = Path(__file__).parent / "zoo"
FORMAT = 1
ROLES = ("agent", "server", "local")
_MAX_YAML_BYTES = 1 << 20


@dataclass(frozen=True)
class ModelFolder:
    """A parsed and checked `model.yaml`. Holding one loads no model; `agent`, `server` and `local` do."""

    path: Path
    name: str
    version: str
    licence: str
    description: str
    input: InputSpec
    splits: dict[str, Split]
    default_split: str
    task: Task

    @classmethod
    def load(cls, path_or_name: str | Path) -> ModelFolder:
        """Reads a model folder, given its path or the name of a shipped model.

        Raises:
            ModelError: there is no such model, or its `model.yaml` is wrong; the message says where and what.
        """
        path = resolve(path_or_name)
        file = path / "model.yaml"
        try:
            with file.open("rb") as stream:
                raw = stream.read(_MAX_YAML_BYTES + 1)
        except OSError as error:
            raise ModelError(f"{file}: cannot be read: {error.strerror}") from error
        if len(raw) > _MAX_YAML_BYTES:
            raise ModelError(f"{file}: is larger than {_MAX_YAML_BYTES} bytes; this is no model.yaml")
        try:
            parsed = yaml.safe_load(raw)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise ModelError(f"{file}: is not YAML: {error}") from error
        return cls._parse(path, Section(parsed, str(file)))

    @classmethod
    def _parse(cls, path: Path, top: Section) -> ModelFolder:
        if (found := top.value("format")) != FORMAT:
            raise top.error(
                "format", f"want {FORMAT}, got {shown(found)}; a newer qeil_ros may be able to read it"
            )
        splits_section = top.section("splits")
        splits = {name: read_split(splits_section, name) for name in splits_section.keys()}  # noqa: SIM118 not a dict
        if not splits:
            raise top.error("splits", "is empty; want at least one cut of the model")
        folder = cls(
            path=path,
            name=top.text("name"),
            version=top.text("version"),
            licence=top.text("licence"),
            description=top.text("description", ""),
            input=_input(top),
            splits=splits,
            default_split=top.text("default_split", next(iter(splits)), choices=splits),
            task=read_task(top.section("task")),
        )
        for note in ("extra", "scores"):  # for people and experiments: nothing at run time depends on them
            top.value(note, None)
        top.done()
        folder._check_tasks(top)
        return folder

    def _check_tasks(self, top: Section) -> None:
        """Refuses parts that cannot do what their task asks for."""
        if self.task.kind == "detect" and self.input.resize != "stretch":
            raise top.error(
                "input.resize",
                f"want stretch for the task 'detect', got {shown(self.input.resize)}: "
                "boxes are fractions of the whole image",
            )
        generates = self.task.kind == "generate"
        for name, split in self.splits.items():
            if generates != (split.server.kind == "transformers"):
                raise top.error(
                    f"splits.{name}.server.file",
                    f"{shown(split.server.file)} cannot serve the task {self.task.kind!r}: "
                    "'generate' wants a folder (a name that ends in '/'), every other task an .onnx file",
                )
            local = split.local and (split.local.task or self.task)
            if local and local.kind == "generate":
                raise top.error(
                    f"splits.{name}.local",
                    "a graph cannot do the task 'generate'; give the local part a task of its own",
                )

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over what both sides must agree on: input, task, each cut and the parts beside it.

        The local part is the robot's own affair and the files' names are nobody's; neither is in it.
        """
        return canonical_sha256(
            {
                "input": dataclasses.asdict(self.input),
                "task": {"kind": self.task.kind, **dataclasses.asdict(self.task)},
                "splits": {
                    name: {
                        "shape": split.shape,
                        "dtype": split.dtype,
                        "agent": split.agent.digest,
                        "server": split.server.digest,
                        **({"basis": split.basis.sha256} if split.basis else {}),
                    }
                    for name, split in self.splits.items()
                },
            }
        )

    def split(self, name: str = "") -> Split:
        """The cut of that name; the default one for an empty name. Raises ModelError for an unknown one."""
        try:
            return self.splits[name or self.default_split]
        except KeyError:
            raise ModelError(f"{self.path}: no split {name!r}; there are {', '.join(self.splits)}") from None

    def has(self, role: str, split: str = "") -> bool:
        """Whether this machine holds the part (`agent`, `server` or `local`) of that cut."""
        part = self.split(split).part(role)
        if part is None:
            return False
        path = self.path / part.file
        return path.is_dir() if part.kind == "transformers" else path.is_file()

    def agent(
        self, split: str = "", *, threads: int = 1, device: str = "cpu", backend: str = "auto"
    ) -> AgentPart:
        """Loads the part that runs on the robot for every frame. Raises ModelError."""
        from .parts import AgentPart

        return AgentPart(self, self.split(split), threads=threads, device=device, backend=backend)

    def server(self, split: str = "", *, threads: int = 1, device: str = "cpu") -> Answering:
        """Loads the part that answers off the robot. Raises ModelError."""
        cut = self.split(split)
        if cut.server.kind == "transformers":
            from .transformers_part import GeneratingPart

            return GeneratingPart(self, cut, threads=threads, device=device)
        from .answering import AnsweringPart

        return AnsweringPart(self, cut, "server", threads=threads, device=device)

    def local(self, split: str = "", *, threads: int = 1, device: str = "cpu") -> AnsweringPart:
        """Loads the part that answers when the robot is alone. Raises ModelError, too where there is none."""
        from .answering import AnsweringPart

        return AnsweringPart(self, self.split(split), "local", threads=threads, device=device)

    def basis(self, split: str = "") -> Basis | None:
        """What the features of that cut travel in; None: as they are. Raises ModelError."""
        from .basis import Basis

        cut = self.split(split)
        if cut.basis is None:
            return None
        path = self.verified(cut.basis.file, cut.basis.sha256)
        basis = Basis.read(path)
        if basis.mean.shape != cut.shape or basis.axis != cut.channel_axis or basis.shape != cut.coded_shape:
            raise ModelError(
                f"{path}: is for features {list(basis.mean.shape)} with {basis.matrix.shape[1]} components "
                f"along axis {basis.axis}; split {cut.name!r} has {list(cut.shape)}, "
                f"{cut.coded_shape[cut.channel_axis]} and axis {cut.channel_axis}"
            )
        return basis

    def part_path(self, split: Split, role: str) -> Path:
        """The part's file or folder, after its sha256 was found to be the stated one. Raises ModelError."""
        part = split.part(role)
        if part is None:
            raise ModelError(
                f"{self.path / 'model.yaml'}: splits.{split.name}.{role}: the model has no such part"
            )
        if part.weights is not None:
            self.verified(part.weights.file, part.weights.sha256)
        return self.verified(part.file, part.sha256)

    def verified(self, file: str, sha256: str) -> Path:
        """The path of a file or folder (`/` at its end) below this one that has that sha256.

        Raises:
            ModelError: it cannot be read, or is another one.
        """
        path = self.path / file
        try:
            found = part_sha256(path)
        except OSError as error:
            raise ModelError(
                f"{path}: cannot be read ({error.strerror}); "
                f"this machine does not hold that part of {self.name!r}"
            ) from error
        if found != sha256:
            raise ModelError(
                f"{path}: sha256 is {found}, model.yaml says {sha256}; the file was changed or is "
                "another version's: copy the whole folder again"
            )
        return path


def resolve(path_or_name: str | Path) -> Path:
    """The folder of a model: a path that has a model.yaml, else a shipped model of that name. Raises
    ModelError.
    """
    path = Path(path_or_name).expanduser()
    if (path / "model.yaml").is_file():
        return path.resolve()
    text = str(path_or_name)
    if text and text not in (".", "..") and "/" not in text and (ZOO / text / "model.yaml").is_file():
        return ZOO / text
    shipped = sorted(entry.parent.name for entry in ZOO.glob("*/model.yaml"))
    raise ModelError(
        f"no model {text!r}: it is neither a folder with a model.yaml nor one of the shipped models "
        f"({', '.join(shipped) or 'none'})"
    )


def _input(top: Section) -> InputSpec:
    values = top.value("input")
    if not isinstance(values, dict):
        raise top.error("input", f"want a mapping, got {shown(values)}")
    try:
        return InputSpec.from_dict(values)
    except (ValueError, TypeError) as error:
        raise top.error("input", str(error)) from error
