from __future__ import annotations

import numpy as np
import pytest
import split_graphs
from hypothesis import given, settings
from hypothesis import strategies as st

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.schema import ModelError


def single(graph):
    return [cut.tensors[0] for cut in graph.cuts()]


def test_a_skip_connection_is_not_cut_inside():
    graph = Graph(split_graphs.residual())
    assert single(graph) == ["a", "b", "f", "g", "h", "i"]
    assert [cut.position for cut in graph.cuts()] == [1, 2, 6, 7, 8, 9]
    assert graph.labels["f"] == "add_1" and graph.labels["e"] == "conv_3"


def test_what_is_computed_from_shapes_and_constants_does_not_count():
    assert single(Graph(split_graphs.tokens())) == [
        *["grid", "columns", "rows", "sequence", "x", "y", "z", "same", "first"]
    ]


def test_where_no_tensor_will_do_two_are_found():
    graph = Graph(split_graphs.branches())
    assert single(graph) == ["s"]
    pairs = [cut.tensors for cut in graph.cuts(2) if len(cut.tensors) == 2]
    assert ("left", "right") in pairs
    assert graph.is_cut(["a", "r"]) == ""


def test_a_cut_lies_before_other_inputs_come_in():
    graph = Graph(split_graphs.with_prompt())
    assert graph.image == "image" and single(graph) == ["a", "b", "features"]
    assert "input that the robot's part does not get" in graph.is_cut(["both"])


@st.composite
def networks(draw):
    """A random graph of additions and concatenations, some from far back, with constants and dead ends."""
    count = draw(st.integers(2, 14))
    tensors, nodes = ["image"], []
    for index in range(count):
        near = tensors[-draw(st.integers(1, min(3, len(tensors)))) :]
        first = draw(st.sampled_from(near))
        second = draw(st.sampled_from([*near, "k"]))
        nodes.append(("Add", [first, second], [f"t{index}"]))
        tensors.append(f"t{index}")
    outputs = {tensors[-1]: ("float32", [1, 1, 2, 2])}
    if draw(st.booleans()):
        outputs[draw(st.sampled_from(tensors[1:]))] = ("float32", [1, 1, 2, 2])
    return split_graphs.model(nodes, {"image": ("float32", [1, 1, 2, 2])}, outputs, {"k": np.float32(1)})


@settings(max_examples=300, deadline=None)
@given(networks())
def test_the_cuts_are_those_that_trying_every_tensor_finds(model):
    """Take a tensor away, and see whether any output can still be reached from the image."""
    outputs = {value.name for value in model.graph.output}

    def reaches(without):
        reached = {"image"}
        for node in model.graph.node:
            if reached.intersection(node.input) and node.output[0] not in without:
                reached.add(node.output[0])
        return bool(reached & outputs)

    if not reaches(set()):
        return
    graph = Graph(model)
    made = [node.output[0] for node in model.graph.node]
    expected = [name for name in made if name not in outputs and not reaches({name})]
    # A tensor that is no cut but only unneeded separates nothing: it must lie on a way itself.
    assert single(graph) == [name for name in expected if name in graph.upstream(graph.outputs, stop=())]
    for cut in graph.cuts(3):
        assert not reaches(set(cut.tensors)) and graph.is_cut(cut.tensors) == ""
    for name in made:
        assert (graph.is_cut([name]) == "") == (name in single(graph))


def test_a_tensor_is_found_by_its_short_name_and_by_its_node():
    model = split_graphs.residual()
    model.graph.node[5].name = "join"
    graph = Graph(model)
    assert graph.find("f") == graph.find("add_1") == graph.find("join") == "f"
    with pytest.raises(ModelError, match=r"no tensor 'ad_1' in the graph; did you mean add_1"):
        graph.find("ad_1")
    with pytest.raises(ModelError, match="'w4t' does not depend on the image"):
        graph.find("w4t")


def test_what_is_no_cut_is_told_with_the_way_around_it():
    graph = Graph(split_graphs.residual())
    assert graph.is_cut(["e"]) == (
        "'e' is no cut: the outputs also need the image through image -> a -> ... -> i -> scores; "
        "the nearest cuts are relu_1 and add_1"
    )
    assert "is an output of the graph" in graph.is_cut(["scores"])
    assert "does not follow from the image" in graph.is_cut(["image"])
    assert "not needed by the outputs beside the others" in graph.is_cut(["a", "b"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": "picture"}, "no input 'picture'; the graph has image, tokens"),
        ({"outputs": ["answer"]}, "no output 'answer'; the graph has logits"),
    ],
)
def test_wrong_names_are_told(arguments, message):
    with pytest.raises(ModelError, match=message):
        Graph(split_graphs.with_prompt(), **arguments)


def test_an_image_that_cannot_be_guessed_must_be_named():
    value = {"left": ("float32", [1, 3, 4, 4]), "right": ("float32", [1, 3, 4, 4])}
    model = split_graphs.model([("Add", ["left", "right"], ["sum"]), ("Relu", ["sum"], ["out"])], value,
                               {"out": ("float32", [1, 3, 4, 4])})  # fmt: skip
    with pytest.raises(ModelError, match="2 inputs with four dimensions"):
        Graph(model)
    assert single(Graph(model, image="left")) == []


def test_a_file_that_is_no_model_is_told(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        Graph.load(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match="is no ONNX model"):
        Graph.load(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="it has no nodes"):
        Graph.load(path)


class TestShapes:
    def test_an_open_batch_stays_open(self):
        shapes = measure(Graph(split_graphs.tokens()))
        assert shapes.dynamic
        x = shapes.tensors["x"]
        assert (x.shape, x.dtype, x.batched, x.frame) == ((1, 5, 6), "float32", True, (5, 6))

    def test_a_fixed_batch_is_respected(self):
        shapes = measure(Graph(split_graphs.tokens(1)))
        assert not shapes.dynamic and shapes.tensors["x"].frame == (5, 6)

    def test_a_graph_made_for_one_image_is_found_out_whatever_its_input_says(self):
        model = split_graphs.model(
            [("Reshape", ["image", "shape"], ["a"]), ("Relu", ["a"], ["b"])],
            {"image": ("float32", ["n", 3, 4, 4])},
            {"b": ("float32", [1, 48])},
            {"shape": np.array([1, 48], np.int64)},
        )
        assert not measure(Graph(model)).dynamic

    def test_where_inference_gives_up_the_model_is_run(self):
        """How many values are not zero, only a run can tell."""
        model = split_graphs.model(
            [
                ("Add", ["image", "one"], ["a"]),
                ("NonZero", ["a"], ["where"]),
                ("Transpose", ["where"], ["rows"]),
                ("GatherND", ["a", "rows"], ["found"]),
                ("Relu", ["found"], ["b"]),
            ],
            {"image": ("float32", [1, 3, 4, 4])},
            {"b": ("float32", ["n"])},
            {"one": np.float32(1)},
        )
        assert measure(Graph(model)).tensors["found"].shape == (48,)

    def test_the_size_must_be_said_where_the_graph_leaves_it_open(self):
        model = split_graphs.model(
            [("Relu", ["image"], ["a"]), ("GlobalAveragePool", ["a"], ["b"])],
            {"image": ("float32", ["n", 3, "h", "w"])},
            {"b": ("float32", ["n", 3, 1, 1])},
        )
        graph = Graph(model)
        with pytest.raises(ModelError, match=r"leaves the image's height open .*: say height"):
            measure(graph)
        assert measure(graph, width=6, height=5).tensors["a"].shape == (1, 3, 5, 6)

    def test_what_does_not_fit_is_refused(self):
        with pytest.raises(ModelError, match="fixed batch of 4; want 1 or an open one"):
            measure(Graph(split_graphs.residual(4)))
        with pytest.raises(ModelError, match="wants an image of width 8, not 9"):
            measure(Graph(split_graphs.residual()), width=9)
