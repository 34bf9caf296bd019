"""The model folder: parts, vocabulary, `model.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qeil_ros.models import tabletop
from tools.tabletop import basis
from tools.tabletop.dataset import SIDE
from tools.tabletop.export import sha256
from tools.tabletop.model import FEATURES, MEAN, STD

FEATURE_BITS = 3  # the fewest at which the captions do not suffer: 0.965 of 0.961 exact, in 250 bytes

VERSION = "1.0"


def write_folder(folder: Path, scores: dict[str, Any], agent: str = "agent.qwt") -> None:
    """Write `vocab.txt` and `model.yaml` beside the parts that already lie in `folder`."""
    (folder / "vocab.txt").write_text("\n".join(tabletop.VOCABULARY) + "\n", encoding="utf-8")
    description = {
        "format": 1,
        "name": "tabletop-captioner",
        "version": VERSION,
        "licence": "Apache-2.0",
        "description": "Says what stands on a table: up to three objects, their size, colour, shape, order",
        "input": {
            "width": SIDE,
            "height": SIDE,
            "channels": "rgb",
            "layout": "NCHW",
            "dtype": "float32",
            "scale": 1 / 255,
            "mean": list(MEAN),
            "std": list(STD),
            "resize": "stretch",
            "interpolation": "bilinear",
            "antialias": True,
        },
        "splits": {
            "vision": {
                "shape": list(FEATURES),
                "dtype": "float32",
                "feature_bits": FEATURE_BITS,
                **basis.entry(folder),
                "agent": _part(folder, agent, input="pixel_values", output="features"),
                "server": _part(folder, "server.onnx"),
                "local": _part(folder, "local.onnx"),
            }
        },
        "default_split": "vision",
        "task": {
            "kind": "caption",
            "vocabulary": "vocab.txt",
            "begin": tabletop.BEGIN,
            "end": tabletop.END,
            "max_tokens": tabletop.MAX_TOKENS,
        },
        # Not needed to run the model: its agent part before quantization, for experiments.
        "extra": {"agent_fp32": _part(folder, "agent_fp32.onnx")},
        "scores": scores,
    }
    text = yaml.safe_dump(description, sort_keys=False, default_flow_style=None, width=110)
    (folder / "model.yaml").write_text(text, encoding="utf-8")


def _part(folder: Path, file: str, **names: str) -> dict[str, str]:
    return {"file": file, "sha256": sha256(folder / file), **names}
