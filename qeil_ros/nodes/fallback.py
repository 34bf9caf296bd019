"""The fallback: for every frame exactly one answer, by the frame's deadline. Runs on the robot.

It hears the features that the encoder publishes, the offboard computer's answers and its heartbeat. Who
answers is decided by `safety.arbiter`, whose rules are written there; this node gives it threads, a clock
and topics. It needs no word from the supervisor, and goes on without one.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rclpy.clock import Clock, ClockType

from qeil_ros.codec import MissingReferenceError
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.schema import shown
from qeil_ros.msg import (
    FallbackStatus,
    FeatureFrame,
    FeatureReceipt,
    InferenceResult,
    OffboardStatus,
    OperatingPoint,
)
from qeil_ros.safety.arbiter import Arbiter, ArbiterConfig, Key, Publish, Source
from qeil_ros.safety.checks import answer_problem, duration
from qeil_ros.safety.link import Link, LinkConfig, LinkMonitor

from . import qos
from .answering import Answering
from .arrival import arrival_s, informed
from .diagnostics import Diagnostics, qos_problems
from .fallback_status import AnswerFigures, fallback_status
from .lifecycle import ManagedNode
from .local import LocalModel
from .main import run
from .parameters import NodeParameters, declare, parameter
from .point import LOCAL, Point, PointFollower, problem
from .receipts import Receipts
from .recent import Recent
from .results import Frame, Reply, message_of, result

_LOG_EVERY_S = 5.0
_STATUS_S = 0.5
_NEXT_CONFIGURE = "takes effect when the node is configured next"
_NEXT_ACTIVATE = "takes effect when the node is activated next"


@dataclass
class Parameters(NodeParameters):
    model: str = parameter(
        "tabletop", f"name of a shipped model, or path of a model folder; {_NEXT_CONFIGURE}"
    )
    threads: int = parameter(1, f"threads of the local part; {_NEXT_CONFIGURE}", low=1, high=64)
    warm_up_runs: int = parameter(
        10,
        f"runs of the local part at the start, that its first estimate rests on; {_NEXT_CONFIGURE}",
        low=1,
        high=1000,
    )
    margin_s: float = parameter(
        0.02, "how long before its deadline a frame is answered at the latest [s]", low=0.0, high=1.0
    )
    slack_s: float = parameter(
        0.02,
        "how much earlier than its run time demands the local part is started, for a busy machine [s]",
        low=0.0,
        high=1.0,
    )
    max_pending: int = parameter(
        64,
        "frames that wait for an answer at most; over that, the oldest gets none",
        low=1,
        high=4096,
    )
    heartbeat_timeout_s: float = parameter(
        0.3,
        "silence after which the offboard computer counts as lost [s]; three of its periods if that is less; "
        f"{_NEXT_ACTIVATE}",
        low=0.02,
        high=30.0,
    )
    recover_s: float = parameter(
        0.5,
        f"how long the link must have been well before it is waited for again [s]; {_NEXT_ACTIVATE}",
        low=0.0,
        high=60.0,
    )
    active_core_w: float = parameter(
        0.0,
        "power of one busy processor core above idle, from the board's data sheet or a meter [W]; the energy "
        "of a local answer is modelled as processor time times this; 0: unknown, none is reported for it",
        low=0.0,
        high=1000.0,
    )


class FallbackNode(ManagedNode):
    """See the module's docstring. Subscribes `features`, `offboard/result`, `offboard/status`,
    `operating_point`; publishes `result`, `features/receipt`, `fallback/status`, `/diagnostics`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("fallback", **kwargs)
        self.params = declare(self, Parameters, self._on_change)
        self.diagnostics = Diagnostics(self)
        self.diagnostics.sources.append(self._report)
        self._folder: ModelFolder | None = None
        self._local: LocalModel | None = None
        self._answering: Answering[Frame, Reply] | None = None
        self._results: Any = None
        self._inputs: list[Any] = []
        self._link_state: tuple[Link, str] = (Link.UNKNOWN, "")
        self._receipts, self._common = Receipts(), Key(0, 0)
        self._receipt: Any = None
        self._status: Any = None
        self._status_timer: Any = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._total_s = {source: Recent(window_s=10.0) for source in Source}
        self._total_lock = threading.Lock()

    # --- lifecycle

    def configure(self) -> None:
        folder = ModelFolder.load(self.params.model)
        self._local = LocalModel(folder, threads=self.params.threads, warm_up_runs=self.params.warm_up_runs)
        self._results = self.create_lifecycle_publisher(InferenceResult, "result", qos.RESULTS)
        self._receipt = self.create_lifecycle_publisher(FeatureReceipt, "features/receipt", qos.RECEIPTS)
        self._status = self.create_lifecycle_publisher(FallbackStatus, "fallback/status", qos.LATEST)
        self._folder = folder
        say = self.diagnostics
        for name in (
            "frames_refused",
            "answers_refused",
            "heartbeats_refused",
            "operating_points_bad",
            "references_missing",
            "failures",
        ):
            say.count(name, 0)
        say.hardware_id = folder.name
        say.set("model", f"{folder.name} {folder.version}")
        say.set("model_digest", folder.digest)
        held = ", ".join(self._local.splits)
        say.condition(
            "local", "" if held else "this machine holds no local model: offboard answers are the only ones"
        )
        self.get_logger().info(
            f"model {folder.name} {folder.version}, digest {folder.digest[:12]}; local: {held or 'none'}"
        )

    def activate(self) -> None:
        params, now_s = self.params, time.monotonic()
        config = LinkConfig(most_silence_s=params.heartbeat_timeout_s, recover_s=params.recover_s)
        self._link = LinkMonitor(config, now_s)
        self._receipts, self._common = Receipts(), Key(0, 0)
        self._follower = PointFollower()
        self._answering = Answering(
            Arbiter(self._config()), self._publish, self._answer_locally, self._prepare, self._failed
        )
        answering = self._answering
        self._figures, self._server = AnswerFigures(), None
        answering.start()
        # A steady clock: the status does not pause with a simulation. Told on the thread that knows it all.
        self._status_timer = self.create_timer(
            _STATUS_S, lambda: answering.post(self._tell), clock=self._steady
        )
        for kind, topic, callback, profile in (
            (FeatureFrame, "features", self._on_features, qos.FEATURES),
            (InferenceResult, "offboard/result", self._on_answer, qos.RESULTS),
            (OffboardStatus, "offboard/status", self._on_heartbeat, qos.HEARTBEAT),
            (OperatingPoint, "operating_point", self._on_operating_point, qos.LATEST),
        ):
            self._inputs.append(self.create_subscription(kind, topic, informed(callback), profile))

    def deactivate(self) -> None:
        while self._inputs:
            self.destroy_subscription(self._inputs.pop())
        if self._status_timer is not None:
            self.destroy_timer(self._status_timer)
            self._status_timer = None
        if self._answering is not None:
            self._answering.stop("the fallback node was deactivated")
            self._report()
            self._answering = None
        self.diagnostics.condition("link", "")

    def cleanup(self) -> None:
        if self._results is not None:
            self.destroy_lifecycle_publisher(self._results)
            self.destroy_lifecycle_publisher(self._receipt)
            self.destroy_lifecycle_publisher(self._status)
            self._results = self._receipt = self._status = None
        self._local = None
        self._folder = None

    def _config(self) -> ArbiterConfig:
        params = self.params
        return ArbiterConfig(
            margin_s=params.margin_s, slack_s=params.slack_s, most_pending=params.max_pending
        )

    def _on_change(self, names: set[str]) -> None:
        answering = self._answering
        if answering is not None and names & {"margin_s", "slack_s", "max_pending"}:
            config = self._config()

            def change(now_s: float) -> Any:
                answering.arbiter.config = config
                return answering.arbiter.tick(now_s)

            answering.post(change)

    # --- messages in, on the executor: looked at and handed over

    def _on_features(self, message: Any, info: Any) -> None:
        answering, folder, local = self._answering, self._folder, self._local
        if answering is None or folder is None or local is None:
            return  # a callback that was already on its way when the node was deactivated
        refusal = _other_model("the encoder", message, folder)
        self._complain("frames_refused", refusal)
        key, arrived_s = Key(message.run, message.sequence), arrival_s(info)
        coded = self._keep(local, message, key) if message.reference and not refusal else None
        frame, cost = Frame(message, arrived_s, coded), local.cost(message.split)
        answering.post(
            lambda now_s: answering.arbiter.frame(
                key, frame, message.time_left_s, cost, arrived_s, now_s, refusal
            )
        )

    def _on_answer(self, message: Any, info: Any) -> None:
        answering, folder = self._answering, self._folder
        if answering is None or folder is None:
            return
        if reason := _other_model("the offboard computer", message, folder):
            return self._complain("answers_refused", f"an answer was refused: {reason}")
        if message.source != InferenceResult.SOURCE_OFFBOARD:
            return self._complain("answers_refused", f"an offboard answer claims source {message.source}")
        if reason := answer_problem(message):
            return self._complain("answers_refused", f"an offboard answer was refused: {reason}")
        arrived_s, key = arrival_s(info), Key(message.run, message.sequence)
        self._receipts.answered(key)
        self._confirm()

        def answered(now_s: float) -> Any:
            self._link.answered(arrived_s)
            reply = Reply(message, duration(message.queue_s), duration(message.inference_s), arrived_s)
            return answering.arbiter.offboard(key, reply, now_s)

        answering.post(answered)
        return None

    def _on_heartbeat(self, message: Any, info: Any) -> None:
        answering, folder = self._answering, self._folder
        if answering is None or folder is None:
            return
        refusal = _other_model("the offboard computer", message, folder)
        self._complain("heartbeats_refused", refusal)
        if not refusal:
            decoded = Key(message.decoded_run, message.decoded_sequence)
            self._receipts.heartbeat(message.run, decoded)
            self._confirm()
        trouble = "" if message.state == OffboardStatus.STATE_READY else f"server: {shown(message.reason)}"
        arrived_s = arrival_s(info)

        def beat(now_s: float) -> Any:
            self._server = message
            self._link.hear(
                message.run, message.sequence, message.period_s, arrived_s, trouble=trouble, refusal=refusal
            )
            return answering.arbiter.tick(now_s)

        answering.post(beat)

    def _on_operating_point(self, message: Any, info: Any) -> None:
        answering, folder = self._answering, self._folder
        if answering is None or folder is None:
            return
        if reason := problem(message, folder.splits):
            return self._complain("operating_points_bad", f"operating point refused: {reason}")
        arrived_s = arrival_s(info)

        def heard(now_s: float) -> Any:
            self._follower.hear(message, arrived_s)
            return answering.arbiter.tick(now_s)

        answering.post(heard)
        return None

    # --- what the encoder may refer to

    def _keep(self, local: LocalModel, message: Any, key: Key) -> Any:
        """Decodes a frame that later ones may refer to, in the order of arrival; None where it cannot be."""
        coded = None
        if message.split in local.splits:
            try:
                coded = local.keep(message.split, message.data)
            except MissingReferenceError as error:
                self._receipts.local_lost()
                self.diagnostics.event("references_missing", f"a frame cannot be decoded here: {error}")
                self._confirm(anyway=True)
                return None
            except ValueError:
                return None  # the local model will say so, if it is asked
        self._receipts.local(key)
        self._confirm()
        return coded

    def _confirm(self, anyway: bool = False) -> None:
        """Tells the encoder of the newest frame that all have, when that has changed."""
        common = self._receipts.common or Key(0, 0)
        if self._receipt is not None and (anyway or common != self._common):
            self._common = common
            decoded = bool(common.run)
            self._receipt.publish(FeatureReceipt(run=common.run, decoded=decoded, sequence=common.sequence))

    # --- deciding, on the thread of `Answering`

    def _prepare(self, now_s: float) -> float:
        """Says whether to wait for the offboard computer; returns when that may change by itself [s]."""
        assert self._answering is not None
        before, (state, reason) = self._link_state[0], self._link.state(now_s)
        self._link_state = state, reason
        if state != before:
            self._tell(now_s)
        # The node's own point and its safe point are the same: no supervisor is needed to fail over.
        own = Point("", 0, 0.0)
        eager = ""
        if self._follower.point(own, own, now_s).route == LOCAL:
            eager = "the operating point says local"
        if state == Link.DOWN:
            eager = reason
        if bool(eager) != bool(self._answering.arbiter.eager):
            log = self.get_logger()
            if eager:
                log.warning(f"not waiting for the offboard computer: {eager}")
            else:
                log.info("waiting for the offboard computer's answers")
        self._answering.arbiter.eager = eager
        return self._link.next_s(now_s)

    def _publish(self, action: Publish[Frame, Reply]) -> None:
        now_s = time.monotonic()
        message = result(action, now_s)
        self._results.publish(message)
        if action.waited:
            self._link.outcome(action.source == Source.OFFBOARD, now_s)
        self._figures.add(action.frame.message, message, action.waited, now_s)
        with self._total_lock:
            self._total_s[action.source].add(message.total_s, now_s)
        if action.source == Source.NONE:
            self.get_logger().warning(f"no answer: {action.reason}", throttle_duration_sec=_LOG_EVERY_S)

    def _tell(self, now_s: float) -> tuple[()]:
        """Publishes what the supervisor wants to know; decides nothing."""
        state, reason = self._link_state
        link, figures = self._link, self._link.figures(now_s)
        status = fallback_status(self._figures, state, reason, figures, link.restarts, self._server, now_s)
        status.header.stamp = self.get_clock().now().to_msg()
        self._status.publish(status)
        return ()

    # --- the local model, on its own thread

    def _answer_locally(self, frame: Frame) -> Reply:
        local = self._local
        assert local is not None
        queue_s, cpu_s = time.monotonic() - frame.arrived_s, self._cpu_s()
        answer, took_s = local.run(frame.message.split, frame.message.data, frame.coded)
        message = message_of(answer)
        if reason := answer_problem(message):
            raise ValueError(f"it gave no sound answer: {reason}")
        if (power_w := self.params.active_core_w) <= 0:
            return Reply(message, queue_s, took_s)
        energy_j = (self._cpu_s() - cpu_s) * power_w
        source = f"processor time x active_core_w={power_w:g}"
        return Reply(message, queue_s, took_s, energy_j=energy_j, energy_source=source)

    def _cpu_s(self) -> float:
        """Processor time spent so far [s]: this thread's, or with helper threads the whole process's."""
        return time.thread_time() if self.params.threads == 1 else time.process_time()

    # --- diagnostics

    def _complain(self, name: str, reason: str) -> None:
        if reason:
            self.diagnostics.event(name, reason)
            self.get_logger().warning(reason, throttle_duration_sec=_LOG_EVERY_S)

    def _failed(self, error: Exception) -> None:
        if not self.context.ok():
            return  # the process is on its way out, and publishing has ended
        self.diagnostics.event("failures", f"internal failure: {error!r}")
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.get_logger().error(f"internal failure: {trace}", throttle_duration_sec=_LOG_EVERY_S)

    def _report(self) -> None:
        answering, folder, local = self._answering, self._folder, self._local
        if answering is None or folder is None or local is None:
            return
        say, now_s = self.diagnostics, time.monotonic()
        for name, count in dict(answering.arbiter.counts).items():
            say.set(name, count)
        say.set("events_dropped", answering.dropped)
        say.set("pending", len(answering.arbiter))
        state, reason = self._link_state
        say.set("link", state.name.lower())
        say.set("route", "local" if answering.arbiter.eager else "offboard")
        say.set("server_restarts", self._link.restarts)
        say.condition("link", f"offboard computer: {reason}" if state >= Link.DEGRADED else "")
        say.condition("heartbeat", self._link.problem)
        for split in local.splits:
            cost = local.cost(split)
            assert cost is not None
            say.set(f"local_{split}_p50_s", cost.typical_s)
            say.set(f"local_{split}_p99_s", cost.worst_s)
        with self._total_lock:
            for source, recent in self._total_s.items():
                p50, p99 = recent.quantiles(0.5, 0.99, now_s=now_s)
                say.set(f"total_{source.name.lower()}_p50_s", p50)
                say.set(f"total_{source.name.lower()}_p99_s", p99)
        problems = []
        for topic, profile, kind in (
            ("features", qos.FEATURES, "FeatureFrame"),
            ("offboard/result", qos.RESULTS, "InferenceResult"),
            ("offboard/status", qos.HEARTBEAT, "OffboardStatus"),
            ("operating_point", qos.LATEST, "OperatingPoint"),
        ):
            name = self.resolve_topic_name(topic)
            problems += qos_problems(self, name, profile, f"qeil_ros/msg/{kind}", subscribing=True)
        problems += qos_problems(
            self,
            self.resolve_topic_name("result"),
            qos.RESULTS,
            "qeil_ros/msg/InferenceResult",
            subscribing=False,
        )
        say.condition("qos", "; ".join(problems))


def _other_model(who: str, message: Any, folder: ModelFolder) -> str:
    """What is wrong with a message that another model has made; empty where it is ours."""
    if message.model_digest == folder.digest:
        return ""
    return (
        f"{who} runs model {shown(message.model)} (digest {shown(message.model_digest[:12])}), this node "
        f"{folder.name!r} ({folder.digest[:12]!r}): give both the same model folder"
    )


def main(args: Sequence[str] | None = None) -> None:
    run(FallbackNode, args)


if __name__ == "__main__":
    main()
