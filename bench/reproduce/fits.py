"""How exponential the magnitudes of real weights are (Eq 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from qeil_ros.models.folder import ModelFolder
from qeil_ros.planning import exponential

from ..harness import figure
from .section import Grid, Section
from .weights import FloatAgent, float_agent, published_weights

__all__ = ["half_normal_ks", "run", "sources"]

Floats = NDArray[np.float32]

PUBLISHED: dict[str, tuple[str, ...]] = {
    "mobilenet_v1": (
        "weights/mobilenet_v1_1.0_224_quant_embedding_extractor.onnx",
        "weights/mobilenet_quant_v1_224_head_layers.onnx",
    ),
    "mobilenet_v2": ("weights/mobilenet_v2_1.0_224_quant.onnx",),
    "squeezenet": ("weights/squeezenet_v1.1.onnx",),
}
"""Below the recorded data. The MobileNets are published in 8 bits: their magnitudes lie on a grid."""
KS_CRITICAL = 1.094
"""KS sqrt(n) at 5 % for an exponential whose mean was fitted (Stephens, JASA 1974), many samples."""
HEADINGS = (
    "model",
    "tensors",
    "weights",
    "lambda",
    "KS",
    "KS of a half-normal",
    "kurtosis",
    "median KS of a tensor",
    "tensors nearer to exponential",
)
SHIPPED = {"tabletop": "the default captioner's agent part", "fcdnn16": "FCDNN-16's encoder"}


def sources(data: Path | None) -> dict[str, dict[str, Floats]]:
    """The weights of every model at hand, by tensor."""
    found: dict[str, dict[str, Floats]] = {}
    for name in SHIPPED:
        folder = ModelFolder.load(name)
        found[name] = FloatAgent(float_agent(folder, folder.split())).weights
    for name, files in PUBLISHED.items():
        if data is not None:
            found[name] = {key: w for file in files for key, w in published_weights(data / file).items()}
    return found


def run(models: Mapping[str, Mapping[str, Floats]], tell: Callable[[int, int], None]) -> Section:
    """Fits each tensor and each model as a whole."""
    rows, results, data = [], [], {}
    for number, (name, tensors) in enumerate(models.items()):
        record = _model(tensors)
        data[name] = record
        whole = record["whole"]
        better = sum(t["ks"] < t["half_normal_ks"] for t in record["tensors"])
        median = float(np.median([t["ks"] for t in record["tensors"]]))
        found = (whole[key] for key in ("count", "rate", "ks", "half_normal_ks", "kurtosis"))
        rows.append([name, len(tensors), *found, median, f"{better} of {len(tensors)}"])
        results.append(figure(f"fits_{name}_ks", whole["ks"], "of 1"))
        tell(number + 1, len(models))
    return Section(
        "fits",
        "Exponential fit of real weights",
        "The paper takes magnitudes of weights as exponential and fits lambda by maximum likelihood, "
        "1/mean|w|. Here the fit is tested: the Kolmogorov-Smirnov distance (KS) of the fitted exponential, "
        "that of a half-normal of the same mean square beside it, and the kurtosis of the signed weights (6 "
        "where they are Laplacian, 3 where Gaussian).",
        results=results,
        agrees=_agreement(data, agrees=True),
        differs=_agreement(data, agrees=False),
        not_given=["The fitted values of lambda, and any measure of how good the fits are."],
        tables=[
            Grid(
                "Whole models, and how their tensors fare one by one",
                HEADINGS,
                rows,
            )
        ],
        data=data,
        figure="Quantiles of the magnitudes against those of the fitted exponential, both over the mean: on "
        "the diagonal the assumption holds.",
    )


def half_normal_ks(weights: NDArray[Any]) -> float:
    """The KS distance of |weights| from a half-normal with their mean square."""
    theta = np.sort(np.abs(np.asarray(weights)).ravel())
    model = erf(theta / np.sqrt(2 * np.mean(np.square(theta, dtype=np.float64))))
    ranks = np.arange(len(theta) + 1) / len(theta)
    return float(max((ranks[1:] - model).max(), (model - ranks[:-1]).max()))


def _model(tensors: Mapping[str, Floats]) -> dict[str, Any]:
    everything = np.concatenate([values.ravel() for values in tensors.values()])
    fitted, seen = exponential.quantiles(everything, 100)
    mean = float(np.abs(everything).mean())
    return {
        "whole": _fit(everything),
        "tensors": [{"name": name, **_fit(values)} for name, values in tensors.items()],
        "qq": {"exponential": (fitted / mean).tolist(), "weights": (seen / mean).tolist()},
    }


def _fit(values: NDArray[Any]) -> dict[str, Any]:
    return {**vars(exponential.fit(values)), "half_normal_ks": half_normal_ks(values)}


def _agreement(data: Mapping[str, Any], *, agrees: bool) -> list[str]:
    said = []
    for name, record in data.items():
        whole = record["whole"]
        if (whole["ks"] < whole["half_normal_ks"]) != agrees:
            continue
        nearer = "nearer to exponential than to" if agrees else "nearer to"
        said.append(
            f"{name}: all weights together are {nearer} half-normal"
            + ("" if agrees else " than to exponential")
            + f" (KS {whole['ks']:.3f} and {whole['half_normal_ks']:.3f}, kurtosis {whole['kurtosis']:.1f})."
        )
    if agrees:
        return said
    tensors = [t for record in data.values() for t in record["tensors"]]
    better = sum(t["ks"] < t["half_normal_ks"] for t in tensors)
    passed = sum(t["ks"] * t["count"] ** 0.5 < KS_CRITICAL for t in tensors)
    none = [
        name
        for name, record in data.items()
        if all(t["ks"] >= t["half_normal_ks"] for t in record["tensors"])
    ]
    said.append(
        f"Tensor by tensor {len(tensors) - better} of {len(tensors)} are nearer to half-normal"
        + (f", among them all of {' and '.join(none)}." if none else ".")
    )
    said.append(
        f"As a hypothesis the exponential is rejected (KS test, 5 %) for {len(tensors) - passed} of "
        f"{len(tensors)} tensors: it is an approximation, not a law."
    )
    return said
