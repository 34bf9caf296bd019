"""The states of a managed node and the ways between them. Pure: no node, no message, no clock.

The machine is that of https://design.ros2.org/articles/node_lifecycle.html, with rcl_lifecycle's numbers
and labels.
"""

from __future__ import annotations

from typing import NamedTuple


class LifecycleState(NamedTuple):
    """A state as callbacks get it."""

    label: str
    state_id: int


class LifecycleTransition(NamedTuple):
    """A way from one state to another."""

    transition_id: int
    label: str
    start: LifecycleState
    goal: LifecycleState


class InvalidTransitionError(RuntimeError):
    """The state that the machine is in has no such transition."""


UNKNOWN = LifecycleState("unknown", 0)
UNCONFIGURED = LifecycleState("unconfigured", 1)
INACTIVE = LifecycleState("inactive", 2)
ACTIVE = LifecycleState("active", 3)
FINALIZED = LifecycleState("finalized", 4)
CONFIGURING = LifecycleState("configuring", 10)
CLEANINGUP = LifecycleState("cleaningup", 11)
SHUTTINGDOWN = LifecycleState("shuttingdown", 12)
ACTIVATING = LifecycleState("activating", 13)
DEACTIVATING = LifecycleState("deactivating", 14)
ERRORPROCESSING = LifecycleState("errorprocessing", 15)

STATES = (
    UNKNOWN,
    UNCONFIGURED,
    INACTIVE,
    ACTIVE,
    FINALIZED,
    CONFIGURING,
    CLEANINGUP,
    SHUTTINGDOWN,
    ACTIVATING,
    DEACTIVATING,
    ERRORPROCESSING,
)

CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4
UNCONFIGURED_SHUTDOWN, INACTIVE_SHUTDOWN, ACTIVE_SHUTDOWN = 5, 6, 7


def _outcomes(
    base_id: int, start: LifecycleState, success: LifecycleState, failure: LifecycleState
) -> tuple[LifecycleTransition, ...]:
    """What follows the callback of a transition state."""
    return (
        LifecycleTransition(base_id, "transition_success", start, success),
        LifecycleTransition(base_id + 1, "transition_failure", start, failure),
        LifecycleTransition(base_id + 2, "transition_error", start, ERRORPROCESSING),
    )


TRANSITIONS = (
    LifecycleTransition(CONFIGURE, "configure", UNCONFIGURED, CONFIGURING),
    *_outcomes(10, CONFIGURING, INACTIVE, UNCONFIGURED),
    LifecycleTransition(CLEANUP, "cleanup", INACTIVE, CLEANINGUP),
    *_outcomes(20, CLEANINGUP, UNCONFIGURED, INACTIVE),
    LifecycleTransition(ACTIVATE, "activate", INACTIVE, ACTIVATING),
    *_outcomes(30, ACTIVATING, ACTIVE, INACTIVE),
    LifecycleTransition(DEACTIVATE, "deactivate", ACTIVE, DEACTIVATING),
    *_outcomes(40, DEACTIVATING, INACTIVE, ACTIVE),
    LifecycleTransition(UNCONFIGURED_SHUTDOWN, "shutdown", UNCONFIGURED, SHUTTINGDOWN),
    LifecycleTransition(INACTIVE_SHUTDOWN, "shutdown", INACTIVE, SHUTTINGDOWN),
    LifecycleTransition(ACTIVE_SHUTDOWN, "shutdown", ACTIVE, SHUTTINGDOWN),
    *_outcomes(50, SHUTTINGDOWN, FINALIZED, FINALIZED),
    LifecycleTransition(60, "transition_success", ERRORPROCESSING, UNCONFIGURED),
    LifecycleTransition(61, "transition_failure", ERRORPROCESSING, FINALIZED),
    LifecycleTransition(62, "transition_error", ERRORPROCESSING, FINALIZED),
)


class StateMachine:
    """Where a node is, and where it can go."""

    def __init__(self) -> None:
        self.state = UNCONFIGURED

    @property
    def available_transitions(self) -> tuple[LifecycleTransition, ...]:
        """The ways out of the present state."""
        return tuple(transition for transition in TRANSITIONS if transition.start == self.state)

    def by_id(self, transition_id: int) -> LifecycleTransition:
        """The way out with this number.

        :raises InvalidTransitionError: when there is none.
        """
        for transition in self.available_transitions:
            if transition.transition_id == transition_id:
                return transition
        raise InvalidTransitionError(
            f"no transition {transition_id} from state '{self.state.label}'; possible: {self._possible()}"
        )

    def by_label(self, label: str) -> LifecycleTransition:
        """The way out with this label.

        :raises InvalidTransitionError: when there is none.
        """
        for transition in self.available_transitions:
            if transition.label == label:
                return transition
        raise InvalidTransitionError(
            f"no transition '{label}' from state '{self.state.label}'; possible: {self._possible()}"
        )

    def follow(self, transition: LifecycleTransition) -> None:
        """Goes that way."""
        if transition not in self.available_transitions:
            raise InvalidTransitionError(f"'{transition.label}' does not start at '{self.state.label}'")
        self.state = transition.goal

    def _possible(self) -> str:
        return (
            ", ".join(f"{item.transition_id} '{item.label}'" for item in self.available_transitions) or "none"
        )
