"""The command line itself: helps, lazy imports, exit codes, errors in one line, launching."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import REPO, wait_until

from qeil_ros.cli.app import COMMANDS

GROUPS = {
    "node": ["list", "info"],
    "topic": ["list", "info", "type", "echo", "hz", "bw", "pub"],
    "service": ["list", "type", "call"],
    "param": ["list", "get", "set", "describe", "dump", "load"],
    "lifecycle": ["nodes", "get", "set", "list"],
    "interface": ["show", "proto"],
    "bag": ["info", "play", "record"],
}
OWN = [["launch"], ["run"], ["router"], *[[group, name] for group, names in GROUPS.items() for name in names]]


def qeil(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path = REPO
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qeil_ros.cli", *words]
    environ = {
        **(os.environ if env is None else env),
        "PYTHONPATH": str(REPO),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environ, cwd=cwd)


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys; from qeil_ros.cli import main; main(['--help'])\n"
        "heavy = {'rclpy', 'zenoh', 'numpy', 'rosbags', 'onnxruntime', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPO, timeout=60)
    assert done.returncode == 0, done.stderr
    assert all(re.search(rf"\b{name}\b", done.stdout) for name in COMMANDS)


@pytest.mark.parametrize("words", OWN, ids=" ".join)
def test_every_command_has_help_with_an_example(words: list[str]) -> None:
    done = qeil(*words, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Example: qeil {' '.join(words)}" in done.stdout


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_alone_shows_its_commands(group: str) -> None:
    done = qeil(group)
    assert done.returncode == 2
    assert all(name in done.stdout + done.stderr for name in GROUPS[group])


def test_version() -> None:
    from qeil_ros import __version__

    assert qeil("--version").stdout == f"qeil {__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tpic"], "No such command 'tpic'"),
        (["topic", "ehco"], "No such command 'ehco'"),
        (["topic", "echo"], "Missing argument"),
        (["topic", "list", "--nope"], "No such option"),
        (["topic", "pub", "/t", "nope/msg/X"], "unknown interface 'nope/msg/X'"),
        (["topic", "pub", "/t", "std_msgs/msg/String", "{dta: 1}"], "no field 'dta'"),
        (["topic", "pub", "/t", "std_msgs/msg/String", "{data: "], "not YAML"),
        (["topic", "pub", "/t", "std_msgs/msg/String", "--rate", "0"], "rate"),
        (["service", "call", "/s", "std_msgs/msg/String"], "not a service type"),
        (["bag", "info", "/nowhere"], "no recording at '/nowhere'"),
        (["bag", "play", "/nowhere"], "no recording at '/nowhere'"),
        (["bag", "record"], "nothing to record"),
        (["bag", "record", "-a", "--storage", "tape"], "--storage 'tape'"),
        (["launch", "nowhere.launch.xml"], "no launch file 'nowhere.launch.xml'"),
        (["launch", "ghost", "x.launch.xml"], "'ghost' is not installed"),
        (["launch", "qeil_ros", "ghost.launch.xml"], "has no launch file 'ghost.launch.xml'"),
        (["run", "qeil_ros", "ghost"], "has no executable 'ghost'"),
        (["interface", "show", "std_msgs/msg/Nope"], "unknown interface"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gives_one_line_and_exit_code_2(words: list[str], message: str) -> None:
    done = qeil(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("qeil: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_broken_recording_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.mcap").write_bytes(b"not a recording")
    done = qeil("bag", "info", str(tmp_path / "x.mcap"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot read the recording" in done.stderr


def test_interface_show_and_proto() -> None:
    shown = qeil("interface", "show", "diagnostic_msgs/msg/DiagnosticStatus").stdout.splitlines()
    assert "octet level" in shown or "byte level" in shown
    assert "\tstring key" in shown
    assert any(line.startswith("ERROR=") for line in shown)
    service = qeil("interface", "show", "std_srvs/srv/SetBool").stdout.splitlines()
    assert service == ["boolean data", "---", "boolean success", "string message"]
    assert qeil("interface", "proto", "std_msgs/msg/String").stdout == "data: ''\n"


def write_launch(folder: Path, body: str) -> Path:
    path = folder / "t.launch.xml"
    path.write_text(f"<launch>{body}</launch>")
    return path


def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "ROS_LOG_DIR": str(folder / "log")}


def test_launch_runs_prefixes_logs_and_reports(tmp_path: Path) -> None:
    path = write_launch(
        tmp_path,
        '<arg name="word" default="hi"/><executable cmd="echo $(var word)" output="screen"/>'
        f'<executable cmd="{sys.executable} -c \'raise SystemExit(3)\'" name="bad"/>',
    )
    done = qeil("launch", str(path), "word:=hello", env=environ(tmp_path))
    assert done.returncode == 1
    assert "[echo-1] hello\n" in done.stdout
    assert "process has died" in done.stdout and "exit code 3" in done.stdout
    (log,) = (tmp_path / "log").glob("*/launch.log")
    assert "[echo-1] hello" in log.read_text()


def test_launch_arguments(tmp_path: Path) -> None:
    path = write_launch(
        tmp_path, '<arg name="need" description="what for"/><arg name="opt" default="$(env HOME)/x"/>'
    )
    shown = qeil("launch", str(path), "--show-args").stdout
    assert "'need':\n        what for\n" in shown
    assert "(default: '$(env HOME)/x')" in shown
    done = qeil("launch", str(path), env=environ(tmp_path))
    assert done.returncode == 2
    assert f"{path}:1: argument 'need' (what for) is required" in done.stderr
    done = qeil("launch", str(path), "need:=1", "tpyo:=2", env=environ(tmp_path))
    assert done.returncode == 0
    assert "declares no argument 'tpyo'" in done.stderr
    assert qeil("launch", str(path), "need=1", env=environ(tmp_path)).returncode == 2


def test_launch_of_a_node_of_this_package_as_ros2_would_name_it(tmp_path: Path) -> None:
    path = write_launch(
        tmp_path, '<node pkg="qeil_ros" exec="encoder" name="e"><param name="x" value="1"/></node>'
    )
    done = qeil("launch", str(path), "--print", env=environ(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "-m qeil_ros.nodes.encoder --ros-args -r __node:=e" in done.stdout


def test_installed_ros_packages_are_found(tmp_path: Path) -> None:
    program = tmp_path / "lib/demo/talker"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "talker $@"\n')
    program.chmod(0o755)
    (tmp_path / "share/demo/launch").mkdir(parents=True)
    (tmp_path / "share/demo/launch/t.launch.xml").write_text(
        '<launch><node pkg="demo" exec="talker" output="screen" args="$(find-pkg-share demo)"/></launch>'
    )
    env = {**environ(tmp_path), "AMENT_PREFIX_PATH": str(tmp_path)}
    assert (
        f"[talker-1] talker {tmp_path}/share/demo --ros-args"
        in qeil("launch", "demo", "t.launch.xml", env=env).stdout
    )
    assert qeil("run", "demo", "talker", "-x", "--y", "z", env=env).stdout == "talker -x --y z\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_launch_ends_its_processes_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    sleeper = f"{sys.executable} -S -c 'import time; print(1, flush=True); time.sleep(600)'"
    path = write_launch(tmp_path, f'<executable cmd="{sleeper}" output="screen"/>')
    with subprocess.Popen(
        [sys.executable, "-m", "qeil_ros.cli", "launch", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environ(tmp_path),
        cwd=REPO,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        pid = int(re.findall(r"pid \[(\d+)\]", first)[0])
        assert "-1] 1\n" in process.stdout.readline()
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(30) == 0
    assert f"received {number.name}" in rest
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the end of the process")


def test_router_runs_until_told_and_reports_a_bad_endpoint() -> None:
    from support import free_port

    command = [sys.executable, "-m", "qeil_ros.cli", "router", "--listen", f"tcp/127.0.0.1:{free_port()}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO) as process:
        assert process.stdout is not None
        assert "listening on" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
    done = qeil("router", "--listen", "nonsense")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_a_launch_file_may_start_the_router_by_its_ros_name(tmp_path: Path) -> None:
    from support import free_port

    port = free_port()
    path = write_launch(
        tmp_path,
        f'<node pkg="rmw_zenoh_cpp" exec="rmw_zenohd" args="--listen tcp/127.0.0.1:{port}" output="screen"/>',
    )
    with subprocess.Popen(
        [sys.executable, "-m", "qeil_ros.cli", "launch", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environ(tmp_path),
        cwd=REPO,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline() + process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
    assert f"[rmw_zenohd-1] router: listening on tcp/127.0.0.1:{port}" in said


def test_bag_info(data_dir: Path) -> None:
    facts = json.loads(qeil("bag", "info", str(data_dir / "bags/donkeycar_mcap"), "--json").stdout)
    assert (facts["messages"], facts["duration_ns"], facts["storage"]) == (400, 19_950_000_000, "mcap")
    assert facts["topics"][0]["type"] == "sensor_msgs/msg/CompressedImage"
    text = qeil("bag", "info", str(data_dir / "bags/donkeycar_sqlite3")).stdout
    assert "Storage id:        sqlite3" in text
    assert "Duration:          19.950000000s" in text
    assert "Topic: /camera/image_raw/compressed | Type: sensor_msgs/msg/CompressedImage | Count: 400" in text
    single = json.loads(qeil("bag", "info", str(data_dir / "bags/all_sensor_msgs.mcap"), "--json").stdout)
    assert single["messages"] == 194
