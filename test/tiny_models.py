"""Split models of a few numbers, for tests about everything but the model: `import tiny_models`.

The image is 8 x 8, the features are the mean of each colour, so what the answer must be is plain to see.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

LABELS = ["red", "green", "blue", "dark"]
WORDS = ["[begin]", "[end]", "red", "green", "blue", "thing"]
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "dark": (0, 0, 0)}


def classifier(path: Path, *, scale: float = 8.0, batch: int | str = "B", local: bool = True) -> Path:
    """Answers with the strongest colour's name. Another `scale` gives another model, hence another digest."""
    weights = np.concatenate([np.eye(3) * scale, np.zeros((3, 1))], axis=1).astype(np.float32)
    bias = np.array([0, 0, 0, 1], np.float32)
    server = _graph(
        [("MatMul", ["features", "weights"], ["product"]), ("Add", ["product", "bias"], ["logits"])],
        inputs={"features": ("float32", [batch, 3])},
        outputs={"logits": ("float32", [batch, 4])},
        constants={"weights": weights, "bias": bias},
    )
    task = {"kind": "classify", "labels": "words.txt", "top_k": 2, "activation": "softmax"}
    return _folder(path, server, task, LABELS, local=local)


def captioner(path: Path, *, local: bool = True) -> Path:
    """Says "red thing" for a red image, "green" for a green one, "blue thing thing" for a blue one."""
    never = -100.0
    follows = np.full((6, 6), never, np.float32)
    follows[0, 2:5] = 0  # a colour comes first: which one, the features say
    follows[2, 5] = follows[3, 1] = follows[4, 5] = follows[5, 1] = 0
    colours = np.zeros((3, 6), np.float32)
    colours[range(3), range(2, 5)] = 9
    # After "blue thing" comes one more "thing": the word before the last decides, too.
    again = np.zeros((6, 6), np.float32)
    again[4, 5] = 150
    nodes = [
        ("Gather", ["tokens", "last"], ["word"], {"axis": 1}),
        ("Gather", ["follows", "word"], ["may"]),
        ("Shape", ["tokens"], ["size"]),
        ("Gather", ["size", "one"], ["length"]),
        ("Sub", ["length", "two"], ["second"]),
        ("Max", ["second", "zero"], ["before"]),
        ("Gather", ["tokens", "before"], ["previous"], {"axis": 1}),
        ("Gather", ["again", "previous"], ["repeat"]),
        ("MatMul", ["features", "colours"], ["seen"]),
        ("Add", ["may", "seen"], ["sum"]),
        ("Add", ["sum", "repeat"], ["logits"]),
    ]
    integers = {"last": -1, "one": 1, "two": 2, "zero": 0}
    server = _graph(
        nodes,
        inputs={"features": ("float32", ["B", 3]), "tokens": ("int64", ["B", "T"])},
        outputs={"logits": ("float32", ["B", 6])},
        constants={
            "follows": follows,
            "colours": colours,
            "again": again,
            **{name: np.array(value, np.int64) for name, value in integers.items()},
        },
    )
    task = {"kind": "caption", "vocabulary": "words.txt", "begin": 0, "end": 1, "max_tokens": 8}
    return _folder(path, server, task, WORDS, local=local)


def embedder(path: Path) -> Path:
    """Answers with twice the features."""
    server = _graph(
        [("Add", ["features", "features"], ["embedding"])],
        inputs={"features": ("float32", ["B", 3])},
        outputs={"embedding": ("float32", ["B", 3])},
        constants={},
    )
    return _folder(path, server, {"kind": "embed"}, [], local=False)


def write_halves(path: Path) -> tuple[Path, Path, Path]:
    """(agent.onnx, server.onnx, labels.txt) of the classifier, without a model.yaml."""
    folder = classifier(path / "whole", local=False)
    return folder / "agent.onnx", folder / "server.onnx", folder / "words.txt"


def picture(colour: str, width: int = 8, height: int = 8) -> NDArray:
    """A uint8 RGB image [height, width, 3] of one colour."""
    return np.full((height, width, 3), COLOURS[colour], np.uint8)


def _folder(path: Path, server: bytes, task: dict[str, object], words: list[str], local: bool) -> Path:
    from qeil_ros.models.folder import file_sha256

    path.mkdir(parents=True)
    agent = _graph(
        [("GlobalAveragePool", ["image"], ["mean"]), ("Reshape", ["mean", "shape"], ["features"])],
        inputs={"image": ("float32", [1, 3, 8, 8])},
        outputs={"features": ("float32", [1, 3])},
        constants={"shape": np.array([1, 3], np.int64)},
    )
    parts = {"agent": agent, "server": server, **({"local": server} if local else {})}
    split: dict[str, object] = {"shape": [3], "dtype": "float32"}
    for role, graph in parts.items():
        (path / f"{role}.onnx").write_bytes(graph)
        split[role] = {"file": f"{role}.onnx", "sha256": file_sha256(path / f"{role}.onnx")}
    (path / "words.txt").write_text("".join(f"{word}\n" for word in words))
    document = {
        "format": 1,
        "name": path.name,
        "version": "1.0",
        "licence": "Apache-2.0",
        "input": {"width": 8, "height": 8, "layout": "NCHW", "dtype": "float32", "scale": 1 / 255},
        "splits": {"mean": split},
        "task": task,
    }
    (path / "model.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def _graph(nodes, inputs, outputs, constants) -> bytes:
    onnx = pytest.importorskip("onnx", reason="builds its models with the Python package onnx")
    types = {"float32": onnx.TensorProto.FLOAT, "int64": onnx.TensorProto.INT64}

    def values(described):
        return [
            onnx.helper.make_tensor_value_info(name, types[d], shape)
            for name, (d, shape) in described.items()
        ]

    made = [
        onnx.helper.make_node(op, ins, outs, **(rest[0] if rest else {})) for op, ins, outs, *rest in nodes
    ]
    tensors = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = onnx.helper.make_graph(made, "tiny", values(inputs), values(outputs), tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model.SerializeToString()
