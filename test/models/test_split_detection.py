from __future__ import annotations

import math

import numpy as np
import pytest
import yaml

from qeil_ros.models.detection import Detector, DetectTask, suppress
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.schema import ModelError, Section
from qeil_ros.nodes.results import message_of
from qeil_ros.safety.outputs import answer_problem

LABELS = ["cat", "dog", "cup"]


def detector(decoder, **options):
    return Detector(DetectTask(labels="names", decoder=decoder, **options), LABELS)


def answer(decoder, output, **options):
    (found,) = detector(decoder, **options).answers(lambda features, extra: output[None], np.zeros((1, 1)))
    return found


def test_a_fastestdet_cell_reads_as_its_authors_read_it():
    output = np.zeros((8, 4, 5), np.float32)
    output[:, 2, 3] = [0.9, 0.3, -0.2, 0.5, -1.0, 0.1, 0.7, 0.2]
    found = answer("fastestdet", output, threshold=0.3)
    x, y = (3 + math.tanh(0.3)) / 5, (2 + math.tanh(-0.2)) / 4
    w, h = 1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(1.0))
    corners = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
    assert found.labels == ["dog"]
    assert found.scores == [pytest.approx(0.9**0.6 * 0.7**0.4, rel=1e-6)]
    assert found.boxes == pytest.approx(np.clip([corners], 0, 1), rel=1e-6)
    assert found.confidence == found.scores[0]


def test_a_yolo_column_is_a_centre_a_size_and_a_score_for_each_class():
    output = np.array([[320, 100], [160, 50], [64, 20], [32, 20], [0.1, 0], [0.2, 0.9], [0.8, 0]], np.float32)
    found = answer("yolov8", output, extent=(640, 320))
    assert found.labels == ["dog", "cup"] and found.scores == pytest.approx([0.9, 0.8])
    assert found.boxes[1] == pytest.approx([0.45, 0.45, 0.55, 0.55])


def test_rows_are_taken_as_they_are_and_empty_ones_left_out():
    rows = np.zeros((5, 6), np.float32)
    rows[1] = [10, 20, 30, 40, 0.7, 2]
    rows[3] = [10, 20, 30, 40, 0.9, 2]
    both = answer("rows", rows, extent=(100, 100), iou=1.0)
    assert both.scores == pytest.approx([0.9, 0.7]) and both.labels == ["cup", "cup"]
    assert both.boxes[0] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert len(answer("rows", rows, extent=(100, 100)).labels) == 1


def test_suppression_is_that_of_a_plain_loop():
    random = np.random.default_rng(5)
    low = random.random((200, 2))
    boxes = np.concatenate([low, low + 0.3 * random.random((200, 2))], axis=1)
    classes = random.integers(0, 3, 200)

    def iou(a, b):
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        area = lambda c: (c[2] - c[0]) * (c[3] - c[1])  # noqa: E731
        return width * height / (area(a) + area(b) - width * height)

    for threshold in (0.0, 0.3, 0.6, 1.0):
        kept = []
        for i in range(200):
            if all(classes[i] != classes[j] or iou(boxes[i], boxes[j]) <= threshold for j in kept):
                kept.append(i)
        assert suppress(boxes, classes, threshold).tolist() == kept
    assert suppress(boxes[:0], classes[:0], 0.5).tolist() == []


def test_nothing_found_is_an_answer_without_confidence():
    found = answer("fastestdet", np.zeros((8, 4, 4), np.float32))
    assert found.labels == [] and found.boxes.shape == (0, 4) and math.isnan(found.confidence)
    assert answer_problem(message_of(found)) == ""


def test_values_that_are_no_numbers_give_no_box():
    output = np.full((8, 4, 4), np.nan, np.float32)
    assert answer("fastestdet", output).labels == []
    rows = np.array([[0, 0, np.inf, 1, 0.9, 1], [0, 0, 1, 1, 0.9, np.nan], [0, 0, 1, 1, 0.8, 1]], np.float32)
    assert answer("rows", rows[[0, 2]]).scores == pytest.approx([0.8])
    with pytest.raises(ModelError, match="class -1"):
        answer("rows", rows)


def test_an_answer_has_at_most_as_many_boxes_as_asked_and_they_reach_the_message():
    random = np.random.default_rng(1)
    rows = np.concatenate([np.sort(random.random((50, 4))), random.random((50, 1)), np.ones((50, 1))], axis=1)
    found = answer("rows", rows.astype(np.float32), threshold=0.1, iou=1.0, max_boxes=7)
    assert len(found.labels) == 7 and found.scores == sorted(found.scores, reverse=True)
    message = message_of(found)
    assert list(message.boxes) == found.boxes.ravel().tolist() and len(message.boxes) == 28
    assert answer_problem(message) == ""


@pytest.mark.parametrize(
    ("decoder", "shape", "message"),
    [
        (
            "fastestdet",
            (5, 4, 4),
            r"reads \[5 \+ classes, height, width\] for an image; the part gave \[5, 4, 4\]",
        ),
        ("yolov8", (4, 10), r"reads \[4 \+ classes, N\]"),
        ("rows", (10, 7), r"reads \[N, 6\]"),
    ],
)
def test_an_output_of_another_form_is_refused(decoder, shape, message):
    with pytest.raises(ModelError, match=message):
        answer(decoder, np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": "ssd"}, "task.decoder: want one of fastestdet, yolov8, rows, got 'ssd'"),
        ({"threshold": 1.5}, "task.threshold: want a number from 0 to 1, got 1.5"),
        ({"iou": -1}, "task.iou: want a number from 0 to 1"),
        ({"extent": [640]}, r"task.extent: want \[width, height\], got \[640\]"),
        ({"max_boxes": 0}, "task.max_boxes: want an integer from 1"),
        ({"speed": 1}, "task.speed: is not a known key"),
    ],
)
def test_a_wrong_model_yaml_is_told(change, message):
    section = Section({"task": {"labels": "names", "decoder": "rows", **change}}, "model.yaml").section(
        "task"
    )
    with pytest.raises(ModelError, match=message):
        DetectTask.parse(section)
        section.done()


def test_a_folder_whose_boxes_could_not_be_placed_is_refused(tmp_path):
    import tiny_models

    path = tiny_models.classifier(tmp_path / "tiny")
    document = yaml.safe_load((path / "model.yaml").read_text())
    document["task"] = {"kind": "detect", "labels": "words.txt", "decoder": "rows"}
    (path / "model.yaml").write_text(yaml.safe_dump(document))
    assert ModelFolder.load(path).task.kind == "detect"
    document["input"]["resize"] = "fit"
    (path / "model.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelError, match=r"input\.resize: want stretch for the task 'detect', got 'fit'"):
        ModelFolder.load(path)
