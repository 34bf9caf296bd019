"""Weights that change their width while frames go on."""

from __future__ import annotations

import gc
import threading
import time

import numpy as np
import psutil
import pytest
import weight_models

from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.quantize import WeightPlan
from qeil_ros.models.quantize_folder import quantize_folder
from qeil_ros.models.schema import ModelError

WIDTHS = (8, 4, 2)
BACKEND = "onnxruntime-int8"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    path = tmp_path_factory.mktemp("models")
    plain = ModelFolder.load(weight_models.folder(path / "plain"))
    quantize_folder(plain, path / "packed", WeightPlan(WIDTHS))
    return plain, ModelFolder.load(path / "packed")


@pytest.fixture
def agent(folders):
    return folders[1].agent(backend=BACKEND)


@pytest.fixture(scope="module")
def answers(folders):
    """The features of one image at each width."""
    (image,) = weight_models.images(1)
    found = {}
    for bits in WIDTHS:
        agent = folders[1].agent(backend=BACKEND)
        agent.set_bits(bits)
        assert agent.wait(60)
        found[bits] = agent.run(image)
    return image, found


def test_widths_give_different_features_and_come_back_exactly(agent, answers):
    image, expected = answers
    assert agent.widths == WIDTHS and agent.bits == 8
    assert len({found.tobytes() for found in expected.values()}) == len(WIDTHS)
    for bits in (2, 8, 4, 2, 0):
        agent.set_bits(bits)
        assert agent.wait(60) and not agent.problem
        assert agent.bits == (bits or 8)
        np.testing.assert_array_equal(agent.run(image), expected[bits or 8])


def test_frames_go_on_while_the_width_changes(agent, answers):
    """Every frame has the features of the old width or of the new one, and none waits for the change."""
    image, expected = answers
    known = {found.tobytes(): bits for bits, found in expected.items()}
    preparing, go_on = threading.Event(), threading.Event()
    make = agent._make

    def slow(bits):
        preparing.set()
        assert go_on.wait(30)
        return make(bits)

    agent._make = slow
    agent.set_bits(2)
    assert preparing.wait(30)
    during = [known[agent.run(image).tobytes()] for _ in range(50)]
    assert during == [8] * 50 and agent.bits == 8
    go_on.set()
    seen = []
    end_s = time.monotonic() + 30
    while (not seen or seen[-1] != 2) and time.monotonic() < end_s:
        seen.append(known[agent.run(image).tobytes()])
    assert sorted(seen, reverse=True) == seen and set(seen) <= {8, 2} and seen[-1] == 2
    assert agent.wait(30)


def test_only_the_last_wish_counts(agent):
    make, made = agent._make, []

    def counting(bits):
        made.append(bits)
        time.sleep(0.05)
        return make(bits)

    agent._make = counting
    for bits in (4, 2, 4, 2, 8, 4):
        agent.set_bits(bits)
    assert agent.wait(60) and agent.bits == 4
    assert len(made) <= 3, "wishes that were overtaken are not worked on"


def test_a_wish_that_is_taken_back_is_not_followed(agent):
    agent._make = pytest.fail
    agent.set_bits(8)
    assert agent.wait(1) and agent.bits == 8


def test_a_change_that_fails_keeps_the_old_weights(agent, answers):
    image, expected = answers
    make = agent._make

    def fails(bits):
        raise ModelError("the disk is gone")

    agent._make = fails
    agent.set_bits(4)
    assert agent.wait(30) and agent.bits == 8
    assert agent.problem == "weights of 4 bits: the disk is gone"
    np.testing.assert_array_equal(agent.run(image), expected[8])
    agent._make = make
    agent.set_bits(4)
    assert agent.wait(30) and agent.bits == 4 and not agent.problem


def test_a_file_damaged_meanwhile_is_found(folders, tmp_path):
    import shutil

    shutil.copytree(folders[1].path, tmp_path / "m")
    agent = ModelFolder.load(tmp_path / "m").agent(backend=BACKEND)
    file = tmp_path / "m" / "agent.qwt"
    size = file.stat().st_size
    with file.open("r+b") as stream:  # the very file, not another one in its place
        stream.seek(size // 2)
        stream.write(bytes(size - size // 2))
    agent.set_bits(2)
    assert agent.wait(30) and agent.bits == 8
    assert "is damaged: its CRC32C is not the one in the header" in agent.problem
    assert agent.run(*weight_models.images(1)).shape == (1, 16)


def test_a_width_that_is_not_offered_is_refused_at_once(folders, agent):
    with pytest.raises(ModelError, match="the agent part has no weights of 3 bits, only 8, 4, 2"):
        agent.set_bits(3)
    plain = folders[0].agent()
    plain.set_bits(0)
    with pytest.raises(ModelError, match="no weights of 4 bits, only as they are stored"):
        plain.set_bits(4)


@pytest.mark.parametrize(("asked", "given"), [(0, 8), (1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8)])
def test_a_request_takes_the_next_larger_width(agent, asked, given):
    agent.set_bits(2)
    assert agent.wait(30)
    agent.request(asked)
    assert agent.wait(30) and agent.bits == given


def test_a_request_that_failed_is_not_repeated_for_every_frame(folders, agent):
    tried = []

    def fails(bits):
        tried.append(bits)
        raise ModelError("no")

    agent._make = fails
    for _ in range(20):
        agent.request(2)
        agent.wait(5)
    assert tried == [2]
    folders[0].agent().request(4)  # nothing to choose from: nothing happens


def test_weights_that_were_replaced_are_freed(agent):
    def resident():
        gc.collect()
        return psutil.Process().memory_info().rss

    def change(rounds):
        for _ in range(rounds):
            for bits in (2, 4, 8):
                agent.set_bits(bits)
                assert agent.wait(30)

    change(5)
    before = resident()
    change(30)
    # A session of this part takes about a megabyte: ninety of them would show.
    assert resident() - before < 20e6
