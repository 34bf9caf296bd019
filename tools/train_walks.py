#!/usr/bin/env python3
"""Train the family of small decoders that answers walks through a fixed map, and write its weights.

example:
    python tools/train_walks.py                    # all sizes, half an hour on one core
    python tools/train_walks.py --only 32x2 --steps 100 --out /tmp/walks.npz

Needs torch (pip install 'qeil-ros[torch]'). An interrupted run goes on with the sizes that are missing.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from qeil_ros.models.walks.decoder import Size, positions  # noqa: E402
from qeil_ros.models.walks.family import TRAINED, WEIGHTS  # noqa: E402
from qeil_ros.models.walks.questions import BLANK, PROMPT, ask  # noqa: E402

BATCH = 256
PEAK_RATE = 3e-3
WARM_UP = 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="file to write (default: the shipped one)")
    parser.add_argument("--steps", type=int, default=2000, help="batches of 256 questions (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="of weights and questions (default: 1)")
    parser.add_argument("--only", choices=[s.name for s in TRAINED], action="append", help="may be repeated")
    options = parser.parse_args()
    kept = dict(np.load(options.out)) if options.out.is_file() else {}
    for size in TRAINED:
        if options.only and size.name not in options.only:
            continue
        if not options.only and f"{size.name}/embedding" in kept:
            continue
        trained = train(size, options.steps, options.seed)
        kept |= {f"{size.name}/{name}": value.astype(np.float16) for name, value in trained.items()}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(options.out, **kept)
        print(f"{options.out}: {options.out.stat().st_size} bytes")


def train(size: Size, steps: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Weights by name, float32."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    start = size.random(rng)
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    optimiser = torch.optim.AdamW(weights.values(), lr=PEAK_RATE, betas=(0.9, 0.98), weight_decay=0.01)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min((i + 1) / WARM_UP, 1.0) * 0.5 * (1 + np.cos(np.pi * i / steps))
    )
    begun_s = time.monotonic()
    for step in range(steps):
        questions = ask(rng, BATCH)
        tokens = torch.tensor(np.concatenate([questions.prompts, questions.answers], axis=1))
        logits = forward(size, weights, tokens[:, :-1])[:, PROMPT - 1 :]
        wanted = tokens[:, PROMPT:]
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=BLANK)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        rate.step()
        if step % 100 == 0 or step == steps - 1:
            took_s = time.monotonic() - begun_s
            print(f"{size.name} step {step} loss {loss.item():.4f} {took_s:.0f} s", flush=True)
    return {name: value.detach().numpy() for name, value in weights.items()}


def forward(size: Size, w: dict[str, Any], tokens: Any) -> Any:
    """Logits [B, T, V]: what `decoder.build` makes a graph of."""
    import torch
    from torch.nn.functional import layer_norm, relu, scaled_dot_product_attention

    batch, length = tokens.shape
    x = w["embedding"][tokens] + torch.tensor(positions(length, size.width))
    for i in range(size.layers):
        h = layer_norm(x, (size.width,), w[f"{i}/norm1"])
        qkv = (h @ w[f"{i}/qkv"]).reshape(batch, length, 3, size.heads, -1).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(*qkv, is_causal=True)
        x = x + seen.transpose(1, 2).reshape(batch, length, -1) @ w[f"{i}/out"]
        h = layer_norm(x, (size.width,), w[f"{i}/norm2"])
        x = x + relu(h @ w[f"{i}/up"]) @ w[f"{i}/down"]
    return layer_norm(x, (size.width,), w["norm"]) @ w["head"]


if __name__ == "__main__":
    main()
