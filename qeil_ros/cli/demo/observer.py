"""The node that watches: it subscribes to what any other machine could and writes it into the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from qeil_ros.cli.demo.ledger import SOURCE_NAMES, Answer, Ledger
from qeil_ros.cli.demo.sources import COMPRESSED, Source, get_stamp
from qeil_ros.msg import FeatureFrame, InferenceResult, OffboardStatus, SupervisorStatus
from qeil_ros.nodes.arrival import arrival_s

# Deep queues: a busy observer falls behind, it does not miss anything.
BEST_EFFORT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.BEST_EFFORT
)
RELIABLE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.RELIABLE)


def stamp_of(message: Any) -> int:
    """The stamp in a message's header [ns]."""
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


class Observer:
    """Spins the observing node on a thread; use as a context manager.

    `ledger` is written on that thread; hold `lock` while reading it.
    """

    def __init__(self, source: Source, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self.ledger = ledger
        self.lock = threading.Lock()
        self._clock = clock
        self._clients: dict[tuple[Any, str], Any] = {}
        self.context = rclpy.Context()
        rclpy.init(args=[], context=self.context)
        self.node = Node("demo_observer", context=self.context)
        image = CompressedImage if source.type_name == COMPRESSED else Image
        subscribe = self.node.create_subscription
        subscribe(image, source.topic, self._on_image, BEST_EFFORT, raw=True)
        subscribe(FeatureFrame, "/features", self._on_features, RELIABLE)
        subscribe(InferenceResult, "/result", self._on_result, RELIABLE)
        subscribe(SupervisorStatus, "/status", self._on_status, BEST_EFFORT)
        subscribe(OffboardStatus, "/offboard/status", self._on_heartbeat, BEST_EFFORT)
        subscribe(DiagnosticArray, "/diagnostics", self._on_diagnostics, RELIABLE)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="observer", daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._executor.shutdown()
        self._thread.join(5)
        self.node.destroy_node()
        self.context.try_shutdown()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):  # the context was shut down under it: the run is over
            self._executor.spin()

    # ---- what is seen --------------------------------------------------------------------------------------

    def _on_image(self, payload: bytes, info: Any) -> None:
        seen_s = arrival_s(info, self._clock())
        with self.lock:
            self.ledger.image(get_stamp(payload), seen_s)

    def _on_features(self, message: FeatureFrame, info: Any) -> None:
        seen_s = arrival_s(info, self._clock())
        with self.lock:
            self.ledger.features(stamp_of(message), seen_s, len(message.data), int(message.feature_bits))

    def _on_result(self, message: InferenceResult, info: Any) -> None:
        answer = Answer(
            seen_s=arrival_s(info, self._clock()),
            source=SOURCE_NAMES.get(message.source, f"source {message.source}"),
            reason=message.reason,
            text=message.text or (message.labels[0] if message.labels else ""),
            times_s={
                "encode": message.encode_s,
                "transfer": message.transfer_s,
                "queue": message.queue_s,
                "inference": message.inference_s,
                "total": message.total_s,
            },
        )
        with self.lock:
            self.ledger.answer(stamp_of(message), answer)

    def _on_status(self, message: SupervisorStatus) -> None:
        with self.lock:
            self.ledger.status(self._clock(), int(message.mode), int(message.link))

    def _on_heartbeat(self, message: OffboardStatus) -> None:
        with self.lock:
            self.ledger.heartbeat()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "encoder":
                counts = {entry.key: entry.value for entry in status.values}
                paced = sum(int(counts.get(name, 0)) for name in ("images_paced", "images_held"))
                with self.lock:
                    self.ledger.encoder_paced(paced)

    # ---- what is asked -------------------------------------------------------------------------------------

    def state(self, node_name: str) -> str:
        """The lifecycle state of a node; empty where it gives no answer (yet)."""
        response = self._call(GetState, f"/{node_name}/get_state", GetState.Request())
        return str(response.current_state.label) if response is not None else ""

    def parameter(self, node_name: str, name: str) -> float:
        """A parameter of a node, a number.

        Raises:
            LookupError: the node gives no such answer.
        """
        response = self._call(
            GetParameters, f"/{node_name}/get_parameters", GetParameters.Request(names=[name])
        )
        if response is None or not response.values:
            raise LookupError(f"node {node_name} does not answer for its parameter {name}")
        value = response.values[0]
        if value.type not in (2, 3):  # PARAMETER_INTEGER, PARAMETER_DOUBLE
            raise LookupError(f"parameter {name} of node {node_name} is no number (type {value.type})")
        return float(value.integer_value if value.type == 2 else value.double_value)

    def trigger(self, service: str) -> bool:
        """Calls a std_srvs/Trigger; False where there is no answer, or a refusal."""
        response = self._call(Trigger, service, Trigger.Request())
        return response is not None and bool(response.success)

    def _call(self, kind: Any, name: str, request: Any, timeout_s: float = 2.0) -> Any:
        key = (kind, name)
        if key not in self._clients:
            self._clients[key] = self.node.create_client(kind, name)
        client = self._clients[key]
        if not client.service_is_ready():
            return None
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(timeout_s):
            client.remove_pending_request(future)
            return None
        return None if future.exception() is not None else future.result()
