"""Programs end when they should, with the right code, and never hang."""

from __future__ import annotations

import signal

import pytest
from support import rosless_only

TIDY = """
import sys
import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node

def main():
    rclpy.init()
    node = Node("node")
    node.create_timer(0.05, lambda: None)
    executor = SingleThreadedExecutor() if sys.argv[1] == "single" else MultiThreadedExecutor(num_threads=2)
    executor.add_node(node)
    started = node.create_timer(0.0, lambda: (print("spinning", flush=True), started.cancel()))
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException) as error:
        print(type(error).__name__, flush=True)
    finally:
        print("ok" if rclpy.ok() else "not ok", flush=True)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
main()
"""

BARE = """
import rclpy
from rclpy.node import Node
rclpy.init()
node = Node("node")
started = node.create_timer(0.0, lambda: (print("spinning", flush=True), started.cancel()))
rclpy.spin(node)
"""


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_tidy_program(run, kind, signum):
    program = run(TIDY, kind)
    program.wait_for_line("spinning")
    program.signal(signum)
    code, out, err = program.finish()
    assert code == 0, err
    assert "not ok" in out
    assert "Traceback" not in err
    if signum == signal.SIGINT:
        assert "KeyboardInterrupt" in out


def test_sigint_in_a_program_that_does_not_care(run):
    program = run(BARE)
    program.wait_for_line("spinning")
    program.signal(signal.SIGINT)
    code, _, err = program.finish()
    assert code in (-signal.SIGINT, 1, 130)
    assert "KeyboardInterrupt" in err


def test_sigterm_in_a_program_that_does_not_care(run):
    program = run(BARE)
    program.wait_for_line("spinning")
    program.signal(signal.SIGTERM)
    code, _, err = program.finish()
    # The exception is for whoever waits; a signal that comes during a callback just ends the loop.
    assert code == 0 or (code == 1 and "ExternalShutdownException" in err)


def test_a_program_that_raises_ends(run):
    code, _, err = run(
        """
        import rclpy
        from rclpy.node import Node
        from std_msgs.msg import String
        rclpy.init()
        node = Node("node")
        node.create_publisher(String, "chatter", 1)
        raise RuntimeError("on purpose")
        """
    ).finish()
    assert code == 1
    assert "on purpose" in err


def test_an_exception_in_a_callback_ends_the_program(run):
    code, _, err = run(
        """
        import rclpy
        from rclpy.executors import MultiThreadedExecutor
        from rclpy.node import Node
        rclpy.init()
        node = Node("node")

        def fail():
            raise RuntimeError("on purpose")

        node.create_timer(0.01, fail)
        executor = MultiThreadedExecutor(num_threads=2)
        executor.add_node(node)
        executor.spin()
        """
    ).finish()
    assert code == 1
    assert "on purpose" in err


def test_a_program_that_forgets_to_shut_down_ends(run):
    code, _, err = run(
        """
        import rclpy
        from rclpy.node import Node
        rclpy.init()
        node = Node("node")
        rclpy.spin_once(node, timeout_sec=0.1)
        """
    ).finish()
    assert code == 0, err


@rosless_only("a thread of rclpy that waits while the interpreter ends may abort the process")
def test_a_daemon_thread_that_spins_does_not_hold_a_program_up(run):
    code, _, err = run(
        """
        import threading
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        rclpy.init()
        node = Node("node")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        threading.Thread(target=executor.spin, daemon=True).start()
        """
    ).finish()
    assert code == 0, err


def test_sys_exit_in_a_callback(run):
    code, _, _ = run(
        """
        import sys
        import rclpy
        from rclpy.node import Node
        rclpy.init()
        node = Node("node")
        node.create_timer(0.01, lambda: sys.exit(7))
        rclpy.spin(node)
        """
    ).finish()
    assert code == 7


def test_a_signal_wakes_a_loop_that_asks_ok(run):
    program = run(
        """
        import time
        import rclpy
        rclpy.init()
        print("running", flush=True)
        while rclpy.ok():
            time.sleep(0.01)
        rclpy.try_shutdown()
        """
    )
    program.wait_for_line("running")
    program.signal(signal.SIGTERM)
    code, _, err = program.finish()
    assert code == 0, err


def test_handlers_can_be_left_to_the_program(run):
    program = run(
        """
        import signal, sys, time
        import rclpy
        from rclpy.signals import SignalHandlerOptions
        signal.signal(signal.SIGTERM, lambda *_: (print(rclpy.ok(), flush=True), sys.exit(3)))
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        print("running", flush=True)
        time.sleep(100)
        """
    )
    program.wait_for_line("running")
    program.signal(signal.SIGTERM)
    code, out, err = program.finish()
    assert (code, out.strip()) == (3, "True"), err


def test_after_shutdown_signals_mean_what_they_meant(run):
    program = run(
        """
        import time
        import rclpy
        rclpy.init()
        rclpy.shutdown()
        print("running", flush=True)
        time.sleep(100)
        """
    )
    program.wait_for_line("running")
    program.signal(signal.SIGTERM)
    assert program.finish()[0] == -signal.SIGTERM


def test_a_call_that_is_never_answered_does_not_hold_a_program_up(run):
    program = run(
        """
        import rclpy
        from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
        from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
        from rclpy.node import Node
        from rclpy.task import Future
        from std_srvs.srv import Trigger

        rclpy.init()
        node = Node("node")
        never = Future()

        async def serve(request, response):
            await never
            return response

        def call():
            print("calling", flush=True)
            client.call(Trigger.Request(), timeout_sec=5.0)

        node.create_service(Trigger, "never", serve)
        client = node.create_client(Trigger, "never", callback_group=MutuallyExclusiveCallbackGroup())
        client.wait_for_service()
        timer = node.create_timer(0.01, call, MutuallyExclusiveCallbackGroup())
        executor = MultiThreadedExecutor(num_threads=3)
        executor.add_node(node)
        try:
            executor.spin()
        except (KeyboardInterrupt, ExternalShutdownException):
            pass
        """
    )
    program.wait_for_line("calling")
    program.signal(signal.SIGINT)
    code, _, err = program.finish()
    assert code == 0, err
