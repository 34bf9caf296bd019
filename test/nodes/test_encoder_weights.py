"""The weights' width in a running encoder: it follows the supervisor, and no frame is lost to it."""

from __future__ import annotations

import array
import itertools
import time

import numpy as np
import pytest
import weight_models
from builtin_interfaces.msg import Time
from node_testing import Graph, latest_status, values_of
from qeil_ros.msg import FeatureFrame, OperatingPoint
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from support import wait_until

from qeil_ros.codec import decode
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.quantize import WeightPlan
from qeil_ros.models.quantize_folder import quantize_folder
from qeil_ros.nodes import qos
from qeil_ros.nodes.encoder import EncoderNode

WIDTHS = (8, 4, 2)
PIXELS = np.random.default_rng(5).integers(0, 256, (8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    plain = ModelFolder.load(weight_models.folder(path / "plain"))
    quantize_folder(plain, path / "packed", WeightPlan(WIDTHS))
    return plain, ModelFolder.load(path / "packed")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def graph(ros_graph):
    with Graph() as graph:
        yield graph


class Camera:
    """Sends one picture again and again, and tells the width of the weights that a frame was made with."""

    def __init__(self, graph, model, frames):
        self._images = graph.publisher(Image, "image")
        self._frames = frames
        self._seconds = itertools.count(1)
        agent = model.agent(backend="onnxruntime-int8")
        self._known = {}
        for bits in WIDTHS:
            agent.set_bits(bits)
            assert agent.wait(60)
            image = (PIXELS.transpose(2, 0, 1)[None] / np.float32(255)).astype(np.float32)
            self._known[bits] = agent.run(image)[0]

    def send(self) -> int:
        second = next(self._seconds)
        header = Header(stamp=Time(sec=second), frame_id="camera")
        self._images.publish(
            Image(
                header=header,
                height=8,
                width=8,
                encoding="rgb8",
                step=24,
                data=array.array("B", PIXELS.tobytes()),
            )
        )
        return second

    def width(self) -> int:
        """Of a frame that is yet to be made."""
        seen = len(self._frames)

        def arrived():
            self.send()
            time.sleep(0.02)
            return len(self._frames) > seen

        wait_until(arrived, what="a frame")
        return self.width_of(self._frames[-1])

    def width_of(self, frame) -> int:
        features = decode(frame.data)
        distances = {bits: np.abs(features - known).max() for bits, known in self._known.items()}
        best = min(distances, key=distances.get)
        ranked = sorted(distances.values())
        assert ranked[0] < 0.3 * ranked[1], "the features are those of one width"
        return best


def start(graph, model, **parameters):
    values = {"model": str(model.path), "image_transport": "raw", "feature_bits": 8, **parameters}
    node = graph.start(EncoderNode, backend="onnxruntime-int8", **values)
    frames = graph.listen(FeatureFrame, "features")
    return node, frames, Camera(graph, model, frames)


def test_the_supervisor_chooses_the_width_and_its_silence_the_safe_one(graph, folders):
    _, frames, camera = start(graph, folders[1], safe_weight_bits=4)
    points = graph.publisher(OperatingPoint, "operating_point", qos.LATEST)
    assert camera.width() == 8
    for asked, given in ((2, 2), (3, 4), (8, 8), (0, 8), (1, 2)):
        points.publish(OperatingPoint(weight_bits=asked, valid_for_s=60.0))
        wait_until(lambda given=given: camera.width() == given, what=f"{given} bits for {asked}")
    points.publish(OperatingPoint(weight_bits=2, valid_for_s=0.2))
    wait_until(lambda: camera.width() == 4, what="the safe point's width")
    assert {frame.model_digest for frame in frames} == {folders[1].digest}


def test_every_image_becomes_a_frame_while_the_width_changes(graph, folders):
    """At thirty images a second and a change with every fifth of them; an image may be late, none is lost."""
    node, frames, camera = start(graph, folders[1])
    points = graph.publisher(OperatingPoint, "operating_point", qos.LATEST)
    camera.width()
    first, sent = len(frames), []
    wanted = itertools.cycle((2, 8, 4))
    for number in range(60):
        if number % 5 == 0:
            points.publish(OperatingPoint(weight_bits=next(wanted), valid_for_s=60.0))
        sent.append(camera.send())
        # The subscription keeps the newest image only: wait for this one's frame before the next.
        wait_until(lambda: frames and frames[-1].header.stamp.sec == sent[-1], what="the image's frame")
    got = [frame.header.stamp.sec for frame in frames[first:]]
    assert [second for second in sent if second not in got] == []
    assert {camera.width_of(frame) for frame in frames[first:]} == set(WIDTHS)
    assert node.diagnostics.counter("features_bad") == 0


def test_the_width_is_a_parameter_and_told_in_diagnostics(graph, folders):
    node, _, camera = start(graph, folders[1], weight_bits=2)
    arrays = graph.diagnostics()
    wait_until(lambda: camera.width() == 2, what="the parameter's width")
    wait_until(lambda: values_of(latest_status(arrays, "encoder")).get("weight_bits") == "2")
    assert values_of(latest_status(arrays, "encoder"))["agent_backend"].startswith("onnxruntime")
    (result,) = node.set_parameters([Parameter("weight_bits", value=4)])
    assert result.successful
    wait_until(lambda: camera.width() == 4, what="the changed parameter's width")
    (result,) = node.set_parameters([Parameter("weight_bits", value=9)])
    assert not result.successful


def test_a_point_with_an_impossible_width_is_refused(graph, folders):
    node, _, camera = start(graph, folders[1])
    points = graph.publisher(OperatingPoint, "operating_point", qos.LATEST)
    points.publish(OperatingPoint(weight_bits=9, valid_for_s=60.0))
    wait_until(lambda: node.diagnostics.counter("operating_points_bad") == 1)
    assert camera.width() == 8


def test_a_width_that_cannot_be_made_ready_is_reported_and_frames_go_on(graph, folders):
    node, _, camera = start(graph, folders[1])

    def fails(bits):
        raise OSError("the disk is gone")

    node._pipeline.agent("cut")._make = fails
    points = graph.publisher(OperatingPoint, "operating_point", qos.LATEST)
    arrays = graph.diagnostics()
    points.publish(OperatingPoint(weight_bits=2, valid_for_s=60.0))

    def reported():
        assert camera.width() == 8
        return "weights of 2 bits: the disk is gone" in getattr(
            latest_status(arrays, "encoder"), "message", ""
        )

    wait_until(reported, what="the report")


def test_an_agent_part_with_one_width_says_so(graph, folders):
    graph.start(EncoderNode, model=str(folders[0].path), weight_bits=4)
    arrays = graph.diagnostics()
    images = graph.publisher(Image, "image")
    data = array.array("B", PIXELS.tobytes())

    def reported():
        images.publish(Image(height=8, width=8, encoding="rgb8", step=24, data=data))
        message = getattr(latest_status(arrays, "encoder"), "message", "")
        return "asks for 4-bit weights; the agent part runs as stored" in message

    wait_until(reported, what="the report")


def test_a_backend_that_does_not_fit_leaves_the_node_unconfigured(graph, folders):
    node = graph.start(EncoderNode, activate=False, model=str(folders[0].path), backend="onnxruntime-int8")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.set_parameters([Parameter("backend", value="auto")])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
