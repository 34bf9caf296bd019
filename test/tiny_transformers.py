"""Small models with seeded weights, saved as Hugging Face publishes them: `import tiny_transformers`.

Only for tests that asked for torch and transformers first (`pytest.importorskip`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

torch.set_num_threads(1)
transformers.utils.logging.disable_progress_bar()

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"w{index}" for index in range(60))]
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
CARD = "---\nlicense: mit\ntags: [vision]\n---\n\n# A model\n"


def git(path: Path, *, frames: int | None = None, seed: int = 0) -> Path:
    """A GIT for 32 x 32 pixels; with `frames` one for video, whose temporal embeddings are not zero."""
    torch.manual_seed(seed)
    config = transformers.GitConfig(
        vision_config={**VISION, "image_size": 32, "patch_size": 8},
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_image_with_embedding=frames,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    model = transformers.GitForCausalLM(config).eval()
    if frames:
        for index, embedding in enumerate(model.git.img_temporal_embedding):
            torch.nn.init.normal_(embedding, std=0.5 + index)
    model.save_pretrained(path)
    tokenizer().save_pretrained(path)
    processor: Any = transformers.models.clip.image_processing_pil_clip.CLIPImageProcessorPil
    if frames:
        processor = transformers.models.videomae.image_processing_pil_videomae.VideoMAEImageProcessorPil
    processor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(path)
    (path / "README.md").write_text(CARD)
    return path


def blip2(path: Path, *, t5: bool = False, seed: int = 0) -> Path:
    """A BLIP-2 for 28 x 28 pixels over a small OPT, or over a small T5."""
    torch.manual_seed(seed)
    image_token = len(WORDS)
    if t5:
        text = {"model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        text |= {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1}
        text |= {"initializer_factor": 4.0}
    else:
        text = {"model_type": "opt", "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2}
        text |= {"num_attention_heads": 2, "max_position_embeddings": 128, "word_embed_proj_dim": 32}
        text |= {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1, "init_std": 0.4}
    config = transformers.Blip2Config(
        # The published default of initializer_range, 1e-10, would make all images look alike.
        vision_config={**VISION, "image_size": 28, "patch_size": 14, "initializer_range": 0.02},
        qformer_config={
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 48,
            "encoder_hidden_size": 32,
            "vocab_size": 32,
            "initializer_range": 0.4,
        },
        text_config={**text, "vocab_size": len(WORDS) + 1},
        num_query_tokens=6,
        image_token_index=image_token,
        initializer_range=0.4,
    )
    model = transformers.Blip2ForConditionalGeneration(config).eval()
    torch.nn.init.normal_(model.query_tokens)
    for module in (model.vision_model, model.language_projection):
        for name, weight in module.named_parameters():
            if weight.ndim > 1 and "norm" not in name:
                torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(path)
    words = tokenizer()
    words.add_tokens(["<image>"], special_tokens=True)
    words.save_pretrained(path)
    processor = transformers.models.blip.image_processing_pil_blip.BlipImageProcessorPil
    processor(size={"height": 28, "width": 28}).save_pretrained(path)
    (path / "README.md").write_text(CARD)
    return path


def encoder(path: Path, architecture: str, *, seed: int = 0) -> Path:
    """A CLIP, SigLIP, ViT or DINOv2 of the class of that name, for 32 x 32 pixels."""
    torch.manual_seed(seed)
    t = transformers
    size = {"image_size": 32, "patch_size": 8}
    labels = {"id2label": {0: "cat", 1: "dog", 2: "traffic\nlight"}}
    processors_of = {
        "CLIP": t.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        "Siglip": t.models.siglip.image_processing_pil_siglip.SiglipImageProcessorPil(
            size={"height": 32, "width": 32}
        ),
        "ViT": t.models.vit.image_processing_pil_vit.ViTImageProcessorPil(size={"height": 32, "width": 32}),
        "Dinov2": t.models.bit.image_processing_pil_bit.BitImageProcessorPil(
            size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
        ),
    }
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    both = {"vision_config": {**VISION, **size}, "text_config": {**text, "vocab_size": 64}, **labels}
    if architecture == "CLIPModel":
        config: Any = t.CLIPConfig(**both, projection_dim=16)
    elif architecture in ("CLIPVisionModel", "CLIPVisionModelWithProjection"):
        config = t.CLIPVisionConfig(**VISION, **size, projection_dim=16)
    elif architecture == "CLIPForImageClassification":
        config = t.CLIPConfig(**both)
    elif architecture in ("SiglipModel", "SiglipForImageClassification"):
        config = t.SiglipConfig(**both)
    elif architecture == "SiglipVisionModel":
        config = t.SiglipVisionConfig(**VISION, **size)
    elif architecture.startswith("ViT"):
        config = t.ViTConfig(**VISION, **size, **labels)
    else:  # a DINOv2 is published for 518 pixels and used with 224: its position embeddings are interpolated
        config = t.Dinov2Config(**VISION, image_size=48, patch_size=8, **labels)
        config.intermediate_size = 64
    model = getattr(t, architecture)(config).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(path)
    family = next(name for name in processors_of if architecture.startswith(name))
    processors_of[family].save_pretrained(path)
    (path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return path


def tokenizer() -> Any:
    """Words between blanks, `[CLS] ... [SEP]` around them."""
    raw = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )


def edit_config(path: Path, **changes: Any) -> None:
    """Changes config.json of a saved model."""
    file = path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
