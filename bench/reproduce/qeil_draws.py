"""Captions drawn from the shipped captioner, right or wrong, and the joules that they took."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import qeil_ros.nodes  # noqa: F401  serves rclpy where no ROS 2 is installed
from qeil_ros.models.datasets import open_dataset
from qeil_ros.models.engine import OnnxEngine
from qeil_ros.models.evaluate import prepared
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.judge import for_scoring
from qeil_ros.models.preprocess import Preprocessor
from qeil_ros.models.sampling import Drawn, Sampling
from qeil_ros.models.scores.answers import pass_at_k
from qeil_ros.nodes.co_inference_parameters import CoInferenceParameters
from qeil_ros.nodes.sampler import Sampler
from qeil_ros.planning.weight_quantizers import uniform
from qeil_ros.platform.energy import Meter

from ..progress import Tell
from .quality import features as features_of
from .weights import FloatAgent, float_agent

__all__ = ["MODEL", "Draws", "Method", "Policy", "Scenes", "Verdict", "ask", "draw", "scenes"]

MODEL = "tabletop"
BLOCK = 10
"""Scenes by one method before the other's turn: what drifts, drifts for both."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scenes:
    """Scenes as the robot's features [N, *shape], and what is true in each: the only right answer."""

    features: NDArray[np.float32]
    truths: tuple[str, ...]


@dataclass(frozen=True)
class Method:
    """How the same samples are drawn: so many in one run of the same graph, by so many threads."""

    title: str
    together: int
    threads: int


@dataclass(frozen=True)
class Draws:
    """What a method drew.

    Attributes:
        right: samples of each scene that are right [N].
        samples: drawn for each.
        block_j: joules of a sample, by block of scenes.
    """

    right: NDArray[np.int64]
    samples: int
    block_j: Floats

    @property
    def sample_j(self) -> float:
        return float(np.mean(self.block_j))

    def coverage(self, k: int) -> Floats:
        """The unbiased chance that one of k samples is right, of each scene [N]."""
        table = np.array([pass_at_k(self.samples, c, k) for c in range(self.samples + 1)])
        return np.asarray(table[self.right])


@dataclass(frozen=True)
class Policy:
    """Parameters of the offboard node under a name. `verified`: a verifier knows which caption is right."""

    title: str
    params: CoInferenceParameters
    verified: bool = False


@dataclass(frozen=True)
class Verdict:
    """How a policy fared: exact answers [N], joules of each question [N], samples drawn for it [N]."""

    right: NDArray[np.bool_]
    energy_j: Floats
    samples: NDArray[np.int64]


def scenes(count: int, bits: int | None) -> Scenes:
    """The first frozen scenes. `bits`: of the robot's weights, uniform; None: as they were trained."""
    folder = for_scoring(ModelFolder.load(MODEL))
    cut = folder.split()
    agent = FloatAgent(float_agent(folder, cut))
    weights = None
    if bits is not None:
        weights = {name: uniform(values, bits) for name, values in agent.weights.items()}
    prepare = Preprocessor(folder.input)
    pictures, truths = [], []
    for example in open_dataset(MODEL, limit=count):
        pictures.append(prepared(prepare, example.pixels).copy())
        truths.append(example.captions[0])
    given = features_of(agent.runtime(weights), np.concatenate(pictures), cut.agent.input, cut.agent.output)
    return Scenes(np.asarray(given, np.float32), tuple(truths))


def draw(
    what: Scenes, methods: Sequence[Method], samples: int, temperature: float, meter: Meter, tell: Tell
) -> list[Draws]:
    """`samples` of every scene by every method, in turns of a block of scenes."""
    folder = ModelFolder.load(MODEL)
    parts = [folder.server(threads=method.threads) for method in methods]
    count = len(what.truths)
    right = np.zeros((len(methods), count), np.int64)
    blocks = range(0, count, BLOCK)
    block_j = np.zeros((len(methods), len(blocks)))
    for turn, start in enumerate(blocks):
        for index, (method, part) in enumerate(zip(methods, parts, strict=True)):
            before_j = meter.read()
            for scene in range(start, min(count, start + BLOCK)):
                for first in range(0, samples, method.together):
                    rows = min(method.together, samples - first)
                    seed = (index * count + scene) * samples + first
                    drawn = part.sample(
                        np.repeat(what.features[scene : scene + 1], rows, axis=0), Sampling(temperature, seed)
                    )
                    right[index, scene] += sum(answer.text == what.truths[scene] for answer in drawn)
            spent = samples * (min(count, start + BLOCK) - start)
            block_j[index, turn] = (meter.read() - before_j) / spent
            tell(turn * len(methods) + index + 1, len(blocks) * len(methods))
    return [Draws(found, samples, joules) for found, joules in zip(right, block_j, strict=True)]


def ask(what: Scenes, policy: Policy, meter: Meter) -> Verdict:
    """Every scene as a question to the offboard node's sampler, one after the other."""
    folder = ModelFolder.load(MODEL)
    split = folder.default_split
    truth = ""
    verify = (lambda answer: answer.text == truth) if policy.verified else None
    sampler = Sampler(OnnxEngine(folder, threads=1), policy.params, meter, verify)
    found: list[Drawn] = []
    try:
        for row, truth in zip(what.features, what.truths, strict=True):  # noqa: B007 the verifier looks at it
            (answer,) = sampler.submit(split, row[None], math.inf).result()
            assert isinstance(answer, Drawn)
            found.append(answer)
    finally:
        sampler.close()
    return Verdict(
        np.array([answer.text == truth for answer, truth in zip(found, what.truths, strict=True)]),
        np.array([answer.energy_j for answer in found]),
        np.array([answer.samples for answer in found]),
    )
