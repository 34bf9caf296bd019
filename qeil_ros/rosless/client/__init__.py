"""The client library that is served as `rclpy` where no ROS 2 is installed: its public API and semantics.

Modules have rclpy's names; those that begin with an underscore are this implementation's own. A program
that uses only rclpy's documented API must not be able to tell the two apart; what is left out is listed in
docs/rosless.md. Nothing here opens a connection before the first node is made, and nothing keeps a process
alive that wants to end.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .context import Context
from .parameter import Parameter
from .signals import SignalHandlerOptions, install_signal_handlers, uninstall_signal_handlers
from .task import Future
from .utilities import get_available_rmw_implementations as get_available_rmw_implementations
from .utilities import get_default_context
from .utilities import get_rmw_implementation_identifier as get_rmw_implementation_identifier
from .utilities import ok as ok
from .utilities import shutdown as _shutdown
from .utilities import try_shutdown as _try_shutdown

if TYPE_CHECKING:
    from .executors import Executor
    from .node import Node

_global_executor: Executor | None = None
_global_executor_lock = threading.RLock()


class InitContextManager:
    """What `init` returns: `with rclpy.init():` shuts down at its end."""

    def __init__(
        self,
        args: list[str] | None,
        context: Context | None,
        domain_id: int | None,
        signal_handler_options: SignalHandlerOptions | None,
    ) -> None:
        self.context = get_default_context() if context is None else context
        if signal_handler_options is None:
            is_default = self.context is get_default_context()
            signal_handler_options = SignalHandlerOptions.ALL if is_default else SignalHandlerOptions.NO
        self.installed_signal_handlers = signal_handler_options != SignalHandlerOptions.NO
        self.context.init(args, domain_id=domain_id)
        # Last: until there is something to shut down, the handlers that were there before are the right ones.
        install_signal_handlers(signal_handler_options)

    def __enter__(self) -> InitContextManager:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        # Naming no context replaces the default one, which serves only once.
        context = None if self.context is get_default_context() else self.context
        try_shutdown(context=context, uninstall_handlers=self.installed_signal_handlers)


def init(
    *,
    args: list[str] | None = None,
    context: Context | None = None,
    domain_id: int | None = None,
    signal_handler_options: SignalHandlerOptions | None = None,
) -> InitContextManager:
    """Starts the client library.

    :param args: the command line, for its ROS arguments; None for `sys.argv`.
    :param context: what to initialise; None for the default context.
    :param domain_id: which graph to join; None for `ROS_DOMAIN_ID`.
    :param signal_handler_options: which signals shut down; None for SIGINT and SIGTERM with the default
    context.
    """
    return InitContextManager(args, context, domain_id, signal_handler_options)


def get_global_executor() -> Executor:
    """The executor of `spin` and its like where none is given."""
    global _global_executor
    with _global_executor_lock:
        if _global_executor is None:
            from .executors import SingleThreadedExecutor

            executor = SingleThreadedExecutor()

            def forget() -> None:
                global _global_executor
                with _global_executor_lock:
                    if _global_executor is executor:
                        _global_executor = None
                executor.shutdown(0)

            executor.context.on_shutdown(forget)
            _global_executor = executor
        return _global_executor


def shutdown(*, context: Context | None = None, uninstall_handlers: bool | None = None) -> None:
    """Ends what `init` started.

    :param uninstall_handlers: put the former signal handlers back; None does so for the default context.
    :raises RuntimeError: when nothing was running.
    """
    uninstall = _should_uninstall(context, uninstall_handlers)
    try:
        _shutdown(context=context)
    finally:
        if uninstall:
            uninstall_signal_handlers()


def try_shutdown(*, context: Context | None = None, uninstall_handlers: bool | None = None) -> None:
    """Like `shutdown`; no error if nothing is running."""
    uninstall = _should_uninstall(context, uninstall_handlers)
    _try_shutdown(context=context)
    if uninstall:
        uninstall_signal_handlers()


def create_node(
    node_name: str,
    *,
    context: Context | None = None,
    cli_args: list[str] | None = None,
    namespace: str | None = None,
    use_global_arguments: bool = True,
    enable_rosout: bool = True,
    start_parameter_services: bool = True,
    parameter_overrides: list[Parameter] | None = None,
    allow_undeclared_parameters: bool = False,
    automatically_declare_parameters_from_overrides: bool = False,
    enable_logger_service: bool = False,
) -> Node:
    """A `rclpy.node.Node`; see there."""
    from .node import Node

    return Node(
        node_name,
        context=context,
        cli_args=cli_args,
        namespace=namespace,
        use_global_arguments=use_global_arguments,
        enable_rosout=enable_rosout,
        start_parameter_services=start_parameter_services,
        parameter_overrides=parameter_overrides,
        allow_undeclared_parameters=allow_undeclared_parameters,
        automatically_declare_parameters_from_overrides=automatically_declare_parameters_from_overrides,
        enable_logger_service=enable_logger_service,
    )


def spin_once(node: Node, *, executor: Executor | None = None, timeout_sec: float | None = None) -> None:
    """Waits for one callback of the node and runs it.

    :param timeout_sec: how long to wait; None or negative for ever, 0 not at all.
    """
    executor = get_global_executor() if executor is None else executor
    added = executor.add_node(node)
    try:
        executor.spin_once(timeout_sec=timeout_sec)
    finally:
        if added:
            executor.remove_node(node)


def spin(node: Node, executor: Executor | None = None) -> None:
    """Runs the node's callbacks until the context is shut down. What a callback raises comes out here."""
    executor = get_global_executor() if executor is None else executor
    added = executor.add_node(node)
    try:
        while executor.context.ok() and not executor._is_shutdown:
            executor.spin_once()
    finally:
        if added:
            executor.remove_node(node)


def spin_until_future_complete(
    node: Node, future: Future[Any], executor: Executor | None = None, timeout_sec: float | None = None
) -> None:
    """Runs the node's callbacks until the future is settled, the time is over, or the context shut down."""
    executor = get_global_executor() if executor is None else executor
    added = executor.add_node(node)
    try:
        executor.spin_until_future_complete(future, timeout_sec)
    finally:
        if added:
            executor.remove_node(node)


def _should_uninstall(context: Context | None, wanted: bool | None) -> bool:
    if wanted is None:
        return context is None or context is get_default_context()
    return wanted


def __getattr__(name: str) -> Any:
    """Loads modules when they are first named: after `import rclpy`, `rclpy.qos.QoSProfile` is there."""
    if not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
