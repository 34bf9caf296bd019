"""Adversarial perturbations of a published classifier, by projected gradient descent.

A. Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018: within +-e grey
levels of every pixel, steps along the sign of the gradient of the loss, from a random start. The attacker
knows the model. The classifier is its own ONNX graph, computed by torch for the gradient's sake.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ros import BenchError

__all__ = ["Classifier", "flat_places"]

STEPS = 10


class Classifier:
    """A graph of convolutions, for gradients. `mean` is taken off the pixels, as the model wants it.

    Raises:
        BenchError: torch or onnx is not installed, or torch's figures are not onnxruntime's.
    """

    def __init__(self, path: Path, mean: tuple[float, ...]) -> None:
        try:
            import onnx
            import torch
            from onnx import numpy_helper
        except ImportError as error:
            raise BenchError(
                f"attacks need torch and onnx ({error}); pip install 'qeil-ros[torch]'"
            ) from error
        self._torch = torch
        model = onnx.load(str(path))
        self._nodes = list(model.graph.node)
        self._attributes = [
            {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
            for node in self._nodes
        ]
        self._weights = {
            entry.name: torch.from_numpy(numpy_helper.to_array(entry).copy())
            for entry in model.graph.initializer
        }
        self._input = next(e.name for e in model.graph.input if e.name not in self._weights)
        self._mean = torch.tensor(mean).reshape(1, -1, 1, 1)
        self.side = next(e for e in model.graph.input if e.name == self._input).type.tensor_type.shape.dim[2]
        self.side = int(self.side.dim_value)
        self._check(path)

    def _check(self, path: Path) -> None:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        pixels = np.random.default_rng(0).uniform(0, 255, (1, 3, self.side, self.side)).astype(np.float32)
        (wanted,) = session.run(None, {self._input: pixels - self._mean.numpy()})
        with self._torch.no_grad():
            got = self._torch.softmax(self._logits(self._torch.from_numpy(pixels)), 1).numpy()
        if not np.allclose(got, wanted.reshape(got.shape), atol=1e-4):
            raise BenchError(f"torch and onnxruntime disagree on {path.name}")

    def classes(self, pixels: NDArray[np.float32]) -> NDArray[np.int64]:
        """The best class of each image [B, 3, H, W], 0 to 255."""
        with self._torch.no_grad():
            return np.asarray(self._logits(self._torch.from_numpy(pixels)).argmax(1).numpy())

    def attacked(
        self,
        pixels: NDArray[np.float32],
        eps: float,
        rng: np.random.Generator,
        where: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """One image [1, 3, H, W] away from its class, within +-eps; whole grey levels.

        Args:
            where: of the same height and width; only where it is 1 anything is changed.
        """
        torch = self._torch
        clean = torch.from_numpy(pixels)
        most = torch.tensor(eps) * (1.0 if where is None else torch.from_numpy(where))
        own = torch.from_numpy(self.classes(pixels))
        moved = torch.from_numpy(rng.uniform(-1, 1, pixels.shape).astype(np.float32)) * most
        for _ in range(STEPS):
            image = (clean + moved).clamp(0, 255).requires_grad_(True)
            (gradient,) = torch.autograd.grad(
                torch.nn.functional.cross_entropy(self._logits(image), own), image
            )
            moved = moved + 2.5 * eps / STEPS * gradient.sign()
            moved = torch.maximum(torch.minimum(moved, most), -most)
        return np.asarray((clean + moved).clamp(0, 255).round().numpy())

    def _logits(self, pixels: Any) -> Any:
        """Everything up to the last softmax."""
        values = {**self._weights, self._input: pixels - self._mean}
        result = pixels
        for node, attributes in zip(self._nodes, self._attributes, strict=True):
            if node.op_type == "Softmax":
                break
            inputs = [values[name] for name in node.input]
            result = values[node.output[0]] = self._operation(node.op_type)(inputs, attributes)
        return result

    def _operation(self, kind: str) -> Callable[[list[Any], dict[str, Any]], Any]:
        torch, functional = self._torch, self._torch.nn.functional
        known: dict[str, Callable[[list[Any], dict[str, Any]], Any]] = {
            "Conv": lambda x, a: functional.conv2d(
                x[0], x[1], x[2] if len(x) > 2 else None, a.get("strides", 1), a.get("pads", [0, 0])[:2]
            ),
            "Relu": lambda x, a: torch.relu(x[0]),
            "Concat": lambda x, a: torch.cat(x, a["axis"]),
            "MaxPool": lambda x, a: functional.max_pool2d(
                x[0], a["kernel_shape"], a["strides"], ceil_mode=bool(a.get("ceil_mode", 0))
            ),
            "GlobalAveragePool": lambda x, a: x[0].mean((2, 3), keepdim=True),
            "Flatten": lambda x, a: x[0].flatten(1),
        }
        if kind not in known:
            raise BenchError(f"the attacked graph has a {kind}; known are {', '.join(known)}")
        return known[kind]


def flat_places(pixels: NDArray[np.float32], levels: float = 2.0) -> NDArray[np.float32]:
    """1 where an image [1, 3, H, W] is not flat, 0 where it is: [H, W]. Who knows the screen leaves the flat
    places alone."""
    import cv2

    green = pixels[0, 1]
    mask = np.outer([1, -2, 1], [1, -2, 1]).astype(np.float32)
    rough = cv2.blur(np.abs(cv2.filter2D(green, -1, mask)), (9, 9)) * np.float32(np.sqrt(np.pi / 2) / 6)
    return np.asarray(rough > levels, np.float32)
