"""The package as it is installed: the wheel outside the source tree, and the files of the ROS package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support import REPO

import qeil_ros
from qeil_ros.resources import share_dir

PROBE = """
import pathlib, qeil_ros
from qeil_ros.models.folder import ModelFolder
from qeil_ros.resources import share_dir
root = pathlib.Path(qeil_ros.__file__).parent
assert share_dir() == root / "share", share_dir()
files = ("launch/replay.launch.xml", "config/worlds/tabletop.sdf", "msg/FeatureFrame.msg")
for path in files:
    assert (share_dir() / path).is_file(), path
import qeil_ros.rosless
from qeil_ros.msg import FeatureFrame
assert FeatureFrame().sequence == 0
folder = ModelFolder.load("tabletop")
folder.agent()
assert list(root.glob("_kernels*.so")) and not list(root.glob("*.pyx"))
assert (share_dir() / "bench" / "harness.py").is_file()
print("installed", qeil_ros.__version__)
"""


@pytest.mark.timeout(600)
def test_wheel_runs_outside_the_source_tree(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    # A copy: what an earlier build left in the checkout must not find its way into the wheel.
    source = tmp_path / "source"
    leave = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.so", "test")
    shutil.copytree(REPO, source, ignore=leave)
    dist = ["--wheel-dir", str(tmp_path / "dist"), str(source)]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", *dist], check=True, timeout=500)
    (wheel,) = (tmp_path / "dist").glob("qeil_ros-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, timeout=120)
    environ = {**os.environ, "PYTHONPATH": str(site)}
    # -P is 3.11; running a file from another folder keeps the checkout off the path on every version.
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE)
    done = subprocess.run(
        [sys.executable, str(probe)], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"installed {qeil_ros.__version__}"


def test_version_is_the_same_everywhere() -> None:
    package = ET.parse(REPO / "package.xml").getroot()
    assert package.findtext("version") == qeil_ros.__version__


def test_every_interface_is_documented() -> None:
    """A message says in its first line what it is for; fields are aligned with spaces."""
    for path in sorted((share_dir() / "msg").glob("*.msg")):
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# "), f"{path.name}: first line says what the message is for"
        assert not any("\t" in line for line in lines), f"{path.name}: tabs"


def test_shipped_parameter_files_are_what_the_nodes_declare() -> None:
    """A misspelt key in a shipped file would be ignored in silence by ROS 2."""
    done = subprocess.run(
        [sys.executable, str(REPO / "tools" / "write_config.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
