"""Shapes and types of all tensors of an ONNX graph: inferred, and where inference gives up, run to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .extras import require
from .graph import Graph
from .schema import ModelError

__all__ = ["Shapes", "Tensor", "feeds_for", "load_session", "measure"]


@dataclass(frozen=True)
class Tensor:
    """What is known of a tensor: its shape for a batch of one, its type, whether its axis 0 is the frame."""

    shape: tuple[int, ...]
    dtype: str
    batched: bool

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))

    @property
    def itemsize(self) -> int:
        return np.dtype(self.dtype).itemsize

    @property
    def frame(self) -> tuple[int, ...]:
        """The shape of what travels for one frame: without the batch where there is one."""
        return self.shape[1:] if self.batched else self.shape


@dataclass(frozen=True)
class Shapes:
    """Every tensor that depends on the image, and the shapes at a batch of two of those that grow with it.

    `dynamic`: the graph takes any batch, and each output has a row a frame.
    """

    tensors: Mapping[str, Tensor]
    dynamic: bool
    image: tuple[int, ...]
    second: Mapping[str, tuple[int, ...]]


def measure(
    graph: Graph, *, width: int | None = None, height: int | None = None, shape: tuple[int, ...] = ()
) -> Shapes:
    """The shapes of the graph's tensors for one image.

    Args:
        width, height: of the image [pixels], where the graph leaves them open.
        shape: [1, ...] of the graph's input, where that is no image.

    Raises:
        ModelError: the image's size is open and was not given, its batch is fixed to another number than 1,
            or the model cannot be run.
    """
    declared = _dims(graph.value(graph.image))
    image = shape or _image_shape(declared, width, height)
    one = _observe(graph, {graph.image: image})
    open_batch = declared[0] is None
    two: Mapping[str, tuple[tuple[int, ...], str]] = {}
    if open_batch:
        try:
            two = _observe(graph, {graph.image: (2, *image[1:])}, extra_batch=2)
        except ModelError:  # made for one image inside, whatever its input says
            open_batch = False

    def grows(name: str) -> bool:
        if name not in two:
            return False
        (first, _), (second, _) = one[name], two[name]
        return first[:1] == (1,) and second == (2, *first[1:])

    dynamic = open_batch and all(grows(name) for name in graph.outputs)
    tensors = {}
    for name, (shape, dtype) in one.items():
        tensors[name] = Tensor(shape, dtype, grows(name) if dynamic else shape[:1] == (1,))
    return Shapes(
        tensors, dynamic, image, {name: shape for name, (shape, _) in two.items()} if dynamic else {}
    )


def feeds_for(graph: Graph, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Inputs for a run on `image` [B, ...]: every other input gets zeros, open dimensions 1, the batch B."""
    feeds = {}
    for name in graph.inputs:
        if name == graph.image:
            feeds[name] = image
            continue
        value = graph.value(name)
        dims = _dims(value)
        rows = [len(image) if dims[:1] == [None] else dims[0]] if dims else []
        shape = [*rows, *(size or 1 for size in dims[1:])]
        feeds[name] = np.zeros(shape, _dtype(value.type.tensor_type.elem_type))
    return feeds


def load_session(model: Any, what: str = "the model", *, optimised: bool = True) -> Any:
    """An onnxruntime session on an onnx.ModelProto, one thread, set up like `runtime.Runtime`'s.

    Raises:
        ModelError: the model cannot be loaded.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's and protobuf's exceptions share no base class but this one
        raise ModelError(f"{what} cannot be loaded: {error}") from error


def _observe(
    graph: Graph, given: Mapping[str, tuple[int, ...]], extra_batch: int = 1
) -> dict[str, tuple[tuple[int, ...], str]]:
    """(shape, dtype) of every content tensor for inputs of those shapes."""
    onnx = require("onnx", extra="models")
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.value_info[:]
    image_type = graph.value(graph.image).type.tensor_type.elem_type
    image = np.zeros(given[graph.image], _dtype(image_type))
    feeds = feeds_for(graph, np.repeat(image[:1], extra_batch, axis=0) if extra_batch > 1 else image)
    for value in model.graph.input:
        if value.name in feeds:
            _fix(value, feeds[value.name].shape)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # inference errors and over-large models alike: the run below knows better
        if not isinstance(error, (onnx.shape_inference.InferenceError, ValueError)):
            raise
        inferred = model
    found = {}
    values = [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]
    for value in values:
        dims = _dims(value) if value.type.tensor_type.HasField("shape") else [None]
        if value.name in graph.content and value.type.tensor_type.elem_type and None not in dims:
            found[value.name] = (tuple(dims), _dtype(value.type.tensor_type.elem_type))
    wanted = {name for node in graph.path for name in node.output if name} | set(graph.outputs)
    if missing := sorted(wanted - set(found)):
        del model.graph.output[:]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in missing)
        session = load_session(model, optimised=False)
        try:
            arrays = session.run(missing, feeds)
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise ModelError(f"the model cannot be run on {feeds[graph.image].shape}: {error}") from error
        # Sequences and maps have no shape; nothing can be cut at one.
        pairs = [(name, x) for name, x in zip(missing, arrays, strict=True) if isinstance(x, np.ndarray)]
        found |= {name: (x.shape, str(x.dtype)) for name, x in pairs}
    return found


def _image_shape(declared: list[int | None], width: int | None, height: int | None) -> tuple[int, ...]:
    if len(declared) != 4:
        raise ModelError(f"the image input has {len(declared)} dimensions; want 4, an image")
    batch, *rest = declared
    if batch not in (None, 1):
        raise ModelError(f"the image input has a fixed batch of {batch}; want 1 or an open one")
    last = rest[2] in (1, 3) and rest[0] not in (1, 3)
    sizes = [height, width, None] if last else [None, height, width]
    names = ["height", "width", "channels"] if last else ["channels", "height", "width"]
    shape = [1]
    for have, given, name in zip(rest, sizes, names, strict=True):
        if have is None and given is None:
            raise ModelError(f"the graph leaves the image's {name} open ({declared}): say {name}")
        if have is not None and given is not None and have != given:
            raise ModelError(f"the graph wants an image of {name} {have}, not {given}")
        shape.append(have or given or 0)
    return tuple(shape)


def _dims(value: Any) -> list[Any]:
    """Sizes of a declared tensor; None: open."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in dims]


def _fix(value: Any, shape: Sequence[int]) -> None:
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for size in shape:
        dims.add().dim_value = size


def _dtype(code: int) -> str:
    helper = require("onnx.helper", extra="models")
    return str(np.dtype(helper.tensor_dtype_to_np_dtype(code)))
