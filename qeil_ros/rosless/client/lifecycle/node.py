"""Nodes with a managed life."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from lifecycle_msgs import msg, srv

from .._rclpy_pybind11 import RCLError
from ..callback_groups import CallbackGroup
from ..node import Node
from ..qos import QoSProfile
from . import _state_machine as machine
from ._state_machine import InvalidTransitionError, LifecycleTransition, StateMachine
from ._state_machine import LifecycleState as LifecycleState
from .managed_entity import ManagedEntity, TransitionCallbackReturn
from .publisher import LifecyclePublisher

_Callback = Callable[[LifecycleState], TransitionCallbackReturn]

# rcl_lifecycle's choice for `transition_event`.
_EVENT_QOS = QoSProfile(depth=1)


class LifecycleNodeMixin(ManagedEntity):
    """What makes a `Node` a managed one. Use it only in multiple inheritance with `Node`.

    Override `on_configure`, `on_activate` and their like, and call the base class's, which does the same
    for the managed entities.
    """

    def __init__(
        self, *, enable_communication_interface: bool = True, callback_group: CallbackGroup | None = None
    ) -> None:
        """:param enable_communication_interface: offer the services and publish `~/transition_event`.

        :param callback_group: of the services; None for the node's default group.
        """
        assert isinstance(self, Node)
        self._state_machine = StateMachine()
        # One transition at a time, whoever asks for it. Reentrant, so that a callback's own request gets an
        # error rather than a deadlock.
        self._transition_lock = threading.RLock()
        self._managed_entities: dict[ManagedEntity, None] = {}
        self._transition_event_publisher = None
        if not enable_communication_interface:
            return
        self._transition_event_publisher = self.create_publisher(
            msg.TransitionEvent, "~/transition_event", _EVENT_QOS
        )
        for srv_type, name, callback in (
            (srv.ChangeState, "change_state", self._on_change_state),
            (srv.GetState, "get_state", self._on_get_state),
            (srv.GetAvailableStates, "get_available_states", self._on_get_available_states),
            (srv.GetAvailableTransitions, "get_available_transitions", self._on_get_available_transitions),
            (srv.GetAvailableTransitions, "get_transition_graph", self._on_get_transition_graph),
        ):
            self.create_service(srv_type, f"~/{name}", callback, callback_group=callback_group)

    # From inside

    def trigger_configure(self) -> TransitionCallbackReturn:
        return self._change_state(machine.CONFIGURE)

    def trigger_cleanup(self) -> TransitionCallbackReturn:
        return self._change_state(machine.CLEANUP)

    def trigger_activate(self) -> TransitionCallbackReturn:
        return self._change_state(machine.ACTIVATE)

    def trigger_deactivate(self) -> TransitionCallbackReturn:
        return self._change_state(machine.DEACTIVATE)

    def trigger_shutdown(self) -> TransitionCallbackReturn:
        try:
            transition = self._state_machine.by_label("shutdown")
        except InvalidTransitionError as error:
            raise RCLError(f"Shutdown transition not possible: {error}") from None
        return self._change_state(transition.transition_id)

    def add_managed_entity(self, entity: ManagedEntity) -> None:
        """Lets an entity follow the node's transitions."""
        if not isinstance(entity, ManagedEntity):
            raise TypeError("Expected a rclpy.lifecycle.ManagedEntity instance.")
        self._managed_entities[entity] = None

    def create_lifecycle_publisher(self, *args: Any, **kwargs: Any) -> LifecyclePublisher:
        """Like `Node.create_publisher`; the publisher is silent while the node is not active."""
        if "publisher_class" in kwargs:
            raise TypeError("create_publisher() got an unexpected keyword argument 'publisher_class'")
        assert isinstance(self, Node)
        publisher = Node.create_publisher(self, *args, **kwargs, publisher_class=LifecyclePublisher)
        assert isinstance(publisher, LifecyclePublisher)
        self._managed_entities[publisher] = None
        return publisher

    def destroy_lifecycle_publisher(self, publisher: LifecyclePublisher) -> bool:
        """True if the publisher was this node's."""
        assert isinstance(self, Node)
        self._managed_entities.pop(publisher, None)
        return Node.destroy_publisher(self, publisher)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configures the managed entities, up to the first that does not succeed."""
        return self._ask_entities("on_configure", state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Cleans the managed entities up, up to the first that does not succeed."""
        return self._ask_entities("on_cleanup", state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Shuts the managed entities down, up to the first that does not succeed."""
        return self._ask_entities("on_shutdown", state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activates the managed entities, up to the first that does not succeed."""
        return self._ask_entities("on_activate", state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivates the managed entities, up to the first that does not succeed."""
        return self._ask_entities("on_deactivate", state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called when another callback raised or returned ERROR. SUCCESS leads to unconfigured, else to
        finalized."""
        return self._ask_entities("on_error", state)

    def _ask_entities(self, callback_name: str, state: LifecycleState) -> TransitionCallbackReturn:
        for entity in list(self._managed_entities):
            result = getattr(entity, callback_name)(state)
            if not isinstance(result, TransitionCallbackReturn):
                raise TypeError(
                    f"{callback_name}() of {entity!r} must return a TransitionCallbackReturn, got {result!r}"
                )
            if result is not TransitionCallbackReturn.SUCCESS:
                return result
        return TransitionCallbackReturn.SUCCESS

    # Transitions

    def _change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """Takes a transition with its callback, and the error path where that fails.

        :raises RCLError: when the present state has no such transition.
        """
        with self._transition_lock:
            initial = self._state_machine.state
            try:
                transition = self._state_machine.by_id(transition_id)
            except InvalidTransitionError as error:
                raise RCLError(f"Failed to trigger lifecycle state machine transition: {error}") from None
            self._follow(transition)
            result = self._run_callback(initial)
            self._follow(self._state_machine.by_label(result.to_label()))
            if result is TransitionCallbackReturn.ERROR:
                recovered = self._run_callback(initial)
                self._follow(self._state_machine.by_label(recovered.to_label()))
            return result

    def _follow(self, transition: LifecycleTransition) -> None:
        self._state_machine.follow(transition)
        publisher = self._transition_event_publisher
        assert isinstance(self, Node)
        if publisher is not None and self.context.ok():
            publisher.publish(
                msg.TransitionEvent(
                    timestamp=self.get_clock().now().nanoseconds,
                    transition=msg.Transition(id=transition.transition_id, label=transition.label),
                    start_state=_state_msg(transition.start),
                    goal_state=_state_msg(transition.goal),
                )
            )

    def _run_callback(self, previous: LifecycleState) -> TransitionCallbackReturn:
        assert isinstance(self, Node)
        name = _CALLBACKS[self._state_machine.state]
        try:
            result = getattr(self, name)(previous)
            if not isinstance(result, TransitionCallbackReturn):
                raise TypeError(f"it must return a TransitionCallbackReturn, got {result!r}")
            return result
        except Exception as error:
            self.get_logger().error(f"{name} failed: {type(error).__name__}: {error}")
            return TransitionCallbackReturn.ERROR

    # From outside

    def _on_change_state(self, request: Any, response: Any) -> Any:
        try:
            transition_id = request.transition.id
            if request.transition.label:
                transition_id = self._state_machine.by_label(request.transition.label).transition_id
            response.success = self._change_state(transition_id) is TransitionCallbackReturn.SUCCESS
        except (InvalidTransitionError, RCLError) as error:
            assert isinstance(self, Node)
            self.get_logger().warning(f"refused to change state: {error}")
            response.success = False
        return response

    def _on_get_state(self, request: Any, response: Any) -> Any:
        response.current_state = _state_msg(self._state_machine.state)
        return response

    def _on_get_available_states(self, request: Any, response: Any) -> Any:
        response.available_states = [_state_msg(state) for state in machine.STATES]
        return response

    def _on_get_available_transitions(self, request: Any, response: Any) -> Any:
        response.available_transitions = _descriptions(self._state_machine.available_transitions)
        return response

    def _on_get_transition_graph(self, request: Any, response: Any) -> Any:
        response.available_transitions = _descriptions(machine.TRANSITIONS)
        return response


_CALLBACKS = {
    machine.CONFIGURING: "on_configure",
    machine.CLEANINGUP: "on_cleanup",
    machine.SHUTTINGDOWN: "on_shutdown",
    machine.ACTIVATING: "on_activate",
    machine.DEACTIVATING: "on_deactivate",
    machine.ERRORPROCESSING: "on_error",
}


def _state_msg(state: LifecycleState) -> Any:
    return msg.State(id=state.state_id, label=state.label)


def _descriptions(transitions: tuple[LifecycleTransition, ...]) -> list[Any]:
    return [
        msg.TransitionDescription(
            transition=msg.Transition(id=transition.transition_id, label=transition.label),
            start_state=_state_msg(transition.start),
            goal_state=_state_msg(transition.goal),
        )
        for transition in transitions
    ]


class LifecycleNode(LifecycleNodeMixin, Node):
    """A node with a managed life."""

    def __init__(self, node_name: str, *, enable_communication_interface: bool = True, **kwargs: Any) -> None:
        """See `LifecycleNodeMixin` and `Node`."""
        Node.__init__(self, node_name, **kwargs)
        LifecycleNodeMixin.__init__(self, enable_communication_interface=enable_communication_interface)
