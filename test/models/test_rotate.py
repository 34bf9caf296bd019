"""A model folder with a basis: learned from pictures, checked when it is loaded, part of the digest."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from qeil_ros.cli.app import main
from qeil_ros.codec import encode, peek
from qeil_ros.models import tabletop
from qeil_ros.models.basis import Basis
from qeil_ros.models.datasets import tabletop_scenes
from qeil_ros.models.features import FeatureReader, FeatureWriter, distortion
from qeil_ros.models.folder import ModelError, ModelFolder, file_sha256
from qeil_ros.models.pipeline import AgentPipeline
from qeil_ros.models.rotate import rotate


@pytest.fixture(scope="module")
def rotated(tmp_path_factory):
    out = tmp_path_factory.mktemp("rotated") / "model"
    return rotate(plain(tmp_path_factory.mktemp("plain") / "model"), tabletop_scenes(100), out, components=64)


def plain(path) -> ModelFolder:
    """The shipped model without a basis."""
    shutil.copytree(ModelFolder.load("tabletop").path, path, ignore=shutil.ignore_patterns("recording"))
    edit(path, lambda split: split.pop("basis", None))
    return ModelFolder.load(path)


def edit(path, change) -> None:
    document = yaml.safe_load((path / "model.yaml").read_text())
    change(document["splits"]["vision"])
    (path / "model.yaml").write_text(yaml.safe_dump(document))


def test_the_folder_says_what_travels(rotated):
    cut = rotated.folder.split()
    assert cut.shape == (17, 128) and cut.coded_shape == (17, 64) and cut.coded_dtype == "float32"
    basis = rotated.folder.basis()
    assert basis is not None and basis.shape == (17, 64)


def test_half_of_the_components_hold_nearly_all_of_the_variance(rotated):
    assert 0.95 < rotated.kept < 1
    assert rotated.gain_db > 6
    assert (np.diff(rotated.variance) <= 0).all()


def test_a_basis_makes_another_model(rotated, tmp_path):
    assert plain(tmp_path / "plain").digest != rotated.folder.digest


def test_a_changed_basis_is_refused(rotated, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(rotated.folder.path, copy)
    (copy / "basis_vision.npz").write_bytes(b"other")
    with pytest.raises(ModelError, match="sha256"):
        ModelFolder.load(copy).basis()


def test_a_basis_of_another_shape_is_refused(rotated, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(rotated.folder.path, copy)
    Basis(np.zeros((17, 32), np.float32), np.eye(32, dtype=np.float32), 1).write(copy / "basis_vision.npz")
    edit(copy, lambda split: split["basis"].update(sha256=file_sha256(copy / "basis_vision.npz")))
    with pytest.raises(ModelError, match=r"is for features \[17, 32\] with 32 components"):
        ModelFolder.load(copy).basis()


def test_components_beyond_the_channels_are_refused(rotated, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(rotated.folder.path, copy)
    edit(copy, lambda split: split["basis"].update(components=129))
    with pytest.raises(ModelError, match=r"splits\.vision\.basis\.components"):
        ModelFolder.load(copy)


def test_too_few_pictures_leave_nothing_behind(tmp_path):
    with pytest.raises(ModelError, match="too few"):
        rotate(plain(tmp_path / "plain"), tabletop_scenes(5), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(tmp_path, capsys):
    source = plain(tmp_path / "plain").path
    command = ["basis", str(source), "tabletop", str(tmp_path / "out"), "--limit", "90", "--json", "-"]
    assert main(command) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["components"] == record["channels"] == 128 and record["kept_variance"] == pytest.approx(1)
    assert main(command) == 2
    assert "exists" in capsys.readouterr().err


def test_features_travel_rotated_and_come_back_plain(rotated):
    writer, reader = FeatureWriter(rotated.folder, "vision"), FeatureReader(rotated.folder, "vision")
    features = np.random.default_rng(0).normal(size=(17, 128)).astype(np.float32)
    basis = rotated.folder.basis()
    features = basis.inverse(basis.forward(features))  # what 64 components can hold
    stream = writer.encode(features, bits=8)
    assert peek(stream).shape == (17, 64)
    received = reader.decode(stream)
    assert received.shape == (17, 128)
    assert distortion(features, received) < 0.03


def test_a_plain_stream_is_not_taken_for_a_rotated_one(rotated):
    with pytest.raises(ValueError, match=r"\[17, 32\] of float32, split 'vision' has \[17, 64\]"):
        FeatureReader(rotated.folder, "vision").decode(encode(np.zeros((17, 32), np.float32)))


def test_the_whole_way_of_a_frame(rotated):
    """A model with a basis says what the plain one says."""
    pipeline, server = AgentPipeline(rotated.folder), rotated.folder.server()
    reader, right = FeatureReader(rotated.folder, "vision"), 0
    for index in range(100, 130):
        scene, picture = tabletop.photograph(index)
        height, width = picture.shape[:2]
        image = pipeline.prepare(picture.reshape(-1), width, height, 3 * width, "rgb8")
        coded = pipeline.code(pipeline.features(image, "vision"), 6)
        (answer,) = server.run(reader.decode(coded)[None])
        right += answer.text == tabletop.caption(scene)
    assert right >= 25
