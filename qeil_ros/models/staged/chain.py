"""The sections of a network run one after another in this process, each writing where the next one reads."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import Bound
from ..schema import ModelError
from .place import Place, StageRuntime
from .program import Program

__all__ = ["Chain", "check_image"]


class Chain:
    """A placed network without isolation: the least overhead, and no more robust than its weakest runtime.

    Sets of cores are the whole process's and so not honoured here. One thread at a time.

    Attributes:
        devices: what runs each section, in words.
        section_s: of each section in the last run [s].

    Raises:
        ModelError: a section cannot be loaded on its place.
    """

    def __init__(self, program: Program, places: Sequence[Place]) -> None:
        self.program = program
        self.devices: list[str] = []
        self._like = np.zeros(program.input_shape, program.input_dtype)
        self._outputs: list[NDArray[Any]] = []
        self._steps: list[Bound] = []
        value = self._like
        for section in program.sections:
            runtime = places[section.place].open(section.model, f"section on {places[section.place].name}")
            self.devices.append(runtime.device)
            feeds = {section.input: value}
            given = runtime.run_all(feeds, section.outputs)
            if section.fixed:
                self._outputs = [np.empty_like(array) for array in given]
                arrays = dict(zip(section.outputs, self._outputs, strict=True))
                self._steps.append(runtime.bound(feeds, arrays))
                value = self._outputs[0]
            else:  # the last one: `program.cut` sees to that
                self._steps.append(self._unbound(runtime, feeds, section.outputs))
        self.section_s = [0.0] * len(self._steps)

    def run(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """The network's outputs, in the graph's order. A contiguous image is read in place.

        Raises:
            ModelError: the image has another shape.
        """
        check_image(image, self._like)
        feeds: Mapping[str, NDArray[Any]] | None
        feeds = {self.program.sections[0].input: np.ascontiguousarray(image)}
        before_s = time.perf_counter()
        for index, step in enumerate(self._steps):
            step(feeds)
            feeds = None
            now_s = time.perf_counter()
            self.section_s[index], before_s = now_s - before_s, now_s
        return [array.copy() for array in self._outputs]

    def _unbound(
        self, runtime: StageRuntime, bound: Mapping[str, NDArray[Any]], outputs: Sequence[str]
    ) -> Bound:
        def step(feeds: Mapping[str, NDArray[Any]] | None = None, /) -> None:
            self._outputs = runtime.run_all(feeds or bound, outputs)

        return step


def check_image(image: NDArray[Any], like: NDArray[Any]) -> None:
    """Raises ModelError where shape or type differ."""
    if image.shape != like.shape or image.dtype != like.dtype:
        raise ModelError(f"an image {image.dtype} {image.shape}; the network takes {like.dtype} {like.shape}")
