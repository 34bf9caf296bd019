"""An ONNX graph read for splitting: what in it follows from the image, and where it can be cut.

A tensor is a *cut* when everything that the outputs need of the image passes through it. In any topological
order that is the moment at which it is the only tensor alive: computed and still needed. So one walk over the
nodes, counting who is alive, finds all cuts (they are the tensors that dominate the outputs and post-dominate
the image), skip connections included. Weights, constants and what is computed from a tensor's *shape* alone
do not count: both sides can have them without a byte sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .extras import require
from .schema import ModelError

__all__ = ["Cut", "Graph", "attribute"]

_SHAPE_OPS = ("Shape", "Size")  # depend on how large their input is, not on what is in it


@dataclass(frozen=True)
class Cut:
    """Tensors that together hold all that is needed of the image, and how many nodes come before them."""

    tensors: tuple[str, ...]
    position: int
    """Nodes that depend on the image and run on the robot's side, of `Graph.path`."""


class Graph:
    """An ONNX graph and, for its nodes and tensors, what depends on the image.

    Args:
        model: an onnx.ModelProto. It is read, never changed.
        image: the graph input that takes the image; may stay out where only one input has four dimensions.
        outputs: the outputs that matter; empty: all.

    Attributes:
        path: the nodes that depend on the image's content and that an output needs, in the file's order.
        content: the tensors that depend on the image's content.
        foreign: the tensors that depend on another input of the graph (a prompt, for example).
        initializers: the weights, by name.
        labels: tensor name -> a short name made of its node's kind and number, `conv_12`; `path` only.

    Raises:
        ModelError: no such input or output, no image to be found, or an output that no image reaches.
    """

    def __init__(self, model: Any, *, image: str = "", outputs: Sequence[str] = ()) -> None:
        self.model = model
        graph = model.graph
        self.nodes: list[Any] = list(graph.node)
        self.initializers: dict[str, Any] = {tensor.name: tensor for tensor in graph.initializer}
        self.initializers |= {sparse.values.name: sparse for sparse in graph.sparse_initializer}
        self.inputs: list[str] = [value.name for value in graph.input if value.name not in self.initializers]
        self.outputs = list(outputs) or [value.name for value in graph.output]
        known = [value.name for value in graph.output]
        if wrong := [name for name in self.outputs if name not in known]:
            raise ModelError(f"no output {wrong[0]!r}; the graph has {', '.join(known)}")
        self.image = self._image(image)
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.content = self._reached({self.image}, through_shapes=False)
        others = {name for name in self.inputs if name != self.image}
        self.foreign = self._reached(others, through_shapes=True)
        if not self.content.intersection(self.outputs):
            raise ModelError(
                f"no output depends on the input {self.image!r}; is it the image? "
                f"The graph's inputs are {', '.join(self.inputs)}"
            )
        needed = self.upstream(self.outputs, stop=())
        self.path = [
            node for node in self.nodes if any(o in self.content and o in needed for o in node.output)
        ]
        self.labels = self._labels()

    @classmethod
    def load(cls, path: Path, *, image: str = "", outputs: Sequence[str] = ()) -> Graph:
        """Reads an ONNX file, weights stored beside it included. Raises ModelError."""
        onnx = require("onnx", extra="models")
        try:
            model = onnx.load(str(path))
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
        except Exception as error:  # protobuf's DecodeError and onnx's own share no base class but this one
            raise ModelError(f"{path}: is no ONNX model: {error}") from error
        if not model.graph.node:
            raise ModelError(f"{path}: is no ONNX model: it has no nodes")
        try:
            return cls(model, image=image, outputs=outputs)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error

    @property
    def opset(self) -> int:
        """Version of the standard operators that the graph uses."""
        return next((o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")), 1)

    def value(self, name: str) -> Any:
        """The ValueInfoProto of a graph input or output, which has its declared type and shape."""
        values = [*self.model.graph.input, *self.model.graph.output]
        return next(value for value in values if value.name == name)

    def cuts(self, max_tensors: int = 1) -> list[Cut]:
        """Every cut of at most `max_tensors` tensors, in the order of the file; image and outputs are none.

        A cut of several tensors is what is alive after a node of the file's order: parallel branches can be
        cut at other places too, which `is_cut` tells.
        """
        uses = {name: 0 for node in self.path for name in self.reads(node)}
        for node in self.path:
            for name in self.reads(node):
                uses[name] += 1
        alive = [self.image]
        cuts = []
        for position, node in enumerate(self.path, 1):
            for name in self.reads(node):
                uses[name] -= 1
                if not uses[name] and name not in self.outputs:
                    alive.remove(name)
            alive += [name for name in node.output if uses.get(name) or name in self.outputs]
            if not 1 <= len(alive) <= max_tensors:
                continue
            if self.image not in alive and not self.foreign.union(self.outputs).intersection(alive):
                cuts.append(Cut(tuple(alive), position))
        return cuts

    def is_cut(self, tensors: Iterable[str]) -> str:
        """Empty where these tensors cut the graph together; else why not, for the user."""
        tensors = list(tensors)
        for name in tensors:
            if name not in self.content or name == self.image:
                return f"tensor {name!r} does not follow from the image {self.image!r}"
            if name in self.outputs:
                return f"tensor {name!r} is an output of the graph; nothing would be left for the server"
            if name in self.foreign:
                return f"tensor {name!r} also depends on an input that the robot's part does not get"
        reached = self.upstream(self.outputs, stop=tensors)
        if unused := [name for name in tensors if name not in reached]:
            return f"tensor {unused[0]!r} is not needed by the outputs beside the others"
        if self.image in reached:
            return (
                f"{', '.join(map(repr, tensors))} is no cut: the outputs also need the image through "
                f"{' -> '.join(self._around(reached, set(tensors)))}{self._near(tensors[0])}"
            )
        return ""

    def upstream(self, tensors: Iterable[str], *, stop: Iterable[str]) -> set[str]:
        """The content tensors that `tensors` are computed from, themselves included; not beyond `stop`."""
        stop = set(stop)
        found: set[str] = set()
        waiting = [name for name in tensors if name in self.content]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            if name not in stop and name in self.producer:
                waiting += self.reads(self.producer[name])
        return found

    def reads(self, node: Any) -> list[str]:
        """The content tensors whose values the node uses, each once."""
        if node.op_type in _SHAPE_OPS:
            return []
        return [name for name in dict.fromkeys(self.all_inputs(node)) if name in self.content]

    def all_inputs(self, node: Any) -> Iterator[str]:
        """The names that a node uses, those that the graphs inside it (If, Loop) take from outside too."""
        yield from filter(None, node.input)
        for attr in node.attribute:
            for graph in [*attr.graphs, *([attr.g] if attr.HasField("g") else [])]:
                own = {name for inner in graph.node for name in inner.output}
                own |= {value.name for value in graph.input} | {t.name for t in graph.initializer}
                used = {name for inner in graph.node for name in self.all_inputs(inner)}
                yield from sorted((used | {value.name for value in graph.output}) - own)

    def find(self, name: str) -> str:
        """The tensor meant by its own name, its short name or its node's name. Raises ModelError."""
        if name in self.content:
            return name
        for tensor, label in self.labels.items():
            if name == label or name == self.producer[tensor].name:
                return tensor
        import difflib

        names = [*self.labels, *self.labels.values()]
        near = difflib.get_close_matches(name, names, n=4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        if any(name in node.output for node in self.nodes) or name in self.initializers:
            raise ModelError(f"tensor {name!r} does not depend on the image: there is nothing to cut{hint}")
        raise ModelError(f"no tensor {name!r} in the graph{hint}; --list shows the cuts")

    def _image(self, name: str) -> str:
        if name:
            if name not in self.inputs:
                raise ModelError(f"no input {name!r}; the graph has {', '.join(self.inputs)}")
            return name
        images = [i for i in self.inputs if len(self.value(i).type.tensor_type.shape.dim) == 4]
        if len(images) != 1:
            shown = ", ".join(self.inputs) or "none"
            raise ModelError(
                f"{len(images)} inputs with four dimensions (inputs: {shown}); say which is the image"
            )
        return images[0]

    def _reached(self, roots: set[str], *, through_shapes: bool) -> set[str]:
        """What is computed from `roots`."""
        reached = set(roots)
        for node in self.nodes:
            if node.op_type in _SHAPE_OPS and not through_shapes:
                continue
            if any(name in reached for name in self.all_inputs(node)):
                reached.update(filter(None, node.output))
        return reached

    def _labels(self) -> dict[str, str]:
        counts: dict[str, int] = {}
        labels = {}
        for node in self.path:
            kind = node.op_type.lower()
            counts[kind] = counts.get(kind, 0) + 1
            outputs = [name for name in node.output if name]
            for index, name in enumerate(outputs):
                labels[name] = f"{kind}_{counts[kind]}" + (f"_{index}" if len(outputs) > 1 else "")
        return labels

    def _near(self, tensor: str) -> str:
        """The single-tensor cuts before and behind a tensor, for the user."""
        at = next(index for index, node in enumerate(self.path, 1) if tensor in node.output)
        cuts = self.cuts()
        before = [self.labels[cut.tensors[0]] for cut in cuts if cut.position < at][-1:]
        behind = [self.labels[cut.tensors[0]] for cut in cuts if cut.position > at][:1]
        names = " and ".join([*before, *behind])
        return f"; the nearest cuts are {names}" if names else ""

    def _around(self, reached: set[str], tensors: set[str]) -> list[str]:
        """A way from the image to the outputs past `tensors`, shortened to its first and last steps."""
        way = [self.image]
        while way[-1] not in self.outputs:
            way.append(
                next(
                    name
                    for node in self.path
                    if way[-1] in self.reads(node)
                    for name in node.output
                    if name in reached and name not in tensors
                )
            )
        return way if len(way) <= 5 else [*way[:2], "...", *way[-2:]]


def attribute(node: Any, name: str, default: Any) -> Any:
    """The value of a node's attribute, a string as str."""
    helper = require("onnx.helper", extra="models")
    for attr in node.attribute:
        if attr.name == name:
            found = helper.get_attribute_value(attr)
            return found.decode() if isinstance(found, bytes) else found
    return default
