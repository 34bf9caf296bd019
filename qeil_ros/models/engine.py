"""What runs the server part: a small seam, so that another inference server can take the place of these two.

Another engine is a class with `Engine`'s members. A package brings it as an entry point of the group
`qeil_ros.engines`, in its pyproject.toml:

    [project.entry-points."qeil_ros.engines"]
    triton = "my_package:TritonEngine"

Called as `TritonEngine(folder, threads=..., device=...)`, it may raise ModelError. The parameter `engine` of
the node `co_inference` then takes its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import entry_points
from typing import Any, Protocol

from numpy.typing import NDArray

from .answering import Answering, AnsweringPart
from .folder import ModelFolder
from .sampling import Sampling
from .schema import ModelError
from .tasks import Answer

__all__ = ["ENGINES", "Engine", "OnnxEngine", "TransformersEngine", "make_engine"]


class Engine(Protocol):
    """Something that answers batches of features, called from any thread."""

    device: str
    """What runs the model, for people."""
    splits: list[str]
    """The cuts that it can answer for."""
    depth: int
    """Batches it can hold at a time. More are not submitted: frames wait where deadlines count."""

    def submit(
        self, split: str, features: NDArray[Any], deadline_s: float = math.inf
    ) -> Future[list[Answer]]:
        """One answer per row of `features`, later; an exception where the model failed.

        `features` is [B, *shape] of the cut, or [B, frames, *shape] for a model that answers for several
        frames. The earliest of their deadlines, on the monotonic clock [s], is for engines that can make use
        of it. The future must end, by an answer or a time-out of the engine's own: stopping waits for it.
        """
        ...

    def close(self) -> None:
        """Ends what `submit` began and frees the model; may be called twice."""
        ...


class _Worker:
    """Parts in this process, run one batch at a time by a thread of their own."""

    depth = 1

    def __init__(self, parts: Mapping[str, Answering]) -> None:
        self._parts = dict(parts)
        self.splits = list(self._parts)
        self.device = next(iter(self._parts.values())).device
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server-part")

    @property
    def can_sample(self) -> bool:
        """Whether `sample` has anything to draw, whatever the cut."""
        return all(part.can_sample for part in self._parts.values())

    def submit(
        self, split: str, features: NDArray[Any], deadline_s: float = math.inf
    ) -> Future[list[Answer]]:
        return self._worker.submit(self._parts[split].run, features)

    def sample(self, split: str, features: NDArray[Any], sampling: Sampling) -> Future[list[Answer]]:
        return self._worker.submit(self._parts[split].sample, features, sampling)

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._parts.clear()


class OnnxEngine(_Worker):
    """The server parts that this machine holds, on onnxruntime.

    Raises:
        ModelError: a part cannot be loaded, or none is there.
    """

    def __init__(self, folder: ModelFolder, *, threads: int = 1, device: str = "cpu") -> None:
        super().__init__(
            {
                name: AnsweringPart(folder, folder.split(name), "server", threads=threads, device=device)
                for name in _held(folder)
            }
        )


class TransformersEngine(_Worker):
    """The server parts that this machine holds, on torch and transformers; cuts that share a folder share it.

    Raises:
        ModelError: a part cannot be loaded, or none is there.
    """

    def __init__(self, folder: ModelFolder, *, threads: int = 1, device: str = "auto") -> None:
        from .transformers_part import GeneratingPart, served

        models: dict[str, Any] = {}
        parts: dict[str, Answering] = {}
        for name in _held(folder):
            split = folder.split(name)
            file = split.server.file
            if file not in models:
                models[file] = served(folder, split, threads=threads, device=device)
            parts[name] = GeneratingPart(folder, split, model=models[file])
        super().__init__(parts)


ENGINES: dict[str, Callable[..., Engine]] = {"onnx": OnnxEngine, "transformers": TransformersEngine}
"""By the kind of the server part (`PartFile.kind`)."""


def make_engine(folder: ModelFolder, *, name: str = "", threads: int = 1, device: str = "auto") -> Engine:
    """The engine of that name, built in or an installed entry point; without a name the one for the part's
    kind.

    Raises:
        ModelError: there is no such engine, or it cannot serve the folder.
    """
    name = name or folder.split().server.kind
    make = ENGINES.get(name)
    if make is None:
        others = {point.name: point for point in entry_points(group="qeil_ros.engines")}
        if name not in others:
            raise ModelError(f"no engine {name!r}; there are {', '.join([*ENGINES, *sorted(others)])}")
        make = others[name].load()
    return make(folder, threads=threads, device=device)


def _held(folder: ModelFolder) -> list[str]:
    """The cuts whose server part is here; with none the default one, whose loading says what is missing."""
    return [name for name in folder.splits if folder.has("server", name)] or [folder.default_split]
