"""Nodes as processes: they start by themselves, end when asked, and say why they cannot start."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import rclpy
import tiny_models
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from support import wait_until

PAIRS = [("encoder", "features"), ("co_inference", "offboard/status")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_models.classifier(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def probe(ros_graph):
    rclpy.init(args=[])
    node = rclpy.create_node("probe")
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture
def start(ros_graph, model):
    processes = []

    def make(executable, *arguments):
        command = [
            sys.executable,
            "-m",
            f"qeil_ros.nodes.{executable}",
            "--ros-args",
            "-p",
            f"model:={model}",
        ]
        process = subprocess.Popen(
            [*command, *arguments], env=ros_graph, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        processes.append(process)
        return process

    yield make
    for process in processes:
        process.kill()
        process.wait()


def call(probe, kind, name, request):
    client = probe.create_client(kind, name)
    assert client.wait_for_service(timeout_sec=30.0)
    future = client.call_async(request)
    rclpy.spin_until_future_complete(probe, future, timeout_sec=30.0)
    assert future.done()
    return future.result()


@pytest.mark.parametrize(("executable", "topic"), PAIRS)
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_process_comes_up_by_itself_and_ends_when_asked(probe, start, executable, topic, stop):
    process = start(executable)
    wait_until(lambda: probe.count_publishers(topic), timeout_s=60)
    state = call(probe, GetState, f"/{executable}/get_state", GetState.Request()).current_state
    assert state.id == State.PRIMARY_STATE_ACTIVE
    process.send_signal(stop)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert "Traceback" not in output


@pytest.mark.parametrize(("executable", "topic"), PAIRS)
def test_without_autostart_somebody_else_leads(probe, start, executable, topic):
    process = start(executable, "-p", "autostart:=false")
    state = call(probe, GetState, f"/{executable}/get_state", GetState.Request()).current_state
    assert state.id == State.PRIMARY_STATE_UNCONFIGURED
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert call(probe, ChangeState, f"/{executable}/change_state", request).success
    state = call(probe, GetState, f"/{executable}/get_state", GetState.Request()).current_state
    assert state.id == State.PRIMARY_STATE_ACTIVE
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output


BUSY = """
import time
from qeil_ros.nodes.lifecycle import ManagedNode
from qeil_ros.nodes.main import run
from std_msgs.msg import Empty

class Busy(ManagedNode):
    def __init__(self):
        super().__init__("busy")
        self.out = self.create_publisher(Empty, "out", 1)
        self.create_timer(0.01, self.work)

    def work(self):
        print("working", flush=True)
        while self.context.ok():
            time.sleep(0.01)
        self.out.publish(Empty())

run(Busy)
"""


def test_a_callback_that_outlives_the_context_is_no_failure(ros_graph):
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY], env=ros_graph, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("executable", "arguments", "message"),
    [
        ("encoder", ["-p", "model:=nowhere"], "no model 'nowhere'"),
        ("encoder", ["-p", "feature_bits:=9"], "feature_bits"),
        ("encoder", ["-p", "image_transport:=pigeon"], "'pigeon' is none of 'auto', 'raw', 'compressed'"),
        ("co_inference", ["-p", "max_batch:=0"], "max_batch"),
        ("co_inference", ["-p", "robots:=[a, a]"], "want different names"),
    ],
)
def test_a_process_that_cannot_start_says_why(start, executable, arguments, message):
    process = start(executable, *arguments)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert message in output and "Traceback" not in output
