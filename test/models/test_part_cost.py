"""Operations of a model's parts, against what can be counted by hand."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from qeil_ros.models.folder import ModelFolder, folder_sha256
from qeil_ros.models.part_cost import operations
from qeil_ros.models.schema import ModelError


def test_a_fully_connected_net_takes_two_operations_a_weight():
    counted = operations(ModelFolder.load("fcdnn16"))
    # The encoder of FCDNN-16: 784 inputs and these layers, each with a bias and a ReLU behind it.
    sizes = [784, 64, 128, 256, 512, 256, 128, 64, 32]
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    assert weights == 396_288
    assert 2 * weights <= counted.agent_flop <= 2 * weights + 3 * sum(sizes)
    assert counted.server_flop == pytest.approx(counted.agent_flop, rel=0.01)  # mirrored
    assert counted.token_flop == counted.local_flop == 0


def test_a_captioner_runs_again_for_each_token():
    counted = operations(ModelFolder.load("tabletop"))
    # 17 matrices of 884,736 weights on 16 patches and a token of their own, attention on top.
    assert 2 * 884_736 * 16 < counted.agent_flop < 2.5 * 884_736 * 17
    assert counted.token_flop == counted.server_flop > counted.local_flop > 0


def test_a_part_of_transformers_cannot_be_counted():
    folder = ModelFolder.load("tabletop")
    split = folder.split()
    server = dataclasses.replace(split.server, file="./", sha256=folder_sha256(folder.path))
    other = dataclasses.replace(folder, splits={"vision": dataclasses.replace(split, server=server)})
    with pytest.raises(ModelError, match="operations cannot be counted, time it"):
        operations(other)
