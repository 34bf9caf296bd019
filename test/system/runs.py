"""Runs of the demonstration, and what may be asked of each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from support import REPO

# On a machine that is busy with other things a process may wait for seconds; no frame is late by that.
PATIENT_DEADLINE_S = 2.0


@dataclass(frozen=True)
class DemoRun:
    """A finished `qeil demo`: exit code, what it printed, `summary.json`, the folder that it wrote."""

    code: int
    output: str
    summary: dict[str, Any]
    folder: Path


def patient_config(path: Path, **encoder: Any) -> Path:
    """Writes the shipped configuration of the robot with a long deadline and with `encoder`'s parameters.

    Every frame is encoded even where the supervisor is silent, and with all its bits after the link was down:
    a process that got no processor for a second shall not decide what a test sees.
    """
    config = yaml.safe_load((REPO / "config" / "robot.yaml").read_text())
    parameters = config["/**/encoder"]["ros__parameters"]
    parameters.update(deadline_s=PATIENT_DEADLINE_S, safe_rate_hz=0.0, **encoder)
    config["/**/supervisor"]["ros__parameters"]["recovery_share"] = 1.0
    path.write_text(yaml.safe_dump(config))
    return path


def patient_heartbeat(path: Path, robot_config: Path) -> Path:
    """Writes the shipped configuration of the offboard computer with a slow heartbeat, and makes the robot's
    wait for it: silence of 0.9 s counts as a dead link, so that a process that got no processor for a moment
    is none.
    """
    robot = yaml.safe_load(robot_config.read_text())
    robot["/**/fallback"]["ros__parameters"]["heartbeat_timeout_s"] = 1.0
    robot_config.write_text(yaml.safe_dump(robot))
    config = yaml.safe_load((REPO / "config" / "offboard.yaml").read_text())
    config["/**/co_inference"]["ros__parameters"]["heartbeat_s"] = 0.3
    path.write_text(yaml.safe_dump(config))
    return path


def check_promises(run: DemoRun) -> None:
    """What holds however busy the machine is.

    Only one thing is left to the machine: that an image is replaced by a newer one before it is encoded,
    which is what a depth of one means. Only when it happens often is the run a failed one.
    """
    summary = run.summary
    assert summary, run.output
    assert summary["frames_in"] == summary["frames_played"] > 0, run.output
    assert summary["duplicates"] == summary["late_published"] == summary["unknown"] == 0, run.output
    assert summary["missing"] == summary["superseded"], run.output
    assert summary["answers"] == summary["frames_in"] - summary["superseded"], run.output
    assert "none" not in summary["by_source"], run.output
    assert (run.code == 0) == summary["ok"], run.output
    assert summary["ok"] or summary["superseded"], run.output
    assert (run.folder / "timeline.png").read_bytes().startswith(b"\x89PNG")
