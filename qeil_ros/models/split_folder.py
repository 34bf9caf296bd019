"""The cuts of an ONNX graph as a table, and a model folder made of one or more of them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .create import Parts, Recipe, create, input_spec
from .folder import ModelFolder
from .graph import Cut, Graph
from .graph_cost import SideCost, node_costs, side_costs
from .graph_shapes import Shapes, measure
from .preprocess import InputSpec, Preprocessor
from .runtime import TensorInfo
from .schema import ModelError
from .split import Halves, split, why_not
from .split_check import Join, Whole

__all__ = ["CutRow", "SplitResult", "cut_name", "describe_cuts", "interesting", "read_images", "split_folder"]

_NOISE_IMAGES = 4
_IMAGE_FILES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
_MAX_NAME = 40
_PROBABILITIES = ("Softmax", "Sigmoid")


@dataclass(frozen=True)
class CutRow:
    """One possible cut.

    Attributes:
        name: short, from the operator and its number; `--at` takes it, too.
        tensors: the tensors' own names; several travel joined as one.
        position: nodes on the agent's side, of those that depend on the image.
        shape: of one frame's features, without the batch.
        elements: values that travel for a frame; at b bits each they are `elements * b / 8` bytes before
            headers and entropy coding.
        agent, server: what each side takes for a frame.
        problem: why it cannot be cut here after all; empty where it can.
    """

    name: str
    tensors: tuple[str, ...]
    op: str
    position: int
    shape: tuple[int, ...]
    dtype: str
    elements: int
    agent: SideCost
    server: SideCost
    problem: str = ""

    def bytes_at(self, bits: int) -> int:
        """Payload of a frame at `bits` a value [bytes]."""
        return (self.elements * bits + 7) // 8


@dataclass(frozen=True)
class SplitResult:
    """A written model folder, and for each of its cuts what it is and how its halves did."""

    folder: ModelFolder
    cuts: Mapping[str, tuple[Halves, Join]]


def describe_cuts(graph: Graph, shapes: Shapes, max_tensors: int = 1) -> list[CutRow]:
    """Every cut of at most `max_tensors` tensors, from the image to the outputs."""
    at = side_costs(graph, shapes, node_costs(graph, shapes))
    return [_row(graph, shapes, cut, at(cut.position)) for cut in graph.cuts(max_tensors)]


def interesting(rows: Sequence[CutRow]) -> list[CutRow]:
    """The cuts at the local minima of bytes. Among neighbours of equal size the quantized one, which travels
    without loss, else the last, which is the one behind the activation.
    """
    runs: list[list[CutRow]] = []
    for row in rows:
        if row.problem:
            continue
        if runs and runs[-1][0].elements == row.elements:
            runs[-1].append(row)
        else:
            runs.append([row])
    sizes = [run[0].elements for run in runs]
    chosen = []
    for index, run in enumerate(runs):
        before = sizes[index - 1] if index else np.inf
        after = sizes[index + 1] if index + 1 < len(runs) else np.inf
        if before > sizes[index] < after:
            quantized = [row for row in run if row.dtype in ("uint8", "int8")]
            chosen.append((quantized or run)[-1])
    return chosen


def cut_name(graph: Graph, tensors: Sequence[str], taken: Iterable[str] = ()) -> str:
    """A name for a split: the tensor's own where that is short and plain, else its short name."""
    name = re.sub(r"\W+", "_", tensors[0]).strip("_")
    if len(tensors) > 1 or not name.isidentifier() or len(name) > _MAX_NAME:
        name = "_and_".join(graph.labels[tensor] for tensor in tensors)
    names = set(taken)
    count, unique = 1, name
    while unique in names:
        count += 1
        unique = f"{name}_{count}"
    return unique


def read_images(paths: Iterable[Path], spec: InputSpec) -> list[NDArray[Any]]:
    """The pictures in these files and folders, prepared for the model, [1, ...] each. Raises ModelError."""
    prepare = Preprocessor(spec)
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if file.suffix.lower() in _IMAGE_FILES)
            if not found:
                raise ModelError(f"{path}: holds no picture ({', '.join(_IMAGE_FILES)})")
            files += found
        else:
            files.append(path)
    images = []
    for file in files:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise ModelError(f"{file}: cannot be read as a picture")
        images.append(_prepared(prepare, picture))
    return images


def split_folder(
    model: Path,
    directory: Path,
    cuts: Mapping[str, Sequence[str]],
    options: Mapping[str, Any],
    *,
    local: str | Path | None = None,
    image: str = "",
    output: str = "",
    check: Sequence[Path] = (),
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> SplitResult:
    """Cuts an ONNX model, holds the halves against the whole, and writes the model folder `directory`.

    Args:
        cuts: name -> the tensors that travel, by their own names, short names or their nodes' names.
        options: fields of `create.Recipe` other than the files: name, task, words, input, ...
        local: the part that the robot answers with when it is alone: "whole" for the server part, the ONNX
            file of another, None for none.
        image: the image input; may stay out where there is only one with four dimensions.
        output: the output that is read; may stay out where there is only one.
        check: pictures, or folders of them, to hold the halves against the whole on, beside random ones.
        progress: called with (name of the cut, cuts done, cuts in all).

    Raises:
        ModelError: the graph cannot be cut there, the halves do not give what the whole gives, or the folder
            cannot be made; nothing is written then.
    """
    if not cuts:
        raise ModelError("no cut: say at which tensor")
    given = dict(options.get("input", {}))
    graph = Graph.load(model, image=image, outputs=[output] if output else [])
    if len(graph.outputs) > 1:
        raise ModelError(
            f"{model}: has {len(graph.outputs)} outputs, a part one; say which: {', '.join(graph.outputs)}"
        )
    shapes = measure(graph, width=given.get("width"), height=given.get("height"))
    spec = input_spec(TensorInfo(graph.image, shapes.image, shapes.tensors[graph.image].dtype), given)
    if spec.shape != shapes.image:
        raise ModelError(f"{model}: takes {list(shapes.image)}, the image as described is {list(spec.shape)}")
    tensors = {name: tuple(graph.find(tensor) for tensor in entry) for name, entry in cuts.items()}
    whole = Whole(graph, [*_noise(spec), *read_images(check, spec)])
    made: dict[str, tuple[Halves, Join]] = {}
    with tempfile.TemporaryDirectory(prefix="qeil-split-") as scratch:
        parts = {}
        for done, (name, entry) in enumerate(tensors.items()):
            if progress is not None:
                progress(name, done, len(tensors))
            halves = split(graph, shapes, entry)
            found = whole.compare(halves, shapes)
            if found.problem:
                raise ModelError(
                    f"split {name!r}: the halves do not give what the whole gives: {found.problem}"
                )
            made[name] = halves, found
            folder = Path(scratch) / str(done)
            folder.mkdir()
            agent, server = folder / "agent.onnx", folder / "server.onnx"
            halves.write(agent, server)
            alone = server if local == "whole" else None if local is None else Path(local)
            parts[name] = Parts(
                agent, server, alone, halves.image, halves.sent, halves.received, graph.outputs[0]
            )
        if progress is not None:
            progress("writing", len(tensors), len(tensors))
        recipe = _recipe(parts, {**options, "input": given})
        if recipe.activation is None and graph.producer[graph.outputs[0]].op_type in _PROBABILITIES:
            recipe.activation = "none"  # a second softmax would flatten the scores
        return SplitResult(create(directory, recipe, overwrite=overwrite), made)


def _recipe(parts: dict[str, Parts], options: Mapping[str, Any]) -> Recipe:
    (name, first), *others = parts.items()
    return Recipe(split=name, **vars(first), others=dict(others), **options)


def _row(graph: Graph, shapes: Shapes, cut: Cut, costs: tuple[SideCost, SideCost]) -> CutRow:
    known = [shapes.tensors[name] for name in cut.tensors if name in shapes.tensors]
    elements = sum(tensor.elements for tensor in known)
    shape = known[0].frame if len(cut.tensors) == 1 and known else (elements,)
    dtypes = sorted({tensor.dtype for tensor in known})
    return CutRow(
        name="+".join(graph.labels[name] for name in cut.tensors),
        tensors=cut.tensors,
        op="+".join(dict.fromkeys(graph.producer[name].op_type for name in cut.tensors)),
        position=cut.position,
        shape=shape,
        dtype="/".join(dtypes),
        elements=elements,
        agent=costs[0],
        server=costs[1],
        problem=why_not(graph, shapes, cut.tensors),
    )


def _noise(spec: InputSpec) -> list[NDArray[Any]]:
    """Random pictures, fine and coarse, prepared for the model."""
    random = np.random.default_rng(0)
    prepare = Preprocessor(spec)
    pictures = []
    for number in range(_NOISE_IMAGES):
        block = 1 if number % 2 == 0 else 16
        size = (max(1, spec.height // block), max(1, spec.width // block), 3)
        pictures.append(_prepared(prepare, random.integers(0, 256, size, np.uint8)))
    return pictures


def _prepared(prepare: Preprocessor, picture: NDArray[Any]) -> NDArray[Any]:
    height, width = picture.shape[:2]
    return np.array(prepare(picture.tobytes(), width, height, 3 * width, "bgr8"))
