"""A folder as Hugging Face publishes models: is everything there, what is in it, whose is it. No torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .schema import ModelError, shown

__all__ = ["ENCODERS", "GENERATORS", "Source"]

GENERATORS = ("GitForCausalLM", "Blip2ForConditionalGeneration")
"""Architectures that answer with text."""
ENCODERS = (
    "CLIPModel",
    "CLIPVisionModel",
    "CLIPVisionModelWithProjection",
    "CLIPForImageClassification",
    "SiglipModel",
    "SiglipVisionModel",
    "SiglipForImageClassification",
    "ViTModel",
    "ViTForImageClassification",
    "Dinov2Model",
    "Dinov2ForImageClassification",
)
"""Architectures that answer with a vector or with labels."""

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_PROCESSOR = ("preprocessor_config.json", "processor_config.json")
_TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
_MAX_JSON_BYTES = 64 << 20
_FRONT_MATTER = re.compile(r"\A---\r?\n(.*?)\r?\n---", re.DOTALL)


@dataclass(frozen=True)
class Source:
    """A checked folder. `licence` is what its model card says, empty where it says nothing."""

    path: Path
    architecture: str
    licence: str

    @classmethod
    def read(cls, path: Path) -> Source:
        """Raises ModelError that says what is missing or unknown, and what to do."""
        if not path.is_dir():
            raise ModelError(
                f"{path}: no such folder; want a model from Hugging Face that is on this disk "
                "(`hf download NAME --local-dir FOLDER` fetches one)"
            )
        config = _json(_one_of(path, ("config.json",), "the model's configuration"))
        known = (*GENERATORS, *ENCODERS)
        names = config.get("architectures") or []
        architecture = names[0] if isinstance(names, list) and names else None
        if architecture not in known:
            raise ModelError(
                f"{path / 'config.json'}: the architecture is {shown(architecture)}; "
                f"known are {', '.join(known)}"
            )
        weights = _one_of(path, _WEIGHTS, "the weights")
        if weights.name.endswith(".index.json"):
            for shard in sorted(set(_json(weights).get("weight_map", {}).values())):
                _one_of(path, (str(shard),), f"a piece of the weights that {weights.name} lists")
        _one_of(path, _PROCESSOR, "the image processor's settings")
        if architecture in GENERATORS:
            _one_of(path, _TOKENIZER, "the tokenizer")
        return cls(path, architecture, _licence(path / "README.md"))

    def legal_files(self) -> list[Path]:
        """The licence and notice texts that came with the model."""
        return sorted(
            entry
            for entry in self.path.iterdir()
            if entry.is_file() and entry.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE"))
        )


def _one_of(path: Path, names: tuple[str, ...], what: str) -> Path:
    for name in names:
        if (path / name).is_file():
            return path / name
    raise ModelError(
        f"{path}: {what} ({' or '.join(names)}) is missing; "
        "download the whole model, not only some of its files"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ModelError(f"{path}: is larger than {_MAX_JSON_BYTES} bytes; this is no configuration")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path}: want a mapping, got {shown(found)}")
    return found


def _licence(card: Path) -> str:
    """`license` (or `license_name`, where that says `other`) in the YAML that a model card begins with."""
    try:
        head = _FRONT_MATTER.match(card.read_text(encoding="utf-8")[: 1 << 20])
        found = yaml.safe_load(head.group(1)) if head else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ""  # a card that is not there or cannot be read says nothing
    if not isinstance(found, dict):
        return ""
    name = found.get("license_name") if found.get("license") == "other" else None
    licence = name or found.get("license")
    return licence if isinstance(licence, str) else ""
