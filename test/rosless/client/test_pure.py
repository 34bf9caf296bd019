"""The parts that need neither graph nor node."""

from __future__ import annotations

import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qeil_ros.rosless.finder import installed

if not installed():
    pytest.skip("a real rclpy is installed; this is about ours", allow_module_level=True)

from qeil_ros.rosless.client import _names, _values
from qeil_ros.rosless.client._arguments import parse_arguments, parse_remap_rule, without_ros_arguments
from qeil_ros.rosless.client._rclpy_pybind11 import RCLInvalidROSArgsError, UnknownROSArgsError
from qeil_ros.rosless.client._wakeup import Wakeup
from qeil_ros.rosless.client.exceptions import NameValidationException
from qeil_ros.rosless.client.lifecycle import _state_machine as machine


@pytest.mark.parametrize(
    "text, value",
    [
        ("1", 1),
        ("-12", -12),
        ("0x1F", 31),
        ("1.", 1.0),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("true", True),
        ("Off", False),
        ("yes", True),
        ("y", "y"),
        ("'1'", "1"),
        ("''", ""),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("[1, 2]", [1, 2]),
        ("[]", []),
        ("[a, 'b c']", ["a", "b c"]),
        ("a", "a"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
    ],
)
def test_yaml_values(text, value):
    parsed = _values.parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "text", ["", "~", "null", "{a: 1}", "[1, 2.0]", "[[1]]", "[1", "a: b", str(2**63), "!!python/none"]
)
def test_what_is_no_value(text):
    with pytest.raises(ValueError):
        _values.parse_value(text)


@pytest.mark.parametrize(
    "pattern, name, matches",
    [
        ("/**", "/a", True),
        ("/**", "/a/b/c", True),
        ("/*", "/a", True),
        ("/*", "/a/b", False),
        ("/*/b", "/a/b", True),
        ("/a/**", "/a/b/c", True),
        ("/a/**", "/b/a", False),
        ("/**/c", "/a/b/c", True),
        ("/**/c", "/c", True),
        ("a", "/a", True),
        ("/a.", "/ab", False),
    ],
)
def test_node_patterns(pattern, name, matches):
    assert _values.matches_node(pattern, name) is matches


def test_nested_namespaces_in_a_parameter_file():
    text = "ns:\n  inner: {node: {ros__parameters: {a: {b: 1}}}}\n  other: {ros__parameters: {c: 2}}\n"
    assert _values.parse_parameter_file(text) == [("/ns/inner/node", {"a.b": 1}), ("/ns/other", {"c": 2})]


def test_later_parameters_win():
    arguments = parse_arguments(["x", "--ros-args", "-p", "a:=1", "-p", "n:a:=2", "-p", "a:=3"])
    assert arguments.parameters_for("/n") == {"a": 3}


def test_scopes():
    args = ["x", "-r", "a:=b", "--ros-args", "-r", "c:=d", "--", "-r", "e:=f", "--ros-args", "-e", "/secure"]
    arguments = parse_arguments(args)
    assert [rule.source for rule in arguments.remap_rules] == ["c"]
    assert arguments.enclave == "/secure"
    assert without_ros_arguments(args) == ["x", "-r", "a:=b", "-r", "e:=f"]


def test_unknown_arguments_are_named():
    with pytest.raises(UnknownROSArgsError, match=r"\[--one, two\]"):
        parse_arguments(["--ros-args", "--one", "-r", "a:=b", "two"])
    with pytest.raises(RCLInvalidROSArgsError, match="needs a value"):
        parse_arguments(["--ros-args", "-r", "--ros-args"])


@pytest.mark.parametrize(
    "text", ["a", "a:=", ":=b", "a:b", "n:m:a:=b", "a:=b:=c", "__ns:=x", "rostopic://__ns:=/x"]
)
def test_what_is_no_rule(text):
    with pytest.raises((ValueError, NameValidationException)):
        parse_remap_rule(text)


NAMES = st.text(alphabet="ab1_/~{}", max_size=12)


@given(NAMES)
def test_expansion_gives_a_valid_name_or_says_why_not(name):
    try:
        full = _names.resolve(name, "node", "/ns")
    except NameValidationException:
        return
    assert _names.validate_full_topic_name(full)
    assert full.startswith("/")
    assert _names.resolve(full, "other", "/") == full


@given(
    st.lists(st.sampled_from(["--ros-args", "--", "-r", "a:=b", "-p", "c:=1", "x", "--log-level", "debug"]))
)
def test_arguments_are_read_or_refused(args):
    try:
        parse_arguments(args)
    except (UnknownROSArgsError, RCLInvalidROSArgsError):
        return
    kept = without_ros_arguments(args)
    assert "--ros-args" not in kept
    assert parse_arguments(kept).remap_rules == []


def test_every_way_starts_and_ends_at_a_known_state():
    for transition in machine.TRANSITIONS:
        assert transition.start in machine.STATES
        assert transition.goal in machine.STATES
    ids = [(item.start, item.transition_id) for item in machine.TRANSITIONS]
    assert len(set(ids)) == len(ids)


@given(st.lists(st.integers(0, 70), max_size=20))
def test_the_machine_only_goes_where_there_is_a_way(wanted):
    state_machine = machine.StateMachine()
    for transition_id in wanted:
        before = state_machine.state
        possible = {item.transition_id for item in state_machine.available_transitions}
        if transition_id in possible:
            state_machine.follow(state_machine.by_id(transition_id))
        else:
            with pytest.raises(machine.InvalidTransitionError):
                state_machine.by_id(transition_id)
            assert state_machine.state is before


def test_a_wakeup_is_remembered_once():
    wakeup = Wakeup()
    wakeup.set()
    wakeup.set()
    assert wakeup.wait(0)
    assert not wakeup.wait(0)


def test_a_wakeup_wakes():
    wakeup, woken = Wakeup(), []
    thread = threading.Thread(target=lambda: woken.append(wakeup.wait()))
    thread.start()
    time.sleep(0.05)
    wakeup.set()
    thread.join(20)
    assert woken == [True]


def test_no_wakeup_is_lost_between_threads():
    """Every item put before `set` is seen by a taker that looks after `wait`."""
    wakeup, items, taken = Wakeup(), [], 0

    def put() -> None:
        for number in range(5000):
            items.append(number)
            wakeup.set()

    thread = threading.Thread(target=put)
    thread.start()
    while taken < 5000:
        assert wakeup.wait(20)
        taken = len(items)
    thread.join(20)


def test_actions_say_that_they_are_left_out():
    with pytest.raises(ImportError, match="actions are not part"):
        import rclpy.action  # noqa: F401
