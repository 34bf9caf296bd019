"""Makes a model folder from ONNX halves: two that were published, or those of one or more cuts of a model.

What the files tell is read off them, the rest is asked for, and the result is tried before it is there.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .detection import DECODERS, DetectTask
from .folder import FORMAT, ModelFolder, file_sha256
from .preprocess import InputSpec
from .runtime import Runtime, TensorInfo, zeros
from .schema import ModelError

__all__ = ["Parts", "Recipe", "create", "drafted", "input_spec", "write_yaml"]

# What quantized classifiers write as probabilities: steps of 1/256, as TensorFlow Lite defines its softmax
# output.
_QUANTIZED_SOFTMAX = {"uint8": (1 / 256, 0), "int8": (1 / 256, -128)}


@dataclass
class Parts:
    """The ONNX files of one cut; the tensors' names may stay out where a file has only one.

    `local` may be the very file of `server`: the folder then holds it once.
    """

    agent: Path
    server: Path
    local: Path | None = None
    agent_input: str = ""
    agent_output: str = ""
    server_input: str = ""
    server_output: str = ""


@dataclass
class Recipe:
    """What a model folder is made from. None: taken from the ONNX files, or the task's usual value.

    `input` holds fields of `preprocess.InputSpec` (width, height, channels, layout, dtype, scale, mean, std,
    ...). `others` are further cuts of the same model, by their names.
    """

    agent: Path
    server: Path
    name: str
    local: Path | None = None
    others: Mapping[str, Parts] = field(default_factory=dict)
    task: str = "classify"
    words: Path | None = None
    """Labels of a classifier or detector, vocabulary of a captioner."""
    split: str = "cut"
    version: str = "1.0"
    licence: str = "unknown"
    description: str = ""
    input: dict[str, Any] = field(default_factory=dict)
    agent_input: str = ""
    agent_output: str = ""
    server_input: str = ""
    server_output: str = ""
    top_k: int = 5
    activation: str | None = None
    output_scale: float | None = None
    output_zero_point: int | None = None
    begin: int | None = None
    end: int | None = None
    max_tokens: int = 32
    decoder: str = ""
    threshold: float = DetectTask.threshold
    iou: float | None = None
    extent: tuple[int, int] | None = None

    @property
    def cuts(self) -> dict[str, Parts]:
        """All cuts by name, the default one first."""
        first = Parts(
            self.agent,
            self.server,
            self.local,
            self.agent_input,
            self.agent_output,
            self.server_input,
            self.server_output,
        )
        return {self.split: first, **self.others}


def create(directory: Path, recipe: Recipe, *, overwrite: bool = False) -> ModelFolder:
    """Writes the folder `directory` and returns it, loaded and tried: every part has run once on zeros.

    The folder appears whole or not at all.

    Raises:
        ModelError: a file is missing or no ONNX model, the halves do not fit each other, something that the
        files do
            not tell was not given, or `directory` exists and `overwrite` is false.
    """
    with drafted(directory, overwrite=overwrite) as draft:
        _write(draft, recipe)
        folder = ModelFolder.load(draft)
        for split in folder.splits.values():
            folder.agent(split.name)
            folder.server(split.name)
            if split.local is not None:
                folder.local(split.name)
    return ModelFolder.load(directory)


@contextlib.contextmanager
def drafted(directory: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder that becomes `directory` when the block ends without an error.

    Raises:
        ModelError: `directory` exists and `overwrite` is false, or it is no model folder.
    """
    if directory.exists() and not overwrite:
        raise ModelError(f"{directory}: exists; choose another folder or say overwrite")
    if directory.exists() and not (directory / "model.yaml").is_file():
        raise ModelError(f"{directory}: exists and is no model folder; it is not overwritten")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch:
        draft = Path(scratch) / directory.name
        draft.mkdir()
        yield draft
        if directory.exists():
            shutil.rmtree(directory)
        draft.rename(directory)


def write_yaml(folder: Path, document: dict[str, Any]) -> None:
    """Writes `model.yaml`; tuples become lists."""
    text = yaml.safe_dump(_plain(document), sort_keys=False, width=110, allow_unicode=True)
    (folder / "model.yaml").write_text(text, encoding="utf-8")


def _write(draft: Path, recipe: Recipe) -> None:
    splits: dict[str, Any] = {}
    spec, answer = None, None
    for name, parts in recipe.cuts.items():
        folder = "" if len(recipe.cuts) == 1 else f"{name}/"
        if folder and not name.isidentifier():
            raise ModelError(f"split {name!r}: the name wants letters, digits and underscores only")
        (draft / folder).mkdir(exist_ok=True)
        sources = {"agent": parts.agent, "server": parts.server}
        if parts.local is not None:
            sources["local"] = parts.local
        files = {}
        for role, source in sources.items():
            shared = role == "local" and source == parts.server
            files[role] = f"{folder}{'server' if shared else role}.onnx"
            if not shared:
                _copy(source, draft / files[role], f"the {role} part")
        agent, server = Runtime(draft / files["agent"]), Runtime(draft / files["server"])
        image, features = agent.input(parts.agent_input), agent.output(parts.agent_output)
        if spec is None:
            spec = input_spec(image, recipe.input)
        task_input = "features" if recipe.task == "caption" else ""
        answer_input = server.input(parts.server_input or task_input)
        shape = agent.run({image.name: zeros(spec.shape, image.dtype)}, features.name).shape[1:]
        if answer_input.dtype != features.dtype:
            raise ModelError(
                f"the halves do not fit: the agent part gives {features.dtype} ({features.name!r}), "
                f"the server part wants {answer_input.dtype} ({answer_input.name!r})"
            )
        answer = answer or server.output(parts.server_output)
        answering = {"input": answer_input.name, "output": server.output(parts.server_output).name}
        split: dict[str, Any] = {"shape": list(shape), "dtype": features.dtype}
        if channels_first(tuple(shape), spec):
            split["channels"] = "first"
        for role, file in files.items():
            names = {"input": image.name, "output": features.name} if role == "agent" else answering
            split[role] = {"file": file, "sha256": file_sha256(draft / file), **names}
        splits[name] = split
    assert spec is not None and answer is not None  # there is always a first cut
    document = {
        "format": FORMAT,
        "name": recipe.name,
        "version": recipe.version,
        "licence": recipe.licence,
        "description": recipe.description,
        "input": asdict(spec),
        "splits": splits,
        "default_split": recipe.split,
        "task": _task(draft, recipe, answer, spec),
    }
    write_yaml(draft, document)


def channels_first(shape: tuple[int, ...], image: InputSpec) -> bool:
    """Whether a feature map [A, B, C] of that image counts its channels along the first axis, not the last.

    Its height and width have the ratio of the image's, which tells them from the channels. Where both
    readings have it (a cube, a single position), it is laid out as the image is. A graph may well take an
    NHWC image and transpose it at once.
    """
    if len(shape) != 3:
        return False

    def off(height: int, width: int) -> float:
        return abs(math.log(height * image.width / (width * image.height)))

    first, last = off(*shape[1:]), off(*shape[:2])
    return first < last if first != last else image.layout == "NCHW"


def input_spec(image: TensorInfo, given: Mapping[str, Any]) -> InputSpec:
    """The image that the agent part wants: layout, size and type as its input has them, the rest as given.

    Raises:
        ModelError: the input is no image, or what the file does not tell was not given.
    """
    if len(image.shape) != 4:
        raise ModelError(
            f"the agent part's input {image.name!r} is {list(image.shape)}; want an image, 4 dimensions"
        )
    layout = given.get("layout") or ("NHWC" if image.shape[3] in (1, 3) else "NCHW")
    axes = dict(zip(layout, image.shape, strict=True))
    spec: dict[str, Any] = {"layout": layout, "dtype": image.dtype}
    for key, axis in (("width", "W"), ("height", "H")):
        if axes[axis] is not None:
            spec[key] = axes[axis]
        elif key not in given:
            raise ModelError(f"the agent part leaves the image's {key} open ({list(image.shape)}): say {key}")
    spec["channels"] = "mono" if axes["C"] == 1 else "rgb"
    if image.dtype in ("float32", "float16"):
        spec["scale"] = 1 / 255
    try:
        return InputSpec.from_dict({**spec, **given})
    except (ValueError, TypeError) as error:
        raise ModelError(f"input: {error}") from error


def _task(draft: Path, recipe: Recipe, output: TensorInfo, spec: InputSpec) -> dict[str, Any]:
    if recipe.task == "embed":
        return {"kind": "embed"}
    if recipe.task not in ("classify", "caption", "detect"):
        raise ModelError(f"no task {recipe.task!r}; there are classify, caption, detect, embed")
    file = "vocab.txt" if recipe.task == "caption" else "labels.txt"
    if recipe.words is None:
        raise ModelError(f"the task {recipe.task} wants a word list, one entry a line: say which file")
    _copy(recipe.words, draft / file, "the word list")
    sha256 = file_sha256(draft / file)
    if recipe.task == "caption":
        if recipe.begin is None or recipe.end is None:
            raise ModelError(
                "the task caption wants the ids (line numbers) of its begin and end tokens: say both"
            )
        return {
            "kind": "caption",
            "vocabulary": file,
            "sha256": sha256,
            "begin": recipe.begin,
            "end": recipe.end,
            "max_tokens": recipe.max_tokens,
        }
    if recipe.task == "detect":
        if recipe.decoder not in DECODERS:
            raise ModelError(
                f"the task detect wants a decoder, {', '.join(DECODERS)}; got {recipe.decoder or 'none'!r}"
            )
        return {
            "kind": "detect",
            "labels": file,
            "sha256": sha256,
            "decoder": recipe.decoder,
            "threshold": recipe.threshold,
            # Networks that give rows have suppressed overlapping boxes themselves.
            "iou": recipe.iou
            if recipe.iou is not None
            else 1.0
            if recipe.decoder == "rows"
            else DetectTask.iou,
            "extent": recipe.extent
            or ((1, 1) if recipe.decoder == "fastestdet" else (spec.width, spec.height)),
        }
    scale, zero_point = _QUANTIZED_SOFTMAX.get(output.dtype, (1.0, 0))
    return {
        "kind": "classify",
        "labels": file,
        "sha256": sha256,
        "top_k": recipe.top_k,
        "activation": recipe.activation or ("none" if output.dtype in _QUANTIZED_SOFTMAX else "softmax"),
        "scale": scale if recipe.output_scale is None else recipe.output_scale,
        "zero_point": zero_point if recipe.output_zero_point is None else recipe.output_zero_point,
    }


def _copy(source: Path, target: Path, what: str) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise ModelError(f"{what}: {source}: cannot be copied: {error.strerror}") from error


def _plain(value: Any) -> Any:
    """Tuples as lists: YAML's safe types only."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value
