"""Agent parts with weights worth quantizing, as ONNX graphs in float32: `import weight_models`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

IMAGE = (1, 3, 8, 8)
FEATURES = (16,)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def images(count: int, seed: int = 100) -> list[NDArray[np.float32]]:
    """Prepared ones, whose channels are far from independent."""
    generator = rng(seed)
    mix = rng(1).standard_normal((192, 192)).astype(np.float32) * np.geomspace(1, 0.01, 192, dtype=np.float32)
    rows = generator.standard_normal((count, 192)).astype(np.float32) @ mix.T
    return [np.clip(row.reshape(IMAGE), -20, 20) for row in rows]


def network(path: Path, *, conv: bool = False, opset: int = 18, ir_version: int = 10) -> Path:
    """image -> MatMul + bias -> Relu -> Gemm with transposed weights, a Conv before it where asked for."""
    onnx = pytest.importorskip("onnx", reason="builds its models with the Python package onnx")
    generator = rng(7)
    first = generator.standard_normal((192, 64)) * generator.uniform(0.2, 2, 64) / 14
    weights = {
        "first": first.astype(np.float32),
        "first.bias": generator.standard_normal(64).astype(np.float32),
        "second": (generator.standard_normal((16, 64)) / 8).astype(np.float32),
        "second.bias": generator.standard_normal(16).astype(np.float32),
        "flat": np.array([1, 192], np.int64),
        "half": np.array(0.5, np.float32),
    }
    make = onnx.helper.make_node
    nodes = [
        make("Mul", ["image", "half"], ["scaled"]),
        make("Reshape", ["filtered" if conv else "scaled", "flat"], ["row"]),
        make("MatMul", ["row", "first"], ["product"]),
        make("Add", ["product", "first.bias"], ["hidden"]),
        make("Relu", ["hidden"], ["active"]),
        make("Gemm", ["active", "second", "second.bias"], ["features"], transB=1),
    ]
    if conv:
        weights["filter"] = (generator.standard_normal((3, 3, 6, 6)) / 10).astype(np.float32)
        nodes.insert(1, make("Conv", ["scaled", "filter"], ["filtered"], pads=[3, 3, 2, 2]))
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "network",
        [onnx.helper.make_tensor_value_info("image", kind, IMAGE)],
        [onnx.helper.make_tensor_value_info("features", kind, (1, *FEATURES))],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def folder(path: Path, **kind: bool) -> Path:
    """A model folder with that agent part; the server part doubles the features."""
    onnx = pytest.importorskip("onnx", reason="builds its models with the Python package onnx")
    from qeil_ros.models.folder import file_sha256

    path.mkdir(parents=True)
    network(path / "agent.onnx", **kind)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["features", "features"], ["embedding"])],
        "server",
        [value("features", onnx.TensorProto.FLOAT, ["B", *FEATURES])],
        [value("embedding", onnx.TensorProto.FLOAT, ["B", *FEATURES])],
    )
    server = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    server.ir_version = 8
    (path / "server.onnx").write_bytes(server.SerializeToString())
    parts = {
        role: {"file": f"{role}.onnx", "sha256": file_sha256(path / f"{role}.onnx")}
        for role in ("agent", "server")
    }
    document = {
        "format": 1,
        "name": path.name,
        "version": "1.0",
        "licence": "Apache-2.0",
        "input": {"width": 8, "height": 8, "layout": "NCHW", "dtype": "float32", "scale": 1 / 255},
        "splits": {"cut": {"shape": list(FEATURES), "dtype": "float32", **parts}},
        "task": {"kind": "embed"},
        "scores": {"made up": 1.0},
    }
    (path / "model.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return path
