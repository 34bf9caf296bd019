"""What errors of the weights do to the output: FCDNN-16 against the layer bound, the captioner against H."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.folder import ModelFolder
from qeil_ros.planning import layers

from ..harness import at_least, figure
from .effort import Effort
from .quality import QUANTIZERS, WIDTHS, Subject, features, mean_distance, mean_error
from .section import Grid, Section
from .weights import FloatAgent, float_agent

__all__ = ["augmented", "digits", "run"]

Floats = NDArray[np.float32]

FCDNN_HEADINGS = (
    "quantizer",
    "bits",
    "mean error of a weight",
    "L1 error of the output",
    "bound (13)",
    "with the induced norm",
    "squared error of the digit",
)


def run(effort: Effort, subject: Subject, tell: Callable[[int, int], None]) -> Section:
    """Both quantizers at 1 to 8 bits.

    Args:
        subject: the captioner (or another model) as it was measured for the sweeps.
    """
    rows = _fcdnn(effort.pictures, tell)
    points = {
        "fcdnn16": [(r["parameter"], r["output"]) for r in rows],
        subject.model: [(d, y) for c in subject.curves for d, y in zip(c.parameter, c.output, strict=True)],
    }
    constants = {name: vars(layers.sensitivity(*np.array(pairs).T)) for name, pairs in points.items()}
    held = sum(r["output"] <= r["bound"] and r["output"] <= r["induced_bound"] for r in rows)
    loosest = min(r["bound"] / r["output"] for r in rows)
    tightest = min(r["induced_bound"] / r["output"] for r in rows)
    correlations = ", ".join(f"{name} {found['correlation']:.3f}" for name, found in constants.items())
    return Section(
        "distortion",
        "Output distortion against parameter distortion",
        f"FCDNN-16 (the shipped network of that shape, trained on scikit-learn's digits, not on MNIST) on "
        f"{effort.pictures} held-out digits, and {subject.model} on {subject.pictures} pictures: the mean L1 "
        "distance of the agent part's output, for both quantizers at 1 to 8 bits, against the distortion "
        "of the weights (Eq 15). For FCDNN-16 the layer bound (Eq 13, 14) stands beside it; its layers have "
        "biases, which count as a column of weights on a constant input, so that the bound applies.",
        results=[
            at_least("distortion_bound_holds", held, "points", len(rows)),
            figure("distortion_bound_over_measured", loosest, "times, at least"),
            figure("distortion_induced_norm_bound_over_measured", tightest, "times, at least"),
            *(
                figure(f"distortion_{name}_correlation", found["correlation"], "of logarithms")
                for name, found in constants.items()
            ),
        ],
        agrees=[
            f"Output distortion follows parameter distortion; correlation of the logarithms: {correlations}.",
            f"The bound (13) holds at {held} of {len(rows)} points.",
        ],
        differs=[
            f"The bound (13) is of no use as a number: it is at least {loosest:.1e} times what is measured. "
            f"With the induced norm, which the same proof allows, {tightest:.1e} times. What serves is its "
            "form, linear in the weights' error, with the constant H measured (Eq 16, 17).",
        ],
        not_given=["How H is estimated, and its value for any model."],
        tables=[
            Grid(
                "The constant H: output distortion over the mean error of a weight",
                ["model", "largest", "median", "least squares", "correlation of logarithms", "points"],
                [
                    [name, f["bound"], f["typical"], f["slope"], f["correlation"], f["count"]]
                    for name, f in constants.items()
                ],
            ),
            Grid(
                "FCDNN-16",
                FCDNN_HEADINGS,
                [
                    [
                        r[k]
                        for k in ("quantizer", "bits", "parameter", "output", "bound", "induced_bound", "mse")
                    ]
                    for r in rows
                ],
            ),
        ],
        data={
            "fcdnn16": rows,
            "subject": {
                "model": subject.model,
                "curves": {c.quantizer: [list(c.parameter), list(c.output)] for c in subject.curves},
            },
            "constants": constants,
        },
        figure="Mean L1 distance of the output against the mean error of a weight, 1 to 8 bits from right to "
        "left, both logarithmic.",
    )


def digits(folder: ModelFolder, count: int) -> Floats:
    """The held-out digits [N, 1, 28, 28], 0 to 1, enlarged as they were for the training."""
    with np.load(folder.path / "digits.npz") as file:
        small = file["held_out"][:count].astype(np.float32)
    grown = np.stack([cv2.resize(digit, (24, 24), interpolation=cv2.INTER_CUBIC) for digit in small])
    pixels = np.clip(np.round(grown * (255 / 16)), 0, 255).astype(np.float32) / np.float32(255)
    return np.pad(pixels, ((0, 0), (2, 2), (2, 2)))[:, None]


def augmented(weights: Floats, bias: Floats) -> NDArray[np.float64]:
    """[[W, b], [0, 1]]: a layer with a bias as one without, on inputs whose last value is 1."""
    last = np.zeros((1, weights.shape[1] + 1))
    last[0, -1] = 1.0
    return np.vstack([np.hstack([weights, bias[:, None]]), last]).astype(np.float64)


def _fcdnn(count: int, tell: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """A record for each quantizer and width."""
    folder = ModelFolder.load("fcdnn16")
    agent, server = FloatAgent(float_agent(folder, folder.split())), folder.server()
    images = digits(folder, count)
    exact = features(agent.runtime(), images)
    biases = [agent.array(name.replace("weight", "bias")) for name in agent.weights]
    whole = [augmented(w, b) for w, b in zip(agent.weights.values(), biases, strict=True)]
    # Eq 13 is for ||x||_1 <= 1; without biases the network is homogeneous, so that a larger x scales it.
    size = float(np.abs(images).reshape(len(images), -1).sum(axis=1).mean()) + 1.0
    rows: list[dict[str, Any]] = []
    for name, quantize in QUANTIZERS.items():
        for bits in WIDTHS:
            quantized = {key: quantize(values, bits) for key, values in agent.weights.items()}
            given = features(agent.runtime(quantized), images)
            coarse = [augmented(q, b) for q, b in zip(quantized.values(), biases, strict=True)]
            rows.append(
                {
                    "quantizer": name,
                    "bits": bits,
                    "parameter": mean_error(agent.weights, quantized),
                    "output": mean_distance(exact, given),
                    "bound": size * layers.output_bound(whole, coarse),
                    "induced_bound": size * layers.output_bound(whole, coarse, "induced"),
                    "mse": _squared_error(server.run(given), images),
                }
            )
            tell(len(rows), len(QUANTIZERS) * len(WIDTHS))
    return rows


def _squared_error(drawn: Sequence[Any], images: Floats) -> float:
    return float(
        np.mean((np.stack([answer.embedding for answer in drawn]) - images.reshape(len(images), -1)) ** 2)
    )
