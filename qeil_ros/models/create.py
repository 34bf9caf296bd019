"""Makes a model folder from two published ONNX halves.

What the files tell is read off them, the rest is asked for, and the result is tried before it is there.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .folder import FORMAT, ModelFolder, file_sha256
from .preprocess import InputSpec
from .runtime import Runtime, TensorInfo, zeros
from .schema import ModelError

__all__ = ["Recipe", "create"]

# What quantized classifiers write as probabilities: steps of 1/256, as TensorFlow Lite defines its softmax
# output.
_QUANTIZED_SOFTMAX = {"uint8": (1 / 256, 0), "int8": (1 / 256, -128)}


@dataclass
class Recipe:
    """What a model folder is made from. None: taken from the ONNX files, or the task's usual value.

    `input` holds fields of `preprocess.InputSpec` (width, height, channels, layout, dtype, scale, mean, std,
    ...).
    """

    agent: Path
    server: Path
    name: str
    local: Path | None = None
    task: str = "classify"
    words: Path | None = None
    """Labels of a classifier, vocabulary of a captioner."""
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


def create(directory: Path, recipe: Recipe, *, overwrite: bool = False) -> ModelFolder:
    """Writes the folder `directory` and returns it, loaded and tried: every part has run once on zeros.

    The folder appears whole or not at all.

    Raises:
        ModelError: a file is missing or no ONNX model, the halves do not fit each other, something that the
        files do
            not tell was not given, or `directory` exists and `overwrite` is false.
    """
    if directory.exists() and not overwrite:
        raise ModelError(f"{directory}: exists; choose another folder or say overwrite")
    if overwrite and directory.exists() and not (directory / "model.yaml").is_file():
        raise ModelError(f"{directory}: exists and is no model folder; it is not overwritten")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch:
        draft = Path(scratch) / directory.name
        draft.mkdir()
        _write(draft, recipe)
        folder = ModelFolder.load(draft)
        folder.agent()
        folder.server()
        if recipe.local is not None:
            folder.local()
        if directory.exists():
            shutil.rmtree(directory)
        draft.rename(directory)
    return ModelFolder.load(directory)


def _write(draft: Path, recipe: Recipe) -> None:
    parts = {"agent": recipe.agent, "server": recipe.server}
    if recipe.local is not None:
        parts["local"] = recipe.local
    for role, source in parts.items():
        _copy(source, draft / f"{role}.onnx", f"the {role} part")
    agent, server = Runtime(draft / "agent.onnx"), Runtime(draft / "server.onnx")
    image, features = agent.input(recipe.agent_input), agent.output(recipe.agent_output)
    spec = _input_spec(image, recipe.input)
    answer_input = server.input(recipe.server_input or ("features" if recipe.task == "caption" else ""))
    shape = agent.run({image.name: zeros(spec.shape, image.dtype)}, features.name).shape[1:]
    if answer_input.dtype != features.dtype:
        raise ModelError(
            f"the halves do not fit: the agent part gives {features.dtype} ({features.name!r}), "
            f"the server part wants {answer_input.dtype} ({answer_input.name!r})"
        )
    answering = {"input": answer_input.name, "output": server.output(recipe.server_output).name}
    split: dict[str, Any] = {"shape": list(shape), "dtype": features.dtype}
    for role in parts:
        names = {"input": image.name, "output": features.name} if role == "agent" else answering
        split[role] = {"file": f"{role}.onnx", "sha256": file_sha256(draft / f"{role}.onnx"), **names}
    document = {
        "format": FORMAT,
        "name": recipe.name,
        "version": recipe.version,
        "licence": recipe.licence,
        "description": recipe.description,
        "input": asdict(spec),
        "splits": {recipe.split: split},
        "default_split": recipe.split,
        "task": _task(draft, recipe, server.output(recipe.server_output)),
    }
    text = yaml.safe_dump(_plain(document), sort_keys=False, width=110, allow_unicode=True)
    (draft / "model.yaml").write_text(text, encoding="utf-8")


def _input_spec(image: TensorInfo, given: dict[str, Any]) -> InputSpec:
    """The image that the agent part wants: layout, size and type as its input has them, the rest as given."""
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


def _task(draft: Path, recipe: Recipe, output: TensorInfo) -> dict[str, Any]:
    if recipe.task == "embed":
        return {"kind": "embed"}
    if recipe.task not in ("classify", "caption"):
        raise ModelError(f"no task {recipe.task!r}; there are classify, caption, embed")
    file = "labels.txt" if recipe.task == "classify" else "vocab.txt"
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
