"""What reaches each layer on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .quantize_graph import WeightGraph
from .runtime import Runtime
from .schema import ModelError

__all__ = ["Observed", "observe"]

_SUMS_BYTES = 1 << 30


@dataclass(frozen=True)
class Observed:
    """A layer's input: the sum of x x' over the images, [inputs, inputs], and the ends of its range."""

    hessian: NDArray[np.float32]
    low: float
    high: float


def observe(
    graph: WeightGraph,
    images: Sequence[NDArray[Any]],
    *,
    threads: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[str, Observed]]:
    """(tensor, Observed) of each tensor that a layer with an int8 product is applied to.

    The images are run again for every gigabyte of sums: those of a large model do not fit at once.

    Args:
        images: prepared ones, [1, ...].
        tell: called after each image with (done, in all).

    Raises:
        ModelError: the graph cannot be run, or gives values that are not finite.
    """
    sizes = {layer.input: graph.matrix(layer).shape[1] for layer in graph.layers if layer.product}
    batches: list[list[str]] = [[]]
    for name, size in sizes.items():
        if batches[-1] and 4 * (size**2 + sum(sizes[each] ** 2 for each in batches[-1])) > _SUMS_BYTES:
            batches.append([])
        batches[-1].append(name)
    runtime = Runtime(graph.whole(list(sizes)), name="the graph before quantization", threads=threads)
    image_name = runtime.input().name
    for number, batch in enumerate(batches):
        sums = {name: np.zeros((sizes[name], sizes[name]), np.float32) for name in batch}
        ends = dict.fromkeys(batch, (np.inf, -np.inf))
        wanted = [name for name in batch if name != image_name]
        for index, image in enumerate(images):
            values = dict(zip(wanted, runtime.run_all({image_name: image}, wanted), strict=True))
            for name in batch:
                rows = values.get(name, image).reshape(-1, sizes[name])
                sums[name] += rows.T @ rows
                ends[name] = (
                    min(ends[name][0], float(rows.min())),
                    max(ends[name][1], float(rows.max())),
                )
            if tell is not None:
                tell(number * len(images) + index + 1, len(batches) * len(images))
        for name in batch:
            if not np.isfinite(sums[name]).all():
                raise ModelError(f"tensor {name!r} is not finite on the calibration images")
            yield name, Observed(sums.pop(name), *ends[name])
