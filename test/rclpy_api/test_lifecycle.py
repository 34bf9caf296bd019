"""Managed nodes."""

from __future__ import annotations

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetAvailableStates, GetAvailableTransitions, GetState
from rclpy.lifecycle import LifecycleNode, ManagedEntity, SimpleManagedEntity, TransitionCallbackReturn
from std_msgs.msg import Int32
from support import REAL_RCLPY, rosless_only

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


class Recorder(LifecycleNode):
    """Notes its callbacks, and returns what it is told to."""

    def __init__(self, name, **options):
        self.calls = []
        self.answers = {}
        super().__init__(name, **options)

    def _note(self, name, state):
        self.calls.append((name, state.label))
        answer = self.answers.get(name, SUCCESS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_configure(self, state):
        return (
            self._note("configure", state) if "configure" in self.answers else self._both("configure", state)
        )

    def _both(self, name, state):
        answer = self._note(name, state)
        getattr(super(), f"on_{name}")(state)
        return answer

    def on_activate(self, state):
        return self._both("activate", state)

    def on_deactivate(self, state):
        return self._both("deactivate", state)

    def on_cleanup(self, state):
        return self._both("cleanup", state)

    def on_shutdown(self, state):
        return self._both("shutdown", state)

    def on_error(self, state):
        return self._both("error", state)


@pytest.fixture
def managed(make_node):
    return make_node("managed", cls=Recorder)


@pytest.fixture
def ask(make_node, managed, spin_until):
    """`ask(Type, name, **fields)` calls a service of the managed node from another one."""
    caller = make_node("caller")

    def ask_(srv_type, name, **fields):
        client = caller.create_client(srv_type, f"/managed/{name}")
        assert client.wait_for_service(timeout_sec=20.0)
        future = client.call_async(srv_type.Request(**fields))
        spin_until(future.done, caller, managed)
        return future.result()

    return ask_


@pytest.fixture
def state(ask):
    return lambda: ask(GetState, "get_state").current_state.label


def test_the_whole_life(managed, state):
    assert state() == "unconfigured"
    assert managed.trigger_configure() is SUCCESS
    assert state() == "inactive"
    assert managed.trigger_activate() is SUCCESS
    assert state() == "active"
    assert managed.trigger_deactivate() is SUCCESS
    assert managed.trigger_cleanup() is SUCCESS
    assert state() == "unconfigured"
    assert managed.trigger_shutdown() is SUCCESS
    assert state() == "finalized"
    assert managed.calls == [
        ("configure", "unconfigured"),
        ("activate", "inactive"),
        ("deactivate", "active"),
        ("cleanup", "inactive"),
        ("shutdown", "unconfigured"),
    ]


def test_the_services(ask, state):
    by_id = Transition(id=Transition.TRANSITION_CONFIGURE)
    assert ask(ChangeState, "change_state", transition=by_id).success
    assert ask(ChangeState, "change_state", transition=Transition(label="activate")).success
    current = ask(GetState, "get_state").current_state
    assert (current.id, current.label) == (State.PRIMARY_STATE_ACTIVE, "active")
    states = {
        item.id: item.label for item in ask(GetAvailableStates, "get_available_states").available_states
    }
    assert len(states) == 11
    assert states[State.TRANSITION_STATE_ERRORPROCESSING] == "errorprocessing"
    available = ask(GetAvailableTransitions, "get_available_transitions").available_transitions
    ways = {(item.transition.id, item.transition.label, item.goal_state.label) for item in available}
    assert ways == {(4, "deactivate", "deactivating"), (7, "shutdown", "shuttingdown")}
    graph = ask(GetAvailableTransitions, "get_transition_graph").available_transitions
    assert len(graph) == 25
    assert state() == "active"


@rosless_only("rclpy of Jazzy and before lets the exception out of the service callback")
@pytest.mark.parametrize("number", [Transition.TRANSITION_ACTIVATE, 200])
def test_a_transition_that_is_not_possible_is_answered(ask, managed, number):
    assert not ask(ChangeState, "change_state", transition=Transition(id=number)).success
    assert managed.calls == []


def test_what_is_not_possible_is_refused(ask, managed, state):
    assert not ask(ChangeState, "change_state", transition=Transition(label="nonsense")).success
    with pytest.raises(RuntimeError):
        managed.trigger_activate()
    assert state() == "unconfigured"
    assert managed.calls == []


def test_a_failure_leads_back(managed, ask, state):
    managed.answers["configure"] = FAILURE
    assert managed.trigger_configure() is FAILURE
    assert state() == "unconfigured"
    assert not ask(ChangeState, "change_state", transition=Transition(label="configure")).success


NO_CODE = pytest.param(
    "not a return code", marks=rosless_only("rclpy of Jazzy and before stays in the middle of the transition")
)


@pytest.mark.parametrize("trouble", [ERROR, ValueError("broken"), NO_CODE])
@pytest.mark.parametrize(
    "recovery, goal", [(SUCCESS, "unconfigured"), (FAILURE, "finalized"), (ERROR, "finalized")]
)
def test_errors_are_processed(managed, state, trouble, recovery, goal):
    managed.answers.update(configure=trouble, error=recovery)
    assert managed.trigger_configure() is ERROR
    assert [name for name, _ in managed.calls] == ["configure", "error"]
    assert state() == goal


def test_transitions_are_announced(make_node, managed, spin_until):
    watcher = make_node("watcher")
    events = []
    watcher.create_subscription(TransitionEvent, "/managed/transition_event", events.append, 10)
    spin_until(lambda: watcher.count_publishers("/managed/transition_event") == 1, watcher, managed)
    spin_until(lambda: managed.count_subscribers("/managed/transition_event") == 1, watcher, managed)
    managed.trigger_configure()
    spin_until(lambda: len(events) >= 2, watcher)
    assert [(event.start_state.label, event.goal_state.label) for event in events] == [
        ("unconfigured", "configuring"),
        ("configuring", "inactive"),
    ]
    assert REAL_RCLPY or events[0].transition.label == "configure", "rcl leaves this field empty"


def test_publishers_are_silent_unless_active(make_node, managed, spin_until):
    listener = make_node("listener")
    received = []
    listener.create_subscription(Int32, "count", lambda message: received.append(message.data), 10)
    publisher = managed.create_lifecycle_publisher(Int32, "count", 10)
    spin_until(lambda: publisher.get_subscription_count() == 1, listener, managed)
    assert not publisher.is_activated
    publisher.publish(Int32(data=1))
    managed.trigger_configure()
    publisher.publish(Int32(data=2))
    managed.trigger_activate()
    assert publisher.is_activated
    publisher.publish(Int32(data=3))
    managed.trigger_deactivate()
    publisher.publish(Int32(data=4))
    managed.trigger_activate()
    publisher.publish(Int32(data=5))
    spin_until(lambda: 5 in received, listener)
    assert received == [3, 5]
    managed.destroy_lifecycle_publisher(publisher)


def test_managed_entities_follow(make_node):
    node = LifecycleNode("plain")
    calls = []

    class Part(ManagedEntity):
        def on_configure(self, state):
            calls.append(state.label)
            return FAILURE if len(calls) == 1 else SUCCESS

    switch = SimpleManagedEntity()
    node.add_managed_entity(Part())
    node.add_managed_entity(switch)
    assert node.trigger_configure() is FAILURE
    assert node.trigger_configure() is SUCCESS
    assert calls == ["unconfigured", "unconfigured"]
    node.trigger_activate()
    assert switch.is_activated
    node.trigger_deactivate()
    assert not switch.is_activated
    with pytest.raises(TypeError):
        node.add_managed_entity(object())
    node.destroy_node()


def test_methods_that_work_only_when_enabled():
    class Part(SimpleManagedEntity):
        def __init__(self):
            super().__init__()
            self.done = []

        @SimpleManagedEntity.when_enabled
        def work(self, what):
            self.done.append(what)

    part = Part()
    part.work(1)
    part.on_activate(None)
    part.work(2)
    part.on_deactivate(None)
    part.work(3)
    assert part.done == [2]


def test_a_node_without_services(make_node, spin_until):
    node = make_node("silent", cls=LifecycleNode, enable_communication_interface=False)
    caller = make_node("caller")
    assert node.trigger_configure() is SUCCESS
    assert not caller.create_client(GetState, "/silent/get_state").wait_for_service(timeout_sec=0.3)


def test_names_follow_the_namespace(make_node, spin_until):
    node = make_node(
        "managed", cls=LifecycleNode, namespace="/robot", cli_args=["--ros-args", "-r", "__node:=cam"]
    )
    caller = make_node("caller")
    spin_until(
        lambda: (
            dict(caller.get_service_names_and_types()).get("/robot/cam/change_state")
            == ["lifecycle_msgs/srv/ChangeState"]
        ),
        node,
        caller,
    )


def test_a_transition_inside_of_a_transition_is_refused(ros):
    raised = []

    class Impatient(LifecycleNode):
        def on_configure(self, state):
            try:
                self.trigger_activate()
            except RuntimeError as error:
                raised.append(error)
            return SUCCESS

    node = Impatient("impatient")
    assert node.trigger_configure() is SUCCESS
    assert len(raised) == 1
    node.destroy_node()
    assert rclpy.ok()
