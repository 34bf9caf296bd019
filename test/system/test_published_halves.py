"""Two published halves of somebody else's network as the model: the graph answers as they do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from rich.console import Console
from system.runs import patient_config, patient_heartbeat

from qeil_ros.cli.demo.options import Options
from qeil_ros.cli.demo.run import run
from qeil_ros.cli.demo.sources import PhotoSource, source_stamp
from qeil_ros.models.create import Recipe, create
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.preprocess import Preprocessor

AGENT = "mobilenet_v1_1.0_224_quant_embedding_extractor.onnx"
SERVER = "mobilenet_quant_v1_224_head_layers.onnx"


@pytest.fixture(scope="module")
def mobilenet(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    weights = data_dir / "weights"
    recipe = Recipe(
        agent=weights / AGENT,
        server=weights / SERVER,
        local=weights / SERVER,
        name="mobilenet",
        words=weights / "imagenet_labels.txt",
    )
    return create(tmp_path_factory.mktemp("models") / "mobilenet", recipe)


def direct_labels(model: ModelFolder, photos: Path, weights: Path) -> dict[str, str]:
    """The best label of each photo by the two files alone, chained by hand."""
    first = onnxruntime.InferenceSession(weights / AGENT)
    second = onnxruntime.InferenceSession(weights / SERVER)
    prepare = Preprocessor(model.input)
    labels = (weights / "imagenet_labels.txt").read_text().splitlines()
    found = {}
    for path in PhotoSource(photos).paths:
        rgb = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        height, width = rgb.shape[:2]
        image = prepare(rgb.tobytes(), width, height, 3 * width, "rgb8")
        (features,) = first.run(None, {first.get_inputs()[0].name: image})
        (scores,) = second.run(None, {second.get_inputs()[0].name: features})
        found[path.name] = labels[int(np.argmax(scores))]
    return found


def test_the_graph_gives_the_labels_of_the_two_halves(
    mobilenet: ModelFolder, data_dir: Path, tmp_path: Path
) -> None:
    photos = data_dir / "images" / "coral"
    expected = direct_labels(mobilenet, photos, data_dir / "weights")
    source = PhotoSource(photos, 4.0)
    config = patient_config(tmp_path / "robot.yaml", feature_bits=8, safe_feature_bits=8)
    offboard = patient_heartbeat(tmp_path / "offboard.yaml", config)
    options = Options(
        images=photos,
        model=str(mobilenet.path),
        rate_hz=4.0,
        seconds=3 * source.duration_s,
        out=tmp_path / "out",
        plain=True,
        launch={"robot_config": str(config), "offboard_config": str(offboard)},
    )
    outcome = run(options, Console(quiet=True))
    names = {source.stamp_of(index): path.name for index, path in enumerate(source.paths)}
    seen = {}
    for frame in outcome.ledger.in_order():
        assert len(frame.answers) <= 1
        if frame.answers and frame.answers[0].source == "offboard":
            seen[names[source_stamp(source, frame.stamp_ns)]] = frame.answers[0].text
    assert seen == expected
    assert outcome.summary.feature_bits == {"8": outcome.summary.answers}


def test_a_real_drive_with_the_same_halves(mobilenet: ModelFolder, data_dir: Path, tmp_path: Path) -> None:
    options = Options(
        bag=data_dir / "bags" / "donkeycar_mcap",
        model=str(mobilenet.path),
        rate_hz=5.0,
        seconds=12.0,
        kill_offboard_at=1.0,
        out=tmp_path / "out",
        plain=True,
        launch={"robot_config": str(patient_config(tmp_path / "robot.yaml"))},
    )
    summary = run(options, Console(quiet=True)).summary
    assert summary.duplicates == summary.late_published == summary.unknown == 0
    assert summary.answers == summary.frames_in - summary.superseded
    assert summary.by_source["local"] > 0
