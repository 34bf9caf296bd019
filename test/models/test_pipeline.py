from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
import tiny_models

from qeil_ros.codec import BitstreamError, Decoder, encode
from qeil_ros.models.features import distortion, limits_for
from qeil_ros.models.folder import ModelError, ModelFolder
from qeil_ros.models.pipeline import AgentPipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ModelFolder.load(tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny"))


def test_image_to_features_to_answer(folder):
    pipeline, server = AgentPipeline(folder), folder.server()
    decoder = Decoder(limits_for(folder, "mean"))
    assert pipeline.splits == ["mean"]
    for colour in tiny_models.COLOURS:
        picture = tiny_models.picture(colour, 40, 30)
        image = pipeline.prepare(picture.tobytes(), 40, 30, 120, "rgb8")
        features = pipeline.features(image, "mean")
        coded = pipeline.code(features, bits=4)
        answer = server.run(decoder.decode(coded)[None])[0]
        assert answer.labels[0] == colour


def test_a_compressed_image_is_prepared_as_its_pixels_are(folder):
    pipeline = AgentPipeline(folder)
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    data = cv2.imencode(".png", picture)[1].tobytes()
    compressed = pipeline.prepare_compressed(data).copy()
    np.testing.assert_array_equal(compressed, pipeline.prepare(picture.tobytes(), 40, 30, 120, "bgr8"))
    with pytest.raises(ValueError, match="more than 100 pixels"):
        pipeline.prepare_compressed(data, max_pixels=100)


def test_distortion_is_the_mean_error_over_the_mean_size():
    x = np.array([1.0, -2.0, 3.0], np.float32)
    assert distortion(x, x) == 0
    assert distortion(x, x + 0.5) == pytest.approx(0.25)
    zeros = np.zeros(3, np.float32)
    assert distortion(zeros, zeros) == 0
    assert math.isnan(distortion(zeros, x))


def test_distortion_of_a_coded_frame_falls_with_the_bits(folder):
    pipeline = AgentPipeline(folder)
    features = np.array([0.1, 0.35, 0.9], np.float32)
    errors = [pipeline.distortion(features, pipeline.code(features, bits), "mean") for bits in (2, 4, 8)]
    assert errors[0] >= errors[1] >= errors[2]
    assert errors[2] < 0.01


def test_the_limits_admit_what_the_split_needs_and_no_more(folder):
    decoder = Decoder(limits_for(folder, "mean"))
    for bits in range(1, 9):
        for granularity in ("tensor", "channel", "group"):
            decoder.decode(encode(np.ones(3, np.float32), bits=bits, granularity=granularity))
    with pytest.raises(BitstreamError):
        decoder.decode(encode(np.ones(4, np.float32)))


def test_without_an_agent_part_it_says_so(tmp_path):
    path = tiny_models.classifier(tmp_path / "m")
    (path / "agent.onnx").unlink()
    with pytest.raises(ModelError, match=r"agent\.onnx: cannot be read"):
        AgentPipeline(ModelFolder.load(path))
