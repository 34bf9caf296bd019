from __future__ import annotations

import pytest
import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

from qeil_ros.nodes.lifecycle import ManagedNode

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class Recorder(ManagedNode):
    """Notes what was called; `fails` maps a method's name to what it raises."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: dict[str, Exception] = {}
        super().__init__("recorder")

    def _note(self, name):
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]

    def configure(self):
        self._note("configure")

    def activate(self):
        self._note("activate")

    def deactivate(self):
        self._note("deactivate")

    def cleanup(self):
        self._note("cleanup")


@pytest.fixture
def node(ros_graph):
    rclpy.init(args=[])
    node = Recorder()
    yield node
    node.fails.clear()
    node.destroy_node()
    rclpy.try_shutdown()


def test_the_whole_round_twice(node):
    for _ in range(2):
        assert node.trigger_configure() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
    assert node.calls == 2 * ["configure", "activate", "deactivate", "cleanup"]


def test_what_the_user_got_wrong_leaves_the_state_as_it_was(node):
    node.fails = {"configure": ValueError("no such model")}
    assert node.trigger_configure() == FAILURE
    assert node.calls == ["configure", "cleanup"]
    node.fails = {"activate": OSError("no such device")}
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == FAILURE
    assert node.calls[-2:] == ["activate", "deactivate"]
    node.fails = {}
    assert node.trigger_activate() == SUCCESS, "it was still configured"


def test_a_bug_ends_in_unconfigured_and_can_be_tried_again(node):
    node.fails = {"configure": RuntimeError("a bug")}
    assert node.trigger_configure() == ERROR
    node.fails = {"activate": KeyError("another")}
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == ERROR
    assert node.calls[-2:] == ["deactivate", "cleanup"]
    node.fails = {}
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS


def test_shutdown_and_destruction_release_everything(node):
    node.trigger_configure()
    node.trigger_activate()
    node.calls.clear()
    assert node.trigger_shutdown() == SUCCESS
    assert node.calls == ["deactivate", "cleanup"]
