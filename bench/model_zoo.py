"""The models that are measured: how each folder is made, what it is scored on, and what its page says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qeil_ros.models.create import Recipe, create
from qeil_ros.models.datasets import Dataset, open_dataset
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.split_check import join
from qeil_ros.models.split_folder import CutRow, describe_cuts, interesting, split_folder

__all__ = ["ENTRIES", "Entry", "describe"]

_PHOTOS = "images/coco28"
_CORAL = "images/coral"
_CAR = "bags/donkeycar_mcap"
_IMAGENET = "weights/imagenet_labels.txt"


@dataclass(frozen=True)
class Entry:
    """One model of the page.

    Attributes:
        get: how to come by it, for people.
        make: writes its folder, given the recorded data and where to.
        whole: the uncut graph (a file, or an onnx.ModelProto); None where there is none.
        data: what it is scored on: paths below the recorded data, or `tabletop`.
        decoder: how a detector's output reads; empty for the others.
    """

    name: str
    get: str
    make: Callable[[Path, Path], ModelFolder]
    whole: Callable[[Path], Any] | None
    data: tuple[str, ...]
    feature_bits: tuple[int, ...] = tuple(range(1, 9))
    weight_bits: tuple[int, ...] = ()
    decoder: str = ""

    def datasets(self, data: Path | None, limit: int | None) -> list[Dataset]:
        opened = []
        for name in self.data:
            source = name if name == "tabletop" or data is None else data / name
            opened.append(open_dataset(source, limit=limit, named=name == _CORAL))
        return opened


def describe(whole: Any) -> list[dict[str, Any]]:
    """The cuts worth looking at, as JSON: shape, bytes at 8, 4 and 2 bits, cost on either side."""
    graph = Graph.load(whole) if isinstance(whole, Path) else Graph(whole)
    rows: Sequence[CutRow] = describe_cuts(graph, measure(graph))
    return [
        {
            "name": row.name,
            "shape": list(row.shape),
            "dtype": row.dtype,
            "bytes": {str(bits): row.bytes_at(bits) for bits in (8, 4, 2)},
            "agent": dataclasses.asdict(row.agent),
            "server": dataclasses.asdict(row.server),
        }
        for row in interesting(rows)
    ]


def _shipped(data: Path, directory: Path) -> ModelFolder:
    return ModelFolder.load("tabletop")


def _mobilenet_v1(data: Path, directory: Path) -> ModelFolder:
    agent, server = mobilenet_halves(data)
    recipe = Recipe(
        agent=agent,
        server=server,
        local=server,
        words=data / _IMAGENET,
        name="mobilenet_v1",
        licence="Apache-2.0",
    )
    return create(directory, recipe)


def mobilenet_halves(data: Path) -> tuple[Path, Path]:
    return (
        data / "weights/mobilenet_v1_1.0_224_quant_embedding_extractor.onnx",
        data / "weights/mobilenet_quant_v1_224_head_layers.onnx",
    )


def _split(model: str, cuts: Mapping[str, str], **options: Any) -> Callable[[Path, Path], ModelFolder]:
    """A published graph cut at tensors by their short names; the server part is the local one, too."""

    def make(data: Path, directory: Path) -> ModelFolder:
        named = {**options, "words": data / options["words"], "name": directory.name}
        at = {name: [tensor] for name, tensor in cuts.items()}
        return split_folder(data / model, directory, at, named, local="whole").folder

    return make


_V2 = "weights/mobilenet_v2_1.0_224_quant.onnx"
_SQUEEZENET = "weights/squeezenet_v1.1.onnx"
_FASTESTDET = "weights/fastestdet/FastestDet.onnx"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "tabletop",
        "shipped with the package: `tabletop` wherever a model is asked for",
        _shipped,
        None,
        ("tabletop",),
        weight_bits=tuple(range(1, 9)),
    ),
    Entry(
        "mobilenet_v1",
        "google-coral/test_data, the embedding extractor and its head as ONNX; then `qeil model create`",
        _mobilenet_v1,
        lambda data: join(*mobilenet_halves(data)),
        (_CORAL, _PHOTOS, _CAR),
    ),
    Entry(
        "mobilenet_v2",
        "the published quantized MobileNet v2 as ONNX (opset 13, QDQ); then `qeil split`",
        _split(
            _V2,
            {"block7": "quantizelinear_36", "block14": "quantizelinear_58"},
            words=_IMAGENET,
            licence="Apache-2.0",
        ),
        lambda data: data / _V2,
        (_CORAL, _PHOTOS),
    ),
    Entry(
        "squeezenet",
        "the published SqueezeNet v1.1 as ONNX; then `qeil split`",
        _split(
            _SQUEEZENET,
            {"fire5": "relu_14", "fire9": "relu_23"},
            words="weights/squeezenet_labels.txt",
            licence="BSD-2-Clause",
            activation="none",
            input={"channels": "bgr", "scale": 1.0, "mean": (104.0, 117.0, 123.0)},
        ),
        lambda data: data / _SQUEEZENET,
        (_CORAL, _PHOTOS),
    ),
    Entry(
        "fastestdet",
        "dog-qiuqiu/FastestDet, example/onnx-runtime/FastestDet.onnx; then `qeil split`",
        _split(
            _FASTESTDET,
            {"neck": "relu_45"},
            words="weights/fastestdet/coco.names",
            licence="BSD-3-Clause",
            task="detect",
            decoder="fastestdet",
            input={"channels": "bgr"},
        ),
        lambda data: data / _FASTESTDET,
        (_PHOTOS,),
        decoder="fastestdet",
    ),
)
