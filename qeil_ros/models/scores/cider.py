"""CIDEr-D (Vedantam et al., CVPR 2015, equations 1 to 4 with section 7's changes), as COCO computes it.

What papers call CIDEr is this: n-grams of 1 to 4 words as TF-IDF vectors, the hypothesis' clipped at the
reference's, their cosine damped by the difference of lengths (sigma 6), the mean over n and over the
references, times 10. As in COCO's code, words are not stemmed, document frequencies come from the references
that are scored, lengths are counted in word pairs, and an n-gram that no reference has counts as one that one
image has. A corpus of one image scores 0: nothing in it is rarer than anything else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .ngrams import Ngram, Sentence, check_pairs, ngrams, words_of

__all__ = ["cider", "cider_each"]

_N = 4
_SIGMA = 6.0


def cider(hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]]) -> float:
    """CIDEr-D of the corpus: the mean of `cider_each`. From 0 to 10; 1.0 is a usual score on COCO."""
    return float(cider_each(hypotheses, references).mean())


def cider_each(
    hypotheses: Sequence[Sentence], references: Sequence[Sequence[Sentence]]
) -> NDArray[np.float64]:
    """CIDEr-D of each hypothesis against its references, with the whole corpus' document frequencies: [N].

    ValueError: no hypothesis, or one without a reference.
    """
    check_pairs(hypotheses, references)
    counted = [[ngrams(words_of(reference), _N) for reference in several] for several in references]
    images = Counter(ngram for several in counted for ngram in set().union(*several))
    rarity = _Rarity(images, len(counted))
    scores = []
    for hypothesis, several in zip(hypotheses, counted, strict=True):
        ours = _Vectors(ngrams(words_of(hypothesis), _N), rarity)
        scores.append(10 * np.mean([ours.similarity(_Vectors(counts, rarity)) for counts in several]))
    return np.array(scores)


class _Rarity:
    """Inverse document frequency of an n-gram, in nats; an image is a document."""

    def __init__(self, images: Counter[Ngram], count: int) -> None:
        self._images, self._log_count = images, np.log(count)

    def __call__(self, ngram: Ngram) -> float:
        return float(self._log_count - np.log(max(1, self._images[ngram])))


class _Vectors:
    """TF-IDF vectors of one sentence, one for each n, as sparse maps."""

    def __init__(self, counts: Counter[Ngram], rarity: _Rarity) -> None:
        self.pairs = sum(count for ngram, count in counts.items() if len(ngram) == 2)
        self.weights: list[dict[Ngram, float]] = [{} for _ in range(_N)]
        for ngram, count in counts.items():
            self.weights[len(ngram) - 1][ngram] = count * rarity(ngram)
        self.norms = [float(np.sqrt(sum(w * w for w in part.values()))) for part in self.weights]

    def similarity(self, reference: _Vectors) -> float:
        """The mean over n of the clipped cosine, damped by the difference of lengths."""
        damping = np.exp(-((self.pairs - reference.pairs) ** 2) / (2 * _SIGMA**2))
        total = 0.0
        for ours, theirs, norm, other in zip(
            self.weights, reference.weights, self.norms, reference.norms, strict=True
        ):
            if norm and other:
                product = sum(
                    min(w, theirs[ngram]) * theirs[ngram] for ngram, w in ours.items() if ngram in theirs
                )
                total += product / (norm * other)
        return float(damping * total / _N)
