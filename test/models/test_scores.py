"""Scores against published values, against the field's own implementations, against plain reasoning."""

from __future__ import annotations

import itertools
import json
import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models import scores

WORDS = st.sampled_from(
    ["a", "the", "red", "green", "cube", "ball", "on", "left", "of", "small", "large", "two"]
)
SENTENCE = st.lists(WORDS, min_size=1, max_size=9).map(" ".join)
CORPUS = st.lists(
    st.tuples(SENTENCE, st.lists(SENTENCE, min_size=1, max_size=3)), min_size=1, max_size=6
).map(lambda pairs: ([h for h, _ in pairs], [r for _, r in pairs]))


# ---------------------------------------------------------------- published values


@pytest.fixture(scope="module")
def nlg_eval(data_dir):
    def lines(name):
        return (data_dir / "captions/nlg_eval" / name).read_text().splitlines()

    references = list(zip(lines("ref1.txt"), lines("ref2.txt"), strict=True))
    return lines("hyp.txt"), references


def test_nlg_evals_published_values(nlg_eval):
    hypotheses, references = nlg_eval
    assert scores.bleu(hypotheses, references) == pytest.approx(
        [0.55, 0.428174, 0.284043, 0.201143], abs=1e-6
    )
    assert scores.rouge_l(hypotheses, references) == pytest.approx(0.522104, abs=1e-6)
    assert scores.cider(hypotheses, references) == pytest.approx(1.242192, abs=1e-6)


@pytest.mark.parametrize(
    ("captions", "bleu", "rouge", "cider"),
    [
        ("good", (0.6667, 0.4899, 0.3469, 0.0), 0.4280, 0.5637),
        ("bad", (0.4815, 0.2404, 0.1359, 0.0), 0.3121, 0.2790),
    ],
)
def test_clipscores_published_values(data_dir, captions, bleu, rouge, cider):
    """Computed with the Penn Treebank's tokenizer, whose words ours are for these sentences."""
    folder = data_dir / "captions/clipscore_example"
    said = json.loads((folder / f"{captions}_captions.json").read_text())
    true = json.loads((folder / "refs.json").read_text())
    hypotheses, references = [said[name] for name in said], [true[name] for name in said]
    assert scores.bleu(hypotheses, references) == pytest.approx(bleu, abs=5e-5)
    assert scores.rouge_l(hypotheses, references) == pytest.approx(rouge, abs=5e-5)
    assert scores.cider(hypotheses, references) == pytest.approx(cider, abs=5e-5)


# ---------------------------------------------------------------- captions


@settings(max_examples=60, deadline=None)
@given(CORPUS)
def test_captions_score_as_cocos_own_code_scores_them(corpus):
    hypotheses, references = corpus
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason="the oracle is not installed")
    cider = pytest.importorskip("pycocoevalcap.cider.cider")
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge")
    true = dict(enumerate(references))
    said = {number: [text] for number, text in enumerate(hypotheses)}
    expected, each = bleu.Bleu(4).compute_score(true, said, verbose=0)
    assert scores.bleu(hypotheses, references) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(scores.bleu_each(hypotheses, references), np.transpose(each), rtol=1e-9)
    expected, each = cider.Cider().compute_score(true, said)
    assert scores.cider(hypotheses, references) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    np.testing.assert_allclose(scores.cider_each(hypotheses, references), each, rtol=1e-9, atol=1e-12)
    expected, each = rouge.Rouge().compute_score(true, said)
    assert scores.rouge_l(hypotheses, references) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(scores.rouge_l_each(hypotheses, references), each, rtol=1e-12)


@given(CORPUS)
def test_a_caption_that_is_a_reference_scores_best(corpus):
    _, references = corpus
    copied = [several[0] for several in references]
    assert scores.rouge_l(copied, references) == pytest.approx(1)
    assert scores.exact_match(copied, references) == 1
    assert scores.bleu(copied, references, 1)[0] == pytest.approx(1, abs=1e-6)
    alone = [[text] for text in copied]
    best = scores.cider_each(copied, alone)
    assert (scores.cider_each(copied[::-1], alone) <= best + 1e-9).all()


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        (
            "A man's dog, which doesn't bark, can't see the x-ray.",
            "a man 's dog which does n't bark ca n't see the x-ray",
        ),
        ("Two women cannot wait!", "two women can not wait"),
        (
            "It's 4.5 meters; 1,000 people - all of them -- wait…",
            "it 's 4.5 meters 1,000 people all of them wait",
        ),
        ("The “big” cat’s tail & the dogs' bowls.", "the big cat 's tail & the dogs bowls"),
        ("They're here, I'd say she'll go at 7:30 p.m.", "they 're here i 'd say she 'll go at 7:30 p.m."),
        ("a 2-year old, 50% off, $5", "a 2-year old 50 % off $ 5"),
        ("I shouldn't've", "i should n't 've"),
        ("", ""),
    ],
)
def test_sentences_become_the_penn_treebanks_words(sentence, words):
    assert scores.tokenize(sentence) == words.split()
    assert scores.tokenize(words) == words.split()


@given(st.text(max_size=60))
def test_words_stay_words(text):
    words = scores.tokenize(text)
    assert all(words) and not any(character.isspace() for word in words for character in word)
    assert scores.tokenize(" ".join(words)) == words


@pytest.mark.skipif(shutil.which("java") is None, reason="the Penn Treebank's tokenizer needs Java")
def test_coco_captions_have_the_words_that_cocos_own_tokenizer_gives(data_dir):
    oracle = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer", reason="the oracle is not installed")
    document = json.loads((data_dir / "images/coco28/captions.json").read_text())
    said = [note["caption"] for note in document["annotations"]]
    expected = oracle.PTBTokenizer().tokenize({n: [{"caption": text}] for n, text in enumerate(said)})
    assert len(said) == 28
    assert [" ".join(scores.tokenize(text)) for text in said] == [expected[n][0] for n in range(len(said))]


# ---------------------------------------------------------------- right or wrong


def test_exact_match_takes_one_truth_or_several():
    assert scores.exact_match(["a", "b", "c"], ["a", ["x", "b"], ["d"]]) == pytest.approx(2 / 3)


@given(st.permutations("abcdef"), st.sampled_from("abcdef"), st.integers(1, 6))
def test_top_k_is_whether_the_truth_is_among_the_first_k(ranked, truth, k):
    assert scores.top_k([ranked], [truth], k) == (ranked.index(truth) < k)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_counts_the_draws_that_hold_a_right_sample(case):
    n, c, k = case
    draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert scores.pass_at_k(n, c, k) == pytest.approx(np.mean([any(draw) for draw in draws]), abs=1e-12)


def test_pass_at_k_of_many_samples_does_not_overflow():
    assert scores.pass_at_k(100_000, 10, 1000) == pytest.approx(
        1 - math.comb(99_990, 1000) / math.comb(100_000, 1000), rel=1e-9
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: scores.pass_at_k(3, 4, 1), "c is 4"),
        (lambda: scores.pass_at_k(3, 1, 4), "k is 4"),
        (lambda: scores.top_k([["a"]], ["a"], 0), "k is 0"),
        (lambda: scores.exact_match(["a"], []), "1 answers and 0 truths"),
        (lambda: scores.bleu(["a"], [[]]), "at least one sentence"),
        (lambda: scores.cider(["a"], ["a"]), "want a list"),
        (lambda: scores.bleu(["a"], [["a"]], 0), "n is 0"),
        (lambda: scores.rouge_l([], []), "at least one"),
        (lambda: scores.mean_score([]), "no frames"),
        (lambda: scores.detection_map([], [scores.Boxes.none()]), "want as many"),
        (lambda: scores.Boxes(np.zeros((2, 4)), np.zeros(1)), "1 classes"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_the_value(call, says):
    with pytest.raises(ValueError, match=says):
        call()


# ---------------------------------------------------------------- how sure


def test_the_standard_error_of_a_share_is_the_binomials():
    score = scores.mean_score([1.0] * 90 + [0.0] * 10)
    assert (score.value, score.count) == (0.9, 100)
    assert score.error == pytest.approx(math.sqrt(0.9 * 0.1 / 99))
    assert str(score) == "0.900 ± 0.030"


def test_no_mistake_among_few_is_not_certainty():
    assert 0 < scores.mean_score([1.0] * 1000).error < scores.mean_score([1.0] * 10).error < 0.1
    assert math.isnan(scores.mean_score([1.0]).error)


def test_resampling_finds_the_error_that_is_known():
    values = np.random.default_rng(1).normal(5, 2, 400)
    score = scores.resampled_score(lambda rows: float(values[rows].mean()), len(values), seed=3)
    assert score.value == pytest.approx(values.mean())
    assert score.error == pytest.approx(scores.mean_score(values).error, rel=0.1)
    low, high = scores.bootstrap_interval(lambda rows: float(values[rows].mean()), len(values), seed=3)
    assert (high - low) / score.error == pytest.approx(2 * 1.96, rel=0.1)
    assert low < score.value < high


# ---------------------------------------------------------------- boxes


def _random_boxes(rng, count, classes, near=None):
    corners = rng.uniform(0, 100, (count, 4))
    if near is not None and len(near) and count:
        corners = near.corners[rng.integers(0, len(near), count)] + rng.normal(0, 4, (count, 4))
    corners = np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
    )
    kinds = rng.integers(0, classes, count)
    if near is not None and len(near) and count:
        kinds = np.where(rng.random(count) < 0.8, near.classes[rng.integers(0, len(near), count)], kinds)
    return scores.Boxes(corners, kinds, rng.random(count), rng.random(count) < (0.15 if near is None else 0))


def _by_pycocotools(found, true):
    coco = pytest.importorskip("pycocotools.coco", reason="the oracle is not installed")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def notes(images):
        return [
            {
                "id": 1000 * (image + 1) + n,
                "image_id": image + 1,
                "category_id": int(boxes.classes[n]) + 1,
                "bbox": [*c[:2], *(c[2:] - c[:2])],
                "area": float(np.prod(c[2:] - c[:2])),
                "iscrowd": int(boxes.crowd[n]),
                "score": float(boxes.scores[n]),
            }
            for image, boxes in enumerate(images)
            for n, c in enumerate(boxes.corners)
        ]

    def index(annotations):
        made = coco.COCO()
        made.dataset = {
            "images": [{"id": n + 1} for n in range(len(true))],
            "annotations": annotations,
            "categories": [{"id": n + 1} for n in range(4)],
        }
        made.createIndex()
        return made

    evaluation = cocoeval.COCOeval(index(notes(true)), index(notes(found)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation.stats[:3]


@pytest.mark.parametrize("seed", range(25))
def test_boxes_score_as_pycocotools_scores_them(seed, capsys):
    rng = np.random.default_rng(seed)
    true = [_random_boxes(rng, rng.integers(0, 7), 3) for _ in range(rng.integers(1, 6))]
    found = [_random_boxes(rng, rng.integers(0, 13), 4, near) for near in true]
    expected = _by_pycocotools(found, true)
    score = scores.detection_map(found, true)
    ours = [score.map, score.ap50, score.ap75]
    if expected[0] == -1:  # how pycocotools says that there was nothing to find
        assert np.isnan(ours).all()
    else:
        assert ours == pytest.approx(list(expected), abs=1e-12)


def test_more_than_a_hundred_detections_count_as_the_best_hundred(capsys):
    rng = np.random.default_rng(0)
    true = [_random_boxes(rng, 30, 1)]
    found = [_random_boxes(rng, 300, 1, true[0])]
    score = scores.detection_map(found, true)
    assert score.map == pytest.approx(_by_pycocotools(found, true)[0], abs=1e-12)


def test_the_same_boxes_agree_wholly_and_others_do_not():
    rng = np.random.default_rng(2)
    true = [scores.Boxes(b.corners, b.classes) for b in (_random_boxes(rng, 5, 3) for _ in range(4))]
    assert scores.detection_map(true, true).map == pytest.approx(1)
    nothing = [scores.Boxes.none() for _ in true]
    assert scores.detection_map(nothing, true).map == 0
    assert math.isnan(scores.detection_map(true, nothing).map)


def test_overlap_of_boxes():
    boxes = np.array([[0, 0, 2, 2], [5, 5, 5, 5]], float)
    others = np.array([[1, 0, 3, 2], [5, 5, 5, 5]], float)
    np.testing.assert_allclose(scores.iou_matrix(boxes, others), [[1 / 3, 0], [0, 0]])
