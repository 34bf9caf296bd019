from __future__ import annotations

import array
import math
import time

import cv2
import numpy as np
import pytest
import tiny_models
from builtin_interfaces.msg import Time
from node_testing import Graph, latest_status, values_of
from qeil_ros.msg import FeatureFrame, InferenceResult, OperatingPoint
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from support import wait_until

from qeil_ros.codec import decode, peek
from qeil_ros.models.folder import ModelFolder
from qeil_ros.nodes import qos
from qeil_ros.nodes.encoder import EncoderNode


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def graph(ros_graph):
    with Graph() as graph:
        yield graph


def header(second: int = 0) -> Header:
    return Header(stamp=Time(sec=second, nanosec=7), frame_id="camera")


def raw(colour: str, second: int = 0, **changes) -> Image:
    picture = tiny_models.picture(colour, 16, 12)
    values = {"height": 12, "width": 16, "encoding": "rgb8", "step": 48, "is_bigendian": 0}
    return Image(header=header(second), data=array.array("B", picture.tobytes()), **{**values, **changes})


def jpeg(colour: str, second: int = 0) -> CompressedImage:
    picture = tiny_models.picture(colour, 16, 16)[:, :, ::-1]
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    return CompressedImage(header=header(second), format="jpeg", data=array.array("B", data))


class Sender:
    """Publishes an image until a frame has come of it: with a depth of one any single one may be lost."""

    def __init__(self, graph, kind, topic, frames):
        self._images = graph.publisher(kind, topic)
        self._frames = frames

    def one(self, image) -> FeatureFrame:
        """A frame made of this image; told from others by its stamp."""
        stamp = image.header.stamp.sec
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            self._images.publish(image)
            try:
                wait_until(
                    lambda: any(frame.header.stamp.sec == stamp for frame in self._frames), timeout_s=0.5
                )
            except AssertionError:
                continue
            return next(frame for frame in self._frames if frame.header.stamp.sec == stamp)
        raise AssertionError(f"no frame came of the image of second {stamp}")

    def _made_of(self, stamp):
        return [frame for frame in self._frames if frame.header.stamp.sec == stamp]

    def publish(self, image) -> None:
        self._images.publish(image)


def start(graph, model, **parameters):
    node = graph.start(EncoderNode, model=str(model), **parameters)
    frames = graph.listen(FeatureFrame, "features")
    return node, frames


def colour_of(frame, folder) -> str:
    return folder.server().run(decode(frame.data)[None])[0].labels[0]


def test_an_image_becomes_a_feature_frame(graph, model):
    folder = ModelFolder.load(model)
    _, frames = start(graph, model, deadline_s=0.5, feature_bits=6)
    sender = Sender(graph, Image, "image", frames)
    frame = sender.one(raw("green", second=3))
    assert frame.header == header(3)
    assert (frame.model, frame.model_digest, frame.split) == ("tiny", folder.digest, "mean")
    assert frame.feature_bits == peek(frame.data).bits == 6
    assert tuple(peek(frame.data).shape) == (3,)
    assert colour_of(frame, folder) == "green"
    assert 0 < frame.encode_s < 0.5
    assert frame.time_left_s == pytest.approx(0.5 - frame.encode_s, abs=1e-6)
    assert math.isnan(frame.energy_j) and frame.energy_quality == InferenceResult.QUALITY_NONE
    sender.one(raw("red", second=4))
    assert [entry.sequence for entry in frames] == list(range(len(frames)))
    assert len({entry.run for entry in frames}) == 1


@pytest.mark.parametrize(
    ("encoding", "data", "step"),
    [
        ("bgr8", tiny_models.picture("blue", 16, 12)[:, :, ::-1].tobytes(), 48),
        (
            "rgba8",
            np.dstack([tiny_models.picture("blue", 16, 12), np.zeros((12, 16), np.uint8)]).tobytes(),
            64,
        ),
        ("bayer_rggb8", np.tile(np.array([[0, 0], [0, 255]], np.uint8), (6, 8)).tobytes(), 16),
    ],
)
def test_other_encodings_are_the_same_picture(graph, model, encoding, data, step):
    _, frames = start(graph, model)
    image = raw("dark", 1, encoding=encoding, step=step)
    image.data = array.array("B", data)
    frame = Sender(graph, Image, "image", frames).one(image)
    assert colour_of(frame, ModelFolder.load(model)) == "blue"


def test_auto_takes_compressed_images_where_only_those_are_published(graph, model):
    node = graph.start(EncoderNode, model=str(model))
    frames = graph.listen(FeatureFrame, "features")
    frame = Sender(graph, CompressedImage, "image/compressed", frames).one(jpeg("red", second=5))
    assert colour_of(frame, ModelFolder.load(model)) == "red"
    assert node.count_subscribers("image") == 0


def test_auto_follows_when_another_transport_takes_over(graph, model):
    _, frames = start(graph, model)
    images = graph.publisher(CompressedImage, "image/compressed")
    graph.probe.destroy_publisher(images)
    frame = Sender(graph, Image, "image", frames).one(raw("green", second=2))
    assert colour_of(frame, ModelFolder.load(model)) == "green"


def test_bad_images_are_counted_and_dropped(graph, model):
    node, frames = start(graph, model)
    sender = Sender(graph, Image, "image", frames)
    sender.one(raw("red", second=1))
    truncated = raw("red", 9)
    truncated.data = array.array("B", bytes(100))
    bad = [
        truncated,
        raw("red", 9, encoding="no such encoding"),
        raw("red", 9, width=0),
        raw("red", 9, height=4_000_000_000),
        raw("red", 9, step=3),
    ]
    for count, image in enumerate(bad, start=1):
        wait_until_counted(node, "images_bad", count, lambda image=image: sender.publish(image))
    sender.one(raw("red", second=2))
    assert {frame.header.stamp.sec for frame in frames} == {1, 2}


def wait_until_counted(node, name, count, publish):
    """Publishes until the counter stands at `count` or above: an image may be replaced by the next one."""
    deadline_s = time.monotonic() + 20
    while node.diagnostics.counter(name) < count:
        assert time.monotonic() < deadline_s, f"{name} stayed at {node.diagnostics.counter(name)}"
        publish()
        time.sleep(0.02)


def test_corrupt_compressed_images_are_counted_and_dropped(graph, model):
    node, frames = start(graph, model, image_transport="compressed", max_image_pixels=1000)
    sender = Sender(graph, CompressedImage, "image/compressed", frames)
    good = jpeg("red", 1)
    cut = CompressedImage(header=header(9), format="jpeg", data=good.data[: len(good.data) // 2])
    empty = CompressedImage(header=header(9), format="jpeg")
    large = cv2.imencode(".png", np.zeros((100, 100, 3), np.uint8))[1].tobytes()
    bomb = CompressedImage(header=header(9), format="png", data=array.array("B", large))
    for count, image in enumerate((cut, empty, bomb), start=1):
        wait_until_counted(node, "images_bad", count, lambda image=image: sender.publish(image))
    sender.one(good)
    assert {frame.header.stamp.sec for frame in frames} == {1}


def test_the_operating_point_is_followed_until_it_has_run_out(graph, model):
    node, frames = start(graph, model, feature_bits=8, safe_feature_bits=2, safe_rate_hz=0.0)
    sender = Sender(graph, Image, "image", frames)
    points = graph.publisher(OperatingPoint, "operating_point", qos.LATEST)
    assert sender.one(raw("red", 1)).feature_bits == 8

    points.publish(OperatingPoint(feature_bits=3, valid_for_s=60.0))
    second = iter(range(100, 10_000))
    wait_until(lambda: sender.one(raw("red", next(second))).feature_bits == 3)

    points.publish(OperatingPoint(feature_bits=3, valid_for_s=0.2))
    wait_until(lambda: sender.one(raw("red", next(second))).feature_bits == 2, what="the safe point")

    points.publish(OperatingPoint(route=OperatingPoint.ROUTE_HOLD, valid_for_s=60.0))
    wait_until_counted(node, "images_held", 1, lambda: sender.publish(raw("red", next(second))))
    points.publish(OperatingPoint(route=OperatingPoint.ROUTE_LOCAL, valid_for_s=60.0))
    wait_until(lambda: sender.one(raw("red", next(second))).feature_bits == 8)


def test_an_impossible_operating_point_is_refused(graph, model):
    node, frames = start(graph, model)
    sender = Sender(graph, Image, "image", frames)
    points = graph.publisher(OperatingPoint, "operating_point", qos.LATEST)
    points.publish(OperatingPoint(split="nowhere", feature_bits=1, valid_for_s=60.0))
    wait_until(lambda: node.diagnostics.counter("operating_points_bad") == 1)
    assert sender.one(raw("red", 1)).feature_bits == 8


def test_the_rate_is_limited(graph, model):
    node, frames = start(graph, model, rate_hz=0.01)
    sender = Sender(graph, Image, "image", frames)
    sender.one(raw("red", 1))
    wait_until_counted(node, "images_paced", 3, lambda: sender.publish(raw("red", 2)))
    assert len(frames) == 1
    (result,) = node.set_parameters([Parameter("rate_hz", value=0.0)])
    assert result.successful
    sender.one(raw("red", 3))


def test_only_the_newest_image_is_encoded(ros_graph, model):
    """Images that come while the encoder is busy replace each other."""
    with Graph() as graph:
        node, frames = start(graph, model, image_transport="raw")
        sender = Sender(graph, Image, "image", frames)
        sender.one(raw("red", 1))
        seen = len(frames)
        received = node.diagnostics.counter("images_received")
        # The graph's executor runs this callback, and nothing else meanwhile: the encoder is "busy".
        graph.probe.create_timer(0.001, Busy(sender), clock=node.get_clock())
        wait_until(lambda: any(frame.header.stamp.sec == 19 for frame in frames))
        assert [frame.header.stamp.sec for frame in frames[seen:]] in ([19], [10, 19])
        assert node.diagnostics.counter("images_received") - received <= 2


class Busy:
    """Publishes ten images and gives them time to arrive before the executor goes on. Once."""

    def __init__(self, sender):
        self._sender, self._done = sender, False

    def __call__(self):
        if not self._done:
            self._done = True
            for second in range(10, 20):
                self._sender.publish(raw("blue", second))
            time.sleep(0.5)


def test_a_cut_that_is_not_there_is_refused_while_running(graph, model):
    node, frames = start(graph, model)
    for name in ("split", "safe_split"):
        (result,) = node.set_parameters([Parameter(name, value="nowhere")])
        assert not result.successful and "no agent part here for split 'nowhere'" in result.reason
        (result,) = node.set_parameters([Parameter(name, value="mean")])
        assert result.successful
    assert Sender(graph, Image, "image", frames).one(raw("red", 1)).split == "mean"


def test_energy_is_modelled_from_processor_time(graph, model):
    _, frames = start(graph, model, active_core_w=5.0)
    frame = Sender(graph, Image, "image", frames).one(raw("red", 1))
    assert 0 < frame.energy_j < 5.0 * frame.encode_s + 0.05
    assert frame.energy_quality == InferenceResult.QUALITY_MODELLED
    assert frame.energy_source == "processor time x active_core_w=5"


def test_the_lifecycle_can_be_gone_through_again(graph, model, tmp_path):
    node, frames = start(graph, model)
    sender = Sender(graph, Image, "image", frames)
    first = sender.one(raw("red", 1))
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    wait_until(lambda: graph.probe.count_subscribers("image") == 0)
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    assert sender.one(raw("red", 2)).run == first.run
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    wait_until(lambda: graph.probe.count_publishers("features") == 0)

    other = tiny_models.classifier(tmp_path / "other", scale=4.0)
    node.set_parameters([Parameter("model", value=str(other))])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    frame = sender.one(raw("red", 3))
    assert frame.model == "other" and frame.run != first.run and frame.sequence <= 1
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS


def test_a_model_that_cannot_be_loaded_leaves_the_node_unconfigured(graph, model):
    node = graph.start(EncoderNode, activate=False, model="no such model")
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.set_parameters([Parameter("model", value=str(model)), Parameter("safe_split", value="nowhere")])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    node.set_parameters([Parameter("safe_split", value="mean")])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS


def test_diagnostics_tell_what_happened(graph, model):
    _, frames = start(graph, model, distortion_every=1)
    arrays = graph.diagnostics()
    wait_until(lambda: "no publisher on /image" in getattr(latest_status(arrays, "encoder"), "message", ""))
    Sender(graph, Image, "image", frames).one(raw("red", 1))
    wait_until(lambda: int(values_of(latest_status(arrays, "encoder")).get("frames_encoded", 0)) >= 1)
    values = values_of(latest_status(arrays, "encoder"))
    assert values["model_digest"] == ModelFolder.load(model).digest
    assert float(values["encode_p99_s"]) >= float(values["encode_p50_s"]) > 0
    assert 0 <= float(values["distortion"]) < 0.1
    assert values["operating_point_from"] == "parameters"
    assert values["image_topic"] == "/image"
    assert latest_status(arrays, "encoder").hardware_id == "tiny"


def test_a_topic_of_another_type_is_reported(graph, model):
    graph.probe.create_publisher(CompressedImage, "image", 1)
    graph.start(EncoderNode, model=str(model), image_transport="raw")
    arrays = graph.diagnostics()
    wait_until(
        lambda: (
            "has type sensor_msgs/msg/CompressedImage"
            in getattr(latest_status(arrays, "encoder"), "message", "")
        )
    )
