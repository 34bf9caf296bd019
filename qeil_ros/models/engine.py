"""What runs the server part: a small seam, so that another inference server can take onnxruntime's place."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from numpy.typing import NDArray

from .folder import ModelFolder
from .tasks import Answer

__all__ = ["Engine", "OnnxEngine"]


class Engine(Protocol):
    """Something that answers batches of features, called from any thread."""

    device: str
    """What runs the model, for people."""
    splits: list[str]
    """The cuts that it can answer for."""
    depth: int
    """Batches it can hold at a time. More are not submitted: frames wait where deadlines count."""

    def submit(self, split: str, features: NDArray[Any]) -> Future[list[Answer]]:
        """One answer per row of `features` [B, *shape], later; an exception where the model failed.

        The future must end, by an answer or a time-out of the engine's own: stopping waits for it.
        """
        ...

    def close(self) -> None:
        """Ends what `submit` began and frees the model; may be called twice."""
        ...


class OnnxEngine:
    """The server parts that this machine holds, on onnxruntime, in one worker thread.

    Raises:
        ModelError: a part cannot be loaded, or none is there.
    """

    depth = 1

    def __init__(self, folder: ModelFolder, *, threads: int = 1, device: str = "cpu") -> None:
        held = [name for name in folder.splits if folder.has("server", name)]
        # With none, loading the default one says what is missing.
        names = held or [folder.default_split]
        self._parts = {name: folder.server(name, threads=threads, device=device) for name in names}
        self.splits = list(self._parts)
        self.device = next(iter(self._parts.values())).device
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-part")

    def submit(self, split: str, features: NDArray[Any]) -> Future[list[Answer]]:
        return self._worker.submit(self._parts[split].run, features)

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
