"""The runnable agent part of a model: a prepared image in, the features of the cut out."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from . import backends
from .folder import ModelFolder, Split
from .runtime import GraphRuntime, Runtime, TensorInfo, fits, zeros
from .schema import ModelError
from .weights import PackedModel

__all__ = ["AgentPart", "check_tensor"]


class AgentPart:
    """The part that runs on the robot. Weights of a packed part change their width while it runs.

    Args:
        backend: what runs packed weights (`backends.BACKENDS`), or `auto` for the fastest here. An ONNX file
            is run as it is, by `onnxruntime` or `openvino`; `auto` is the former.

    Attributes:
        widths: the bits that its weights may have, largest first; empty: only as they are stored.
        backend: what runs it.
        choice: how the backend was found.

    Raises:
        ModelError: the part cannot be loaded, or is not what model.yaml says.
    """

    def __init__(
        self,
        folder: ModelFolder,
        split: Split,
        *,
        threads: int = 1,
        device: str = "cpu",
        backend: str = backends.AUTO,
    ) -> None:
        self.split = split
        self._where = f"split {split.name!r}"
        self.input_shape, self._dtype = folder.input.shape, folder.input.dtype
        path = folder.part_path(split, "agent")
        self._packed: PackedModel | None = None
        self.widths: tuple[int, ...] = ()
        if split.agent.kind == "packed":
            self._packed = PackedModel(path)
            self.widths = self._packed.widths
            self.choice = self._chosen(path, backend, threads, device)
            self.backend = self.choice.backend
            self._make = partial(
                backends.build,
                self._packed,
                backend=self.backend,
                threads=threads,
                device=device,
                shape=self.input_shape,
            )
            first, bits = self._make(self.widths[0]), self.widths[0]
        else:
            first, bits = _graph(path, backend, threads, device, self.input_shape), 0
            self.choice = backends.Choice(first.device.split()[0], {})
            self.backend = self.choice.backend
        # One tuple, replaced as a whole: a frame sees the old weights or the new ones, never a mixture.
        self._active: tuple[GraphRuntime, str, str, int] = (*self._checked(first), bits)
        self._lock = threading.Lock()
        self._wanted = self._requested = bits
        self._worker: threading.Thread | None = None
        self.problem = ""
        """Why the last change of width came to nothing; empty: it did not, or none was asked for."""

    @property
    def device(self) -> str:
        return self._active[0].device

    @property
    def bits(self) -> int:
        """Of the weights that the next frame meets; 0: as they are stored in an ONNX file."""
        return self._active[3]

    def run(self, image: NDArray[Any]) -> NDArray[Any]:
        """Features [1, *split.shape] of a prepared image [1, ...] (what `preprocess.Preprocessor` gives)."""
        runtime, image_name, output_name, _ = self._active
        return runtime.run({image_name: image}, output_name)

    def set_bits(self, bits: int) -> None:
        """Changes the width of the weights: one of `widths`, or 0 for the widest.

        Returns at once. The new weights are read and made ready by another thread while frames go on with the
        old ones, which are freed afterwards; `bits` tells when it is done, `problem` if it failed.

        Raises:
            ModelError: this part has no such width.
        """
        if bits == 0:
            bits = self.widths[0] if self.widths else 0
        if bits != self.bits and bits not in self.widths:
            offered = f"only {', '.join(map(str, self.widths))}" if self.widths else "only as they are stored"
            raise ModelError(f"{self._where}: the agent part has no weights of {bits} bits, {offered}")
        with self._lock:
            self._wanted = self._requested = bits
            if self._worker is None and bits != self.bits:
                self._worker = threading.Thread(target=self._change, name="agent weights")
                self._worker.start()

    def request(self, bits: int) -> None:
        """`set_bits` to the smallest width on offer that is no less, else the largest; 0: the largest.

        Cheap enough to be called for every frame. A width that could not be made ready is tried again only
        after another one was asked for.
        """
        if not self.widths:
            return
        largest = self.widths[0]
        width = min((width for width in self.widths if width >= (bits or largest)), default=largest)
        if width != self._requested:
            self.set_bits(width)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until no change of width is under way. Returns whether that is so."""
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while (worker := self._worker) is not None:
            worker.join(None if end_s is None else max(0.0, end_s - time.monotonic()))
            if end_s is not None and time.monotonic() >= end_s:
                return self._worker is None
        return True

    def _change(self) -> None:
        """Makes the wanted width ready, and again where another one is wanted by then."""
        while True:
            with self._lock:
                wanted = self._wanted
                if wanted == self.bits:
                    self._worker = None
                    return
            try:
                runtime, image_name, output_name = self._checked(self._make(wanted))
            except Exception as error:
                # Whatever it was, frames go on with the weights that there are.
                with self._lock:
                    self.problem = f"weights of {wanted} bits: {error}"
                    if self._wanted == wanted:
                        self._wanted, self._worker = self.bits, None
                        return
                continue
            self._active = (runtime, image_name, output_name, wanted)
            self.problem = ""
            del runtime

    def _chosen(self, path: Path, backend: str, threads: int, device: str) -> backends.Choice:
        if backend != backends.AUTO:
            return backends.Choice(backend, {}, "asked for")
        if device != "cpu":
            return backends.Choice("onnxruntime", {}, f"the one that runs on {device}")
        return backends.choose(
            path, self.split.agent.sha256, threads=threads, shape=self.input_shape, dtype=self._dtype
        )

    def _checked(self, runtime: GraphRuntime) -> tuple[GraphRuntime, str, str]:
        """The runtime and its tensors' names, after it was found to do what model.yaml says.

        Its first run allocates; better now than under a frame's deadline.
        """
        split = self.split
        image, features = runtime.input(split.agent.input), runtime.output(split.agent.output)
        check_tensor(runtime, image, self.input_shape, self._dtype, "the model's input")
        check_tensor(runtime, features, (1, *split.shape), split.dtype, self._where)
        found = runtime.run({image.name: zeros(self.input_shape, self._dtype)}, features.name)
        if found.shape != (1, *split.shape):
            raise ModelError(
                f"{runtime.path}: gave features of shape {found.shape}, "
                f"splits.{split.name}.shape says {(1, *split.shape)}"
            )
        return runtime, image.name, features.name


def _graph(path: Path, backend: str, threads: int, device: str, shape: tuple[int, ...]) -> GraphRuntime:
    if backend == "openvino":
        from .runtime_openvino import OpenVinoRuntime

        return OpenVinoRuntime(path, threads=threads, shape=shape)
    if backend not in (backends.AUTO, "onnxruntime"):
        raise ModelError(
            f"{path}: backend {backend!r} wants packed weights (.qwt; made by `qeil quantize`); "
            f"an ONNX file is run as it is: {backends.AUTO}, onnxruntime or openvino"
        )
    return Runtime(path, threads=threads, device=device)


def check_tensor(
    runtime: GraphRuntime, info: TensorInfo, shape: tuple[int, ...], dtype: str, what: str
) -> None:
    """Raises ModelError where the graph's tensor is not what model.yaml says it is."""
    if not fits(info, shape) or info.dtype != dtype:
        raise ModelError(
            f"{runtime.path}: tensor {info.name!r} is {list(info.shape)} of {info.dtype} (None: any), "
            f"but {what} in model.yaml is {list(shape)} of {dtype}"
        )
