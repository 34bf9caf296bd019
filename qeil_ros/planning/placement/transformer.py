"""A decoder-only transformer as layers: what each computes, moves and keeps, in prefill and in decode.

Paper: QEIL, arXiv 2602.06057, Eq 19 to 22 and 26 to 28 (`printed`), which count a decoder layer as 4 T d^2
FLOP and 2 d^2 weights of attention. `counted` is the usual sum: 4 d^2 weights of attention and 2 d h of the
feed-forward part, two FLOP a weight and token, scores over the tokens before, keys and values kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from .problem import Layer

__all__ = ["Transformer"]


@dataclass(frozen=True)
class Transformer:
    """Attributes:
    width: d. hidden: of the feed-forward part; 0: 4 d. prompt: tokens of prefill. tokens: decoded, a sample.
    weight_bytes, value_bytes: of one weight, of one activation.
    key_share: keys and values over queries, below 1 with grouped queries.
    """

    name: str
    vocabulary: int
    width: int
    decoder_layers: int
    prompt: int
    tokens: int
    hidden: int = 0
    weight_bytes: float = 2.0
    value_bytes: float = 2.0
    key_share: float = 1.0

    @property
    def parameters(self) -> float:
        """Weights, the embedding counted once."""
        return self.vocabulary * self.width + self.decoder_layers * self._layer_weights()

    def passes(self, samples: int) -> tuple[float, float]:
        """Prefill once, decode once a token of each sample."""
        return 1.0, float(samples * self.tokens)

    def counted(self) -> tuple[Layer, ...]:
        """Embedding, decoder layers, head; phases: prefill, decode of one token at the mean context."""
        d, prompt, one = self.width, self.prompt, self.value_bytes
        table = self.vocabulary * d * self.weight_bytes
        context = prompt + self.tokens / 2
        weights = self._layer_weights()
        keys = 2 * d * self.key_share
        decoder = Layer(
            "decoder",
            weights * self.weight_bytes,
            (2 * weights * prompt + 2 * d * prompt**2, 2 * weights + 4 * d * context),
            (
                weights * self.weight_bytes + (2 * d + keys) * prompt * one,
                weights * self.weight_bytes + (2 * d + keys * (context + 1)) * one,
            ),
            (prompt * d * one, d * one),
            keys * (prompt + self.tokens) * one,
        )
        embedding = Layer(
            "embedding",
            table,
            (0.0, 0.0),
            (prompt * d * (self.weight_bytes + one), d * (self.weight_bytes + one)),
            (prompt * d * one, d * one),
        )
        # Prefill needs the head for its last token only.
        head = Layer("head", table, (2.0 * self.vocabulary * d,) * 2, (table, table), (one, one))
        return self._named(embedding, decoder, head)

    def printed(self) -> tuple[Layer, ...]:
        """The same by the paper's equations, two bytes a value."""
        d, prompt = self.width, self.prompt
        table = self.vocabulary * d * 2.0
        decoder = Layer(
            "decoder",
            (2 * d**2 + 8 * d**2 + 2 * prompt * d) * 2.0,
            (4.0 * prompt * d**2, 0.0),
            (0.0, 2.0 * prompt * d + 2.0 * d**2),
            (prompt * d * 2.0, d * 2.0),
        )
        end = Layer("end", table, (0.0, 0.0), (0.0, 0.0), (prompt * d * 2.0, d * 2.0))
        return self._named(end, decoder, end)

    def _layer_weights(self) -> float:
        attention = 2 * self.width**2 * (1 + self.key_share)
        return attention + 2 * self.width * (self.hidden or 4 * self.width)

    def _named(self, embedding: Layer, decoder: Layer, head: Layer) -> tuple[Layer, ...]:
        named = [Layer(**{**vars(embedding), "name": "embedding"})]
        named += [Layer(**{**vars(decoder), "name": f"decoder {i}"}) for i in range(self.decoder_layers)]
        return (*named, Layer(**{**vars(head), "name": "head"}))
