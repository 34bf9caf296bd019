"""Fixtures that several rooms share: the graph that a test's nodes meet in, and the recorded data."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import REAL_RCLPY, REPO, free_port, start_router

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and processes of the tests would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Domains stay below 101: above it DDS implementations run into the ephemeral ports.
_domains = itertools.cycle(random.SystemRandom().sample(range(1, 101), 100))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Recordings, photos and published models, which are not part of the project."""
    folder = Path(os.environ.get("QEIL_DATA", REPO.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no recorded data at {folder}; set QEIL_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def ros_router() -> Iterator[dict[str, str]]:
    """Environment in which processes of this session find each other, and nobody else."""
    if REAL_RCLPY:  # whatever middleware is chosen, and the installed package, which PYTHONPATH names already
        yield {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        return
    port = free_port()
    environ = {
        "PYTHONPATH": os.pathsep.join([str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "ZENOH_CONFIG_OVERRIDE": f'connect/endpoints=["tcp/127.0.0.1:{port}"]',
    }
    router = start_router(port, {**os.environ, **environ})
    yield environ
    router.terminate()
    try:
        router.wait(10)
    except subprocess.TimeoutExpired:
        router.kill()
        raise


@pytest.fixture
def ros_graph(ros_router: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A graph of this test's own (a fresh domain); set in this process and returned for subprocesses."""
    environ = {**ros_router, "ROS_DOMAIN_ID": str(next(_domains))}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **environ}
