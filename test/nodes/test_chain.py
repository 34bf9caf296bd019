"""Encoder and co-inference together: what comes out of the graph is what the model says."""

from __future__ import annotations

import array
import math

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from node_testing import Graph
from qeil_ros.msg import InferenceResult
from sensor_msgs.msg import Image
from support import wait_until

from qeil_ros.models.create import Recipe, create
from qeil_ros.models.features import FeatureReader
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.pipeline import AgentPipeline
from qeil_ros.nodes.co_inference import CoInferenceNode
from qeil_ros.nodes.encoder import EncoderNode

AGENT = "weights/mobilenet_v1_1.0_224_quant_embedding_extractor.onnx"
SERVER = "weights/mobilenet_quant_v1_224_head_layers.onnx"


@pytest.fixture
def chain(ros_graph):
    """Starts both nodes on a model; gives a function from an RGB picture to its InferenceResult."""
    with Graph() as graph:

        def start(model):
            graph.start(CoInferenceNode, model=str(model))
            graph.start(EncoderNode, model=str(model), image_transport="raw", deadline_s=30.0)
            results = graph.listen(InferenceResult, "offboard/result")
            images = graph.publisher(Image, "image")
            wait_until(lambda: graph.probe.count_subscribers("features") == 1)
            wait_until(lambda: graph.probe.count_publishers("features") == 1)

            def ask(picture, second):
                height, width = picture.shape[:2]
                image = Image(height=height, width=width, step=3 * width, encoding="rgb8")
                image.header.stamp.sec = second
                image.data = array.array("B", picture.tobytes())

                def answers():
                    return [result for result in results if result.header.stamp.sec == second]

                # Best effort: an image, or features sent before the other side is connected, may be lost.
                for _ in range(10):
                    images.publish(image)
                    try:
                        wait_until(answers, timeout_s=3.0)
                    except AssertionError:
                        continue
                    return answers()[0]
                raise AssertionError(f"no answer to picture {second}")

            return ask

        yield start


def test_the_shipped_model_answers_through_the_graph_as_by_itself(chain):
    folder = ModelFolder.load("tabletop")
    ask = chain("tabletop")
    pipeline, server = AgentPipeline(folder), folder.server()
    reader = FeatureReader(folder, folder.default_split)
    random = np.random.default_rng(3)
    for second in range(1, 6):
        picture = cv2.resize(random.integers(0, 256, (6, 8, 3), np.uint8), (160, 120))
        image = pipeline.prepare(picture.tobytes(), 160, 120, 480, "rgb8")
        # The node's own parameter leaves the bits to the model.
        features = pipeline.features(image, folder.default_split)
        coded = pipeline.code(features, bits=folder.split().feature_bits, coder="rans")
        (expected,) = server.run(reader.decode(coded)[None])
        result = ask(picture, second)
        assert result.text == expected.text
        assert result.confidence == pytest.approx(expected.confidence, abs=1e-3)
        assert result.model_digest == folder.digest


def test_published_halves_give_their_own_labels_through_the_graph(chain, data_dir, tmp_path):
    recipe = Recipe(
        agent=data_dir / AGENT,
        server=data_dir / SERVER,
        words=data_dir / "weights/imagenet_labels.txt",
        name="mobilenet",
    )
    folder = create(tmp_path / "mobilenet", recipe)
    ask = chain(folder.path)
    agent, server = (
        ort.InferenceSession(str(data_dir / part), providers=["CPUExecutionProvider"])
        for part in (AGENT, SERVER)
    )
    labels = (data_dir / "weights/imagenet_labels.txt").read_text().splitlines()
    pipeline = AgentPipeline(folder)
    photos = sorted(p for p in (data_dir / "images/coral").iterdir() if p.suffix in (".bmp", ".jpg"))
    for second, path in enumerate(photos, start=1):
        photo = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        height, width = photo.shape[:2]
        pixels = pipeline.prepare(photo.tobytes(), width, height, 3 * width, "rgb8")
        (middle,) = agent.run(None, {agent.get_inputs()[0].name: pixels})
        (scores,) = server.run(None, {server.get_inputs()[0].name: middle})
        best = np.argsort(-scores[0].astype(int), kind="stable")[:5]
        result = ask(photo, second)
        assert list(result.labels) == [labels[index] for index in best], path.name
        assert list(result.scores) == [scores[0][index] / 256 for index in best]


def test_a_feature_frame_is_no_larger_than_its_bits(chain):
    """One frame of the shipped model: its values at the bits that it wants, and a short header."""
    folder = ModelFolder.load("tabletop")
    ask = chain("tabletop")
    result = ask(np.zeros((64, 64, 3), np.uint8), 1)
    packed = math.ceil(np.prod(folder.split().shape) * folder.split().feature_bits / 8)
    assert 16 < result.bytes_sent <= packed + 64
