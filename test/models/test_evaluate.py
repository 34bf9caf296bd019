"""An evaluation's table: every point that was asked for, with scores, bytes and times that are right."""

from __future__ import annotations

import dataclasses
import json
import math

import cv2
import numpy as np
import pytest
import tiny_models
from tiny_data import pictures

from qeil_ros.codec import encode
from qeil_ros.models.datasets import Dataset, Example, open_dataset
from qeil_ros.models.evaluate import Table, evaluate
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.judge import Judge, matching_labels
from qeil_ros.models.parts import AgentPart
from qeil_ros.models.plots import plot_table
from qeil_ros.models.scores import Boxes
from qeil_ros.models.tasks import Answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ModelFolder.load(tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny"))


def test_every_point_has_a_row_behind_its_reference(folder):
    table = evaluate(
        folder, pictures(), feature_bits=(0, 2, 8), codings=({}, {"granularity": "group", "group_size": 16})
    )
    points = [(row.source, row.feature_bits, len(row.coding)) for row in table.rows]
    assert points == [
        ("offboard", 0, 0),
        ("offboard", 2, 0),
        ("offboard", 2, 2),
        ("offboard", 8, 0),
        ("offboard", 8, 2),
        ("local", 0, 0),
    ]
    assert (table.model, table.digest, table.frames) == ("tiny", folder.digest, 12)


def test_scores_are_over_the_frames_with_truth_and_agreement_over_all(folder):
    table = evaluate(folder, pictures(), feature_bits=(8,))
    for row in table.rows:
        assert row.scores["top_1"].value == pytest.approx(10 / 11) and row.scores["top_1"].count == 11
        assert row.scores["agreement"].value == 1 and row.scores["agreement"].count == 12
    assert table.rows[0].score == table.rows[0].scores["top_1"]


def test_bytes_and_distortion_are_the_codecs(folder):
    raw, coded, local = evaluate(folder, pictures(), feature_bits=(3,)).rows
    features = np.array([1, 0, 0], np.float32)
    assert coded.bytes_mean == coded.bytes_p99 == len(encode(features, bits=3, coder="rans"))
    assert raw.bytes_mean == features.nbytes and local.bytes_mean == 0
    assert raw.distortion == local.distortion == 0 and 0 <= coded.distortion < 0.2


def test_times_are_there_for_what_was_done(folder):
    raw, coded, local = evaluate(folder, pictures(), feature_bits=(3,)).rows
    assert all(row.agent_ms > 0 and row.answer_ms > 0 for row in (raw, coded, local))
    assert coded.encode_ms > 0 and coded.decode_ms > 0
    assert math.isnan(raw.encode_ms) and math.isnan(local.decode_ms)


def test_captions_are_scored_as_captions(tmp_path):
    folder = ModelFolder.load(tiny_models.captioner(tmp_path / "captioner"))
    examples = [
        Example(name, tiny_models.picture(name), captions=(text,))
        for name, text in (("red", "red thing"), ("green", "green"), ("blue", "blue thing thing"))
    ]
    table = evaluate(folder, Dataset("said", [lambda e=e: e for e in examples]))
    for row in table.rows:
        assert row.scores["exact_match"].value == row.scores["rouge_l"].value == 1
        assert row.scores["cider"].value > 0


def test_embeddings_are_held_against_the_uncoded_ones(tmp_path):
    folder = ModelFolder.load(tiny_models.embedder(tmp_path / "embedder"))
    mixed = (
        tiny_models.picture("red") // 2 + tiny_models.picture("green") // 3 + tiny_models.picture("blue") // 5
    )
    table = evaluate(folder, Dataset("mixed", [lambda: Example("mixed", mixed)]), feature_bits=(1, 8))
    exact, coarse, fine = (row.scores["cosine"].value for row in table.rows)
    assert exact == pytest.approx(1) and coarse < fine < 1


def test_a_width_that_the_model_lacks_is_told_not_scored(folder):
    table = evaluate(folder, pictures(), weight_bits=(0, 3), feature_bits=(8,))
    assert {row.weight_bits for row in table.rows} == {0}
    assert len(table.notes) == 1 and "3 bits" in table.notes[0]


def test_a_width_that_it_has_is_run(folder, monkeypatch):
    """Weights of 1 bit here: the agent part sees black."""
    monkeypatch.setattr(AgentPart, "bits", 0, raising=False)
    monkeypatch.setattr(AgentPart, "set_bits", lambda self, bits: setattr(self, "bits", bits), raising=False)
    whole = AgentPart.run
    monkeypatch.setattr(AgentPart, "run", lambda self, x: whole(self, x * 0 if self.bits == 1 else x))
    table = evaluate(folder, pictures(), weight_bits=(8, 1), feature_bits=(8,))
    agreement = {(r.source, r.weight_bits, r.feature_bits): r.scores["agreement"].value for r in table.rows}
    assert agreement == {
        ("offboard", 0, 0): 1,
        ("local", 0, 0): 1,
        ("offboard", 8, 8): 1,
        ("local", 8, 0): 1,
        ("offboard", 1, 8): 0,
        ("local", 1, 0): 0,
    }


def test_progress_goes_from_nothing_to_all(folder):
    seen = []
    evaluate(
        folder,
        pictures(count=70),
        weight_bits=(0, 5),
        feature_bits=(0, 2, 8),
        progress=lambda done, total, what: seen.append((done, total)),
    )
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done) and set(totals) == {done[-1]}


def test_the_inputs_digest_is_of_pixels_and_truth(folder):
    digest = evaluate(folder, pictures()).inputs_sha256
    assert digest == evaluate(folder, pictures()).inputs_sha256
    other = pictures()
    changed = dataclasses.replace(other[5], labels=("green",))
    examples = [*other.examples[:5], lambda: changed, *other.examples[6:]]
    assert digest != evaluate(folder, dataclasses.replace(other, examples=examples)).inputs_sha256


def test_a_table_is_json_without_nan_and_a_plot(folder, tmp_path):
    table = evaluate(folder, pictures(), feature_bits=(1, 4, 8))
    record = json.loads(json.dumps(table.to_json(), allow_nan=False))
    assert record["rows"][0]["encode_ms"] is None and record["rows"][1]["scores"]["top_1"]["count"] == 11
    plot_table(table, tmp_path / "curve.png")
    assert cv2.imread(str(tmp_path / "curve.png")).shape[1] > 500


def test_no_picture_and_an_impossible_coding_are_refused(folder):
    with pytest.raises(ValueError, match="holds no picture"):
        evaluate(folder, Dataset("nothing", []))
    with pytest.raises(ValueError, match="granularity is 'row'"):
        evaluate(folder, pictures(), codings=({"granularity": "row"},))


# ---------------------------------------------------------------- published models


def test_the_shipped_model_keeps_its_score_at_three_bits():
    table = evaluate(ModelFolder.load("tabletop"), open_dataset("tabletop", limit=100), feature_bits=(8, 3))
    exact, eight, three, local = (row.scores["exact_match"].value for row in table.rows)
    assert exact >= 0.88 and eight >= exact - 0.02 and three >= exact - 0.05 and local >= 0.85
    assert isinstance(table, Table) and not table.notes


# ---------------------------------------------------------------- truth in a model's words

LABELS = [
    "hotdog, hot dog, red hot",
    "great grey owl, great gray owl",
    "tabby, tabby cat",
    "cat bear",
    "macaw",
]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("hot dog", LABELS[:1]),
        ("Owl", LABELS[1:2]),
        ("cat", LABELS[2:3]),
        ("macaw", LABELS[4:]),
        ("cat bear", LABELS[3:4]),
        ("awl", []),
        ("?", []),
    ],
)
def test_words_name_the_labels_that_mean_them(words, found):
    assert matching_labels(words, LABELS) == frozenset(found)


class _Detector:
    """A model folder that is only asked for its task and labels."""

    def __init__(self, path, labels):
        from qeil_ros.models.detection import DetectTask

        (path / "names.txt").write_text("".join(f"{label}\n" for label in labels))
        self.path, self.task = path, DetectTask("names.txt", "rows", threshold=0.5)


def _said(*found):
    return Answer(
        labels=[label for label, _, _ in found],
        scores=[score for _, score, _ in found],
        boxes=np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
    )


def test_boxes_are_scored_against_true_ones_and_against_the_whole_models(tmp_path):
    data = Dataset("boxes", [], {0: "car", 1: "dog", 2: "kite"})
    judge = Judge(_Detector(tmp_path, ["dog", "car"]), data)
    true = Boxes([[0, 0, 50, 50], [60, 60, 100, 100], [0, 0, 9, 9]], [1, 0, 2])
    judge.see(Example("one", np.zeros((100, 200, 3), np.uint8), boxes=true))
    right = _said(("dog", 0.9, [0, 0, 0.25, 0.5]), ("car", 0.8, [0.3, 0.6, 0.5, 1]))
    found = judge.scores([right], [right])
    assert found["map"].value == found["ap50"].value == found["agreement_map"].value == pytest.approx(1)
    half = _said(("dog", 0.9, [0, 0, 0.25, 0.5]))
    assert judge.scores([half], [right])["agreement_map"].value == pytest.approx(0.5)
    unsure = _said(("dog", 0.9, [0, 0, 0.25, 0.5]), ("car", 0.3, [0.3, 0.6, 0.5, 1]))
    assert judge.scores([half], [unsure])["agreement_map"].value == pytest.approx(1)
