"""Two published halves of a quantized network: through us they must give what they give by themselves."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime as ort
import pytest

from qeil_ros.codec import decode
from qeil_ros.models.create import Recipe, create
from qeil_ros.models.pipeline import AgentPipeline

AGENT = "weights/mobilenet_v1_1.0_224_quant_embedding_extractor.onnx"
SERVER = "weights/mobilenet_quant_v1_224_head_layers.onnx"

# What is on the photos, in words of ImageNet's labels, where it has any.
SUBJECTS = {
    "dragonfly.bmp": "dragonfly",
    "grace_hopper.bmp": "military uniform",
    "hot_dog.jpg": "hotdog",
    "sunflower.bmp": "daisy",
    "parrot.jpg": "macaw",
}


@pytest.fixture(scope="module")
def folder(data_dir, tmp_path_factory):
    recipe = Recipe(
        agent=data_dir / AGENT,
        server=data_dir / SERVER,
        local=data_dir / SERVER,
        words=data_dir / "weights/imagenet_labels.txt",
        name="mobilenet",
        licence="Apache-2.0",
    )
    return create(tmp_path_factory.mktemp("models") / "mobilenet", recipe)


@pytest.fixture(scope="module")
def photos(data_dir):
    paths = sorted(path for path in (data_dir / "images/coral").iterdir() if path.suffix in (".bmp", ".jpg"))
    return {path.name: cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths}


def test_everything_was_read_off_the_files(folder):
    assert folder.input.shape == (1, 224, 224, 3)
    assert (folder.input.dtype, folder.input.scale, folder.input.mean) == ("uint8", 1.0, (0.0, 0.0, 0.0))
    assert folder.split().shape == (1, 1, 1024) and folder.split().dtype == "uint8"
    assert (folder.task.activation, folder.task.scale, folder.task.zero_point) == ("none", 1 / 256, 0)


def test_labels_and_scores_are_those_of_the_halves_run_directly(folder, photos, data_dir):
    agent, server = (
        ort.InferenceSession(str(data_dir / part), providers=["CPUExecutionProvider"])
        for part in (AGENT, SERVER)
    )
    labels = (data_dir / "weights/imagenet_labels.txt").read_text().splitlines()

    def directly(pixels):
        (middle,) = agent.run(None, {agent.get_inputs()[0].name: pixels})
        (scores,) = server.run(None, {server.get_inputs()[0].name: middle})
        return scores[0].astype(int)

    pipeline, part = AgentPipeline(folder), folder.server()
    assert len(photos) >= 9
    for name, photo in photos.items():
        height, width = photo.shape[:2]
        image = pipeline.prepare(photo.tobytes(), width, height, 3 * width, "bgr8")
        coded = pipeline.code(pipeline.features(image, "cut"), bits=8)
        answer = part.run(decode(coded)[None])[0]

        scores = directly(image)
        best = np.argsort(-scores, kind="stable")[:5]
        assert answer.labels == [labels[index] for index in best], name
        assert answer.scores == [scores[index] / 256 for index in best]
        assert answer.confidence == scores.max() / 256
        if name in SUBJECTS:
            assert SUBJECTS[name] in " ".join(answer.labels), name

        # With OpenCV's resizing, whose fixed-point arithmetic is off by one in a tenth of the pixels.
        resized = cv2.cvtColor(cv2.resize(photo, (224, 224)), cv2.COLOR_BGR2RGB)
        assert answer.labels[0] == labels[directly(resized[None]).argmax()], name


def test_several_frames_at_once_answer_as_one_by_one(folder, photos):
    pipeline, part = AgentPipeline(folder), folder.local()
    rows = []
    for photo in photos.values():
        height, width = photo.shape[:2]
        image = pipeline.prepare(photo.tobytes(), width, height, 3 * width, "bgr8")
        rows.append(pipeline.features(image, "cut").copy())
    together = part.run(np.stack(rows))
    assert [answer.labels for answer in together] == [part.run(row[None])[0].labels for row in rows]
