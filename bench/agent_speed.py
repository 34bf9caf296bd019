"""How much faster packed weights make an agent part than onnxruntime in float32: a ViT-B/16, random weights.

One thread, both in turn, so that the machine's moods hit both alike. The weights are seeded: speed and
rounding error do not depend on what a model has learnt, and nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models import backends
from qeil_ros.models.extras import require
from qeil_ros.models.quantize import WeightPlan, quantize_graph
from qeil_ros.models.runtime import GraphRuntime, Runtime
from qeil_ros.models.weights import PackedModel

from .harness import Result, at_least, at_most, figure, median, percentile

SPEEDUP = 2.2
COSINE_ERROR = 1e-3
FILE_SHARE = 0.28
"""Of the float32 file at 8 bits: a quarter, and what stays in float32. More: weights were left out."""
SHAPE = (1, 3, 224, 224)
WIDTHS = (8, 4)


def results(quick: bool) -> list[Result]:
    """Speed-up, error and size of the packed part, and what a change of its width does to frames."""
    layers, rounds = (2, 5) if quick else (12, 20)
    with TemporaryDirectory(prefix="qeil-vit-") as scratch:
        source, packed_file = Path(scratch) / "vit.onnx", Path(scratch) / "vit.qwt"
        export_vit(source, layers)
        quantize_graph(source, packed_file, WeightPlan(WIDTHS))
        share = packed_file.stat().st_size / source.stat().st_size
        packed = PackedModel(packed_file)
        found = [at_most(f"vit_b16_{layers}_layers_file", share, "of float32", FILE_SHARE)]
        found += _speed(packed, Runtime(source), rounds)
        found += _change(packed, frames=10 if quick else 30)
        packed.close()
    return found


def export_vit(file: Path, layers: int = 12, seed: int = 1) -> None:
    """A ViT-B/16 of random weights as an ONNX file. ModelError: torch or transformers are missing."""
    torch, transformers = (require(name, extra="torch") for name in ("torch", "transformers"))
    torch.manual_seed(seed)
    config = transformers.ViTConfig(num_hidden_layers=layers, attn_implementation="eager")

    class Features(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.vit = transformers.ViTModel(config, add_pooling_layer=False)

        def forward(self, image: Any) -> Any:
            return self.vit(image).last_hidden_state

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.onnx.export(
            Features().eval(),
            (torch.zeros(SHAPE),),
            file,
            dynamo=True,
            opset_version=18,
            input_names=["image"],
            output_names=["features"],
            external_data=False,
            verbose=False,
        )


def _speed(packed: PackedModel, exact: Runtime, rounds: int) -> list[Result]:
    running: dict[str, GraphRuntime] = {backends.DEFAULT: backends.build(packed, 8, backends.DEFAULT)}
    if importlib.util.find_spec("openvino") is not None:
        running["openvino"] = backends.build(packed, 8, "openvino", shape=SHAPE)
    images = [np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32) for seed in range(3)]
    found = []
    times = _interleaved({"float32": exact, **running}, images[0], rounds)
    for name, runtime in running.items():
        ratio = median(a / b for a, b in zip(times["float32"], times[name], strict=True))
        error = max(_cosine_error(runtime, exact, image) for image in images)
        label = "default" if name == backends.DEFAULT else name
        if label == "default":
            found.append(at_least("vit_b16_default_speedup", ratio, "x", SPEEDUP))
            found.append(at_most("vit_b16_default_cosine_error", error, "", COSINE_ERROR))
        else:
            found.append(figure(f"vit_b16_{label}_speedup", ratio, "x"))
            found.append(figure(f"vit_b16_{label}_cosine_error", error, ""))
        found.append(figure(f"vit_b16_{label}_p50", 1e3 * median(times[name]), "ms"))
    return [*found, figure("vit_b16_float32_p50", 1e3 * median(times["float32"]), "ms")]


def _interleaved(
    running: Mapping[str, GraphRuntime], image: NDArray[Any], rounds: int
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, runtime in running.items():
            start_s = time.perf_counter()
            runtime.run({"image": image}, "features")
            times[name].append(time.perf_counter() - start_s)
    return times


def _cosine_error(runtime: GraphRuntime, exact: GraphRuntime, image: NDArray[Any]) -> float:
    a, b = (each.run({"image": image}, "features").ravel().astype(np.float64) for each in (runtime, exact))
    return 1 - float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))


def _change(packed: PackedModel, frames: int) -> list[Result]:
    """What a frame takes while another width is made ready beside it, in units of an undisturbed frame."""
    runtime = backends.build(packed, 8, backends.DEFAULT)
    image = np.zeros(SHAPE, np.float32)
    usual = _times(runtime, image, frames)
    made: list[GraphRuntime] = []
    worker = threading.Thread(target=lambda: made.append(backends.build(packed, 4, backends.DEFAULT)))
    start_s = time.perf_counter()
    worker.start()
    during = []
    while worker.is_alive():
        during += _times(runtime, image, 1)
    ready_s = time.perf_counter() - start_s
    worker.join()
    return [
        figure("vit_b16_width_change", ready_s, "s"),
        figure("vit_b16_longest_frame_meanwhile", max(during) / percentile(usual, 50), "frames"),
    ]


def _times(runtime: GraphRuntime, image: NDArray[Any], count: int) -> Sequence[float]:
    found = []
    for _ in range(count):
        start_s = time.perf_counter()
        runtime.run({"image": image}, "features")
        found.append(time.perf_counter() - start_s)
    return found
