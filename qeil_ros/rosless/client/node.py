"""Nodes: what a program is in the graph."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import ParameterEvent

from . import _names
from ._arguments import parse_arguments, remap_node
from ._node_graph import NodeGraph
from ._node_names import NodeNames
from ._node_parameters import NodeParameters
from ._rclpy_pybind11 import NodeNameNonExistentError as NodeNameNonExistentError
from ._rosout import RosoutPublisher
from .callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from .client import Client
from .clock import Clock, ROSClock
from .constants import S_TO_NS
from .context import Context
from .event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from .exceptions import NotInitializedException
from .guard_condition import GuardCondition
from .impl.rcutils_logger import RcutilsLogger
from .logging import get_logger
from .logging_service import LoggingService
from .parameter import Parameter
from .parameter_service import ParameterService
from .publisher import Publisher
from .qos import QoSProfile, qos_profile_parameter_events, qos_profile_services_default
from .qos_overriding_options import QoSOverridingOptions, apply_overrides
from .service import Service
from .subscription import Subscription
from .time_source import TimeSource
from .timer import Rate, Timer
from .type_support import check_is_valid_msg_type, check_is_valid_srv_type
from .utilities import get_default_context

if TYPE_CHECKING:
    from ._entity import Entity
    from .executors import Executor

HIDDEN_NODE_PREFIX = "_"


class Node(NodeNames, NodeParameters, NodeGraph):
    """A participant in the graph: publishes, subscribes, offers services and parameters, has timers and a
    clock."""

    def __init__(
        self,
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
    ) -> None:
        """Joins the graph.

        :param node_name: the name, unless a remapping rule gives another.
        :param context: whose connection and arguments to use; None for the default context.
        :param cli_args: ROS arguments for this node alone; they come before those of the process.
        :param namespace: where the node's relative names belong; None for the root.
        :param use_global_arguments: also follow the arguments of the process.
        :param enable_rosout: send log messages to `/rosout` too.
        :param start_parameter_services: let other nodes read and set the parameters.
        :param parameter_overrides: first values of parameters; they come before those of the arguments.
        :param allow_undeclared_parameters: parameters need not be declared to be set.
        :param automatically_declare_parameters_from_overrides: declare every parameter that has an
        override.
        :param enable_logger_service: let other nodes read and set log levels.
        :raises NotInitializedException: when the context is not running.
        """
        self._context = get_default_context() if context is None else context
        if not self._context.ok():
            raise NotInitializedException("cannot create node")
        own = parse_arguments(cli_args or [], ros_only=True)
        self._arguments = [own, self._context._arguments] if use_global_arguments else [own]
        wanted_namespace = _names.absolute_namespace(namespace or "/")
        _names.validate_node_name(node_name)
        _names.validate_namespace(wanted_namespace)
        self._name, self._namespace = remap_node(node_name, wanted_namespace, self._arguments)
        self._logger = get_logger(_names.join(self._namespace, self._name).lstrip("/").replace("/", "."))

        self._publishers: list[Publisher[Any]] = []
        self._subscriptions: list[Subscription[Any]] = []
        self._clients: list[Client] = []
        self._services: list[Service] = []
        self._timers: list[Timer] = []
        self._guards: list[GuardCondition] = []
        # Everything that an executor looks at. Replaced as a whole under the lock, read without it.
        self._entities: tuple[Entity, ...] = ()
        self._entities_lock = threading.RLock()
        self._destroyed = False
        self._executor: weakref.ReferenceType[Executor] | None = None
        self._default_callback_group: CallbackGroup = MutuallyExclusiveCallbackGroup()
        self._rate_group = ReentrantCallbackGroup()
        self._time_source_group = MutuallyExclusiveCallbackGroup()
        self._clock: Clock = ROSClock()

        session = self._context._get_session()
        self._session = session
        self._graph = session.graph
        self._handle = session.declare_node(self._name, self._namespace, self._enclave())
        self._context.track_node(self)
        wants_rosout = enable_rosout and self._context._arguments.log_outputs["rosout"]
        self._rosout = RosoutPublisher(self) if wants_rosout else None

        self._init_parameters(self._collect_overrides(parameter_overrides or []), allow_undeclared_parameters)
        self._parameter_event_publisher = self.create_publisher(
            ParameterEvent, "/parameter_events", qos_profile_parameter_events
        )
        if automatically_declare_parameters_from_overrides:
            declarations = [(name, parameter.value) for name, parameter in self._parameter_overrides.items()]
            self.declare_parameters("", declarations, ignore_override=True)
        self._time_source = TimeSource(node=self)
        assert isinstance(self._clock, ROSClock)
        self._time_source.attach_clock(self._clock)
        if start_parameter_services:
            self._parameter_service = ParameterService(self)
        if enable_logger_service:
            self._logger_service = LoggingService(self)

    # What it is

    def get_clock(self) -> Clock:
        """A clock that follows `/clock` while the parameter `use_sim_time` is true."""
        return self._clock

    def get_logger(self) -> RcutilsLogger:
        return self._logger

    @property
    def context(self) -> Context:
        return self._context

    @property
    def default_callback_group(self) -> CallbackGroup:
        """The group of entities that are given none; mutually exclusive."""
        return self._default_callback_group

    @property
    def publishers(self) -> Iterator[Publisher[Any]]:
        yield from self._publishers

    @property
    def subscriptions(self) -> Iterator[Subscription[Any]]:
        yield from self._subscriptions

    @property
    def clients(self) -> Iterator[Client]:
        yield from self._clients

    @property
    def services(self) -> Iterator[Service]:
        yield from self._services

    @property
    def timers(self) -> Iterator[Timer]:
        yield from self._timers

    @property
    def guards(self) -> Iterator[GuardCondition]:
        yield from self._guards

    @property
    def executor(self) -> Executor | None:
        """Who runs the node's callbacks."""
        return self._executor() if self._executor is not None else None

    @executor.setter
    def executor(self, new_executor: Executor | None) -> None:
        current = self.executor
        if current is new_executor:
            return
        if current is not None:
            current.remove_node(self)
        self._executor = None if new_executor is None else weakref.ref(new_executor)
        if new_executor is not None:
            new_executor.add_node(self)

    # Making things

    def create_publisher(
        self,
        msg_type: Any,
        topic: str,
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: PublisherEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        publisher_class: type[Publisher[Any]] = Publisher,
    ) -> Publisher[Any]:
        """A publisher on a topic.

        :param qos_profile: a profile, or the depth of one that is otherwise the default.
        :param callback_group: for the events.
        """
        qos = _qos(qos_profile)
        full_topic = self.resolve_topic_name(topic)
        info = check_is_valid_msg_type(msg_type)
        qos = apply_overrides("publisher", self, full_topic, qos, qos_overriding_options)
        handle = self._session.create_publisher(self._handle, full_topic, info, qos)
        publisher = publisher_class(
            self,
            handle,
            msg_type,
            topic,
            full_topic,
            qos,
            event_callbacks or PublisherEventCallbacks(),
            callback_group or self._default_callback_group,
        )
        self._add(self._publishers, publisher, publisher.event_handlers)
        return publisher

    def create_subscription(
        self,
        msg_type: Any,
        topic: str,
        callback: Callable[..., Any],
        qos_profile: QoSProfile | int,
        *,
        callback_group: CallbackGroup | None = None,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        raw: bool = False,
    ) -> Subscription[Any]:
        """A subscription to a topic.

        :param callback: takes the message, or the message and a dictionary of what is known about its
        journey.
        :param raw: give the callback the serialized bytes.
        """
        subscription = self._make_subscription(
            msg_type,
            topic,
            callback,
            qos_profile,
            callback_group or self._default_callback_group,
            event_callbacks=event_callbacks,
            qos_overriding_options=qos_overriding_options,
            raw=raw,
        )
        self._add(self._subscriptions, subscription, [subscription, *subscription.event_handlers])
        return subscription

    def create_client(
        self,
        srv_type: Any,
        srv_name: str,
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Client:
        """A client of a service."""
        full_name = self.resolve_service_name(srv_name)
        info = check_is_valid_srv_type(srv_type)
        client = Client(
            self,
            lambda on_reply: self._session.create_client(
                self._handle, full_name, info, qos_profile, on_reply
            ),
            srv_type,
            srv_name,
            full_name,
            callback_group or self._default_callback_group,
            qos_profile,
        )
        self._add(self._clients, client, [client])
        return client

    def create_service(
        self,
        srv_type: Any,
        srv_name: str,
        callback: Callable[[Any, Any], Any],
        *,
        qos_profile: QoSProfile = qos_profile_services_default,
        callback_group: CallbackGroup | None = None,
    ) -> Service:
        """Offers a service.

        :param callback: takes the request and an empty response; fills and returns the response. May be a
        coroutine.
        """
        full_name = self.resolve_service_name(srv_name)
        info = check_is_valid_srv_type(srv_type)
        service = Service(
            self,
            lambda on_request: self._session.create_service(
                self._handle, full_name, info, qos_profile, on_request
            ),
            srv_type,
            srv_name,
            full_name,
            callback,
            callback_group or self._default_callback_group,
            qos_profile,
        )
        self._add(self._services, service, [service])
        return service

    def create_timer(
        self,
        timer_period_sec: float,
        callback: Callable[..., Any] | None,
        callback_group: CallbackGroup | None = None,
        clock: Clock | None = None,
        autostart: bool = True,
    ) -> Timer:
        """A timer.

        :param callback: takes nothing, or a `TimerInfo`.
        :param clock: which clock's time counts, default the node's.
        :param autostart: False waits for `reset`.
        """
        timer = Timer(
            callback,
            callback_group or self._default_callback_group,
            int(float(timer_period_sec) * S_TO_NS),
            clock or self._clock,
            self._wake_executor,
            autostart=autostart,
        )
        self._add(self._timers, timer, [timer])
        return timer

    def create_guard_condition(
        self, callback: Callable[[], Any], callback_group: CallbackGroup | None = None
    ) -> GuardCondition:
        """A callback that the program sets off itself."""
        guard = GuardCondition(callback, callback_group or self._default_callback_group, self._wake_executor)
        self._add(self._guards, guard, [guard])
        return guard

    def create_rate(self, frequency: float, clock: Clock | None = None) -> Rate:
        """Sleeps at a frequency in Hz, while another thread spins the node."""
        if frequency <= 0:
            raise ValueError("frequency must be > 0")
        timer = self.create_timer(1.0 / frequency, None, self._rate_group, clock or self._clock)
        return Rate(timer, context=self._context)

    # Ending things

    def destroy_publisher(self, publisher: Publisher[Any]) -> bool:
        """True if the publisher was this node's."""
        return self._remove(self._publishers, publisher, publisher.event_handlers)

    def destroy_subscription(self, subscription: Subscription[Any]) -> bool:
        """True if the subscription was this node's."""
        return self._remove(self._subscriptions, subscription, [subscription, *subscription.event_handlers])

    def destroy_client(self, client: Client) -> bool:
        """True if the client was this node's."""
        return self._remove(self._clients, client, [client])

    def destroy_service(self, service: Service) -> bool:
        """True if the service was this node's."""
        return self._remove(self._services, service, [service])

    def destroy_timer(self, timer: Timer) -> bool:
        """True if the timer was this node's."""
        return self._remove(self._timers, timer, [timer])

    def destroy_guard_condition(self, guard: GuardCondition) -> bool:
        """True if the guard condition was this node's."""
        return self._remove(self._guards, guard, [guard])

    def destroy_rate(self, rate: Rate) -> bool:
        """True if the rate was this node's."""
        success = self.destroy_timer(rate._timer)
        rate.destroy()
        return success

    def destroy_node(self) -> None:
        """Leaves the graph, with everything the node has made. May be called twice, and after a shutdown."""
        with self._entities_lock:
            if self._destroyed:
                return
            self._destroyed = True
        self._parameter_event_publisher = None
        for owned in (
            self._publishers,
            self._subscriptions,
            self._clients,
            self._services,
            self._timers,
            self._guards,
        ):
            for item in list(owned):
                self._remove(owned, item, [])
        self._entities = ()
        if self._rosout is not None:
            self._rosout.destroy()
        self._handle.undeclare()
        self._wake_executor()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.destroy_node()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.get_fully_qualified_name()}>"

    # How it is done

    def _make_subscription(
        self,
        msg_type: Any,
        topic: str,
        callback: Callable[..., Any],
        qos_profile: QoSProfile | int,
        callback_group: CallbackGroup,
        *,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        qos_overriding_options: QoSOverridingOptions | None = None,
        raw: bool = False,
        wake: Callable[[], None] | None = None,
    ) -> Subscription[Any]:
        """A subscription that no executor looks at yet."""
        qos = _qos(qos_profile)
        full_topic = self.resolve_topic_name(topic)
        info = check_is_valid_msg_type(msg_type)
        qos = apply_overrides("subscription", self, full_topic, qos, qos_overriding_options)
        return Subscription(
            self,
            lambda on_sample: self._session.create_subscriber(self._handle, full_topic, info, qos, on_sample),
            msg_type,
            topic,
            full_topic,
            callback,
            callback_group,
            qos,
            raw,
            event_callbacks or SubscriptionEventCallbacks(),
            wake,
        )

    def _add(self, owned: list[Any], item: Any, entities: list[Any]) -> None:
        with self._entities_lock:
            owned.append(item)
            self._entities = (*self._entities, *entities)
        self._wake_executor()

    def _remove(self, owned: list[Any], item: Any, entities: list[Any]) -> bool:
        with self._entities_lock:
            if item not in owned:
                return False
            owned.remove(item)
            self._entities = tuple(entity for entity in self._entities if entity not in entities)
        item.destroy()
        self._wake_executor()
        return True

    def _wake_executor(self) -> None:
        executor = self.executor
        if executor is not None:
            executor.wake()

    def _forget_executor(self, executor: Executor) -> None:
        if self.executor is executor:
            self._executor = None


def _qos(qos_or_depth: QoSProfile | int) -> QoSProfile:
    if isinstance(qos_or_depth, QoSProfile):
        return qos_or_depth
    if isinstance(qos_or_depth, int):
        if qos_or_depth < 0:
            raise ValueError("history depth must be greater than or equal to zero")
        return QoSProfile(depth=qos_or_depth)
    raise TypeError(f"Expected QoSProfile or int, but received {type(qos_or_depth)!r}")
