"""The training loops.

Every batch follows from the seed and its number, so an interrupted run goes on as if nothing had been.
Float32 throughout: without matrix units in the processor bfloat16 was slower for layers this small.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qeil_ros.models import tabletop
from tools.tabletop.dataset import Samples
from tools.tabletop.model import Captioner, Decoder, Tower, caption_loss, greedy, make_local_head, normalise

ATTRIBUTE_WEIGHT = 5.0
SHIFT = 2  # pixels
SAVE_EVERY_S = 60.0
SHARDS = 2  # parts of a batch, each in a thread of its own

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Recipe:
    """How to train. Samples count scenes seen, repeated ones included: quality follows this number.

    The rate warms up, follows half a cosine that would reach zero after `horizon` samples, and over the last
    `cooldown` steps goes straight to zero from wherever it is. Such a cool-down costs little against a whole
    cosine (Haegele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations").
    """

    samples: int
    horizon: int
    batch: int = 128
    rate: float = 2e-3
    warmup: int = 300  # steps
    cooldown: int = 900  # steps
    decay: float = 0.05
    seed: int = 1

    @property
    def steps(self) -> int:
        return max(1, self.samples // self.batch)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        horizon = max(1, self.horizon // self.batch)
        warmup = min(self.warmup, max(1, horizon // 10))
        if step < warmup:
            return self.rate * (step + 1) / warmup
        wave = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, horizon - warmup)))
        cooldown = min(self.cooldown, max(1, self.steps // 5))
        return self.rate * wave * min(1.0, (self.steps - step) / cooldown)


def train_captioner(samples: Samples, recipe: Recipe, checkpoint: Path, progress: Progress) -> Captioner:
    """Train tower and decoder; go on from `checkpoint` where it exists."""
    torch.manual_seed(recipe.seed)
    model = Captioner()

    def loss(part: Captioner, chosen: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, str]:
        pixels = normalise(torch.from_numpy(augment(samples.images[chosen], rng)))
        tokens = torch.from_numpy(samples.tokens[chosen])
        attributes = torch.from_numpy(samples.attributes[chosen]).float()
        words, named = part.losses(pixels, tokens, attributes)
        return words + ATTRIBUTE_WEIGHT * named, f"words {words.item():.4f} attributes {named.item():.4f}"

    _train(model, loss, len(samples), recipe, checkpoint, progress)
    return model


def train_local_head(
    features: Tensor, tokens: Tensor, recipe: Recipe, checkpoint: Path, progress: Progress
) -> Decoder:
    """Train the robot's own small decoder on the finished tower's features [N, 17, 128]."""
    torch.manual_seed(recipe.seed)
    head = make_local_head()

    def loss(part: Decoder, chosen: np.ndarray, rng: np.random.Generator) -> tuple[Tensor, str]:
        words = caption_loss(part, features[chosen].float(), tokens[chosen])
        return words, f"words {words.item():.4f}"

    _train(head, loss, len(features), recipe, checkpoint, progress)
    return head


def _train(
    model: nn.Module,
    loss: Callable[[Any, np.ndarray, np.random.Generator], tuple[Tensor, str]],
    count: int,
    recipe: Recipe,
    checkpoint: Path,
    progress: Progress,
) -> None:
    grouped = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": recipe.decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(grouped, lr=recipe.rate, betas=(0.9, 0.98))
    first = 0
    if checkpoint.is_file():
        saved = torch.load(checkpoint, weights_only=True)
        if saved["recipe"] != asdict(recipe):
            raise ValueError(
                f"{checkpoint} belongs to another recipe; delete it, or give the same --samples and --seed"
            )
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]

    def save(step: int) -> None:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        partial = checkpoint.with_suffix(".partial")
        torch.save({**state, "recipe": asdict(recipe)}, partial)
        partial.replace(checkpoint)

    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    model.train()
    replicas = [model, *(_replica(model) for _ in range(SHARDS - 1))]
    saved_at = time.monotonic()
    per_epoch = max(1, count // recipe.batch)
    order, epoch = np.empty(0, np.int64), -1
    with ThreadPoolExecutor(SHARDS) as pool:
        for step in range(first, recipe.steps):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = np.random.default_rng([recipe.seed, epoch]).permutation(count)
            start = step % per_epoch * recipe.batch
            shards = np.array_split(np.sort(order[start : start + recipe.batch]), SHARDS)
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate_at(step)

            def backward(shard: int, step: int = step, shards: list[np.ndarray] = shards) -> str:
                rng = np.random.default_rng([recipe.seed, step, shard])
                value, text = loss(replicas[shard], shards[shard], rng)
                value.backward()
                return text

            text, *_ = pool.map(backward, range(SHARDS))
            for shared, *others in zip(*(replica.parameters() for replica in replicas), strict=True):
                for other in others:
                    shared.grad.add_(other.grad)
                    other.grad = None
                shared.grad.div_(SHARDS)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if (step + 1) % 50 == 0 or step + 1 == recipe.steps:
                progress(step + 1, recipe.steps, text)
            if time.monotonic() - saved_at > SAVE_EVERY_S:
                save(step + 1)
                saved_at = time.monotonic()
    save(recipe.steps)
    model.eval()


def _replica(model: nn.Module) -> nn.Module:
    """The same parameters with gradients of its own, so that two threads can differentiate at once.

    One thread for each half of a batch scales better than threads inside the small matrix products.
    """
    twin = copy.deepcopy(model)
    for own, shared in zip(twin.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return twin


def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift by up to two pixels, change gain and offset of each channel a little: uint8 [B, 64, 64, 3]."""
    batch, height, width, _ = images.shape
    dy, dx = rng.integers(-SHIFT, SHIFT + 1, (2, batch, 1))
    rows = np.clip(np.arange(height) + dy, 0, height - 1)
    columns = np.clip(np.arange(width) + dx, 0, width - 1)
    moved = images[np.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]].astype(np.float32)
    gain = rng.uniform(0.93, 1.07, (batch, 1, 1, 1)) * rng.uniform(0.98, 1.02, (batch, 1, 1, 3))
    moved *= gain.astype(np.float32)
    moved += rng.uniform(-6, 6, (batch, 1, 1, 1)).astype(np.float32)
    return np.clip(moved, 0, 255, out=moved).astype(np.uint8)


def features_of(tower: Tower, samples: Samples, progress: Progress, batch: int = 500) -> Tensor:
    """The finished tower's features of all samples, float16 [N, 17, 128]."""

    def part(start: int) -> Tensor:
        with torch.no_grad():  # holds for one thread only
            return tower(normalise(torch.from_numpy(np.array(samples.images[start : start + batch])))).half()

    parts = []
    with ThreadPoolExecutor(SHARDS) as pool:
        for found in pool.map(part, range(0, len(samples), batch)):
            parts.append(found)
            progress(min(len(parts) * batch, len(samples)), len(samples), "")
    return torch.cat(parts)


def exact_match(decoder: Decoder, features: Tensor, tokens: Tensor | np.ndarray) -> float:
    """Share of captions that are right to the last word, in float32."""
    said = captions(greedy(decoder.eval(), features.float()))
    true = captions(tokens)
    return sum(a == b for a, b in zip(said, true, strict=True)) / len(true)


def captions(tokens: Tensor | np.ndarray) -> Sequence[str]:
    """Rows of token ids as text."""
    return [tabletop.decode_caption(row) for row in np.asarray(tokens).tolist()]
