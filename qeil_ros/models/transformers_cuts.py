"""Where GIT and BLIP-2 are cut. Each half is the published model with the other half taken out.

No forward pass is written again: where a part was removed, a stub stands that hands the features through, and
the model's own `generate` does the rest. So a cut changes nothing, to the last bit of the features.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Protocol

import torch
from torch import nn
from transformers.modeling_outputs import (
    BaseModelOutputWithPooling,
    BaseModelOutputWithPoolingAndCrossAttentions,
)

from .schema import ModelError

__all__ = ["FAMILIES", "Blip2", "Family", "Git"]


class Family(Protocol):
    """How the models of one architecture are cut and served. `model` is of transformers' own class."""

    architecture: ClassVar[str]
    """The class's name, as in config.json's `architectures`."""
    cuts: ClassVar[tuple[str, ...]]
    """Names of the cuts; the first one's features come earliest."""

    def agent(self, model: Any, cut: str) -> nn.Module:
        """pixel_values [1, 3, H, W] -> features [1, ...]."""
        ...

    def strip(self, model: Any, cuts: set[str]) -> None:
        """Takes out of `model` what no server of these cuts needs, and puts stubs in its place."""
        ...

    def at(self, model: Any, cut: str) -> Any:
        """A stripped model that takes the features of one cut. Shares its weights with `model`."""
        ...

    def prompt(self, model: Any, tokenizer: Any, text: str) -> list[int]:
        """The token ids that an answer continues."""
        ...

    def generate(self, model: Any, features: torch.Tensor, prompt: torch.Tensor, **options: Any) -> Any:
        """What transformers' `generate` returns. `features` [B, ...] or [B, frames, ...], `prompt` [B, T]."""
        ...

    def frames(self, config: Any) -> int:
        """How many frames the model answers for at a time."""
        ...

    def language(self, model: Any) -> Any:
        """The model whose `generate` makes the text, and whose generation config counts."""
        ...


class Given(nn.Module):
    """Stands where a vision model was: what comes in are its features already."""

    def forward(self, features: torch.Tensor, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        # A copy: GIT adds the temporal embeddings in place.
        return BaseModelOutputWithPooling(last_hidden_state=features.clone())


class GivenUnderImage(Given):
    """The same where the model looks at the image's rank: the features come as an image of one channel."""

    def forward(self, features: torch.Tensor, *_: Any, **__: Any) -> BaseModelOutputWithPooling:
        return super().forward(features[:, 0])


class GivenAnswers(nn.Module):
    """Stands where the Q-Former was: what comes in as image embeddings are its outputs already."""

    def forward(
        self, *_: Any, encoder_hidden_states: torch.Tensor, **__: Any
    ) -> BaseModelOutputWithPoolingAndCrossAttentions:
        return BaseModelOutputWithPoolingAndCrossAttentions(last_hidden_state=encoder_hidden_states)


class Git:
    """GenerativeImage2Text (Wang et al. 2022), cut behind the vision transformer: [patches + 1, width].

    For video, each frame's features travel alone; the server adds the temporal embeddings where the model
    does.
    """

    architecture: ClassVar[str] = "GitForCausalLM"
    cuts: ClassVar[tuple[str, ...]] = ("vision",)

    def agent(self, model: Any, cut: str) -> nn.Module:
        return LastHiddenState(model.git.image_encoder)

    def strip(self, model: Any, cuts: set[str]) -> None:
        model.git.image_encoder = GivenUnderImage()

    def at(self, model: Any, cut: str) -> Any:
        return model

    def prompt(self, model: Any, tokenizer: Any, text: str) -> list[int]:
        begin = model.generation_config.bos_token_id if not text else tokenizer.cls_token_id
        if begin is None:
            raise ModelError(
                "the model names no token that begins a text: bos_token_id is missing in its config.json, "
                "or cls_token in its tokenizer"
            )
        return [begin, *(tokenizer(text, add_special_tokens=False).input_ids if text else [])]

    def generate(self, model: Any, features: torch.Tensor, prompt: torch.Tensor, **options: Any) -> Any:
        return model.generate(pixel_values=features.unsqueeze(-3), input_ids=prompt, **options)

    def frames(self, config: Any) -> int:
        return config.num_image_with_embedding or 1

    def language(self, model: Any) -> Any:
        return model


class Blip2:
    """BLIP-2 (Li et al. 2023), cut behind the vision transformer (`vit`) or the Q-Former (`qformer`)."""

    architecture: ClassVar[str] = "Blip2ForConditionalGeneration"
    cuts: ClassVar[tuple[str, ...]] = ("vit", "qformer")

    def agent(self, model: Any, cut: str) -> nn.Module:
        return LastHiddenState(model.vision_model) if cut == "vit" else Queried(model)

    def strip(self, model: Any, cuts: set[str]) -> None:
        model.vision_model = Given()
        if "vit" not in cuts:
            model.qformer = GivenAnswers()

    def at(self, model: Any, cut: str) -> Any:
        if cut == "vit" or isinstance(model.qformer, GivenAnswers):
            return model
        view = copy.copy(model)
        view._modules = dict(model._modules)  # the copy alone gets another Q-Former
        view.qformer = GivenAnswers()
        return view

    def prompt(self, model: Any, tokenizer: Any, text: str) -> list[int]:
        config = model.config
        if config.image_token_index is None:
            raise ModelError(
                "config.json has no image_token_index, which transformers needs since 4.46; "
                "take the checkpoint's present version"
            )
        ids = tokenizer(text).input_ids if text else [config.text_config.bos_token_id]
        return [config.image_token_index] * config.num_query_tokens + list(ids)

    def generate(self, model: Any, features: torch.Tensor, prompt: torch.Tensor, **options: Any) -> Any:
        return model.generate(pixel_values=features, input_ids=prompt, **options)

    def frames(self, config: Any) -> int:
        return 1

    def language(self, model: Any) -> Any:
        return model.language_model


class LastHiddenState(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.model(pixel_values).last_hidden_state
        return features


class Queried(nn.Module):
    """BLIP-2's vision transformer and Q-Former, put together as the model does."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_model, self.qformer = model.vision_model, model.qformer
        self.query_tokens = model.query_tokens

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        image = self.vision_model(pixel_values).last_hidden_state
        features: torch.Tensor = self.qformer(
            query_embeds=self.query_tokens.expand(image.shape[0], -1, -1),
            encoder_hidden_states=image,
            encoder_attention_mask=torch.ones(image.size()[:-1], dtype=torch.long, device=image.device),
        ).last_hidden_state
        return features


FAMILIES: dict[str, Family] = {family.architecture: family for family in (Git(), Blip2())}
