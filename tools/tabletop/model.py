"""The captioner: a small vision transformer and a decoder that reads its features and the words so far.

The same arrangement as GIT (Wang et al. 2022, "GIT: A Generative Image-to-text Transformer for Vision and
Language"): image tokens and word tokens in one sequence, image tokens see the image, words see the image and
the words before them. Written out as plain modules, so that each part exports to a small graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from qeil_ros.models import tabletop
from tools.tabletop.dataset import ATTRIBUTES, GRID, SIDE

PATCH = SIDE // GRID
WIDTH = 128
HEADS = 4
FEATURES = (1 + GRID * GRID, WIDTH)  # the cut: a summary token and one token for each patch
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


class Block(nn.Module):
    """A pre-norm transformer layer. `mask` is added to the attention scores."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        batch, length, width = x.shape
        split = self.qkv(self.norm1(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        if torch.compiler.is_exporting():  # spelled out: every runtime has these operators
            scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5
            seen = torch.softmax(scores if mask is None else scores + mask, -1) @ v
        else:
            seen = functional.scaled_dot_product_attention(q, k, v, mask)
        x = x + self.mix(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Tower(nn.Module):
    """The agent part: pixels [B, 3, 64, 64], normalised, to features [B, 17, 128]."""

    def __init__(self, layers: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(3 * PATCH * PATCH, WIDTH)
        self.summary = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, FEATURES[0], WIDTH) * 0.02)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS, 4 * WIDTH) for _ in range(layers))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, pixel_values: Tensor) -> Tensor:
        batch = pixel_values.shape[0]
        grid = pixel_values.reshape(batch, 3, GRID, PATCH, GRID, PATCH).permute(0, 2, 4, 1, 3, 5)
        patches = self.embed(grid.reshape(batch, GRID * GRID, 3 * PATCH * PATCH))
        x = torch.cat([self.summary.expand(batch, 1, WIDTH), patches], 1) + self.places
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Decoder(nn.Module):
    """Features [B, 17, 128] and tokens [B, T] to logits of the next token, at every position or the last."""

    def __init__(
        self, width: int = WIDTH, layers: int = 2, heads: int = HEADS, hidden: int = 4 * WIDTH
    ) -> None:
        super().__init__()
        self.read = nn.Linear(WIDTH, width)
        self.read_norm = nn.LayerNorm(width)
        self.words = nn.Embedding(len(tabletop.VOCABULARY), width)
        self.places = nn.Parameter(torch.randn(tabletop.MAX_TOKENS, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.answer = nn.Linear(width, len(tabletop.VOCABULARY))
        nn.init.normal_(self.words.weight, std=0.02)
        seen = FEATURES[0]
        total = seen + tabletop.MAX_TOKENS
        mask = torch.full((total, total), -1e9).triu(1)
        mask[:seen, :seen] = 0  # image tokens see the whole image, and no words
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, features: Tensor, tokens: Tensor, last_only: bool = False) -> Tensor:
        count = tokens.shape[1]
        image = self.read_norm(self.read(features))
        x = torch.cat([image, self.words(tokens) + self.places[:count]], 1)
        total = FEATURES[0] + count
        mask = self.mask[:total, :total].to(x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        x = x[:, -1:] if last_only else x[:, FEATURES[0] :]
        return self.answer(self.norm(x))


class NextToken(nn.Module):
    """A decoder as it is exported: logits [B, V] of the next token only."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        return self.decoder(features, tokens, last_only=True)[:, 0]


class Captioner(nn.Module):
    """Tower and decoder, and while training a head that names what lies in each patch.

    Without that head's loss the captions alone take half of the training to teach the tower where to look.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tower, self.decoder = Tower(), Decoder()
        self.attributes = nn.Linear(WIDTH, len(ATTRIBUTES))

    def losses(self, pixels: Tensor, tokens: Tensor, attributes: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy of the next words, and of the attributes in each patch."""
        features = self.tower(pixels)
        words = caption_loss(self.decoder, features, tokens)
        named = self.attributes(features[:, 1:]).float()
        return words, functional.binary_cross_entropy_with_logits(named, attributes)


def caption_loss(decoder: Decoder, features: Tensor, tokens: Tensor) -> Tensor:
    """Mean cross entropy of each next token, padding left out."""
    logits = decoder(features, tokens[:, :-1]).float()
    return functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), ignore_index=tabletop.PAD)


def normalise(images: Tensor) -> Tensor:
    """uint8 [B, 64, 64, 3] to the tower's input, float32 [B, 3, 64, 64]."""
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def make_local_head() -> Decoder:
    """What the robot answers with alone: one narrower layer on the same features."""
    return Decoder(width=64, layers=1, heads=4, hidden=192)


@torch.no_grad()
def greedy(decoder: Decoder, features: Tensor) -> Tensor:
    """The most likely next word, again and again: tokens [B, 16]."""
    tokens = torch.full((len(features), 1), tabletop.BEGIN, dtype=torch.long)
    while tokens.shape[1] < tabletop.MAX_TOKENS:
        following = decoder(features, tokens, last_only=True)[:, 0].argmax(-1, keepdim=True)
        tokens = torch.cat([tokens, following], 1)
    return tokens
