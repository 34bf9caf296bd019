from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tiny_models

from qeil_ros.models.create import Recipe, channels_first, create
from qeil_ros.models.folder import ModelError, ModelFolder
from qeil_ros.models.preprocess import InputSpec


@pytest.fixture
def recipe(tmp_path):
    agent, server, labels = tiny_models.write_halves(tmp_path / "halves")
    return Recipe(agent=agent, server=server, words=labels, name="made", input={"scale": 1 / 255})


def test_a_folder_is_made_from_two_halves(tmp_path, recipe):
    folder = create(tmp_path / "made", recipe)
    assert folder.name == "made" and folder.default_split == "cut"
    assert folder.split().shape == (3,) and folder.split().dtype == "float32"
    assert (folder.input.layout, folder.input.width, folder.input.height) == ("NCHW", 8, 8)
    assert folder.task == ModelFolder.load(tmp_path / "made").task
    (answer,) = folder.server().run(folder.agent().run(np.zeros(folder.input.shape, np.float32)))
    assert answer.labels[0] == "dark"
    assert not folder.has("local")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["halves", "made"]


def test_the_digest_does_not_depend_on_where_the_files_came_from(tmp_path, recipe):
    first = create(tmp_path / "a", recipe)
    moved = recipe.agent.rename(recipe.agent.with_name("renamed.onnx"))
    second = create(tmp_path / "b", dataclasses.replace(recipe, agent=moved, local=recipe.server))
    assert first.digest == second.digest
    assert second.has("local")


def test_a_folder_that_is_there_is_replaced_only_when_asked(tmp_path, recipe):
    create(tmp_path / "made", recipe)
    with pytest.raises(ModelError, match="exists"):
        create(tmp_path / "made", recipe)
    again = create(tmp_path / "made", dataclasses.replace(recipe, name="again"), overwrite=True)
    assert again.name == "again"
    with pytest.raises(ModelError, match="no model folder; it is not overwritten"):
        create(tmp_path / "halves", recipe, overwrite=True)


def missing(recipe):
    return {"server": recipe.server.with_name("nothing.onnx")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (missing, r"the server part: .*nothing\.onnx: cannot be copied: No such file"),
        (lambda r: {"agent": r.words}, "onnxruntime cannot load it"),
        (lambda r: {"agent": r.server}, r"features' is \[None, 3\]; want an image, 4 dimensions"),
        (lambda r: {"server": r.agent}, "tensor 'image' is"),
        (lambda r: {"words": None}, "wants a word list"),
        (lambda r: {"task": "sing"}, "no task 'sing'; there are classify, caption, detect, embed"),
        (lambda r: {"task": "caption"}, "no input 'features'|begin and end"),
        (lambda r: {"agent_output": "nothing"}, "no output 'nothing'; it has features"),
        (lambda r: {"input": {"mean": [0.5, 0.5]}}, "input: mean has 2 entries"),
        (lambda r: {"split": "my cut"}, "letters, digits and underscores"),
    ],
)
def test_what_cannot_be_made_leaves_nothing_behind(tmp_path, recipe, change, message):
    with pytest.raises(ModelError, match=message):
        create(tmp_path / "made", dataclasses.replace(recipe, **change(recipe)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["halves"]


def test_a_captioner_is_made(tmp_path):
    source = tiny_models.captioner(tmp_path / "source")
    recipe = Recipe(
        agent=source / "agent.onnx",
        server=source / "server.onnx",
        words=source / "words.txt",
        name="captions",
        task="caption",
        begin=0,
        end=1,
    )
    (answer,) = create(tmp_path / "made", recipe).server().run(np.array([[1, 0, 0]], np.float32))
    assert answer.text == "red thing"
    with pytest.raises(ModelError, match="begin and end"):
        create(tmp_path / "other", dataclasses.replace(recipe, end=None))
    with pytest.raises(ModelError, match=r"task\.end: 6 is no line of vocab\.txt \(6 lines\)"):
        create(tmp_path / "other", dataclasses.replace(recipe, end=6))


@pytest.mark.parametrize(
    ("shape", "layout", "first"),
    [
        ((64, 14, 14), "NCHW", True),
        ((64, 14, 14), "NHWC", True),  # a graph that transposes the image at once, as converters make them
        ((14, 14, 64), "NHWC", False),
        ((14, 14, 14), "NCHW", True),  # nothing tells but the image
        ((14, 14, 14), "NHWC", False),
        ((1, 1, 1024), "NHWC", False),
        ((17, 128), "NCHW", False),  # tokens
    ],
)
def test_a_feature_map_says_where_its_channels_are(shape, layout, first):
    assert channels_first(shape, InputSpec(224, 224, layout=layout)) == first


def test_a_wide_picture_has_wide_feature_maps():
    assert channels_first((16, 8, 16), InputSpec(640, 320, layout="NHWC"))
    assert not channels_first((8, 16, 16), InputSpec(640, 320, layout="NCHW"))
