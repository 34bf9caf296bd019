"""`qeil demo` from end to end: router, four nodes and a player, all in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from support import REPO, wait_until
from system.runs import DemoRun, check_promises, patient_heartbeat

from qeil_ros.rosless.launch.guardian import marked

Demo = Callable[..., DemoRun]


def test_every_frame_of_the_shipped_recording_is_answered(
    demo: Demo, robot_config: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "s.json"
    run = demo("--seconds", "6", "--rate", "10", "--json", str(copy), f"robot_config:={robot_config}")
    check_promises(run)
    summary = run.summary
    assert json.loads(copy.read_text()) == summary
    assert summary["by_source"]["offboard"] > 0
    assert summary["with_truth"] == summary["answers"]
    assert summary["correct_share"] >= 0.8, summary
    assert 0 < summary["bytes_per_frame"] < summary["image_sizes"]["jpeg"] < summary["image_sizes"]["raw"]
    for name in ("encode", "inference", "total"):
        assert summary["times_s"][name]["count"] == summary["answers"]
    assert "Summary" in run.output and "frames" in run.output


def test_the_server_is_killed_and_comes_back(demo: Demo, robot_config: Path, tmp_path: Path) -> None:
    offboard_config = patient_heartbeat(tmp_path / "offboard.yaml", robot_config)
    configs = (f"robot_config:={robot_config}", f"offboard_config:={offboard_config}")
    run = demo("--seconds", "20", "--rate", "10", "--kill-offboard-at", "3", *configs)
    check_promises(run)
    summary = run.summary
    assert summary["by_source"].keys() == {"offboard", "local"}, run.output
    assert summary["killed_at_s"] >= 3.0 and summary["restarted_at_s"] >= 8.0
    assert summary["failover_s"] > 0 and summary["recovery_s"] > 0
    assert summary["offboard_after_restart"] > 0
    assert summary["source_changes_after_restart"] == 1, run.output
    assert summary["correct_share"] >= 0.6, summary  # the local part is smaller than the server's


def test_a_real_recording_of_jpegs(demo: Demo, robot_config: Path, data_dir: Path) -> None:
    bag = data_dir / "bags" / "donkeycar_sqlite3"
    run = demo("--bag", str(bag), "--seconds", "3", "--rate", "10", f"robot_config:={robot_config}")
    check_promises(run)
    assert run.summary["image_sizes"]["raw"] == 160 * 120 * 3
    assert run.summary["by_source"]["offboard"] > 0


def test_a_real_recording_of_raw_images(demo: Demo, robot_config: Path, data_dir: Path) -> None:
    """One 640x480 rgb8 image, played again and again; the depth images beside it are left alone."""
    bag = data_dir / "bags" / "realsense_single_mcap"
    run = demo("--bag", str(bag), "--seconds", "3", "--rate", "10", f"robot_config:={robot_config}")
    check_promises(run)
    assert "/camera/camera/color/image_raw" in run.output
    assert run.summary["image_sizes"]["raw"] == 640 * 480 * 3


def test_a_node_that_cannot_start_is_named_with_its_reason(demo: Demo, tmp_path: Path) -> None:
    config = tmp_path / "broken.yaml"
    config.write_text("/**/co_inference:\n  ros__parameters:\n    max_batch: -5\n")
    run = demo("--seconds", "2", f"offboard_config:={config}")
    assert run.code == 2, run.output
    assert "co_inference has died" in run.output
    assert "max_batch" in run.output


def test_ctrl_c_sums_up_and_leaves_nothing_running(tmp_path: Path) -> None:
    mark = f"QEIL_SYSTEM_TEST={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    process = subprocess.Popen(
        [sys.executable, "-m", "qeil_ros.cli", "demo", "--plain", "--out", str(tmp_path), "--seconds", "100"],
        env={**os.environ, "PYTHONPATH": str(REPO), name: value},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:  # ends with the process, should it fail
            if "answers" in line:
                break
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
        assert process.wait(60) == 130, output
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not marked(mark), 20, "the end of every process of the demonstration")
    assert "Summary" in output
    assert json.loads((tmp_path / "summary.json").read_text())["frames_in"] >= 0
