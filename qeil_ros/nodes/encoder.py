"""The encoder: camera images in, coded features out. Runs on the robot.

It keeps no queue of images: the subscription holds the newest one only, and everything from there to the
published features happens in its callback. What it does with a frame (cut, bits, rate, route) is the
supervisor's to say; when the supervisor falls silent the encoder goes to the safe point of its own
parameters.
"""

from __future__ import annotations

import array
import math
import secrets
import time
from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from qeil_ros.codec import REFERENCES, is_key
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.pipeline import AgentPipeline
from qeil_ros.msg import FeatureFrame, FeatureReceipt, InferenceResult, OperatingPoint

from . import qos
from .arrival import arrival_s, informed
from .diagnostics import Diagnostics, qos_problems
from .encoder_parameters import EncoderParameters
from .lifecycle import ManagedNode
from .main import run
from .parameters import declare
from .point import HOLD, Pacer, Point, PointFollower, problem
from .recent import Recent
from .screening import Screening

_TRANSPORT_POLL_S = 0.25
_LOG_EVERY_S = 5.0


class EncoderNode(ManagedNode):
    """Subscribes `image` or `image/compressed`, and `operating_point`; publishes `features`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("encoder", **kwargs)
        self.params = declare(self, EncoderParameters)
        self.add_on_set_parameters_callback(self._check_splits)
        self.diagnostics = Diagnostics(self)
        self.diagnostics.sources.append(self._report)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._pipeline: AgentPipeline | None = None
        self._features: Any = None
        self._points: Any = None
        self._images: Subscription | None = None
        self._poll: Any = None
        self._topic = ""
        self._receipts: Any = None
        self._sent: dict[int, tuple[str, int]] = {}  # sequence -> split and checksum
        for name in (
            "images_received",
            "frames_encoded",
            "key_frames",
            "keys_requested",
            "images_superseded",
            "images_paced",
            "images_held",
            "images_refused",
        ):
            self.diagnostics.count(name, 0)

    # --- lifecycle

    def configure(self) -> None:
        folder = ModelFolder.load(self.params.model)
        self._pipeline = AgentPipeline(folder, threads=self.params.threads, backend=self.params.backend)
        self._screening = Screening(folder.input, self.params, self.diagnostics)
        for name in ("split", "safe_split"):
            if reason := self._split_problem(getattr(self.params, name)):
                raise ValueError(f"parameter {name}: {reason}")
        self._run, self._sequence = secrets.randbits(64), 0
        self._follower, self._pacer = PointFollower(), Pacer()
        self._encode_s, self._agent_s = Recent(window_s=10.0), Recent(window_s=10.0)
        self._last_number: int | None = None
        self._point = self._own_point()
        self._features = self.create_lifecycle_publisher(FeatureFrame, "features", qos.FEATURES)
        self._points = self.create_subscription(
            OperatingPoint, "operating_point", self._on_operating_point, qos.LATEST
        )
        self._sent.clear()
        self._receipts = self.create_subscription(
            FeatureReceipt, "features/receipt", self._on_receipt, qos.RECEIPTS
        )
        self.diagnostics.hardware_id = folder.name
        self.diagnostics.set("model", f"{folder.name} {folder.version}")
        self.diagnostics.set("model_digest", folder.digest)
        self.get_logger().info(f"model {folder.name} {folder.version}, digest {folder.digest[:12]}")

    def activate(self) -> None:
        self._last_number = None
        self._choose_transport()
        self._poll = self.create_timer(_TRANSPORT_POLL_S, self._choose_transport, clock=self._steady)

    def deactivate(self) -> None:
        if self._poll is not None:
            self.destroy_timer(self._poll)
            self._poll = None
        self._unsubscribe()
        self.diagnostics.condition("image", "")

    def cleanup(self) -> None:
        if self._points is not None:
            self.destroy_subscription(self._points)
            self._points = None
        if self._receipts is not None:
            self.destroy_subscription(self._receipts)
            self._receipts = None
        if self._features is not None:
            self.destroy_lifecycle_publisher(self._features)
            self._features = None
        self._pipeline = None

    # --- images

    def _choose_transport(self) -> None:
        """Subscribes the transport asked for; with `auto` the one that has a publisher, raw first.

        Polled: a driver may start after us, and another one may take its place.
        """
        raw = self.resolve_topic_name("image")
        topics = {"raw": [raw], "compressed": [raw + "/compressed"]}.get(
            self.params.image_transport, [raw, raw + "/compressed"]
        )
        published = [topic for topic in topics if self.count_publishers(topic)]
        self.diagnostics.condition("image", "" if published else f"no publisher on {' or '.join(topics)}")
        wanted = (
            self._topic
            if self._topic in published
            else next(iter(published), topics[0] if len(topics) == 1 else "")
        )
        if wanted and wanted != self._topic:
            self._unsubscribe()
            self._subscribe(wanted, compressed=wanted != raw)

    def _subscribe(self, topic: str, compressed: bool) -> None:
        kind, callback = (CompressedImage, self._on_compressed) if compressed else (Image, self._on_image)
        self._images = self.create_subscription(kind, topic, informed(callback), qos.IMAGES)
        self._topic = topic
        self._last_number = None
        self._screening.restart()
        self.get_logger().info(f"images come from {topic}")

    def _unsubscribe(self) -> None:
        if self._images is not None:
            self.destroy_subscription(self._images)
            self._images = None
        self._topic = ""

    def _on_image(self, message: Image, info: Any) -> None:
        self._on_frame(message, info, compressed=False)

    def _on_compressed(self, message: CompressedImage, info: Any) -> None:
        self._on_frame(message, info, compressed=True)

    def _on_frame(self, message: Any, info: Any, compressed: bool) -> None:
        arrived_s, cpu_s = arrival_s(info), _cpu_s(self.params.threads)
        pipeline = self._pipeline
        if pipeline is None or self._images is None:
            return  # a callback that was already on its way when the node was deactivated
        self.diagnostics.count("images_received")
        self._count_superseded(info)
        point = self._point = self._follower.point(self._own_point(), self._safe_point(), arrived_s)
        if point.route == HOLD:
            self.diagnostics.count("images_held")
            return
        if not self._pacer.admit(point.rate_hz, arrived_s):
            self.diagnostics.count("images_paced")
            return
        try:
            if compressed:
                image = pipeline.prepare_compressed(memoryview(message.data), self.params.max_image_pixels)
            else:
                image = pipeline.prepare(
                    memoryview(message.data),
                    message.width,
                    message.height,
                    message.step,
                    message.encoding,
                    bool(message.is_bigendian),
                )
        except ValueError as error:
            self.diagnostics.event("images_bad", f"bad image on {self._topic}: {error}")
            self.get_logger().warning(
                f"bad image on {self._topic}: {error}", throttle_duration_sec=_LOG_EVERY_S
            )
            return
        if not self._screening.admit(image, message.header, arrived_s):
            self.diagnostics.count("images_refused")
            return
        cut = pipeline.folder.split(point.split)
        split, bits = cut.name, point.feature_bits or cut.feature_bits
        self._follow_weight_bits(point, split)
        started_s = time.monotonic()
        features = pipeline.features(image, split)
        agent_s = time.monotonic() - started_s
        try:
            coded = self._code(pipeline, features, bits, split)
        except ValueError as error:  # not a number or infinite, or max_frame_bytes is too few
            self.diagnostics.event("features_bad", f"a frame's features cannot be coded: {error}")
            self.get_logger().warning(
                f"features cannot be coded: {error}", throttle_duration_sec=_LOG_EVERY_S
            )
            return
        self._publish(message.header, split, bits, coded, arrived_s, cpu_s)
        self._agent_s.add(agent_s, arrived_s)
        every = self.params.distortion_every
        if every and (self._sequence - 1) % every == 0:
            self.diagnostics.set("distortion", pipeline.distortion(features, coded, split))

    def _code(self, pipeline: AgentPipeline, features: Any, bits: int, split: str) -> memoryview:
        params = self.params
        options: dict[str, Any] = {"coder": params.feature_coder, "max_bytes": params.max_frame_bytes or None}
        if params.keep_tokens < 1 and features.ndim > 1:
            options["keep"] = params.keep_tokens
        if not params.inter_frame:
            return pipeline.code(features, bits, split, **options)
        coded, checksum = pipeline.code_next(features, bits, split, params.key_frame_interval, **options)
        self._sent[self._sequence] = split, checksum
        while len(self._sent) > REFERENCES:
            del self._sent[next(iter(self._sent))]
        return coded

    def _on_receipt(self, message: FeatureReceipt) -> None:
        """Every receiver has decoded a frame, or one of them has none any more."""
        if self._pipeline is None:
            return
        if not message.decoded:
            self.diagnostics.count("keys_requested")
            self._pipeline.request_key()
        elif message.run == self._run and message.sequence in self._sent:
            self._pipeline.acknowledge(*self._sent[message.sequence])

    def _publish(
        self, header: Any, split: str, bits: int, coded: memoryview, arrived_s: float, cpu_s: float
    ) -> None:
        assert self._pipeline is not None
        folder = self._pipeline.folder
        data = array.array("B")
        data.frombytes(coded)
        energy_j, source, quality = self._energy(_cpu_s(self.params.threads) - cpu_s)
        frame = FeatureFrame(
            header=header,
            run=self._run,
            sequence=self._sequence,
            model=folder.name,
            model_digest=folder.digest,
            split=split,
            feature_bits=bits,
            reference=self.params.inter_frame,
            energy_j=energy_j,
            energy_source=source,
            energy_quality=quality,
            data=data,
        )
        encode_s = time.monotonic() - arrived_s
        frame.encode_s = encode_s
        frame.time_left_s = self.params.deadline_s - encode_s
        self._features.publish(frame)
        self._sequence += 1
        self.diagnostics.count("frames_encoded")
        self.diagnostics.count("key_frames", int(is_key(coded)))
        self.diagnostics.set("frame_bytes", len(data))
        self._encode_s.add(encode_s, arrived_s)

    def _energy(self, cpu_s: float) -> tuple[float, str, int]:
        """(J, source, quality) of a frame: processor time times the power of a busy core."""
        power_w = self.params.active_core_w
        if power_w <= 0:
            return math.nan, "", InferenceResult.QUALITY_NONE
        return (
            cpu_s * power_w,
            f"processor time x active_core_w={power_w:g}",
            InferenceResult.QUALITY_MODELLED,
        )

    def _count_superseded(self, info: Any) -> None:
        """Images that a newer one replaced while the encoder was busy, where the middleware numbers them."""
        number = info.get("publication_sequence_number") if isinstance(info, dict) else None
        if not isinstance(number, int) or not 0 <= number < 2**63:
            return
        if self._last_number is not None and 1 < number - self._last_number < 10_000:
            self.diagnostics.count("images_superseded", number - self._last_number - 1)
        self._last_number = number

    # --- operating point

    def _split_problem(self, name: str) -> str:
        """Why a cut (empty: the default one) cannot be used with the loaded model; empty where it can."""
        if self._pipeline is None:
            return ""  # looked at when the node is configured
        chosen, held = name or self._pipeline.folder.default_split, self._pipeline.splits
        if chosen in held:
            return ""
        return f"no agent part here for split {chosen!r}, only for {', '.join(held)}"

    def _check_splits(self, changes: list[Parameter]) -> SetParametersResult:
        for change in changes:
            if change.name in ("split", "safe_split") and (reason := self._split_problem(str(change.value))):
                return SetParametersResult(successful=False, reason=f"{change.name}: {reason}")
        return SetParametersResult(successful=True)

    def _own_point(self) -> Point:
        params = self.params
        return Point(params.split, params.feature_bits, params.rate_hz, weight_bits=params.weight_bits)

    def _safe_point(self) -> Point:
        params = self.params
        return Point(
            params.safe_split,
            params.safe_feature_bits,
            params.safe_rate_hz,
            origin="safe point",
            weight_bits=params.safe_weight_bits,
        )

    def _on_operating_point(self, message: OperatingPoint) -> None:
        if self._pipeline is None:
            return
        if reason := problem(message, self._pipeline.splits):
            self.diagnostics.event("operating_points_bad", f"operating point refused: {reason}")
            self.get_logger().warning(
                f"operating point refused: {reason}", throttle_duration_sec=_LOG_EVERY_S
            )
            return
        self._follower.hear(message, time.monotonic())

    def _follow_weight_bits(self, point: Point, split: str) -> None:
        """Has the agent part change the width of its weights; frames go on meanwhile."""
        assert self._pipeline is not None
        agent = self._pipeline.agent(split)
        if not agent.widths:
            wanted = point.weight_bits not in (0, 8)
            problem = (
                f"the {point.origin} asks for {point.weight_bits}-bit weights; the agent part runs as stored"
                if wanted
                else ""
            )
        else:
            agent.request(point.weight_bits)
            problem = agent.problem
        self.diagnostics.condition("weight_bits", problem)

    # --- diagnostics

    def _report(self) -> None:
        if self._pipeline is None:
            return
        now_s = time.monotonic()
        point = self._follower.point(self._own_point(), self._safe_point(), now_s)
        say = self.diagnostics
        self._screening.report(now_s)
        silent = ""
        if point.origin == "safe point":
            limit = f", {point.rate_hz:g} images a second at most" if point.rate_hz else ""
            silent = f"the supervisor is silent: running at the safe point{limit}"
        say.condition("operating_point", silent)
        say.set("operating_point_from", point.origin)
        cut = self._pipeline.folder.split(point.split)
        say.set("split", cut.name)
        say.set("feature_bits", point.feature_bits or cut.feature_bits)
        agent = self._pipeline.agent(cut.name)
        say.set("weight_bits", agent.bits or "as stored")
        say.set("agent_backend", agent.device)
        say.set("rate_hz", point.rate_hz)
        say.set("route", ("offboard", "local", "hold")[point.route])
        say.set("image_topic", self._topic or "none yet")
        for name, recent in (("encode", self._encode_s), ("agent", self._agent_s)):
            p50, p99 = recent.quantiles(0.5, 0.99, now_s=now_s)
            say.set(f"{name}_p50_s", p50)
            say.set(f"{name}_p99_s", p99)
        problems = qos_problems(
            self,
            self.resolve_topic_name("features"),
            qos.FEATURES,
            "qeil_ros/msg/FeatureFrame",
            subscribing=False,
        )
        if self._topic:
            kind = (
                "sensor_msgs/msg/CompressedImage"
                if self._topic.endswith("/compressed")
                else "sensor_msgs/msg/Image"
            )
            problems += qos_problems(self, self._topic, qos.IMAGES, kind, subscribing=True)
        say.condition("qos", "; ".join(problems))


def _cpu_s(threads: int) -> float:
    """Processor time spent so far [s]: this thread's, or with helper threads the whole process's."""
    return time.thread_time() if threads == 1 else time.process_time()


def main(args: Sequence[str] | None = None) -> None:
    run(EncoderNode, args)


if __name__ == "__main__":
    main()
