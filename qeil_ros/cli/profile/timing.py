"""A model's parts timed on this machine, cut by cut and width by width."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.answering import Answering
from qeil_ros.models.evaluate import prepared
from qeil_ros.models.features import FeatureReader, FeatureWriter
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.parts import AgentPart
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.schema import ModelError
from qeil_ros.models.tasks import Answer, CaptionTask, GenerateTask
from qeil_ros.planning.device import AS_STORED, ModelTimes, SplitTimes

__all__ = ["FULL", "QUICK", "Effort", "Progress", "time_model"]

FEATURE_BITS = range(1, 9)
SIGNIFICANT = 4

Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, what is being done)"""


@dataclass(frozen=True)
class Effort:
    """How long to measure: so many rounds, and in each so long for each thing, or so many runs of it."""

    rounds: int
    budget_s: float
    most: int = 200


FULL = Effort(5, 0.25)
QUICK = Effort(2, 0.05)


def time_model(
    folder: ModelFolder,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    threads: int = 1,
    server_device: str = "auto",
    effort: Effort = FULL,
    robot: bool = True,
    server: bool = True,
    progress: Progress = lambda done, total, what: None,
) -> ModelTimes:
    """Median times of one frame, at every cut whose parts this machine holds.

    Everything is measured in turn, round by round, so that a change of the machine's mood reaches all alike.

    Args:
        pictures: RGB [height, width, 3], like the camera's; times and the answers' length are theirs.
        server_device: `cpu`, `cuda`, or `auto` for a GPU if there is one, as the server node has it.
        robot, server: which parts to time, where they are here.

    Raises:
        ModelError: a part cannot be loaded, or there is nothing to time.
    """
    found: list[SplitTimes] = []
    tokens: list[int] = []
    for number, name in enumerate(folder.splits):

        def tell(done: int, total: int, what: str, number: int = number, name: str = name) -> None:
            progress(number * total + done, len(folder.splits) * total, f"{name}: {what}")

        split = _Split(folder, name, pictures, threads, server_device, effort, tell)
        # Features are needed for either side; without the agent part here, empty ones must do.
        times, features = split.robot() if robot and folder.has("agent", name) else (SplitTimes(name), None)
        if server and folder.has("server", name):
            times, said = split.server(times, features)
            tokens += said
        if times.agent_s or times.first_s is not None:
            found.append(times)
    if not found:
        raise ModelError(f"{folder.path}: holds no part that could be timed here")
    return ModelTimes(
        folder.name,
        folder.digest,
        tuple(found),
        tokens=_tidy(statistics.fmean(tokens)) if tokens else 1.0,
        threads=threads,
    )


class _Split:
    """One cut under the clock."""

    def __init__(
        self,
        folder: ModelFolder,
        name: str,
        pictures: Sequence[NDArray[np.uint8]],
        threads: int,
        server_device: str,
        effort: Effort,
        tell: Progress,
    ) -> None:
        self._folder, self._name, self._pictures = folder, name, pictures
        self._threads, self._device, self._effort, self._tell = threads, server_device, effort, tell

    def robot(self) -> tuple[SplitTimes, list[NDArray[Any]]]:
        """The robot's side, and the features of the pictures [1, ...]."""
        folder, name = self._folder, self._name
        agent = folder.agent(name, threads=self._threads)
        local = folder.local(name, threads=self._threads) if folder.has("local", name) else None
        prepare = Preprocessor(folder.input)
        images = [np.array(prepared(prepare, picture)) for picture in self._pictures]
        features = [agent.run(image) for image in images]
        writer, reader = FeatureWriter(folder, name), FeatureReader(folder, name)
        streams = [bytes(writer.encode(f[0], bits=8, coder="rans")) for f in features]
        widths = agent.widths or (AS_STORED,)
        steps = self._effort.rounds * (len(widths) + len(FEATURE_BITS) + 3)
        samples: dict[tuple[str, int], list[float]] = {}
        done = 0

        def take(what: str, bits: int, call: Callable[[int], object]) -> None:
            nonlocal done
            self._tell(done, steps, f"{what} {bits} bits" if bits else what)
            samples.setdefault((what, bits), []).extend(_times(call, len(images), self._effort))
            done += 1

        def code(bits: int, i: int) -> object:
            return writer.encode(features[i][0], bits=bits, coder="rans")

        for _ in range(self._effort.rounds):
            take("preparation", 0, lambda i: prepared(prepare, self._pictures[i]))
            for bits in widths:
                _set_width(agent, bits)
                take("agent", bits, lambda i: agent.run(images[i]))
            for bits in FEATURE_BITS:
                take("coding", bits, partial(code, bits))
            take("decoding", 0, lambda i: reader.decode(streams[i]))
            if local is not None:
                take("local", 0, lambda i: local.run(features[i]))
        _set_width(agent, widths[0])

        def median(what: str, bits: int = 0) -> float:
            return _tidy(statistics.median(samples[what, bits]))

        by_width = {bits: median("agent", bits) for bits in widths}
        return (
            SplitTimes(
                name,
                prepare_s=median("preparation"),
                agent_s={AS_STORED: by_width[widths[0]], **{b: t for b, t in by_width.items() if b}},
                encode_s={bits: median("coding", bits) for bits in FEATURE_BITS},
                decode_s=median("decoding"),
                local_s=median("local") if local is not None else None,
            ),
            features,
        )

    def server(self, times: SplitTimes, features: list[NDArray[Any]] | None) -> tuple[SplitTimes, list[int]]:
        """The server's side put to the robot's, and the number of tokens of each answer."""
        folder, cut = self._folder, self._folder.split(self._name)
        given = features or [np.zeros((1, *cut.shape), cut.dtype)]
        whole = folder.server(self._name, threads=self._threads, device=self._device)
        first = _one_token(folder)
        begin = first.server(self._name, threads=self._threads, device=self._device) if first else None
        whole_s: list[float] = []
        begin_s: list[float] = []
        for number in range(self._effort.rounds):
            self._tell(number, self._effort.rounds, "server")
            whole_s += _times(lambda i: whole.run(given[i]), len(given), self._effort)
            if begin is not None:
                begin_s += _times(lambda i: begin.run(given[i]), len(given), self._effort)
        said = [_tokens(folder, answer) for answer in _answers(whole, given)]
        mean = statistics.fmean(said)
        whole_median = statistics.median(whole_s)
        begin_median = statistics.median(begin_s) if begin_s and mean > 1 else whole_median
        return (
            dataclasses.replace(
                times,
                first_s=_tidy(begin_median),
                token_s=_tidy(max(whole_median - begin_median, 0.0) / (mean - 1.0)) if mean > 1 else 0.0,
            ),
            said,
        )


def _times(call: Callable[[int], object], count: int, effort: Effort) -> Iterator[float]:
    """Seconds of each run, on one picture after the other; the first run is not counted."""
    call(0)
    end_s = time.monotonic() + effort.budget_s
    for number in range(effort.most):
        start_s = time.perf_counter()
        call(number % count)
        yield time.perf_counter() - start_s
        if number >= 2 and time.monotonic() > end_s:
            return


def _set_width(agent: AgentPart, bits: int) -> None:
    agent.set_bits(bits)
    agent.wait()
    if agent.problem:
        raise ModelError(agent.problem)


def _answers(part: Answering, features: list[NDArray[Any]]) -> list[Answer]:
    return [part.run(row)[0] for row in features]


def _one_token(folder: ModelFolder) -> ModelFolder | None:
    """The model as one that stops after its first token; None where it does not generate."""
    task = folder.task
    if isinstance(task, CaptionTask):
        return dataclasses.replace(folder, task=dataclasses.replace(task, max_tokens=1))
    if isinstance(task, GenerateTask):
        options = {key: value for key, value in task.options.items() if not key.startswith("min_")}
        return dataclasses.replace(
            folder, task=dataclasses.replace(task, options={**options, "max_new_tokens": 1})
        )
    return None


def _tokens(folder: ModelFolder, answer: Answer) -> int:
    """Tokens that were generated for an answer; of a language model, as many as it may give."""
    if isinstance(folder.task, CaptionTask):
        return min(len(answer.text.split()) + 1, folder.task.max_tokens)  # the end token too
    if isinstance(folder.task, GenerateTask):
        most = folder.task.options.get("max_new_tokens", 1)
        return int(most)
    return 1


def _tidy(value: float) -> float:
    """To as many digits as a time is worth."""
    return float(f"{value:.{SIGNIFICANT}g}")
