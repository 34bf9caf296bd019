from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import tiny_models
import yaml

from qeil_ros.models.folder import ModelError, ModelFolder
from qeil_ros.models.runtime import Runtime
from qeil_ros.models.tasks import softmax

RED, GREEN, BLUE, DARK = np.eye(4, 3, dtype=np.float32)


def edited(path, **changes):
    """The folder with other values in its only split, or in its task."""
    document = yaml.safe_load((path / "model.yaml").read_text())
    for key, value in changes.items():
        (document["splits"]["mean"] if key in ("shape", "dtype") else document["task"])[key] = value
    (path / "model.yaml").write_text(yaml.safe_dump(document))
    return ModelFolder.load(path)


def test_the_agent_gives_the_features_of_the_split(tmp_path):
    agent = ModelFolder.load(tiny_models.classifier(tmp_path / "m")).agent()
    image = np.zeros((1, 3, 8, 8), np.float32)
    image[:, 2] = 0.5
    np.testing.assert_allclose(agent.run(image), [[0, 0, 0.5]])
    assert agent.device == "onnxruntime CPUExecutionProvider"


def test_classify_gives_the_best_labels_with_their_probabilities(tmp_path):
    server = ModelFolder.load(tiny_models.classifier(tmp_path / "m")).server()
    assert server.max_batch is None
    answers = server.run(np.stack([BLUE, DARK, RED]))
    assert [answer.labels[0] for answer in answers] == ["blue", "dark", "red"]
    assert all(len(answer.labels) == len(answer.scores) == 2 for answer in answers)
    expected = softmax(np.array([0, 0, 8, 1], np.float32))
    assert answers[0].scores == pytest.approx([expected[2], expected[3]])
    assert answers[0].confidence == pytest.approx(float(expected[2]))


def test_equal_scores_keep_the_order_of_the_labels(tmp_path):
    (answer,) = ModelFolder.load(tiny_models.classifier(tmp_path / "m")).server().run((RED + GREEN)[None])
    assert answer.labels == ["red", "green"]


def test_scores_of_a_quantized_output_are_scaled(tmp_path):
    folder = edited(tiny_models.classifier(tmp_path / "m"), activation="none", scale=0.5, zero_point=2)
    (answer,) = folder.server().run(RED[None])
    assert answer.scores == pytest.approx([3.0, -0.5])
    assert math.isnan(answer.confidence), "a score of 3 is no confidence"


@pytest.mark.parametrize("size", [1, 4])
def test_a_graph_of_fixed_batch_takes_any_number_of_rows(tmp_path, size):
    rows = [RED, GREEN, BLUE, DARK, RED, BLUE, GREEN]
    server = ModelFolder.load(tiny_models.classifier(tmp_path / "m", batch=size)).server()
    assert server.max_batch == size
    found = [answer.labels[0] for answer in server.run(np.stack(rows))]
    assert found == ["red", "green", "blue", "dark", "red", "blue", "green"]


@pytest.mark.parametrize(
    "features",
    [np.zeros((1, 4), np.float32), np.zeros((1, 3)), np.zeros((0, 3), np.float32), np.zeros(3, np.float32)],
)
def test_features_of_another_kind_are_refused(tmp_path, features):
    server = ModelFolder.load(tiny_models.classifier(tmp_path / "m")).server()
    with pytest.raises(ValueError, match=r"want features \[B, 3\] of float32"):
        server.run(features)


def test_captions_of_different_length_come_from_one_batch(tmp_path):
    server = ModelFolder.load(tiny_models.captioner(tmp_path / "m")).server()
    colours = [GREEN, BLUE, RED, GREEN, BLUE]
    together = [answer.text for answer in server.run(np.stack(colours))]
    assert together == ["green", "blue thing thing", "red thing", "green", "blue thing thing"]
    assert [server.run(row[None])[0].text for row in colours] == together


def test_the_confidence_of_a_caption_is_the_mean_over_its_tokens(tmp_path):
    server = ModelFolder.load(tiny_models.captioner(tmp_path / "m")).server()
    sure, unsure = server.run(np.stack([GREEN, np.array([0.5, 0.6, 0], np.float32)]))
    assert sure.text == unsure.text == "green"
    first = softmax(np.array([4.5, 5.4, 0]))[1]
    assert unsure.confidence == pytest.approx((first + 1) / 2, abs=1e-4)
    assert 0.99 < sure.confidence <= 1


def test_a_caption_ends_after_max_tokens(tmp_path):
    folder = edited(tiny_models.captioner(tmp_path / "m"), max_tokens=2)
    assert [a.text for a in folder.server().run(np.stack([BLUE, GREEN]))] == ["blue thing", "green"]


def test_an_embedding_is_the_output(tmp_path):
    server = ModelFolder.load(tiny_models.embedder(tmp_path / "m")).server()
    answers = server.run(np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    np.testing.assert_array_equal([answer.embedding for answer in answers], [[2, 4, 6], [8, 10, 12]])
    assert answers[0].labels == [] and math.isnan(answers[0].confidence)


def test_softmax_stands_large_numbers():
    np.testing.assert_allclose(softmax(np.array([[1e4, 1e4, -1e4]], np.float32)), [[0.5, 0.5, 0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [4]}, r"tensor 'features' is \[1, 3\] of float32 .* is \[1, 4\] of float32"),
        ({"dtype": "uint8"}, r"tensor 'features' is .* of float32 .* of uint8"),
    ],
)
def test_a_part_that_is_not_what_model_yaml_says_is_refused(tmp_path, changes, message):
    folder = edited(tiny_models.classifier(tmp_path / "m"), **changes)
    with pytest.raises(ModelError, match=message):
        folder.agent()


def test_a_label_list_of_another_length_is_refused_at_load(tmp_path):
    path = tiny_models.classifier(tmp_path / "m")
    (path / "words.txt").write_text("red\ngreen\n")
    with pytest.raises(ModelError, match=r"4 scores, words\.txt has 2 lines"):
        ModelFolder.load(path).server()


def test_a_changed_label_list_is_refused_where_its_sha256_is_given(tmp_path):
    path = tiny_models.classifier(tmp_path / "m")
    document = yaml.safe_load((path / "model.yaml").read_text())
    document["task"]["sha256"] = "0" * 64
    (path / "model.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelError, match=r"words\.txt: sha256 is"):
        ModelFolder.load(path).server()


def test_a_file_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"x\.onnx: onnxruntime cannot load it"):
        Runtime(tmp_path / "x.onnx")


def test_a_device_that_is_not_there_is_refused(tmp_path):
    folder = ModelFolder.load(tiny_models.classifier(tmp_path / "m"))
    folder.server(device="auto")
    with pytest.raises(ModelError, match="no device 'abacus'; there are auto, cpu"):
        folder.server(device="abacus")


def test_a_zoo_folder_without_the_server_part_serves_the_robot(tmp_path):
    shutil.copytree(ModelFolder.load("tabletop").path, tmp_path / "m")
    (tmp_path / "m" / "server.onnx").unlink()
    folder = ModelFolder.load(tmp_path / "m")
    image = np.zeros(folder.input.shape, folder.input.dtype)
    features = folder.agent().run(image)
    (answer,) = folder.local().run(features)
    assert isinstance(answer.text, str)
    assert folder.digest == ModelFolder.load("tabletop").digest
