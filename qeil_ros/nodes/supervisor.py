"""The supervisor: keeps the robot inside its limits and says why. Runs on the robot.

Five times a second it samples the platform and judges limits and link; what the planner, or the parameters,
ask for becomes the operating point that is permitted (`safety.guard` has the last word). Its silence makes
the encoder go to its safe point; the fallback does not need it at all.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import BatteryState

from qeil_ros.msg import FallbackStatus, OperatingPoint, SupervisorStatus
from qeil_ros.platform import BatterySensor, Sampler, actuators, discover
from qeil_ros.safety.guard import Budget, Guard
from qeil_ros.safety.link import Link
from qeil_ros.safety.modes import Mode
from qeil_ros.safety.permit import OperatingPoint as Point

from . import qos
from .arrival import arrival_s, informed
from .clocks import Clocks
from .diagnostics import Diagnostics, qos_problems
from .health_report import HealthReport
from .lifecycle import ManagedNode
from .main import run
from .overrides import Overrides, pinned
from .parameters import declare
from .supervisor_parameters import Parameters
from .supervisor_services import Services
from .supervisor_status import View, fill_conditions, fill_parts, point_message, status_message

if TYPE_CHECKING:  # what takes memory comes in where it is asked for
    from .live_plan import LivePlan
    from .supervisor_log import SupervisorLog

__all__ = ["Parameters", "SupervisorNode", "main"]

_RECENT_S = 5.0
_REPEATS = 3
"""How often an operating point is said again while it holds: so many messages may get lost, less one."""
_GRAPH_EVERY = 5
"""Other ends of topics are looked at with every so-manieth diagnostics."""


class SupervisorNode(ManagedNode):
    """See the module's docstring. Subscribes `fallback/status`, `/diagnostics` and `battery_state`; publishes
    `operating_point`, `status`, `/diagnostics`; services `~/pin`, `~/reset_energy`, `~/raise_limit`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("supervisor", **kwargs)
        self.params = declare(self, Parameters, self._on_change)
        self._own = self.params.asked()
        self.diagnostics = Diagnostics(self, hardware_id=socket.gethostname())
        self.diagnostics.sources.append(self._report)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.overrides = Overrides()
        self.guard: Guard | None = None
        self._offered = Services(self)
        self._sampler: Sampler | None = None
        self._battery = BatterySensor("topic battery_state")
        self._log: SupervisorLog | None = None
        self._points: Any = None
        self._statuses: Any = None
        self._inputs: list[Any] = []
        self._timer: Any = None
        self._view: View | None = None
        self._reports = 0
        self._reset()

    def _reset(self) -> None:
        """What one activation knows of the world before it has heard anything."""
        self._fallback: tuple[float, Any] = (-math.inf, None)
        self._distortion = (-math.inf, math.nan)
        self._model_bits = 0  # what the model wants by itself; 0: not seen yet
        self._health = HealthReport()
        self._live: LivePlan | None = None
        self._planned = (-math.inf, Link.UNKNOWN)
        self._clocks: Clocks | None = None
        self._mode = Mode.NOMINAL
        self._point: tuple[float, Point | None, Any] = (-math.inf, None, None)
        self._status: tuple[float, Any] = (-math.inf, None)

    # --- lifecycle

    def configure(self) -> None:
        params = self.params
        sensors = discover(
            params.sysfs_root, params.procfs_root, [name for name in params.sensor_sources if name]
        )
        if params.battery:
            sensors.append(self._battery)
        self._sampler = Sampler(sensors, power_model=params.power_model())
        self._points = self.create_lifecycle_publisher(OperatingPoint, "operating_point", qos.LATEST)
        self._statuses = self.create_lifecycle_publisher(SupervisorStatus, "status", qos.LATEST)
        self._sequence = 0
        if params.flight_log:
            from .supervisor_log import SupervisorLog

            self._log = SupervisorLog(self, params.flight_log, params.flight_log_bytes)
        names = [name for sensor in sensors for name in sensor.names]
        self.diagnostics.set("sensors", len(names))
        self.get_logger().info(f"sensors: {', '.join(names)}")
        limits = params.guard_config(sensors).limits
        self.get_logger().info(
            "limits: "
            + ("; ".join(f"{limit.pattern} {limit.thresholds}" for limit in limits) or "none is set")
        )

    def activate(self) -> None:
        params, sampler = self.params, self._sampler
        assert sampler is not None
        self._reset()
        if params.plan:
            from qeil_ros.planning import plan_file

            from .live_plan import LivePlan

            self._live = LivePlan(plan_file.read(params.plan), params.plan_dwell_s)
            self.get_logger().info(f"planning live from {params.plan}")
        self._clocks = Clocks(actuators(params.sysfs_root))
        self.guard = Guard(params.guard_config(sampler.sensors))
        self._inputs.append(
            self.create_subscription(
                FallbackStatus, "fallback/status", informed(self._on_fallback), qos.LATEST
            )
        )
        if self._log is not None or self._live is not None:  # nobody else asks for what is in there
            # As bytes: most of what comes is for others, or for the log alone.
            self._inputs.append(
                self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10, raw=True)
            )
        if params.battery:
            self._inputs.append(
                self.create_subscription(
                    BatteryState, "battery_state", informed(self._on_battery), qos.IMAGES
                )
            )
        # A steady clock: limits do not pause with a simulation.
        self._timer = self.create_timer(params.period_s, self._tick, clock=self._steady)
        self._tick()

    def deactivate(self) -> None:
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        while self._inputs:
            self.destroy_subscription(self._inputs.pop())
        if self._clocks is not None:
            self._clocks.close()
            if self._clocks.problem:
                self.note(f"the clocks could not be given back: {self._clocks.problem}")
        if held := self.overrides.describe(time.monotonic()):
            self.note(f"deactivated; released: {'; '.join(held)}")
        self.overrides = Overrides()
        self.guard = self._view = None
        for name in ("mode", "limits", "sensors", "fallback", "overrides", "plan", "clock", "qos"):
            self.diagnostics.condition(name, "")
        for name in ("temperatures", "energy", "sensors", "link", "plan", "health"):
            self.diagnostics.part(name).clear()

    def cleanup(self) -> None:
        for publisher in (self._points, self._statuses):
            if publisher is not None:
                self.destroy_lifecycle_publisher(publisher)
        self._points = self._statuses = None
        if self._sampler is not None:
            self._sampler.close()
            self._sampler = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def reconfigure(self) -> None:
        """Has the guard go by the parameters and overrides as they are now."""
        if self._sampler is not None and self.guard is not None:
            config = self.params.guard_config(self._sampler.sensors, self.overrides.raised_c)
            self.guard.configure(config)
            self.guard.pin(self.overrides.mode, self.overrides.mode_reason)

    @property
    def sensors(self) -> Sequence[Any]:
        """What is sampled; empty before the node is configured."""
        return [] if self._sampler is None else self._sampler.sensors

    def note(self, text: str) -> None:
        """Logs what an operator should find again: on the console, on /rosout and in the flight log."""
        self.get_logger().warning(text)
        if self._log is not None:
            self._log.note(text)

    def _on_change(self, names: set[str]) -> None:
        self._own = self.params.asked()
        if self._sampler is not None:
            self._sampler.power_model = self.params.power_model()
            self.reconfigure()
        if self._live is not None:
            self._live.dwell_s = self.params.plan_dwell_s
        changes = ", ".join(f"{name} = {getattr(self.params, name)}" for name in sorted(names))
        self.note(f"parameters changed: {changes}")

    # --- what is heard

    def _on_fallback(self, message: Any, info: Any) -> None:
        if self.guard is None:
            return  # a callback that was already on its way when the node was deactivated
        now_s = arrival_s(info)
        self._fallback = now_s, message
        said = self._point[1]
        if said is not None and not said.feature_bits and message.feature_bits:
            self._model_bits = message.feature_bits
        if self._log is not None:
            self._log.add("fallback/status", message)
        if self._live is not None and Link.UNKNOWN <= message.link <= Link.DOWN:
            self._live.observe(message, self._recent_distortion(now_s), now_s)

    def _on_battery(self, message: Any, info: Any) -> None:
        self._battery.hear(message.percentage, message.voltage, message.current, arrival_s(info))

    def _on_diagnostics(self, data: bytes) -> None:
        if self._log is not None:
            self._log.add_bytes("/diagnostics", data)
        encoder = f"{self.get_namespace().strip('/')}/{self.params.encoder}".lstrip("/")
        if encoder.encode() not in data:
            return
        try:
            statuses = deserialize_message(data, DiagnosticArray).status
        except (ValueError, RuntimeError) as error:
            self.diagnostics.event("diagnostics_bad", f"/diagnostics cannot be read: {error}")
            return
        for status in statuses:
            if status.name == encoder:
                values, now_s = {entry.key: entry.value for entry in status.values}, time.monotonic()
                self._health.hear_encoder(values, now_s)
                if "distortion" in values:
                    self._distortion = now_s, _number(values["distortion"])

    def _recent_distortion(self, now_s: float) -> float:
        measured_s, value = self._distortion
        return value if now_s - measured_s < _RECENT_S else math.nan

    def _link(self, now_s: float) -> tuple[Link, str, Any]:
        """Its state, the reason, and the fallback's status where that is not too old."""
        heard_s, status = self._fallback
        if now_s - heard_s > self.params.fallback_silence_s or not Link.UNKNOWN <= status.link <= Link.DOWN:
            return Link.UNKNOWN, "the fallback is silent", None
        return Link(status.link), status.link_reason, status

    # --- what is decided and said

    def _tick(self) -> None:
        sampler, guard = self._sampler, self.guard
        if sampler is None or guard is None:
            return
        sample = sampler.sample()
        now_s = sample.time_s
        if lapsed := self.overrides.expire(now_s):
            self.note(f"released, its time was over: {'; '.join(lapsed)}")
            self.reconfigure()
        link, reason, fallback = self._link(now_s)
        self._replan(link, fallback, now_s)
        verdict = guard.step(self._asked(), sample.readings, link, reason, now_s, self._model_bits)
        self._set_clock(verdict.point)
        self._view = View(
            verdict=verdict,
            link=link,
            link_reason=reason,
            fallback=fallback,
            plan=None if self._live is None else self._live.plan,
            plan_problem="" if self._live is None else self._live.problem,
            predicted=None if self._live is None else self._live.predicted(verdict.point),
            distortion=self._recent_distortion(now_s),
            overrides=self.overrides.describe(now_s),
            stuck=sample.stuck,
        )
        self._health.update(self._view, now_s)
        self._publish(self._view, now_s)
        self._tell_mode(self._view)

    def _replan(self, link: Link, fallback: Any, now_s: float) -> None:
        """Plans when it is time, and at once when the link has changed."""
        live, (planned_s, planned_link) = self._live, self._planned
        if live is None or (now_s - planned_s < self.params.plan_s and link == planned_link):
            return
        budget = Budget() if self._view is None else self._view.verdict.budget
        live.update(fallback, link != Link.DOWN, budget, now_s)
        self._planned = now_s, link

    def _asked(self) -> Point:
        params, own = self.params, self._own
        points = [own] if self._live is None else self._live.asked(own)
        strategy = self.overrides.strategy
        if strategy is None:
            return points[0]
        return pinned(points, strategy, params.server_split, params.throttle_rate_hz)

    def _set_clock(self, point: Point) -> None:
        clocks = self._clocks
        if clocks is not None and clocks.follow(point.clock_hz if self.params.set_clock else 0.0):
            self.diagnostics.condition("clock", clocks.problem)
            self.note(
                f"clock: {clocks.problem or (f'{clocks.set_hz:g} Hz' if clocks.set_hz else 'given back')}"
            )

    def _publish(self, view: View, now_s: float) -> None:
        """The point when it changes and before it lapses; the status when something changes, and in turn."""
        said_s, said, message = self._point
        point, params = view.verdict.point, self.params
        slack_s = params.period_s / 2  # the next tick would be too late
        if point != said or now_s - said_s > params.valid_for_s / _REPEATS - slack_s:
            stamp = self.get_clock().now().to_msg()
            message = point_message(point, self._sequence, params.valid_for_s, stamp)
            data = serialize_message(message)
            self._points.publish(data)
            if self._log is not None and point != said:
                self._log.add_bytes("operating_point", data)
            self._sequence += 1
            self._point = now_s, point, message
        told_s, key = self._status
        if view.key != key or now_s - told_s > params.status_s - slack_s:
            data = serialize_message(status_message(view, message))
            self._statuses.publish(data)
            if self._log is not None:
                self._log.add_bytes("status", data)
            self._status = now_s, view.key

    def _tell_mode(self, view: View) -> None:
        """One line of log when the mode changes."""
        decision = view.verdict.decision
        if decision.mode == self._mode:
            return
        change = f"mode {self._mode.name.lower()} -> {decision.mode.name.lower()}"
        change += f": {'; '.join(decision.reasons)}" if decision.reasons else ""
        # Two calls: rclpy remembers the severity of each place that logs, and refuses another one there.
        if decision.mode < self._mode:
            self.get_logger().info(change)
        else:
            self.get_logger().warning(change)
        if self._log is not None:
            self._log.note(change)
        self._mode = decision.mode

    def _report(self) -> None:
        view, say = self._view, self.diagnostics
        if self._log is not None:
            self._log.report(say.part("flight log"))
        if view is None:
            return
        fill_conditions(say, view)
        fill_parts(say, view)
        self._health.show(say.part("health"), time.monotonic())
        self._reports += 1
        if self._reports % _GRAPH_EVERY != 1:
            return
        problems = []
        for topic, kind, subscribing in (
            ("fallback/status", "FallbackStatus", True),
            ("operating_point", "OperatingPoint", False),
            ("status", "SupervisorStatus", False),
        ):
            name = self.resolve_topic_name(topic)
            problems += qos_problems(self, name, qos.LATEST, f"qeil_ros/msg/{kind}", subscribing=subscribing)
        say.condition("qos", "; ".join(problems))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def main(args: Sequence[str] | None = None) -> None:
    run(SupervisorNode, args, images=False)


if __name__ == "__main__":
    main()
