from __future__ import annotations

import cv2
import numpy as np
import pytest
import split_graphs

from qeil_ros.models import split_folder as module
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.schema import ModelError
from qeil_ros.models.split_check import Join
from qeil_ros.models.split_folder import cut_name, describe_cuts, interesting, split_folder


@pytest.fixture
def saved(tmp_path):
    def save(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return save


@pytest.fixture
def options(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("".join(f"class {number}\n" for number in range(10)))
    return {"name": "made", "words": words, "input": {"scale": 1 / 255}}


def rows_of(model, most=1):
    graph = Graph(model)
    return describe_cuts(graph, measure(graph), most)


def test_every_cut_is_described():
    row = rows_of(split_graphs.residual())[2]
    assert (row.name, row.tensors, row.op, row.position) == ("add_1", ("f",), "Add", 6)
    assert (row.shape, row.dtype, row.elements) == ((8, 8, 8), "float32", 512)
    assert [row.bytes_at(bits) for bits in (8, 4, 2, 1)] == [512, 256, 128, 64]
    assert row.agent.flops > row.server.flops > 0 and row.problem == ""


def test_a_cut_of_several_tensors_has_a_name_and_a_size():
    (row,) = (row for row in rows_of(split_graphs.branches(), 2) if row.tensors == ("left", "right"))
    assert (row.name, row.shape) == ("relu_1+conv_2", (4 * 36 + 4 * 4,))


def test_the_interesting_cuts_are_the_local_minima_of_bytes():
    best = interesting(rows_of(split_graphs.residual()))
    assert [row.tensors[0] for row in best] == ["i"]
    assert [row.tensors[0] for row in interesting(rows_of(split_graphs.quantized()))] == ["x0", "vector"]


def test_among_cuts_of_one_size_the_quantized_one_is_taken():
    rows = [row for row in rows_of(split_graphs.quantized()) if row.elements == 16 * 144]
    assert {row.dtype for row in rows} == {"float32", "uint8"}
    assert [row.tensors for row in interesting(rows)] == [("q3",)]


def test_names_of_splits_can_be_typed():
    model = split_graphs.residual()
    graph = Graph(model)
    assert cut_name(graph, ["f"]) == "f" and cut_name(graph, ["f"], ["f"]) == "f_2"
    graph.labels = {"758": "conv_9", "block/1;add:0": "add_3", "x" * 50: "relu_2", "a": "conv_1"}
    assert cut_name(graph, ["758"]) == "conv_9"
    assert cut_name(graph, ["block/1;add:0"]) == "block_1_add_0"
    assert cut_name(graph, ["x" * 50]) == "relu_2"
    assert cut_name(graph, ["758", "a"]) == "conv_9_and_conv_1"


def test_a_folder_answers_as_the_whole_does(tmp_path, saved, options):
    path = saved(split_graphs.residual("batch"))
    steps = []
    result = split_folder(
        path,
        tmp_path / "made",
        {"middle": ["add_1"], "late": ["i"]},
        options,
        local="whole",
        progress=lambda *step: steps.append(step),
    )
    folder = ModelFolder.load(tmp_path / "made")
    assert folder.digest == result.folder.digest
    assert list(folder.splits) == ["middle", "late"] and folder.default_split == "middle"
    assert steps == [("middle", 0, 2), ("late", 1, 2), ("writing", 2, 2)]
    import onnxruntime as ort

    whole = ort.InferenceSession(str(path))
    for name in folder.splits:
        assert result.cuts[name][1].problem == ""
        for number in range(3):
            image = np.random.default_rng(number).standard_normal(folder.input.shape).astype(np.float32)
            (scores,) = whole.run(None, {"image": image})
            features = folder.agent(name).run(image)
            for part in (folder.server(name), folder.local(name)):
                (answer,) = part.run(features)
                assert answer.labels[0] == f"class {scores.argmax()}"
        assert folder.server(name).max_batch is None
    # The local part is the server's file: the folder holds it once.
    assert sorted(str(p.relative_to(folder.path)) for p in folder.path.rglob("*.onnx")) == [
        *["late/agent.onnx", "late/server.onnx", "middle/agent.onnx", "middle/server.onnx"]
    ]


def test_several_tensors_travel_through_a_folder(tmp_path, saved, options):
    options["words"].write_text("a\nb\nc\nd\n")
    result = split_folder(
        saved(split_graphs.branches()), tmp_path / "made", {"both": ["left", "right"]}, options
    )
    folder = result.folder
    assert folder.split().shape == (160,)
    (answer,) = folder.server().run(folder.agent().run(np.ones(folder.input.shape, np.float32)))
    assert len(answer.labels) == 4 and not folder.has("local")


def test_a_captioner_keeps_its_prompt(tmp_path, saved):
    words = tmp_path / "words.txt"
    words.write_text("[begin]\n[end]\na\nb\nc\nd\n")
    options = {"name": "says", "task": "caption", "words": words, "begin": 0, "end": 1, "max_tokens": 4}
    result = split_folder(saved(split_graphs.with_prompt()), tmp_path / "made", {"f": ["features"]}, options)
    (answer,) = result.folder.server().run(np.ones((1, 4), np.float32))
    assert set(answer.text.split()) <= set("abcd") | {"[begin]"}


def test_scores_that_are_probabilities_are_left_alone(tmp_path, saved, options):
    model = split_graphs.residual()
    model.graph.node.append(split_graphs.helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1))
    model.graph.output[0].name = "probabilities"
    assert split_folder(saved(model), tmp_path / "a", {"f": ["f"]}, options).folder.task.activation == "none"
    plain = split_folder(saved(split_graphs.residual()), tmp_path / "b", {"f": ["f"]}, options)
    assert plain.folder.task.activation == "softmax"


def test_pictures_are_tried_too(tmp_path, saved, options):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        cv2.imwrite(str(photos / f"{number}.png"), picture)
    (photos / "notes.txt").write_text("no picture")
    cuts = {"f": ["f"]}
    result = split_folder(saved(split_graphs.residual()), tmp_path / "made", cuts, options, check=[photos])
    assert result.cuts["f"][1].images == 4 + 3


def test_halves_that_differ_from_the_whole_are_not_written(tmp_path, saved, options, monkeypatch):
    """A cut gone wrong: the server part's weights were changed on the way."""
    real = module.split

    def spoilt(*arguments):
        halves = real(*arguments)
        weights = halves.server.graph.initializer[0]
        values = split_graphs.numpy_helper.to_array(weights) * np.float32(1.01)
        weights.CopyFrom(split_graphs.numpy_helper.from_array(values, weights.name))
        return halves

    monkeypatch.setattr(module, "split", spoilt)
    with pytest.raises(
        ModelError, match=r"split 'f': the halves do not give what the whole gives: .* differ"
    ):
        split_folder(saved(split_graphs.residual()), tmp_path / "made", {"f": ["f"]}, options)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cuts": {}}, "no cut: say at which tensor"),
        ({"cuts": {"f": ["e"]}}, "is no cut"),
        ({"cuts": {"f": ["nothing"]}}, "no tensor 'nothing'"),
        ({"output": "nothing"}, "no output 'nothing'"),
        ({"local": "missing.onnx"}, "the local part: missing.onnx: cannot be copied"),
        ({"check": ["missing.png"]}, "missing.png: cannot be read as a picture"),
        ({"options": {"input": {"width": 9}}}, "wants an image of width 8, not 9"),
        ({"options": {"input": {"channels": "mono"}}}, r"takes \[1, 3, 8, 8\], the image as described is"),
        ({"options": {"task": "detect"}}, "wants a decoder, fastestdet, yolov8, rows; got 'none'"),
    ],
)
def test_what_cannot_be_made_leaves_nothing_behind(tmp_path, saved, options, change, message):
    from pathlib import Path

    given = {"cuts": {"f": ["f"]}, "options": {}, "check": [], **change}
    with pytest.raises(ModelError, match=message):
        split_folder(
            saved(split_graphs.residual()),
            tmp_path / "made",
            given["cuts"],
            {**options, **given["options"]},
            check=[Path(entry) for entry in given["check"]],
            **{key: value for key, value in given.items() if key in ("output", "local")},
        )
    assert not (tmp_path / "made").exists()


def test_an_output_must_be_chosen_where_there_are_several(tmp_path, saved, options):
    model = split_graphs.residual()
    model.graph.output.append(split_graphs.helper.make_tensor_value_info("g", 1, [1, 8, 8, 8]))
    path = saved(model)
    with pytest.raises(ModelError, match="has 2 outputs, a part one; say which: scores, g"):
        split_folder(path, tmp_path / "made", {"b": ["b"]}, options)
    assert split_folder(path, tmp_path / "made", {"b": ["b"]}, options, output="scores").folder.name == "made"


def test_a_join_says_how_it_did(tmp_path, saved, options):
    result = split_folder(saved(split_graphs.residual()), tmp_path / "made", {"f": ["f"]}, options)
    halves, found = result.cuts["f"]
    assert halves.tensors == ("f",) and found == Join(4, found.exact, found.worst, 4, "")
