"""The offboard side: features in, answers out. Runs on a computer off the robot, for one robot or many.

The executor only looks at a frame's header and lets it wait; a thread of its own decodes and batches, by
deadline, and runs the server part. Every robot gets a heartbeat on `<robot>/offboard/status`; its absence is
what failover rests on. It names the newest message of the robot that has come, a frame or a heartbeat of its
own, so that the robot knows whether it is heard. What comes in is a stranger's: it is checked, counted and
dropped, and the heartbeat says why.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType

from qeil_ros.codec import REFERENCES, BitstreamError, MissingReferenceError
from qeil_ros.models.batcher import DeadlineBatcher, Waiting
from qeil_ros.models.engine import Engine, make_engine
from qeil_ros.models.features import FeatureReader
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.tasks import Answer, GenerateTask
from qeil_ros.msg import FeatureFrame, InferenceResult, OffboardStatus, RobotHeartbeat
from qeil_ros.safety.arbiter import Key
from qeil_ros.safety.outputs import answer_problem

from . import qos
from .admission import frame_problem
from .arrival import arrival_s, informed
from .clips import Clips
from .co_inference_parameters import CoInferenceParameters
from .co_inference_status import heartbeat
from .diagnostics import Diagnostics, qos_problems
from .dispatcher import Dispatcher, Figures, Unreadable
from .lifecycle import ManagedNode
from .main import run
from .parameters import declare
from .results import message_of
from .sampler import Sampler, make_sampler
from .served import Served

_LOG_EVERY_S = 5.0
_LONGEST_DEADLINE_S = 60.0


class Robot(Served):
    """One robot served, with its topics."""

    def __init__(self, node: CoInferenceNode, name: str) -> None:
        super().__init__()
        self._node = node
        base = name.rstrip("/") + "/" if name else ""
        self.name = name or "(own namespace)"
        self.features_topic = base + "features"
        self.results = node.create_lifecycle_publisher(InferenceResult, base + "offboard/result", qos.RESULTS)
        self.status = node.create_lifecycle_publisher(OffboardStatus, base + "offboard/status", qos.HEARTBEAT)
        self._inputs = [
            node.create_subscription(kind, topic, informed(partial(call, self)), profile)
            for kind, topic, call, profile in (
                (FeatureFrame, self.features_topic, node.receive, qos.FEATURES),
                (RobotHeartbeat, base + "offboard/heartbeat", node.hear, qos.HEARTBEAT),
            )
        ]
        self.beats = 0

    def destroy(self) -> None:
        while self._inputs:
            self._node.destroy_subscription(self._inputs.pop())
        self._node.destroy_lifecycle_publisher(self.results)
        self._node.destroy_lifecycle_publisher(self.status)


@dataclass(frozen=True)
class Job:
    """A frame, and what its data decode to where that was done on arrival."""

    robot: Robot
    frame: Any
    coded: Any = None


def engine_for(folder: ModelFolder, params: CoInferenceParameters) -> Engine:
    return make_engine(folder, name=params.engine, threads=params.threads, device=params.device)


class CoInferenceNode(ManagedNode):
    """See the module's docstring. For each robot: subscribes `features`, `offboard/heartbeat`, publishes
    `offboard/result`, `offboard/status`.

    Args:
        make_engine: what runs the server part, given the model folder and the parameters.
    """

    def __init__(
        self,
        make_engine: Callable[[ModelFolder, CoInferenceParameters], Engine] = engine_for,
        **kwargs: Any,
    ) -> None:
        super().__init__("co_inference", **kwargs)
        self.params = declare(self, CoInferenceParameters)
        self.diagnostics = Diagnostics(self)
        self.diagnostics.sources.append(self._report)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._make_engine = make_engine
        self._folder: ModelFolder | None = None
        self._engine: Engine | None = None
        self._sampler: Sampler | None = None
        self._robots: list[Robot] = []
        self._dispatcher: Dispatcher[Job] | None = None
        self._heartbeat: Any = None

    # --- lifecycle

    def configure(self) -> None:
        folder = self._folder = ModelFolder.load(self.params.model)
        self._engine = self._make_engine(folder, self.params)
        if self.params.samples > 1:
            self._engine = self._sampler = make_sampler(self._engine, self.params, self._frames_wait)
        self._readers = {name: FeatureReader(folder, name) for name in self._engine.splits}
        task = folder.task
        self._clips: Clips | None = None
        if isinstance(task, GenerateTask) and task.frames > 1:
            self._clips = Clips(task.frames, task.interval_s)
        self._run = secrets.randbits(64)
        self._figures = Figures(0.0, 0, math.nan, math.nan)
        for name in (
            "frames_received",
            "frames_answered",
            "frames_late",
            "frames_refused",
            "frames_replaced",
            "references_missing",
            "answers_unsound",
        ):
            self.diagnostics.count(name, 0)
        self._robots.extend(Robot(self, name) for name in self.params.robots)
        self.diagnostics.hardware_id = folder.name
        self.diagnostics.set("model", f"{folder.name} {folder.version}")
        self.diagnostics.set("model_digest", folder.digest)
        self.diagnostics.set("device", self._engine.device)
        self.get_logger().info(
            f"model {folder.name} {folder.version}, digest {folder.digest[:12]}, on {self._engine.device}; "
            f"robots: {', '.join(robot.name for robot in self._robots)}"
        )

    def activate(self) -> None:
        assert self._engine is not None
        params = self.params
        batcher: DeadlineBatcher[Job] = DeadlineBatcher(
            params.max_batch, params.max_wait_s, params.max_queue, sources=len(self._robots)
        )
        least_s = None if self._sampler is None else self._sampler.service_s
        self._dispatcher = Dispatcher(self._engine, batcher, self, self._decode, str, service_s=least_s)
        self._expect()
        self._dispatcher.start()
        self._heartbeat_s = params.heartbeat_s
        self._heartbeat = self.create_timer(self._heartbeat_s, self._beat, clock=self._steady)

    def deactivate(self) -> None:
        if self._heartbeat is not None:
            self.destroy_timer(self._heartbeat)
            self._heartbeat = None
        for robot in self._robots:
            robot.there = False
            self.diagnostics.condition(robot.name, "")
        if self._dispatcher is not None:
            self._dispatcher.stop()
            self._dispatcher = None

    def cleanup(self) -> None:
        while self._robots:
            self._robots.pop().destroy()
        if self._engine is not None:
            self._engine.close()
            self._engine = self._sampler = None
        self._folder = None

    # --- frames in, on the executor

    def hear(self, robot: Robot, message: Any, info: Any) -> None:
        """A sign of life of a robot."""
        if self._dispatcher is None:
            return
        if robot.hear(Key(message.run, message.sequence), arrival_s(info)):
            self.get_logger().info(f"{robot.name}: heard")
            self.diagnostics.condition(robot.name, "")
            self._expect()

    def _expect(self) -> None:
        """No batch waits for the frames of a robot that is not there."""
        if self._dispatcher is not None:
            self._dispatcher.expect(sum(robot.there for robot in self._robots))

    def _frames_wait(self) -> bool:
        dispatcher = self._dispatcher
        return dispatcher is not None and dispatcher.waiting > 0

    def _look_for(self, robot: Robot, now_s: float) -> None:
        if robot.miss(self.params.robot_timeout_s, now_s):
            if self._clips is not None:
                self._clips.forget(robot.name)
            problem = f"{robot.name}: not heard any more"
            self.get_logger().warning(problem)
            self.diagnostics.condition(robot.name, problem)
            self._expect()

    def receive(self, robot: Robot, frame: Any, info: Any) -> None:
        """A frame of a robot: checked by its header, then left to wait for its turn."""
        dispatcher, folder = self._dispatcher, self._folder
        if dispatcher is None or folder is None:
            return
        self.hear(robot, frame, info)
        arrived_s = arrival_s(info)
        self.diagnostics.count("frames_received")
        if reason := frame_problem(folder, self._readers, frame):
            self._refuse(robot, reason)
            return
        coded = None
        if frame.reference:
            try:
                coded = self._keep(folder, robot, frame)
            except MissingReferenceError as error:
                self._miss(robot, error)
                return
            except ValueError as error:
                self._refuse(robot, f"unreadable data: {error}")
                return
        waiting = Waiting(
            source=robot.name,
            key=frame.split,
            item=Job(robot, frame, coded),
            arrived_s=arrived_s,
            deadline_s=arrived_s + min(frame.time_left_s, _LONGEST_DEADLINE_S),
        )
        if dispatcher.offer(waiting) is not None:
            robot.count_late(time.monotonic())
            self.diagnostics.event(
                "frames_replaced", f"{robot.name}: frames come faster than they are answered"
            )

    def _keep(self, folder: ModelFolder, robot: Robot, frame: Any) -> Any:
        """Decodes a frame that later ones may refer to: now, since a late or replaced one is needed too."""
        keeper = robot.keepers.get(frame.split)
        if keeper is None:
            keeper = robot.keepers[frame.split] = FeatureReader(folder, frame.split, REFERENCES)
        coded = keeper.read(frame.data)
        robot.decoded = Key(frame.run, frame.sequence)
        return coded

    def _miss(self, robot: Robot, error: MissingReferenceError) -> None:
        """Asks for a key frame. The robot answers what comes until then by itself; nobody is at fault."""
        robot.decoded = Key(0, 0)
        self.diagnostics.event("references_missing", f"{robot.name}: {error}")
        self._tell(robot)

    # --- decoding and outcomes, on the dispatcher's and the engine's thread

    def _decode(self, key: Any, job: Job) -> Any:
        frame = job.frame
        try:
            reader = self._readers[key]
            features = reader.features(reader.read(frame.data) if job.coded is None else job.coded)
        except BitstreamError as error:
            raise Unreadable(f"unreadable data: {error}") from error
        if self._clips is None:
            return features
        stamp = frame.header.stamp
        return self._clips.add(job.robot.name, key, frame.run, stamp.sec + stamp.nanosec * 1e-9, features)

    def answered(self, frame: Waiting[Job], answer: Answer, queue_s: float, inference_s: float) -> None:
        job, folder = frame.item, self._folder
        if folder is None or not self.context.ok():
            return  # the process is on its way out
        sent = job.frame
        result = message_of(answer)
        if reason := answer_problem(result):  # the robot answers by itself, as for a late one
            self.diagnostics.event("answers_unsound", f"{job.robot.name}: the model gave {reason}")
            return
        result.header, result.run, result.sequence = sent.header, sent.run, sent.sequence
        result.source = InferenceResult.SOURCE_OFFBOARD
        result.model, result.model_digest = folder.name, folder.digest
        result.encode_s, result.queue_s, result.inference_s = sent.encode_s, queue_s, inference_s
        # The robot's to say: it alone saw both ends.
        result.transfer_s = result.total_s = math.nan
        result.bytes_sent = len(sent.data)
        result.energy_j, result.energy_source = sent.energy_j, sent.energy_source
        result.energy_quality = sent.energy_quality
        job.robot.results.publish(result)
        job.robot.count_answered()
        self.diagnostics.count("frames_answered")

    def late(self, frame: Waiting[Job]) -> None:
        robot = frame.item.robot
        robot.count_late(time.monotonic())
        self.diagnostics.event(
            "frames_late", f"{robot.name}: frames could not be answered before their deadline"
        )

    def refused(self, frame: Waiting[Job], reason: str) -> None:
        self._refuse(frame.item.robot, reason)

    def _refuse(self, robot: Robot, reason: str) -> None:
        robot.count_refused(reason, time.monotonic())
        self.diagnostics.event("frames_refused", f"{robot.name}: {reason}")
        self.get_logger().warning(
            f"{robot.name}: frame refused: {reason}", throttle_duration_sec=_LOG_EVERY_S
        )

    # --- heartbeat and diagnostics

    def _beat(self) -> None:
        if self._dispatcher is None:
            return
        figures = self._figures = self._dispatcher.figures()
        now_s = time.monotonic()
        for robot in self._robots:
            self._look_for(robot, now_s)
            self._tell(robot)
        self.diagnostics.set("robots", sum(robot.there for robot in self._robots))
        self.diagnostics.set("load", figures.load)
        self.diagnostics.set("queue", figures.queue)
        self.diagnostics.set("inference_p50_s", figures.p50_s)
        self.diagnostics.set("inference_p99_s", figures.p99_s)
        if self._sampler is not None:
            for name, value in self._sampler.figures().items():
                self.diagnostics.set(name, value)

    def _tell(self, robot: Robot) -> None:
        """A heartbeat for one robot."""
        folder, engine, figures = self._folder, self._engine, self._figures
        if folder is None or engine is None:
            return
        message = heartbeat(
            robot,
            figures,
            time.monotonic(),
            run=self._run,
            sequence=robot.beats,
            period_s=self._heartbeat_s,
            server=self.get_fully_qualified_name(),
            model=folder.name,
            model_digest=folder.digest,
            device=engine.device,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        robot.status.publish(message)
        robot.beats += 1

    def _report(self) -> None:
        problems: list[str] = []
        for robot in self._robots:
            topic = self.resolve_topic_name(robot.features_topic)
            problems += qos_problems(self, topic, qos.FEATURES, "qeil_ros/msg/FeatureFrame", subscribing=True)
        self.diagnostics.condition("qos", "; ".join(problems))


def main(args: Sequence[str] | None = None) -> None:
    run(CoInferenceNode, args)


if __name__ == "__main__":
    main()
