"""The main function that every node of the package has."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.logging import get_logger

from .parameters import ParameterError

__all__ = ["run"]

_SWITCH_S = 5e-4
_OVERRIDE = "ZENOH_CONFIG_OVERRIDE"
_NO_SHARED_MEMORY = "transport/shared_memory/enabled=false"


def run(
    make_node: Callable[[], LifecycleNode], args: Sequence[str] | None = None, *, images: bool = True
) -> None:
    """Runs one lifecycle node until SIGINT or SIGTERM.

    Args:
        images: whether it exchanges messages of kilobytes, for which Zenoh's shared memory pays: that wakes
            up twenty times a second to look after itself.

    With the parameter `autostart` true (its default) the node is configured and activated first; a node that
    cannot is an error: the reason is logged and the process exits with 1, for a launcher to see and to try
    again.

    Raises:
        SystemExit: with code 1, as said above.
    """
    # A message that arrives while another thread computes waits no longer than that for the interpreter.
    sys.setswitchinterval(_SWITCH_S)
    if not images:
        given = os.environ.get(_OVERRIDE, "").strip()
        os.environ[_OVERRIDE] = ";".join(filter(None, [_NO_SHARED_MEMORY, given]))  # the last word is theirs
    rclpy.init(args=None if args is None else list(args))
    node = None
    try:
        node = make_node()
        if _autostart(node) and not _bring_up(node):
            sys.exit(1)
        # What is loaded by now stays; the collector need not walk through it between two frames.
        gc.collect()
        gc.freeze()
        _give_back()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # asked to stop
    except ParameterError as error:
        get_logger("qeil_ros").fatal(str(error))
        sys.exit(1)
    except RuntimeError:
        if rclpy.ok():
            raise
        # SIGTERM ends the context at once: a callback that was at work could not publish any more.
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


def _give_back() -> None:
    """Returns the memory that loading needed and left free to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _autostart(node: LifecycleNode) -> bool:
    return bool(node.get_parameter("autostart").value) if node.has_parameter("autostart") else True


def _bring_up(node: LifecycleNode) -> bool:
    for transition, name in ((node.trigger_configure, "configure"), (node.trigger_activate, "activate")):
        if transition() != TransitionCallbackReturn.SUCCESS:
            node.get_logger().fatal(f"could not {name}; the reason is above")
            return False
    return True
