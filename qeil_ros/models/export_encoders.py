"""CLIP, SigLIP, ViT and DINOv2, cut between two layers: both halves are the published model, shortened."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from .schema import ModelError

__all__ = ["READ_AS", "Encoder", "agent_half", "layers_of", "load", "server_half"]


@dataclass(frozen=True)
class Encoder:
    """How an architecture is loaded and which of its outputs is the answer."""

    model: str
    """The transformers class that is loaded: of a model for text and images, the half for images."""
    output: str
    task: str


READ_AS = {
    "CLIPModel": Encoder("CLIPVisionModelWithProjection", "image_embeds", "embed"),
    "CLIPVisionModelWithProjection": Encoder("CLIPVisionModelWithProjection", "image_embeds", "embed"),
    "CLIPVisionModel": Encoder("CLIPVisionModel", "pooler_output", "embed"),
    "CLIPForImageClassification": Encoder("CLIPForImageClassification", "logits", "classify"),
    "SiglipModel": Encoder("SiglipVisionModel", "pooler_output", "embed"),
    "SiglipVisionModel": Encoder("SiglipVisionModel", "pooler_output", "embed"),
    "SiglipForImageClassification": Encoder("SiglipForImageClassification", "logits", "classify"),
    # The class token; a ViT's pooler is untrained in most published ones.
    "ViTModel": Encoder("ViTModel", "last_hidden_state", "embed"),
    "ViTForImageClassification": Encoder("ViTForImageClassification", "logits", "classify"),
    "Dinov2Model": Encoder("Dinov2Model", "pooler_output", "embed"),
    "Dinov2ForImageClassification": Encoder("Dinov2ForImageClassification", "logits", "classify"),
}


class Whole(nn.Module):
    """pixel_values [B, 3, H, W], or what stands in for them, -> the answer [B, N]."""

    def __init__(self, model: nn.Module, output: str) -> None:
        super().__init__()
        self.model, self.output = model, output

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = getattr(self.model(pixel_values), self.output)
        return found[:, 0] if self.output == "last_hidden_state" else found


class UpTo(nn.Module):
    """pixel_values -> what one layer gives, [B, tokens, width]."""

    def __init__(self, model: nn.Module, layer: nn.Module) -> None:
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        given: list[Any] = []
        handle = self.layer.register_forward_hook(lambda module, inputs, output: given.append(output))
        try:
            self.model(pixel_values)
        finally:
            handle.remove()
        found: torch.Tensor = given[0][0] if isinstance(given[0], tuple) else given[0]
        return found


def load(transformers: Any, path: Any, architecture: str) -> tuple[Encoder, Any]:
    """The encoder of a folder in float32. Raises ModelError where weights are missing in it."""
    encoder = READ_AS[architecture]
    options: dict[str, Any] = {"add_pooling_layer": False} if encoder.model == "ViTModel" else {}
    if architecture == "CLIPModel":  # which gives its projection's width for images and text together
        both = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        options["config"] = both.vision_config
        both.vision_config.projection_dim = both.projection_dim
    model, info = getattr(transformers, encoder.model).from_pretrained(
        path, local_files_only=True, dtype=torch.float32, output_loading_info=True, **options
    )
    if info["missing_keys"]:
        raise ModelError(f"{path}: the weights lack {', '.join(sorted(info['missing_keys'])[:3])}")
    return encoder, model.eval()


def layers_of(model: Any) -> str:
    """Name of the list of layers in the model."""
    config = getattr(model.config, "vision_config", model.config)
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
            return str(name)
    raise ModelError(
        f"{type(model).__name__}: this transformers keeps its layers where they are not looked for"
    )


def agent_half(model: Any, after: int) -> nn.Module:
    """The first `after` layers and what comes before: pixel_values -> features."""
    half, layers = _shortened(model, slice(None, after))
    return UpTo(half, layers[-1])


def server_half(model: Any, output: str, after: int) -> nn.Module:
    """The layers behind the first `after` and the head: features -> answer."""
    half, _ = _shortened(model, slice(after, None))
    for name, module in half.named_modules():
        last = name.rpartition(".")[2]
        if last in ("embeddings", "pre_layrnorm"):  # the features have been through both
            module.forward = _handed_through
    return Whole(half, output)


def _handed_through(features: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    return features


def _shortened(model: Any, keep: slice) -> tuple[Any, nn.ModuleList]:
    """A copy that shares the weights and has only those layers."""
    memo = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    half = copy.deepcopy(model, memo)
    parent, _, name = layers_of(half).rpartition(".")
    owner = half.get_submodule(parent)
    layers = nn.ModuleList(list(getattr(owner, name))[keep])
    setattr(owner, name, layers)
    return half, layers
