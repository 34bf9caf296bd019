from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_machine import FakeMachine
from node_testing import Graph
from supervisor_testing import World


@pytest.fixture
def world(ros_graph: dict[str, str], tmp_path: Path) -> Iterator[World]:
    """A graph, and a machine that a supervisor in it can be started on."""
    with Graph() as graph:
        yield World(graph, FakeMachine(tmp_path))
