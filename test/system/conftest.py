"""What the system tests share: the demonstration as a command, and a configuration without hurry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support import REPO, wait_until
from system.runs import DemoRun, patient_config

from qeil_ros.rosless.launch.guardian import marked


@pytest.fixture
def robot_config(tmp_path: Path) -> Path:
    """The shipped configuration of the robot with a long deadline."""
    return patient_config(tmp_path / "robot.yaml")


@pytest.fixture
def demo(tmp_path: Path) -> Callable[..., DemoRun]:
    """Runs `qeil demo` as a user does and checks that nothing of it is left running."""

    def run(*arguments: str, environ: Mapping[str, str] | None = None, timeout_s: float = 150.0) -> DemoRun:
        mark = f"QEIL_SYSTEM_TEST={uuid.uuid4().hex}"
        name, _, value = mark.partition("=")
        out = tmp_path / "out"
        finished = subprocess.run(
            [sys.executable, "-m", "qeil_ros.cli", "demo", "--plain", "--out", str(out), *arguments],
            env={**os.environ, "PYTHONPATH": str(REPO), **(environ or {}), name: value},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
        )
        wait_until(lambda: not marked(mark), 10, "the end of every process of the demonstration")
        file = out / "summary.json"
        summary = json.loads(file.read_text()) if file.is_file() else {}
        return DemoRun(finished.returncode, finished.stdout, summary, out)

    return run
