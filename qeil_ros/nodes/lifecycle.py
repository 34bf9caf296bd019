"""Lifecycle callbacks that say what went wrong and leave nothing behind."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

__all__ = ["ManagedNode"]


class ManagedNode(LifecycleNode):  # type: ignore[misc]  # untyped where no ROS 2 is installed
    """A lifecycle node written as four plain methods; every one may be called again after the others.

    `configure` loads and creates, `activate` starts, `deactivate` stops, `cleanup` releases all that
    `configure` made and must cope with half of it. A ValueError or OSError from the first two is an answer to
    the user ("no such model"): it is logged, and the node stays in the state it was in. Anything else is a
    bug: it is logged with its traceback and the node goes through error processing. rclpy itself would
    swallow both without a word.
    """

    def configure(self) -> None:
        """Unconfigured -> inactive."""

    def activate(self) -> None:
        """Inactive -> active."""

    def deactivate(self) -> None:
        """Active -> inactive."""

    def cleanup(self) -> None:
        """Any state -> as if never configured. Must not raise for parts that are not there."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._try("configure", self.configure)
        if result != TransitionCallbackReturn.SUCCESS:
            self._try("cleanup", self.cleanup)
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        super().on_activate(state)  # enables the lifecycle publishers
        result = self._try("activate", self.activate)
        if result != TransitionCallbackReturn.SUCCESS:
            self._try("deactivate", self.deactivate)
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._try("deactivate", self.deactivate)
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._try("cleanup", self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._try("deactivate", self.deactivate)
        return self._try("cleanup", self.cleanup)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured, from where the node can be configured again."""
        self._try("deactivate", self.deactivate)
        return self._try("cleanup", self.cleanup)

    def destroy_node(self) -> Any:
        """Also ends the node's threads and releases its model, in whatever state it is."""
        self._try("deactivate", self.deactivate)
        self._try("cleanup", self.cleanup)
        return super().destroy_node()

    def _try(self, name: str, step: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            step()
        except (ValueError, OSError) as error:
            self.get_logger().error(f"{name}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(f"{name}: {error!r}\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS
