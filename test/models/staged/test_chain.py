"""Networks cut to an assignment, and run so in one process."""

from __future__ import annotations

import numpy as np
import pytest
import split_graphs

from qeil_ros.models.graph import Graph
from qeil_ros.models.graph_shapes import measure
from qeil_ros.models.schema import ModelError
from qeil_ros.models.staged.chain import Chain
from qeil_ros.models.staged.place import Place
from qeil_ros.models.staged.program import cut
from qeil_ros.models.stages import blocks

ORT, OTHER = Place("a"), Place("b")


def program(network, assignment):
    return cut(network.graph, network.shapes, network.chain, assignment)


def test_neighbours_on_one_place_are_one_section(network):
    count = len(network.chain)
    assignment = [1] * 2 + [0] * (count - 3) + [1]
    found = program(network, assignment)
    assert [section.place for section in found.sections] == [1, 0, 1]
    assert [list(section.blocks) for section in found.sections] == [
        [0, 1],
        list(range(2, count - 1)),
        [count - 1],
    ]
    assert all(section.fixed for section in found.sections)
    assert found.outputs == ("scores",) and found.input_shape == network.image.shape


@pytest.mark.parametrize("which", ["network", "open_batch"])
@pytest.mark.parametrize("shape", ["one", "halves", "each"])
def test_a_chain_computes_the_whole(which, shape, request):
    network = request.getfixturevalue(which)
    count = len(network.chain)
    assignment = {"one": [0] * count, "halves": network.halves(), "each": [i % 2 for i in range(count)]}[
        shape
    ]
    chain = Chain(program(network, assignment), [ORT, OTHER])
    assert network.right(chain.run(network.image))
    other = chain.run(np.zeros_like(network.image))
    assert not network.right(other)  # nothing of the run before is left in the buffers
    assert network.right(chain.run(network.image))
    assert len(chain.section_s) == len(chain.devices) and min(chain.section_s) > 0


def test_two_runtimes_join_in_place(network):
    pytest.importorskip("openvino", reason="the second runtime is OpenVINO")
    assignment = [i % 2 for i in range(len(network.chain))]
    chain = Chain(program(network, assignment), [ORT, Place("b", "openvino")])
    assert network.right(chain.run(network.image))
    other_first = Chain(program(network, [1 - place for place in assignment]), [ORT, Place("b", "openvino")])
    for image in (network.image, network.image.copy()):
        assert network.right(other_first.run(image))
    assert {device.split()[0] for device in chain.devices} == {"onnxruntime", "openvino"}


def test_an_image_is_read_wherever_it_lies(network):
    chain = Chain(program(network, network.halves()), [ORT, OTHER])
    strided = np.repeat(network.image, 2, axis=-1)[..., ::2]
    assert not strided.flags.c_contiguous
    for image in (network.image, strided, network.image.copy()):
        assert network.right(chain.run(image))


def test_results_are_the_callers(network):
    chain = Chain(program(network, network.halves()), [ORT, OTHER])
    first = chain.run(network.image)
    chain.run(np.zeros_like(network.image))
    assert network.right(first)


def test_another_image_is_refused(network):
    chain = Chain(program(network, network.halves()), [ORT, OTHER])
    with pytest.raises(ModelError, match="takes float32"):
        chain.run(network.image[..., :-1])
    with pytest.raises(ModelError, match="float64"):
        chain.run(network.image.astype(np.float64))


def test_an_assignment_of_another_length_is_refused(network):
    with pytest.raises(ModelError, match="an assignment of 1 blocks"):
        program(network, [0])


def free_model():
    """Its end gives as many rows as the image has values above zero."""
    return split_graphs.model(
        [
            ("Relu", ["image"], ["a"]),
            ("Neg", ["a"], ["b"]),
            ("NonZero", ["b"], ["found"]),
            ("Cast", ["found"], ["places"], {"to": 1}),
        ],
        {"image": ("float32", [1, 1, 4, 4])},
        {"places": ("float32", [4, "n"])},
    )


def test_an_end_whose_size_depends_on_the_image():
    graph = Graph(free_model())
    shapes = measure(graph)
    chain = blocks(graph, shapes)
    found = Chain(cut(graph, shapes, chain, [0] + [1] * (len(chain) - 1)), [ORT, OTHER])
    image = np.zeros((1, 1, 4, 4), np.float32)
    assert found.run(image)[0].shape == (4, 0)
    image[0, 0, 1, 2] = 1.0
    np.testing.assert_array_equal(found.run(image)[0].T, [[0, 0, 1, 2]])
