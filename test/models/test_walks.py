"""The family of small decoders: its questions, its graphs, its samples."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from qeil_ros.models.schema import ModelError
from qeil_ros.models.walks import family
from qeil_ros.models.walks.decoder import LONGEST, Decoder, Size, build, positions
from qeil_ros.models.walks.questions import BEGIN, BLANK, END, LONGEST_ANSWER, PLACES, PROMPT, ask
from qeil_ros.models.walks.sampling import coverage, draw, question

SMALL = Size(32, 2)


@pytest.fixture(scope="module")
def asked():
    return ask(np.random.default_rng(3), 200)


@pytest.fixture(scope="module")
def decoder():
    return Decoder(SMALL, SMALL.random(np.random.default_rng(0)))


def plain(size, weights, tokens):
    """Logits [B, T, V] by numpy alone, float64, everything at once: the graph's oracle."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}

    def norm(x, scale):
        centred = x - x.mean(axis=-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * scale

    batch, length = tokens.shape
    x = w["embedding"][tokens] + positions(length, size.width)
    for i in range(size.layers):
        heads = (norm(x, w[f"{i}/norm1"]) @ w[f"{i}/qkv"]).reshape(batch, length, 3, size.heads, -1)
        q, k, v = heads.transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        x = x + (shares @ v).swapaxes(1, 2).reshape(batch, length, -1) @ w[f"{i}/out"]
        x = x + np.maximum(norm(x, w[f"{i}/norm2"]) @ w[f"{i}/up"], 0) @ w[f"{i}/down"]
    return norm(x, w["norm"]) @ w["head"]


# --- questions


def test_answers_follow_the_map(asked):
    roads = {}
    for prompt, answer in zip(asked.prompts, asked.answers, strict=True):
        assert prompt[-1] == BEGIN and len(prompt) == PROMPT
        steps = int((prompt[1:-1] != BLANK).sum())
        assert answer[steps] == END and (answer[steps + 1 :] == BLANK).all()
        at = prompt[0]
        for road, place in zip(prompt[1 : steps + 1], answer, strict=False):
            assert roads.setdefault((at, road), place) == place < PLACES  # one map for all questions
            at = place
    steps = (asked.prompts[:, 1:-1] != BLANK).sum(axis=1)
    assert steps.min() == 1 and steps.max() == LONGEST_ANSWER - 1


def test_only_the_whole_answer_is_right(asked):
    assert asked.right(asked.answers).all()
    wrong = asked.answers.copy()
    wrong[:, 0] = (wrong[:, 0] + 1) % PLACES
    assert not asked.right(wrong).any()
    longer = np.concatenate([asked.answers, np.full((len(asked), 9), BLANK)], axis=1)
    assert asked.right(longer).all()
    steps = (asked.prompts[:, 1:-1] != BLANK).sum(axis=1)
    assert (asked.right(asked.answers[:, :5]) == (steps <= 4)).all()  # a budget cuts long ones off
    assert asked.right(asked.answers[[7, 7]], np.array([7, 8])).tolist() == [True, False]


# --- graphs


def test_the_graph_computes_what_the_architecture_says(decoder, asked):
    weights = SMALL.random(np.random.default_rng(0))
    tokens = np.concatenate([asked.prompts, asked.answers], axis=1)[:5]
    want = plain(SMALL, weights, tokens)
    logits, cache = decoder.read(tokens[:, :PROMPT], decoder.empty(5))
    assert np.abs(logits - want[:, PROMPT - 1]).max() < 1e-4
    for at in range(PROMPT, PROMPT + 6):  # token by token after the cache
        logits, cache = decoder.read(tokens[:, at : at + 1], cache)
        assert np.abs(logits - want[:, at]).max() < 1e-4


def test_a_size_is_its_weights():
    size = Size(48, 3)
    weights = size.random(np.random.default_rng(1))
    assert size.parameters == sum(value.size for value in weights.values())
    assert size.width % size.heads == 0 and size.name == "48x3"
    session = ort.InferenceSession(build(size, weights), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["tokens", "start", "mask", "before"]


def test_the_family_is_there_and_reproducible():
    sizes = [*family.TRAINED, *family.SEEDED]
    assert [s.parameters for s in sizes] == sorted(s.parameters for s in sizes)
    for size in family.TRAINED:
        assert {name: value.shape for name, value in family.load(size).items()} == size.shapes
    first, again = (family.load(family.SEEDED[0], seed=4) for _ in range(2))
    assert all((first[name] == again[name]).all() for name in first)
    with pytest.raises(ValueError, match="no size '7x7'"):
        family.named("7x7")


def test_missing_weights_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(family, "WEIGHTS", tmp_path / "weights.npz")
    with pytest.raises(ModelError, match="reinstall"):
        family.load(family.TRAINED[0])


# --- samples


def test_samples_follow_the_models_chances(decoder, asked):
    prompt = asked.prompts[:1]
    logits, _ = decoder.read(prompt, decoder.empty(1))
    chances = np.exp(logits[0] - logits[0].max())
    chances /= chances.sum()
    drawn = draw(decoder, prompt, 4000, 1, np.random.default_rng(0))[0, :, 0]
    seen = np.bincount(drawn, minlength=len(chances)) / len(drawn)
    likely = chances > 0.002
    error = np.sqrt(chances * (1 - chances) / len(drawn))
    assert (np.abs(seen - chances)[likely] < 5 * error[likely]).all()
    cold = draw(decoder, prompt, 3, 1, np.random.default_rng(0), temperature=1e-3)
    assert (cold == logits.argmax()).all()


def test_nothing_follows_an_end():
    decoder = Decoder(family.TRAINED[-1], family.load(family.TRAINED[-1]))
    given = draw(decoder, ask(np.random.default_rng(0), 20).prompts, 3, 20, np.random.default_rng(1))
    ended = 0
    for answer in given.reshape(-1, 20):
        stops = np.flatnonzero(answer == END)
        if len(stops):
            ended += 1
            assert (answer[stops[0] + 1 :] == BLANK).all()
    assert ended > 30


def test_larger_trained_sizes_and_more_samples_answer_more():
    questions = ask(np.random.default_rng(11), 150)

    def found(size, samples):
        decoder = Decoder(size, family.load(size))
        return coverage(decoder, questions, samples, LONGEST_ANSWER, np.random.default_rng(2))

    small, large = (found(size, 1) for size in (family.TRAINED[0], family.TRAINED[-1]))
    assert large > small + 30
    assert found(family.TRAINED[-1], 8) > large


def test_a_question_takes_its_prompt_and_every_token(decoder, asked):
    read = []

    class Counting:
        size = decoder.size
        empty = staticmethod(decoder.empty)

        @staticmethod
        def read(tokens, cache):
            read.append((tokens.shape[1], cache.shape[4]))
            return decoder.read(tokens, cache)

    timed = question(Counting(), asked.prompts[0], 3, 4, np.random.default_rng(0))
    assert read[0] == (PROMPT, 0)
    assert read[1:] == [(1, PROMPT + i) for i in range(4)] * 3  # every sample begins at the prompt
    assert 0 < timed.prefill_s < timed.whole_s
    assert PROMPT + 4 <= LONGEST
