"""The fallback: for every frame exactly one answer, by the frame's deadline. Runs on the robot.

It hears the features that the encoder publishes, the offboard computer's answers and its heartbeat. Who
answers is decided by `safety.arbiter`, whose rules are written there; this node gives it threads, a clock
and topics. It needs no word from the supervisor, and goes on without one.
"""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Sequence
from typing import Any

from rclpy.clock import Clock, ClockType

from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.schema import shown
from qeil_ros.msg import (
    FallbackStatus,
    FeatureFrame,
    FeatureReceipt,
    InferenceResult,
    OffboardStatus,
    OperatingPoint,
    RobotHeartbeat,
)
from qeil_ros.safety.arbiter import Arbiter, Key, Publish, Source
from qeil_ros.safety.link import Echo, Link, LinkMonitor
from qeil_ros.safety.outputs import AnswerLimits, answer_problem, duration

from . import qos
from .answering import Answering
from .arrival import arrival_s, informed
from .diagnostics import Diagnostics, qos_problems
from .fallback_parameters import FallbackParameters
from .fallback_status import AnswerFigures, fallback_status
from .lifecycle import ManagedNode
from .local import LocalModel
from .main import run
from .parameters import declare
from .point import LOCAL, Point, PointFollower, problem
from .references import References
from .results import AnswerTimes, Frame, Reply, message_of, result

_LOG_EVERY_S = 5.0
_STATUS_S = 0.5
_HEARTBEAT_BYTES = 40  # its fields, coded


class FallbackNode(ManagedNode):
    """See the module's docstring. Subscribes `features`, `offboard/result`, `offboard/status`,
    `operating_point`; publishes `result`, `features/receipt`, `offboard/heartbeat`, `fallback/status`,
    `/diagnostics`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("fallback", **kwargs)
        self.params = declare(self, FallbackParameters, self._on_change)
        self.diagnostics = Diagnostics(self)
        self.diagnostics.sources.append(self._report)
        self._folder: ModelFolder | None = None
        self._local: LocalModel | None = None
        self._answering: Answering[Frame, Reply] | None = None
        self._results: Any = None
        self._inputs: list[Any] = []
        self._link_state: tuple[Link, str] = (Link.UNKNOWN, "")
        self._receipt: Any = None
        self._references: References | None = None
        self._status: Any = None
        self._heartbeat: Any = None
        self._timers: list[Any] = []
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._times = AnswerTimes()

    # --- lifecycle

    def configure(self) -> None:
        folder = ModelFolder.load(self.params.model)
        self._local = LocalModel(folder, threads=self.params.threads, warm_up_runs=self.params.warm_up_runs)
        self._results = self.create_lifecycle_publisher(InferenceResult, "result", qos.RESULTS)
        self._receipt = self.create_lifecycle_publisher(FeatureReceipt, "features/receipt", qos.RECEIPTS)
        self._status = self.create_lifecycle_publisher(FallbackStatus, "fallback/status", qos.LATEST)
        self._heartbeat = self.create_lifecycle_publisher(RobotHeartbeat, "offboard/heartbeat", qos.HEARTBEAT)
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
        now_s = time.monotonic()
        self._link = LinkMonitor(self.params.link_config(), now_s)
        assert self._local is not None
        self._references = References(
            self._local,
            self._receipt.publish,
            lambda problem: self.diagnostics.event("references_missing", problem),
        )
        self._follower = PointFollower()
        self._answering = Answering(
            Arbiter(self.params.arbiter_config()),
            self._publish,
            self._answer_locally,
            self._prepare,
            self._failed,
        )
        answering = self._answering
        self._figures, self._server = AnswerFigures(), None
        answering.start()
        self._run, self._beats, self._sent_s = secrets.randbits(64), 0, now_s
        # A steady clock: neither pauses with a simulation. Posted, since what they touch is the arbiter's.
        for period_s, do in ((_STATUS_S, self._tell), (self.params.heartbeat_s, self._beat)):
            self._timers.append(
                self.create_timer(period_s, lambda do=do: answering.post(do), clock=self._steady)
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
        while self._timers:
            self.destroy_timer(self._timers.pop())
        if self._answering is not None:
            self._answering.stop("the fallback node was deactivated")
            self._report()
            self._answering = None
        self.diagnostics.condition("link", "")

    def cleanup(self) -> None:
        for publisher in (self._results, self._receipt, self._status, self._heartbeat):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        self._results = self._receipt = self._status = self._heartbeat = None
        self._local = None
        self._folder = None

    def _on_change(self, names: set[str]) -> None:
        answering = self._answering
        if answering is not None:
            config = self.params.arbiter_config()

            def change(now_s: float) -> Any:
                answering.arbiter.configure(config)
                return answering.arbiter.tick(now_s)

            answering.post(change)

    # --- messages in, on the executor: looked at and handed over

    def _on_features(self, message: Any, info: Any) -> None:
        answering, folder, local, references = self._answering, self._folder, self._local, self._references
        if answering is None or folder is None or local is None or references is None:
            return  # a callback that was already on its way when the node was deactivated
        refusal = _other_model("the encoder", message, folder)
        self._complain("frames_refused", refusal)
        key, arrived_s = Key(message.run, message.sequence), arrival_s(info)
        coded = references.keep(message, key) if message.reference and not refusal else None
        frame, cost = Frame(message, arrived_s, coded), local.cost(message.split)

        def arrived(now_s: float) -> Any:
            self._sent_s = arrived_s
            if not refusal:
                self._link.sent(key, len(message.data), arrived_s)
            return answering.arbiter.frame(key, frame, message.time_left_s, cost, arrived_s, now_s, refusal)

        answering.post(arrived)

    def _on_answer(self, message: Any, info: Any) -> None:
        answering, folder, references = self._answering, self._folder, self._references
        if answering is None or folder is None or references is None:
            return
        if reason := _other_model("the offboard computer", message, folder):
            return self._complain("answers_refused", f"an answer was refused: {reason}")
        if message.source != InferenceResult.SOURCE_OFFBOARD:
            return self._complain("answers_refused", f"an offboard answer claims source {message.source}")
        limits = AnswerLimits(least_confidence=self.params.least_confidence)
        if reason := answer_problem(message, limits):
            return self._complain("answers_refused", f"an offboard answer was refused: {reason}")
        arrived_s, key = arrival_s(info), Key(message.run, message.sequence)

        def answered(now_s: float) -> Any:
            reply = Reply(message, duration(message.queue_s), duration(message.inference_s), arrived_s)
            self._link.answered(arrived_s, key, reply.queue_s + reply.inference_s)
            return answering.arbiter.offboard(key, reply, now_s)

        answering.post(answered)
        references.answered(key)  # after the answer, which has no time to lose
        return None

    def _on_heartbeat(self, message: Any, info: Any) -> None:
        answering, folder, references = self._answering, self._folder, self._references
        if answering is None or folder is None or references is None:
            return
        refusal = _other_model("the offboard computer", message, folder)
        self._complain("heartbeats_refused", refusal)
        if not refusal:
            references.heartbeat(message)
        trouble = "" if message.state == OffboardStatus.STATE_READY else f"server: {shown(message.reason)}"
        newest = Key(message.heard_run, message.heard_sequence) if message.heard_run else None
        echo, arrived_s = Echo(newest, duration(message.heard_age_s)), arrival_s(info)
        beat = message.run, message.sequence, message.period_s

        def heard(now_s: float) -> Any:
            self._server = message
            self._link.hear(*beat, arrived_s, trouble=trouble, refusal=refusal, echo=echo)
            return answering.arbiter.tick(now_s)

        answering.post(heard)

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

    # --- deciding, one thread at a time: see `Answering`

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
        self._answering.arbiter.doubtful = "" if state == Link.UP else reason
        return self._link.next_s(now_s)

    def _publish(self, action: Publish[Frame, Reply]) -> None:
        now_s = time.monotonic()
        message = result(action, now_s)
        self._results.publish(message)
        if action.waited:
            self._link.outcome(action.source == Source.OFFBOARD, now_s)
        self._figures.add(action.frame.message, message, action.waited, now_s)
        self._times.add(action, message.total_s, now_s)
        if action.source == Source.NONE:
            self.get_logger().warning(f"no answer: {action.reason}", throttle_duration_sec=_LOG_EVERY_S)

    def _tell(self, now_s: float) -> tuple[()]:
        """Publishes what the supervisor wants to know; decides nothing."""
        state, reason = self._link_state
        link, figures = self._link, self._link.figures(now_s)
        status = fallback_status(self._figures, state, reason, figures, link.restarts, self._server, now_s)
        status.header.stamp = self.get_clock().now().to_msg()
        status.model_digest = self._folder.digest if self._folder else ""
        self._status.publish(status)
        return ()

    def _beat(self, now_s: float) -> tuple[()]:
        """A heartbeat, where no frame was one."""
        period_s = self.params.heartbeat_s
        if now_s - self._sent_s < period_s:
            return ()
        key = Key(self._run, self._beats)
        self._beats += 1
        message = RobotHeartbeat(run=key.run, sequence=key.sequence, period_s=period_s)
        message.header.stamp = self.get_clock().now().to_msg()
        self._heartbeat.publish(message)
        self._link.sent(key, _HEARTBEAT_BYTES, now_s, frame=False)
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
        say = self.diagnostics
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
        for name, value in {**local.figures(), **self._times.figures(time.monotonic())}.items():
            say.set(name, value)
        self._check_qos()

    def _check_qos(self) -> None:
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
        self.diagnostics.condition("qos", "; ".join(problems))


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
