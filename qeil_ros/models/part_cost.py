"""The operations of a model's parts, counted in their graphs: for machines on which nothing was timed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .extras import require
from .folder import ModelFolder, PartFile
from .graph import Graph
from .graph_cost import node_costs
from .graph_shapes import measure
from .schema import ModelError
from .tasks import CaptionTask, Task
from .weights import PackedModel

__all__ = ["Operations", "operations"]


@dataclass(frozen=True)
class Operations:
    """Multiplications and additions of one frame at one cut; 0 where the part is not here.

    Attributes:
        server_flop: to the whole answer, or to the first token where the part generates.
        token_flop: of each further token: a part that is a graph runs all of it again.
        local_flop: of the local part, for each token of an answer, or for all of one that has none.
    """

    agent_flop: float = 0.0
    server_flop: float = 0.0
    token_flop: float = 0.0
    local_flop: float = 0.0


def operations(folder: ModelFolder, split: str = "") -> Operations:
    """Counted in the parts' graphs.

    Raises:
        ModelError: onnx is missing, or a part is no graph, or cannot be read.
    """
    cut = folder.split(split)
    agent = server = local = 0.0
    if folder.has("agent", cut.name):
        agent = _flop(cut.agent, folder.part_path(cut, "agent"), folder.input.shape)
    task, features = folder.task, (1, *cut.shape)
    if folder.has("server", cut.name):
        server = _flop(cut.server, folder.part_path(cut, "server"), features, _fed(task))
    if cut.local is not None and folder.has("local", cut.name):
        fed = _fed(cut.local.task or task)
        local = _flop(cut.local, folder.part_path(cut, "local"), features, fed)
    return Operations(agent, server, server if isinstance(task, CaptionTask) else 0.0, local)


def _fed(task: Task) -> str:
    """The input that takes the features where the part does not say: its only one, else that name."""
    return "features" if task.extra_inputs else ""


def _flop(part: PartFile, path: Path, shape: tuple[int, ...], fed: str = "") -> float:
    onnx = require("onnx", extra="models")
    if part.kind == "transformers":
        raise ModelError(f"{path}: is run by transformers; its operations cannot be counted, time it")
    if part.kind == "packed":
        packed = PackedModel(path)
        try:
            model: Any = onnx.load_from_string(packed.onnx(packed.widths[0], "float"))
        finally:
            packed.close()
    else:
        model = onnx.load(str(path))
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in weights]
    graph = Graph(model, image=part.input or fed or inputs[0])
    return float(sum(cost.flops for cost in node_costs(graph, measure(graph, shape=shape))))
