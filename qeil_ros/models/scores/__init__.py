"""How good answers are: the task scores of captions, labels and boxes, and how sure a score is.

Captions: `exact_match`, `bleu`, `rouge_l`, `cider`, on the words that `tokenize` gives; labels: `top_k`;
boxes: `detection_map`; sampled answers: `pass_at_k`. `Score` is a mean with its standard error. The captions'
scores equal pycocoevalcap's and the boxes' pycocotools', number by number. Pure numpy: no model, no file may
enter.
"""

from .answers import exact_match, exact_matches, pass_at_k, top_k, top_k_hits
from .bleu import bleu, bleu_counts, bleu_each, bleu_from_counts
from .cider import cider, cider_each
from .detection import Boxes, DetectionScore, detection_map, iou_matrix
from .rouge import rouge_l, rouge_l_each
from .tokenizer import tokenize
from .uncertainty import Score, bootstrap_interval, mean_score, resampled_score

__all__ = [
    "Boxes",
    "DetectionScore",
    "Score",
    "bleu",
    "bleu_counts",
    "bleu_each",
    "bleu_from_counts",
    "bootstrap_interval",
    "cider",
    "cider_each",
    "detection_map",
    "exact_match",
    "exact_matches",
    "iou_matrix",
    "mean_score",
    "pass_at_k",
    "resampled_score",
    "rouge_l",
    "rouge_l_each",
    "tokenize",
    "top_k",
    "top_k_hits",
]
