"""Command lines of programs."""

from __future__ import annotations

import json

import pytest
from rclpy.utilities import remove_ros_args

REPORT = """
import json, sys
import rclpy
from rclpy.node import Node
rclpy.init()
node = Node("talker", automatically_declare_parameters_from_overrides=True)
second = Node("second")
print(json.dumps({
    "name": node.get_fully_qualified_name(),
    "second": second.get_fully_qualified_name(),
    "topic": node.resolve_topic_name("image"),
    "parameters": {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()},
    "rosout": "/rosout" in dict(
        node.get_publisher_names_and_types_by_node(node.get_name(), node.get_namespace())
    ),
    "rest": rclpy.utilities.remove_ros_args(sys.argv)[1:],
}))
node.destroy_node()
second.destroy_node()
rclpy.shutdown()
"""


@pytest.fixture
def report(run):
    def report_(*args):
        code, out, err = run(REPORT, *args).finish()
        assert code == 0, err
        return json.loads(out)

    return report_


def test_without_ros_arguments(report):
    told = report("--verbose", "-r", "image:=ignored", "file")
    assert told["name"] == "/talker"
    assert told["topic"] == "/image"
    assert told["rest"] == ["--verbose", "-r", "image:=ignored", "file"]


def test_names_and_remapping(report):
    told = report(
        "mine",
        "--ros-args",
        "-r",
        "talker:__node:=renamed",
        "--remap",
        "__ns:=/robot",
        "-r",
        "image:=/camera/image",
        "--",
        "--also-mine",
    )
    assert told["name"] == "/robot/renamed"
    assert told["second"] == "/robot/second"
    assert told["topic"] == "/camera/image"
    assert told["rest"] == ["mine", "--also-mine"]


def test_parameters(report, tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text(
        "talker:\n  ros__parameters:\n    rate: 10\n    nested: {flag: true}\n    list: [1.5, 2.0]\n"
    )
    told = report(
        "--ros-args",
        "--params-file",
        str(file),
        "-p",
        "rate:=20",
        "-p",
        "name:=x:=y",
        "-p",
        "use_sim_time:=false",
    )
    parameters = told["parameters"]
    assert parameters["rate"] == 20
    assert parameters["nested.flag"] is True
    assert parameters["list"] == [1.5, 2.0]
    assert parameters["name"] == "x:=y"
    assert parameters["use_sim_time"] is False


def test_rosout_can_be_disabled(report):
    assert report()["rosout"] is True
    assert report("--ros-args", "--disable-rosout-logs")["rosout"] is False


@pytest.mark.parametrize(
    "args",
    [
        ["--nonsense"],
        ["-r"],
        ["-r", "no rule"],
        ["-r", "a:=b c"],
        ["-p", "no value"],
        ["-p", "mapping:={a: 1}"],
        ["-p", "mixed:=[1, a]"],
        ["--params-file", "/no/such/file.yaml"],
        ["--log-level", "loud"],
        ["-r", "__ns:=relative"],
        ["-r", "__node:=bad name"],
    ],
)
def test_bad_arguments_are_errors(run, args):
    code, _, err = run(REPORT, "--ros-args", *args).finish()
    assert code != 0
    assert "Error" in err


@pytest.mark.parametrize(
    "text", ["a: 1", "/a:\n  ros__parameters: 3", "[1, 2]", "/a: {b: 1}", "/a: [", "ros__parameters: {a: 1}"]
)
def test_bad_parameter_files_are_errors(run, tmp_path, text):
    file = tmp_path / "parameters.yaml"
    file.write_text(text)
    code, _, err = run(REPORT, "--ros-args", "--params-file", str(file)).finish()
    assert code != 0
    assert "Error" in err


def test_removing_ros_arguments():
    args = ["program", "a", "--ros-args", "-r", "x:=y", "--", "b", "--ros-args", "-p", "c:=d"]
    assert remove_ros_args(args) == ["program", "a", "b"]
