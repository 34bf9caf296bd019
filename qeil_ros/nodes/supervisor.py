"""The supervisor: keeps the robot inside its limits and says why. Runs on the robot.

Five times a second it samples the platform, judges limits and link, and publishes the operating point that is
permitted (`safety.guard` decides) together with its status. Its silence makes the encoder go to its safe
point; the fallback does not need it at all.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType

from qeil_ros.msg import InferenceResult, OffboardStatus, OperatingPoint, SupervisorStatus
from qeil_ros.platform import Sample, Sampler, procfs_sensors, sysfs_sensors
from qeil_ros.safety.guard import Guard, Verdict
from qeil_ros.safety.link import Link, LinkConfig, LinkMonitor
from qeil_ros.safety.modes import Mode
from qeil_ros.safety.permit import Route

from . import qos
from .arrival import arrival_s, informed
from .diagnostics import Diagnostics, qos_problems
from .lifecycle import ManagedNode
from .main import run
from .parameters import declare
from .supervisor_parameters import Parameters

__all__ = ["Parameters", "SupervisorNode", "main"]

_RECENT_S = 5.0


class SupervisorNode(ManagedNode):
    """See the module's docstring. Subscribes `offboard/status`, `result`, `/diagnostics`; publishes
    `operating_point`, `status`, `/diagnostics`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("supervisor", **kwargs)
        self.params = declare(self, Parameters, self._on_change)
        self.diagnostics = Diagnostics(self)
        self.diagnostics.sources.append(self._report)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._sampler: Sampler | None = None
        self._guard: Guard | None = None
        self._points: Any = None
        self._status: Any = None
        self._inputs: list[Any] = []
        self._timer: Any = None
        self._verdict: Verdict | None = None

    # --- lifecycle

    def configure(self) -> None:
        params = self.params
        sensors = [*sysfs_sensors(params.sysfs_root), *procfs_sensors(params.procfs_root)]
        self._sampler = Sampler(sensors, power_model=params.power_model())
        self._points = self.create_lifecycle_publisher(OperatingPoint, "operating_point", qos.LATEST)
        self._status = self.create_lifecycle_publisher(SupervisorStatus, "status", qos.LATEST)
        self._sequence = 0
        names = [name for sensor in sensors for name in sensor.names]
        self.diagnostics.set("sensors", len(names))
        self.get_logger().info(f"sensors: {', '.join(names)}")
        limits = params.guard_config(sensors).limits
        self.get_logger().info(
            "limits: "
            + ("; ".join(f"{limit.pattern} {limit.thresholds}" for limit in limits) or "none is set")
        )

    def activate(self) -> None:
        params, now_s = self.params, time.monotonic()
        assert self._sampler is not None
        self._guard = Guard(params.guard_config(self._sampler.sensors))
        config = LinkConfig(most_silence_s=params.heartbeat_timeout_s, recover_s=params.recover_s)
        self._link = LinkMonitor(config, now_s)
        self._outcomes: deque[tuple[float, int]] = deque(maxlen=1024)
        self._distortion = (-math.inf, math.nan)
        self._mode = Mode.NOMINAL
        for kind, topic, callback, profile in (
            (OffboardStatus, "offboard/status", informed(self._on_heartbeat), qos.HEARTBEAT),
            (InferenceResult, "result", informed(self._on_result), qos.RESULTS),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, 10),
        ):
            self._inputs.append(self.create_subscription(kind, topic, callback, profile))
        # A steady clock: limits do not pause with a simulation.
        self._timer = self.create_timer(params.period_s, self._tick, clock=self._steady)
        self._tick()

    def deactivate(self) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        while self._inputs:
            self.destroy_subscription(self._inputs.pop())
        self._guard = self._verdict = None
        for name in ("mode", "limits", "sensors", "link"):
            self.diagnostics.condition(name, "")

    def cleanup(self) -> None:
        for publisher in (self._points, self._status):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        self._points = self._status = None
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None

    def _on_change(self, names: set[str]) -> None:
        if self._sampler is not None:
            self._sampler.power_model = self.params.power_model()
            if self._guard is not None:
                self._guard.configure(self.params.guard_config(self._sampler.sensors))
        self.get_logger().info(
            "changed: " + ", ".join(f"{name} = {getattr(self.params, name)}" for name in sorted(names))
        )

    # --- what is heard

    def _on_heartbeat(self, message: Any, info: Any) -> None:
        if self._guard is None:
            return  # a callback that was already on its way when the node was deactivated
        ready = message.state == OffboardStatus.STATE_READY
        trouble = "" if ready else f"server: {message.reason[:200]}"
        self._link.hear(message.run, message.sequence, message.period_s, arrival_s(info), trouble=trouble)

    def _on_result(self, message: Any, info: Any) -> None:
        if self._guard is None or self._verdict is None:
            return
        now_s = arrival_s(info)
        self._outcomes.append((now_s, message.source))
        # Only while the offboard computer is waited for does another source mean that it was missed.
        waited = self._verdict.decision.link != Link.DOWN and self._verdict.point.route == Route.OFFBOARD
        if waited:
            self._link.outcome(message.source == InferenceResult.SOURCE_OFFBOARD, now_s)

    def _on_diagnostics(self, message: Any) -> None:
        encoder = f"{self.get_namespace().strip('/')}/{self.params.encoder}".lstrip("/")
        for status in message.status:
            if status.name != encoder:
                continue
            for entry in status.values:
                if entry.key == "distortion":
                    self._distortion = (time.monotonic(), _number(entry.value))

    # --- what is said, once a period

    def _tick(self) -> None:
        sampler, guard, params = self._sampler, self._guard, self.params
        if sampler is None or guard is None:
            return
        sample = sampler.sample()
        link, reason = self._link.state(sample.time_s)
        verdict = self._verdict = guard.step(params.asked(), sample.readings, link, reason, sample.time_s)
        point = self._point_message(verdict)
        self._points.publish(point)
        self._status.publish(self._status_message(verdict, link, point))
        self._sequence += 1
        self._explain(verdict, sample, link, reason)

    def _point_message(self, verdict: Verdict) -> Any:
        point = verdict.point
        message = OperatingPoint(
            sequence=self._sequence,
            split=point.split,
            feature_bits=point.feature_bits,
            weight_bits=point.weight_bits,
            rate_hz=point.rate_hz,
            route=int(point.route),
            clock_hz=point.clock_hz,
            valid_for_s=self.params.valid_for_s,
            reason=point.reason,
        )
        message.header.stamp = self.get_clock().now().to_msg()
        return message

    def _status_message(self, verdict: Verdict, link: Link, point: Any) -> Any:
        readings, forecast = verdict.readings, verdict.forecast
        measured_s, distortion = self._distortion
        return SupervisorStatus(
            header=point.header,
            mode=int(verdict.decision.mode),
            reasons=list(verdict.decision.reasons),
            link=int(link),
            operating_point=point,
            reading_names=[reading.name for reading in readings],
            reading_values=[reading.value for reading in readings],
            reading_units=[reading.unit for reading in readings],
            reading_sources=[reading.source for reading in readings],
            reading_qualities=[int(reading.quality) for reading in readings],
            forecast_horizon_s=forecast.horizon_s,
            forecast_temperature_c=forecast.temperature_c,
            forecast_energy_j=forecast.energy_j,
            energy_left_j=forecast.energy_left_j,
            distortion_predicted=math.nan,  # nothing here can predict it
            distortion_measured=distortion if time.monotonic() - measured_s < _RECENT_S else math.nan,
        )

    def _explain(self, verdict: Verdict, sample: Sample, link: Link, reason: str) -> None:
        """Conditions for /diagnostics, and one line of log when the mode changes."""
        decision, say = verdict.decision, self.diagnostics
        level = DiagnosticStatus.ERROR if decision.mode == Mode.HOLD else DiagnosticStatus.WARN
        why = "; ".join(decision.reasons)
        say.condition("mode", f"{decision.mode.name.lower()}: {why}" if decision.mode else "", level)
        blind = ", ".join(verdict.blind)
        say.condition(
            "limits",
            f"limits that nothing readable stands for: {blind}" if blind else "",
            DiagnosticStatus.ERROR,
        )
        stuck = ", ".join(sample.stuck)
        say.condition("sensors", f"sensors that do not answer: {stuck}" if stuck else "")
        say.condition("link", f"link {link.name.lower()}: {reason}" if link >= Link.DEGRADED else "")
        say.condition("heartbeat", self._link.problem)
        if decision.mode != self._mode:
            change = f"mode {self._mode.name.lower()} -> {decision.mode.name.lower()}"
            change += f": {why}" if why else ""
            # Two calls: rclpy remembers the severity of each place that logs, and refuses another one there.
            if decision.mode < self._mode:
                self.get_logger().info(change)
            else:
                self.get_logger().warning(change)
            self._mode = decision.mode

    def _report(self) -> None:
        verdict, say = self._verdict, self.diagnostics
        if verdict is None:
            return
        now_s = time.monotonic()
        say.set("mode", verdict.decision.mode.name.lower())
        say.set("server_restarts", self._link.restarts)
        say.set("route", verdict.point.route.name.lower())
        say.set("rate_hz", verdict.point.rate_hz)
        say.set("feature_bits", verdict.point.feature_bits)
        for reading in verdict.readings:
            say.set(reading.name, f"{reading.value:.5g} {reading.unit}" if reading.good else reading.reason)
        recent = [source for time_s, source in self._outcomes if now_s - time_s < _RECENT_S]
        for source, name in enumerate(("none", "offboard", "local")):
            say.set(f"answers_{name}_hz", recent.count(source) / _RECENT_S)
        problems = []
        for topic, profile, kind, subscribing in (
            ("offboard/status", qos.HEARTBEAT, "OffboardStatus", True),
            ("result", qos.RESULTS, "InferenceResult", True),
            ("operating_point", qos.LATEST, "OperatingPoint", False),
            ("status", qos.LATEST, "SupervisorStatus", False),
        ):
            name = self.resolve_topic_name(topic)
            problems += qos_problems(self, name, profile, f"qeil_ros/msg/{kind}", subscribing=subscribing)
        say.condition("qos", "; ".join(problems))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def main(args: Sequence[str] | None = None) -> None:
    run(SupervisorNode, args)


if __name__ == "__main__":
    main()
