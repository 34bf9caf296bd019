"""How good a model's answers are with its agent part's weights in few bits: measured, for each quantizer.

The weights of the agent part are quantized as the paper does it (sign kept, magnitudes uniform or powers of
two, one range a tensor), put back into the float32 graph, and the whole model answers for the pictures. So
the score has nothing in it but the weights' error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qeil_ros.models.datasets import Dataset
from qeil_ros.models.evaluate import main_score, prepared
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.judge import Judge, for_scoring
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.tasks import Answer
from qeil_ros.planning.weight_quantizers import power_of_two, uniform

from .weights import FloatAgent, float_agent

__all__ = ["QUANTIZERS", "WIDTHS", "Curve", "Subject", "features", "measure"]

QUANTIZERS: dict[str, Callable[[ArrayLike, int], NDArray[np.float64]]] = {
    "uniform": uniform,
    "power_of_two": power_of_two,
}
"""The paper's two, sign and magnitude apart."""
WIDTHS = tuple(range(1, 9))
BATCH = 32
_TITLES = {"cider": "CIDEr", "bleu_4": "BLEU-4", "map": "mAP"}

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Curve:
    """The score at each width, by one quantizer.

    Attributes:
        scores: [widths, seeds], each over that seed's pictures.
        parameter: mean |theta - theta^| of the weights at each width (Eq 15 over the number of weights).
        output: mean ||f - f^||_1 of the features at each width.
    """

    quantizer: str
    scores: NDArray[np.float64]
    parameter: tuple[float, ...]
    output: tuple[float, ...]


@dataclass(frozen=True)
class Subject:
    """A model on some data, at every width.

    Attributes:
        score: its name for people: CIDEr where pictures have captions.
        exact: [seeds], with the weights as they are.
    """

    model: str
    digest: str
    dataset: str
    pictures: int
    score: str
    exact: NDArray[np.float64]
    curves: tuple[Curve, ...]


def measure(
    folder: ModelFolder,
    dataset: Dataset,
    *,
    seeds: int,
    block: int,
    split: str = "",
    widths: Sequence[int] = WIDTHS,
    threads: int = 1,
    tell: Tell = lambda done, total: None,
) -> Subject:
    """Measures a model. Seed i has the pictures i * block and those that follow; no two share one.

    Raises:
        ValueError: there are too few pictures.
        ModelError: a part cannot be loaded, or the agent part has no float32 weights.
    """
    block = min(block, len(dataset) // seeds)
    if block < 2:
        raise ValueError(
            f"{dataset.name} has {len(dataset)} pictures; {seeds} seeds need {2 * seeds} or more"
        )
    dataset = dataset.limited(seeds * block)
    folder = for_scoring(folder)
    cut = folder.split(split)
    agent = FloatAgent(float_agent(folder, cut))
    server = folder.server(cut.name, threads=threads)
    prepare = Preprocessor(folder.input)
    judges = [Judge(folder, dataset) for _ in range(seeds)]
    pictures = []
    for index, example in enumerate(dataset):
        judges[index // block].see(example)
        pictures.append(prepared(prepare, example.pixels).copy())
    images = np.concatenate(pictures)
    steps, done = 1 + len(QUANTIZERS) * len(widths), 0

    def answers(weights: dict[str, NDArray[Any]] | None) -> tuple[NDArray[Any], list[Answer]]:
        nonlocal done
        given = features(agent.runtime(weights, threads=threads), images, cut.agent.input, cut.agent.output)
        said: list[Answer] = []
        for start in range(0, len(given), BATCH):
            said += server.run(given[start : start + BATCH])
        done += 1
        tell(done, steps)
        return given, said

    exact_features, reference = answers(None)
    parts = [slice(seed * block, (seed + 1) * block) for seed in range(seeds)]

    def scored(said: list[Answer]) -> list[dict[str, Any]]:
        return [judge.scores(said[at], reference[at]) for judge, at in zip(judges, parts, strict=True)]

    first = scored(reference)
    name = "cider" if "cider" in first[0] else main_score(first[0])
    curves = []
    for quantizer, quantize in QUANTIZERS.items():
        scores, parameter, output = [], [], []
        for bits in widths:
            quantized = {key: quantize(values, bits) for key, values in agent.weights.items()}
            given, said = answers(quantized)
            scores.append([found[name].value for found in scored(said)])
            parameter.append(mean_error(agent.weights, quantized))
            output.append(mean_distance(exact_features, given))
        curves.append(Curve(quantizer, np.array(scores), tuple(parameter), tuple(output)))
    return Subject(
        folder.name,
        folder.digest,
        dataset.name,
        len(dataset),
        _TITLES.get(name, name.replace("_", " ")),
        np.array([found[name].value for found in first]),
        tuple(curves),
    )


def features(runtime: Runtime, images: NDArray[Any], given: str = "", wanted: str = "") -> NDArray[Any]:
    """The features [N, ...] of prepared images [N, ...]; many at a time where the graph allows it."""
    image, output = runtime.input(given), runtime.output(wanted)
    size = BATCH if image.shape[0] is None else 1
    found = [
        runtime.run({image.name: images[start : start + size]}, output.name)
        for start in range(0, len(images), size)
    ]
    return np.concatenate(found)


def mean_error(weights: dict[str, Any], quantized: dict[str, Any]) -> float:
    """Mean |theta - theta^| over all weights."""
    total = sum(float(np.abs(np.abs(weights[key]) - np.abs(quantized[key])).sum()) for key in weights)
    return total / sum(values.size for values in weights.values())


def mean_distance(exact: NDArray[Any], given: NDArray[Any]) -> float:
    """Mean over the pictures of ||f - f^||_1."""
    difference = np.abs(exact.astype(np.float64) - given)
    return float(difference.reshape(len(exact), -1).sum(axis=1).mean())
