"""The encoder's screen: the model's units, what the diagnostics say, and refusing."""

from __future__ import annotations

import array
import time

import numpy as np
import pytest
import tiny_models
from builtin_interfaces.msg import Time
from node_testing import Graph, latest_status, values_of
from qeil_ros.msg import FeatureFrame
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from support import wait_until

from qeil_ros.models.preprocess import InputSpec, Preprocessor
from qeil_ros.nodes.diagnostics import Part
from qeil_ros.nodes.encoder import EncoderNode
from qeil_ros.nodes.encoder_parameters import EncoderParameters
from qeil_ros.nodes.screening import Screening, expected
from qeil_ros.safety.inputs import ImageScreen, Problem

SIDE = 96
SPECS = {
    "plain": InputSpec(SIDE, SIDE, dtype="uint8"),
    "imagenet": InputSpec(
        SIDE, SIDE, scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), channels="bgr"
    ),
    "last": InputSpec(SIDE, SIDE, layout="NHWC", scale=1 / 127.5, mean=(1.0,), std=(1.0,)),
    "half": InputSpec(SIDE, SIDE, dtype="float16", scale=1 / 255),
    "signed": InputSpec(SIDE, SIDE, dtype="int8", mean=(128.0,)),
    "grey": InputSpec(SIDE, SIDE, channels="mono", scale=1 / 255, mean=(0.5,), std=(0.25,)),
}


def picture(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.zeros((SIDE, SIDE, 3))
    image[:, 48:] = 255.0
    image[30:60, 20:70] = 120.0
    image[:, 48:] -= 4.0 * rng.random((SIDE, 48, 1))
    return np.rint(np.clip(image + rng.normal(0, 1.0, image.shape), 0, 255)).astype(np.uint8)


def prepared(spec: InputSpec, image: np.ndarray) -> np.ndarray:
    return Preprocessor(spec)(memoryview(image.tobytes()), SIDE, SIDE, 3 * SIDE, "rgb8", False)


@pytest.mark.parametrize("name", SPECS)
def test_the_screen_speaks_the_models_units(name):
    spec = SPECS[name]
    screen, plain = ImageScreen(expected(spec)), ImageScreen(expected(SPECS["plain"]))
    for colour in (0, 255):
        flat = np.full((SIDE, SIDE, 3), colour, np.uint8)
        (found,) = screen.check(prepared(spec, flat), 0.0)
        assert found.problem is Problem.BLANK, "black and white are in range"
    assert screen.check(prepared(spec, picture()), 0.0) == []
    plain.check(prepared(SPECS["plain"], picture()), 0.0)
    assert screen.noise == pytest.approx(plain.noise, rel=0.5 if spec.channels == "mono" else 0.02, abs=0.05)


def headed(second: int) -> Header:
    return Header(stamp=Time(sec=second))


def test_findings_are_counted_and_said():
    say, params = Part(), EncoderParameters()
    spec = SPECS["plain"]
    screening = Screening(spec, params, say)
    black = prepared(spec, np.zeros((SIDE, SIDE, 3), np.uint8))
    assert screening.admit(black, headed(1), 0.0) and say.counter("images_blank") == 1
    assert screening.admit(black, headed(1), 0.05) and say.counter("images_blank") == 1, "told often enough"
    params.screen = "refuse"
    assert not screening.admit(black, headed(2), 0.06), "who refuses looks at every frame"
    assert screening.admit(prepared(spec, picture()), headed(3), 0.2)
    screening.report(0.2)
    status = say.status("encoder", "")
    values = {entry.key: entry.value for entry in status.values}
    assert "image blank: next to nothing is to be seen" in status.message
    assert values["screen_last_minute"] == "camera: blank (2 times)" and values["images_frozen"] == "0"
    assert 0 < float(values["image_noise"]) < 2 and 0 < float(values["screen_p50_s"]) < 0.1
    params.screen = "off"
    assert screening.admit(black, headed(4), 0.3) and say.counter("images_blank") == 2


def test_parameters_count_at_once():
    say, params = Part(), EncoderParameters(screen="refuse", screen_frozen_s=0.5)
    spec = SPECS["plain"]
    screening, still = Screening(spec, params, say), prepared(SPECS["plain"], picture())
    admitted = [screening.admit(still, headed(0), number / 10) for number in range(10)]
    assert admitted == [True] * 5 + [False] * 5
    params.screen_frozen_s = 0.0
    assert screening.admit(still, headed(0), 9.0)


def test_a_node_that_refuses_says_why_and_encodes_the_next_good_image(ros_graph, tmp_path):
    model = tiny_models.classifier(tmp_path / "tiny")
    with Graph() as graph:
        graph.start(EncoderNode, model=str(model), screen="refuse")
        frames, said = graph.listen(FeatureFrame, "features"), graph.diagnostics()
        images = graph.publisher(Image, "image")

        def send(picture: np.ndarray, second: int) -> None:
            height, width = picture.shape[:2]
            data = array.array("B", picture.tobytes())
            images.publish(
                Image(
                    header=headed(second),
                    height=height,
                    width=width,
                    encoding="rgb8",
                    step=3 * width,
                    data=data,
                )
            )

        def refused() -> int:
            status = latest_status(said, "encoder")
            return int(values_of(status)["images_refused"]) if status else 0

        deadline_s = time.monotonic() + 20
        while not refused() and time.monotonic() < deadline_s:
            send(np.zeros((SIDE, SIDE, 3), np.uint8), 1)
            time.sleep(0.05)
        assert refused() and not frames
        assert "image blank" in latest_status(said, "encoder").message
        for number in range(100):
            send(picture(number), 2 + number)
            time.sleep(0.05)
            if frames:
                break
        wait_until(lambda: frames)
        assert frames[0].header.stamp.sec >= 2 and frames[0].sequence == 0
