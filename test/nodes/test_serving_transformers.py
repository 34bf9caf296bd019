"""The node off the robot with a language model on transformers behind it."""

from __future__ import annotations

import array

import numpy as np
import pytest

pytest.importorskip("torch", reason="serving with transformers needs torch: pip install qeil-ros[torch]")
pytest.importorskip("transformers", reason="serving with transformers needs transformers")
pytest.importorskip("onnxscript", reason="exporting needs onnxscript")

import tiny_transformers
from builtin_interfaces.msg import Time
from node_testing import Graph
from qeil_ros.msg import FeatureFrame, InferenceResult
from std_msgs.msg import Header
from support import wait_until

from qeil_ros.codec import decode, encode
from qeil_ros.models.export import Order, export
from qeil_ros.nodes import qos
from qeil_ros.nodes.co_inference import CoInferenceNode


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    base = tmp_path_factory.mktemp("models")
    order = Order(options={"max_new_tokens": 6})
    return export(tiny_transformers.git(base / "source", frames=2), base / "video", order)


def test_a_robots_last_frames_are_answered_together(ros_graph, video):
    split = video.split()
    rows = np.random.default_rng(0).standard_normal((3, *split.shape)).astype(np.float32)
    streams = [bytes(encode(row, bits=8)) for row in rows]
    received = [np.array(decode(stream)) for stream in streams]
    clips = [(0, 0), (0, 1), (1, 2)]
    part = video.server()
    expected = [part.run(np.stack([received[k] for k in clip])[None])[0] for clip in clips]
    with Graph() as graph:
        graph.start(CoInferenceNode, model=str(video.path), device="cpu")
        results = graph.listen(InferenceResult, "offboard/result", qos.FEATURES)
        send = graph.publisher(FeatureFrame, "features", qos.FEATURES).publish
        for sequence, stream in enumerate(streams):
            send(
                FeatureFrame(
                    header=Header(stamp=Time(sec=sequence), frame_id="camera"),
                    run=5,
                    sequence=sequence,
                    model=video.name,
                    model_digest=video.digest,
                    split=split.name,
                    feature_bits=8,
                    time_left_s=30.0,
                    data=array.array("B", stream),
                )
            )
            wait_until(lambda: len(results) == sequence + 1, what=f"the answer to frame {sequence}")  # noqa: B023
    assert [result.text for result in results] == [answer.text for answer in expected]
    assert [result.confidence for result in results] == pytest.approx(
        [answer.confidence for answer in expected], abs=1e-5
    )
    assert len({result.text for result in results}) == 3
