"""The scenes, their grammar, and the shipped model and recording that come from them."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.highlevel import AnyReader

from qeil_ros.models import tabletop
from qeil_ros.models.folder import ZOO, ModelFolder
from qeil_ros.models.pipeline import AgentPipeline
from qeil_ros.models.tabletop import Scene, Thing

FOLDER = ZOO / "tabletop"
SEEDS = st.integers(0, 2**31 - 1)


def thing(x: float, depth: float, words: str = "small red cube", on: int | None = None) -> Thing:
    size, colour, shape = words.split()
    return Thing(shape, colour, size, x, depth, on=on)


# ---------------------------------------------------------------- grammar


@pytest.mark.parametrize(
    ("things", "said"),
    [
        ((), "an empty table"),
        ((thing(0, 0.5),), "a small red cube"),
        (
            (thing(0.5, 0.5), thing(-0.5, 0.4, "large blue cone")),
            "a large blue cone left of a small red cube",
        ),
        ((thing(0, 0.1), thing(0.1, 0.9, "large blue cone")), "a large blue cone behind a small red cube"),
        (
            (thing(0, 0.5, "large blue cylinder"), thing(0, 0.5, on=0)),
            "a small red cube on a large blue cylinder",
        ),
        ((thing(0, 0.1), thing(0, 0.9)), "two small red cubes"),
        ((thing(-0.6, 0.5), thing(0, 0.5), thing(0.6, 0.5)), "three small red cubes"),
        (
            (thing(0.6, 0.1), thing(0, 0.5, "large blue cone"), thing(-0.6, 0.9)),
            "two small red cubes and a large blue cone",
        ),
        (
            (thing(0.6, 0.1), thing(0, 0.5, "large blue cone"), thing(-0.6, 0.9, "large red ring")),
            "a large red ring , a large blue cone and a small red cube",
        ),
    ],
)
def test_each_arrangement_has_its_sentence(things: tuple[Thing, ...], said: str) -> None:
    assert tabletop.caption(Scene(things)) == said


@given(SEEDS)
def test_captions_are_short_known_words_and_survive_encoding(seed: int) -> None:
    text = tabletop.caption(tabletop.scene_from_seed(seed))
    tokens = tabletop.encode_caption(text)
    assert len(tokens) <= tabletop.MAX_TOKENS
    assert tabletop.decode_caption(tokens + [tabletop.PAD] * 3) == text


@given(SEEDS)
def test_the_order_in_which_things_are_listed_does_not_matter(seed: int) -> None:
    scene = tabletop.scene_from_seed(seed)
    if any(one.on is not None for one in scene.things):
        return  # a stack refers to its lower thing by position
    shuffled = list(scene.things)
    random.Random(seed).shuffle(shuffled)
    assert tabletop.caption(Scene(tuple(shuffled))) == tabletop.caption(scene)


@given(SEEDS)
def test_a_mirrored_pair_swaps_its_things(seed: int) -> None:
    scene = tabletop.scene_from_seed(seed)
    mirrored = Scene(tuple(dataclasses.replace(one, x=-one.x) for one in scene.things))
    said, other = tabletop.caption(scene), tabletop.caption(mirrored)
    if " left of " in said:
        assert other.split(" left of ") == said.split(" left of ")[::-1]
    elif len(scene.things) < 3:
        assert other == said


def test_an_ambiguous_scene_is_refused_with_its_distances() -> None:
    with pytest.raises(ValueError, match=r"x differs by 0\.10 .* depth by 0\.20"):
        tabletop.caption(Scene((thing(0, 0.5), thing(0.1, 0.7, "large blue cone"))))


def test_a_stack_of_more_than_two_is_refused() -> None:
    with pytest.raises(ValueError, match="3 things"):
        tabletop.caption(Scene((thing(0, 0.5), thing(0, 0.5, on=0), thing(0.6, 0.5))))


def test_an_unknown_word_is_named() -> None:
    with pytest.raises(ValueError, match="pink"):
        tabletop.encode_caption("a small pink cube")


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_a_seed_always_gives_the_same_picture(index: int) -> None:
    (scene, picture), (again, copy) = tabletop.photograph(index), tabletop.photograph(index)
    assert scene == again
    np.testing.assert_array_equal(picture, copy)


def test_other_indices_and_streams_give_other_scenes() -> None:
    scenes = [tabletop.scene_from_seed(i) for i in range(50)]
    scenes += [tabletop.scene_from_seed(i, tabletop.TRAINING_STREAM) for i in range(50)]
    assert len(set(scenes)) == len(scenes)


def test_noise_is_the_only_difference_between_two_frames() -> None:
    scene = tabletop.scene_from_seed(5)
    still = tabletop.render(scene, 160, 120)
    rng = np.random.default_rng(0)
    first, second = (tabletop.render(scene, 160, 120, rng).astype(int) for _ in range(2))
    assert not np.array_equal(first, second)
    inside = (still > 30) & (still < 225)  # where clipping does not cut the noise
    assert np.std((first - still)[inside]) == pytest.approx(scene.surroundings.noise, rel=0.15)


@pytest.mark.parametrize("colour", ["red", "green", "blue"])
@pytest.mark.parametrize("shape", tabletop.SHAPES)
def test_a_thing_is_drawn_where_it_is_located_in_its_colour(shape: str, colour: str) -> None:
    scene = Scene((thing(-0.5, 0.3, f"large {colour} {shape}"),))
    picture, empty = tabletop.render(scene), tabletop.render(Scene(()))
    u, v = tabletop.locate(scene, 0)
    height, width = picture.shape[:2]
    changed = np.argwhere(np.abs(picture.astype(int) - empty).max(2) > 60)
    centre = (changed.min(0) + changed.max(0)) / 2 / (height, width)
    assert centre == pytest.approx((v, u), abs=0.08)
    mean = picture[changed[:, 0], changed[:, 1]].mean(0)
    assert int(mean.argmax()) == ["red", "green", "blue"].index(colour)


def test_large_things_are_larger_than_small_ones_at_any_depth() -> None:
    def area(size: str, depth: float, scale: float) -> int:
        one = dataclasses.replace(thing(0, depth, f"{size} red ball"), scale=scale)
        red = tabletop.render(Scene((one,))).astype(int)
        return int(np.sum(red[:, :, 0] - red[:, :, 1] > 80))

    assert area("small", 0.0, 1.06) < area("large", 1.0, 0.94)


# ---------------------------------------------------------------- the shipped model


@pytest.fixture(scope="module")
def pipeline() -> AgentPipeline:
    return AgentPipeline(ModelFolder.load("tabletop"))


def test_the_vocabulary_is_the_grammars() -> None:
    words = (FOLDER / "vocab.txt").read_text(encoding="utf-8").split("\n")
    assert tuple(words[:-1]) == tabletop.VOCABULARY
    assert words[-1] == ""
    task = ModelFolder.load("tabletop").task
    assert (task.begin, task.end, task.max_tokens) == (tabletop.BEGIN, tabletop.END, tabletop.MAX_TOKENS)


def test_the_folder_is_small_and_every_file_is_the_one_that_was_scored() -> None:
    folder = ModelFolder.load("tabletop")
    split = folder.split()
    for role in ("agent", "server", "local"):
        folder.part_path(split, role)  # compares the digest
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 12e6
    assert (FOLDER / "agent.qwt").stat().st_size < 0.4 * (FOLDER / "agent_fp32.onnx").stat().st_size


@pytest.mark.parametrize(("role", "least"), [("server", 0.88), ("local", 0.85)])
def test_the_shipped_model_is_right_on_frozen_scenes(
    pipeline: AgentPipeline, role: str, least: float
) -> None:
    folder = pipeline.folder
    features, true = [], []
    for index in range(200):
        scene, picture = tabletop.photograph(index)
        height, width = picture.shape[:2]
        image = pipeline.prepare(memoryview(picture).cast("B"), width, height, 3 * width, "rgb8")
        features.append(pipeline.features(image, folder.default_split).copy())
        true.append(tabletop.caption(scene))
    part = folder.server() if role == "server" else folder.local()
    said = [answer.text for answer in part.run(np.stack(features))]
    assert np.mean([a == b for a, b in zip(said, true, strict=True)]) >= least


# ---------------------------------------------------------------- the recording


def frames(folder: Path) -> list[tuple[str, bytes]]:
    """Header stamp in nanoseconds and JPEG of each frame."""
    found = []
    with AnyReader([folder]) as reader:
        assert [c.topic for c in reader.connections] == ["/camera/image_raw/compressed"]
        for connection, _, raw in reader.messages():
            message = reader.deserialize(raw, connection.msgtype)
            stamp = message.header.stamp
            found.append((str(stamp.sec * 10**9 + stamp.nanosec), bytes(message.data)))
    return found


def test_the_recordings_truth_covers_every_frame_in_the_grammars_words() -> None:
    truth = json.loads((FOLDER / "recording" / "truth.json").read_text(encoding="utf-8"))
    recorded = frames(FOLDER / "recording")
    assert [stamp for stamp, _ in recorded] == sorted(truth, key=int)
    gaps = np.diff([int(stamp) for stamp in truth])
    assert set(gaps) == {50_000_000}
    assert len(recorded) >= 300
    for allowed in truth.values():
        assert allowed
        for text in allowed:
            tabletop.encode_caption(text)
    assert sum(file.stat().st_size for file in (FOLDER / "recording").iterdir()) <= 3_000_000
    for _, data in recorded[:: len(recorded) // 5]:
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (240, 320, 3)


def test_the_shipped_model_is_right_on_the_recording(pipeline: AgentPipeline) -> None:
    truth = json.loads((FOLDER / "recording" / "truth.json").read_text(encoding="utf-8"))
    sampled = frames(FOLDER / "recording")[::5]
    images = (pipeline.prepare_compressed(memoryview(data)) for _, data in sampled)
    features = np.stack([pipeline.features(image, "vision").copy() for image in images])
    said = [answer.text for answer in pipeline.folder.server().run(features)]
    right = np.mean([text in truth[stamp] for text, (stamp, _) in zip(said, sampled, strict=True)])
    assert right >= 0.9
