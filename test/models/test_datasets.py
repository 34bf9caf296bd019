"""What a model is evaluated on: found out, read, and refused with a reason."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from qeil_ros.models import tabletop
from qeil_ros.models.datasets import DatasetError, open_dataset
from qeil_ros.models.folder import ModelFolder

RED, BLUE = (255, 0, 0), (0, 0, 255)


def write(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((6, 8, 3), colour[::-1], np.uint8)
    assert cv2.imwrite(str(path), pixels)


def test_a_folder_of_pictures_is_read_in_order_of_names_as_rgb(tmp_path):
    write(tmp_path / "b.png", BLUE)
    write(tmp_path / "a.bmp", RED)
    (tmp_path / "notes.txt").write_text("no picture")
    data = open_dataset(tmp_path)
    assert [example.name for example in data] == ["a.bmp", "b.png"]
    assert data[0].pixels.shape == (6, 8, 3) and tuple(data[0].pixels[0, 0]) == RED
    assert not any((example.captions, example.labels, example.boxes) != ((), (), None) for example in data)


def test_truth_json_gives_one_answer_or_several(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name, RED)
    (tmp_path / "truth.json").write_text(json.dumps({"a.png": "red", "b.png": ["red", "a red thing"]}))
    assert [example.captions for example in open_dataset(tmp_path)] == [("red",), ("red", "a red thing"), ()]
    assert open_dataset(tmp_path)[0].labels == ("red",)


def test_a_folder_a_class_and_names_of_classes(tmp_path):
    write(tmp_path / "folders" / "hot_dog" / "1.png", RED)
    write(tmp_path / "folders" / "owl" / "2.png", RED)
    data = open_dataset(tmp_path / "folders")
    assert [(e.name, e.labels) for e in data] == [("hot_dog/1.png", ("hot dog",)), ("owl/2.png", ("owl",))]
    write(tmp_path / "named" / "cat_720p.png", RED)
    assert open_dataset(tmp_path / "named", named=True)[0].labels == ("cat",)
    assert open_dataset(tmp_path / "named")[0].labels == ()


def test_coco_has_boxes_in_corners_and_captions_from_two_files(tmp_path):
    write(tmp_path / "images" / "7.png", RED)
    image = {"id": 7, "file_name": "7.png"}
    note = {"image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4], "iscrowd": 1}
    kinds = [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]
    instances = {"images": [image], "annotations": [note], "categories": kinds}
    captions = {"images": [image], "annotations": [{"image_id": 7, "caption": "A dog."}]}
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    data = open_dataset(tmp_path)
    (example,) = data
    assert data.categories == {0: "car", 1: "dog"}
    assert example.captions == ("A dog.",)
    np.testing.assert_array_equal(example.boxes.corners, [[1, 2, 4, 6]])
    assert (example.boxes.classes[0], example.boxes.crowd[0]) == (1, True)


def test_the_published_coco_photos(data_dir):
    data = open_dataset(data_dir / "images/coco28")
    assert len(data) == 28 and len(data.categories) == 80
    assert all(len(example.captions) == 1 and example.boxes is not None for example in data)
    assert sum(len(example.boxes) for example in data) == 159


def test_the_shipped_recording_has_its_truth_by_stamp():
    data = open_dataset(ModelFolder.load("tabletop").path / "recording", limit=30)
    assert len(data) == 30
    assert data[0].pixels.shape == (240, 320, 3)
    assert data[0].captions == ("a large green ring left of a large blue cylinder",)


def test_both_storages_of_a_recording_hold_the_same_frames(data_dir):
    mcap, sqlite = (open_dataset(data_dir / "bags" / f"donkeycar_{s}") for s in ("mcap", "sqlite3"))
    assert len(mcap) == len(sqlite) == 400
    for index in (0, 399):
        assert mcap[index].name == sqlite[index].name
        np.testing.assert_array_equal(mcap[index].pixels, sqlite[index].pixels)


def test_a_raw_image_topic_is_chosen_by_name(data_dir):
    bag = data_dir / "bags/realsense_single_mcap"
    with pytest.raises(DatasetError, match=r"be told which; there are .*color/image_raw"):
        open_dataset(bag)
    (*_, example) = open_dataset(bag, topic="/camera/camera/color/image_raw")
    assert example.pixels.shape == (480, 640, 3)


def test_frozen_scenes_are_those_that_scores_were_published_for():
    data = open_dataset("tabletop")
    assert len(data) == 1000
    scene, picture = tabletop.photograph(17)
    np.testing.assert_array_equal(data[17].pixels, picture)
    assert data[17].captions == (tabletop.caption(scene),)


def test_a_seed_takes_some_at_random_and_always_the_same():
    def names(**how):
        return [example.name for example in open_dataset("tabletop", limit=5, **how)]

    assert names() == [f"scene {index}" for index in range(5)]
    assert names(seed=1) == names(seed=1) != names(seed=2)
    assert names(seed=1) == sorted(names(seed=1), key=lambda name: int(name.split()[1]))


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "no data at"),
        (lambda folder: None, "no pictures in"),
        (lambda folder: (folder / "a.png").write_bytes(b"no"), "no picture that OpenCV can read"),
        (lambda folder: (write(folder / "a.png", RED), (folder / "truth.json").write_text("[")), "as JSON"),
        (
            lambda folder: (write(folder / "a.png", RED), (folder / "truth.json").write_text("[]")),
            "got a list",
        ),
        (
            lambda folder: (
                write(folder / "a.png", RED),
                (folder / "truth.json").write_text('{"b.png": "x"}'),
            ),
            "no picture 'b.png'",
        ),
        (
            lambda folder: (write(folder / "a.png", RED), (folder / "truth.json").write_text('{"a.png": 3}')),
            "want a text or a list",
        ),
        (lambda folder: (folder / "captions.json").write_text('{"images": []}'), "not COCO's"),
        (
            lambda folder: (folder / "captions.json").write_text(
                '{"images": [{"id": 1, "file_name": "../../etc/passwd"}], "annotations": []}'
            ),
            "no picture passwd",
        ),
        (lambda folder: (folder / "metadata.yaml").write_text("x: 1"), "no recording that can be read"),
    ],
)
def test_what_is_no_data_is_refused_with_the_reason(tmp_path, prepare, says):
    folder = tmp_path / "data"
    folder.mkdir()
    prepare(folder)
    with pytest.raises(DatasetError, match=says):
        list(open_dataset(folder))


def test_a_limit_below_one_is_refused():
    with pytest.raises(DatasetError, match="limit is 0"):
        open_dataset("tabletop", limit=0)
