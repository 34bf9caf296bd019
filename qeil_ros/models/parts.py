"""The runnable agent part of a model: a prepared image in, the features of the cut out."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .folder import ModelFolder, Split
from .runtime import Runtime, TensorInfo, fits, zeros
from .schema import ModelError

__all__ = ["AgentPart", "check_tensor"]


class AgentPart:
    """The part that runs on the robot: a prepared image in, the features of the cut out. Raises
    ModelError.
    """

    def __init__(self, folder: ModelFolder, split: Split, *, threads: int = 1, device: str = "cpu") -> None:
        self.split = split
        self._runtime = Runtime(folder.part_path(split, "agent"), threads=threads, device=device)
        self.device = self._runtime.device
        self._input = self._runtime.input(split.agent.input)
        self._output = self._runtime.output(split.agent.output)
        self.input_shape = folder.input.shape
        check_tensor(self._runtime, self._input, self.input_shape, folder.input.dtype, "the model's input")
        check_tensor(self._runtime, self._output, (1, *split.shape), split.dtype, f"split {split.name!r}")
        self.warm_up(folder.input.dtype)

    def run(self, image: NDArray[Any]) -> NDArray[Any]:
        """Features [1, *split.shape] of a prepared image [1, ...] (what `preprocess.Preprocessor` gives)."""
        return self._runtime.run({self._input.name: image}, self._output.name)

    def warm_up(self, dtype: str) -> None:
        """The first run allocates; better now than under the first frame's deadline."""
        features = self.run(zeros(self.input_shape, dtype))
        if features.shape != (1, *self.split.shape):
            raise ModelError(
                f"{self._runtime.path}: gave features of shape {features.shape}, "
                f"splits.{self.split.name}.shape says {(1, *self.split.shape)}"
            )


def check_tensor(runtime: Runtime, info: TensorInfo, shape: tuple[int, ...], dtype: str, what: str) -> None:
    """Raises ModelError where the graph's tensor is not what model.yaml says it is."""
    if not fits(info, shape) or info.dtype != dtype:
        raise ModelError(
            f"{runtime.path}: tensor {info.name!r} is {list(info.shape)} of {info.dtype} (None: any), "
            f"but {what} in model.yaml is {list(shape)} of {dtype}"
        )
