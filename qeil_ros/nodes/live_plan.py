"""The planner at work: readings and traffic in, the operating point to ask for out. No clock is read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from qeil_ros.msg import InferenceResult
from qeil_ros.planning.link import Link, Load
from qeil_ros.planning.plan_file import PlanFile, split_of
from qeil_ros.planning.planner import OperatingPoint as Planned
from qeil_ros.planning.planner import Plan, Quantities, Readings
from qeil_ros.safety.guard import Budget
from qeil_ros.safety.permit import OperatingPoint, Route

__all__ = ["LivePlan"]

_FEWEST_ANSWERS = 3


class LivePlan:
    """Plans on demand, and learns from what the fallback reports.

    What asks more of the robot or the link is taken only after it was the best for `dwell_s` without a break;
    what asks less, and a first point, at once.

    Attributes:
        plan: the newest; None before the first.
        point: the one to ask for; None where nothing is feasible.
        problem: why there is no point; empty where there is one, or before the first plan.
    """

    def __init__(self, file: PlanFile, dwell_s: float) -> None:
        self.file, self.dwell_s = file, dwell_s
        self.plan: Plan | None = None
        self.point: Planned | None = None
        self.problem = ""
        self._planner = file.planner()
        self._since_s = math.inf  # a more demanding point has been the best since then

    def update(self, status: Any, link_up: bool, budget: Budget, now_s: float) -> None:
        """Plans anew.

        Args:
            status: the fallback's, not older than a few seconds; None: nothing is measured.
            link_up: whether the offboard computer can be counted on.
            budget: what the limits leave.
        """
        if status is not None and status.model_digest not in ("", self.file.model_digest):
            self.plan = self.point = None  # a plan is for no other model: the parameters hold
            self.problem = (
                f"made for a model of digest {self.file.model_digest[:12]}, the fallback runs "
                f"{status.model_digest[:12]}: plan again, for this one"
            )
            return
        machines = self.file.machines
        if budget.c_per_w > 0:
            machines = replace(machines, thermal_c_per_w=budget.c_per_w)  # identified on this very robot
        self._planner.machines = machines
        plan = self.plan = self._planner.plan(
            Readings(
                now_s,
                self._link(status) if link_up else None,
                self._load(status),
                energy_left_j=budget.energy_left_j,
                time_left_s=budget.time_left_s,
                headroom_c=budget.headroom_c,
                inference_w=self._inference_w(status),
            )
        )
        self.point = self._settled(plan, now_s)
        self.problem = plan.reason if self.point is None else ""

    def asked(self, own: OperatingPoint) -> list[OperatingPoint]:
        """What to ask of the guard, best first: the point, then the best of each other cut.

        Args:
            own: of the parameters, for where nothing is feasible: at the lowest rate that will do.
        """
        plan = self.plan
        if plan is None:
            return [own]
        if self.point is None:
            lowest_hz = min(self.file.goals.rates_hz)
            rate_hz = min(own.rate_hz or lowest_hz, lowest_hz)
            return [replace(own, rate_hz=rate_hz, reason=plan.reason)]
        others = [each for each in plan.alternatives if each.split != self.point.split]
        if plan.point is not None and plan.point.split != self.point.split:
            others.insert(0, plan.point)
        return [self._asked(each, plan.reason) for each in (self.point, *others)]

    def predicted(self, point: OperatingPoint) -> Quantities | None:
        """What a frame takes at a permitted point, where it is the one that was planned; else None.

        A rate that was lowered changes nothing about a frame.
        """
        planned = self.point
        if planned is None:
            return None
        asked = self._asked(planned, "")
        same = replace(point, rate_hz=asked.rate_hz, reason="") == asked
        return planned.predicted if same else None

    def observe(self, status: Any, distortion: float, now_s: float) -> None:
        """Learns from a status of the fallback, if its frames ran at the planned point.

        Args:
            distortion: as the encoder measured it; NaN: not of late.
        """
        point = self.point
        if point is None or status.answers < _FEWEST_ANSWERS:
            return
        offboard = status.source == InferenceResult.SOURCE_OFFBOARD
        alike = status.split == split_of(point.split) and offboard == point.offboard
        if not alike or (offboard and status.feature_bits != point.feature_bits):
            return
        if offboard:
            measured = Quantities(
                status.encode_s,
                status.transfer_s,
                status.server_s,
                status.energy_j,
                status.bytes_sent,
                distortion,
            )
        else:
            measured = Quantities(status.encode_s + status.server_s, robot_j=status.energy_j)
        self._planner.observe(point, measured, now_s)

    def _link(self, status: Any) -> Link:
        """As measured; what nothing has told yet is as the plan assumed it."""
        assumed = self.file.link
        if status is None:
            return assumed
        rate = status.link_bytes_s
        if not 0 < rate < math.inf:
            rate = assumed.rate_bytes_s
        elif status.link_bytes_s_is_bound:
            rate = max(rate, assumed.rate_bytes_s)
        trip_s = assumed.round_trip_s
        if status.round_trip_least_s >= 0:
            # The shortest one that was measured took a payload along.
            sent_s = status.bytes_sent / rate if status.bytes_sent > 0 and rate > 0 else 0.0
            trip_s = max(0.0, status.round_trip_least_s - sent_s)
        return replace(assumed, rate_bytes_s=rate, round_trip_s=trip_s)

    def _load(self, status: Any) -> Load:
        """What others ask of the server: its load without our own part."""
        if status is None or not (status.server_load >= 0 and status.server_p50_s > 0):
            return self.file.load
        own = (
            status.rate_hz * status.server_p50_s if status.source == InferenceResult.SOURCE_OFFBOARD else 0.0
        )
        return Load(max(0.0, status.server_load - own) / status.server_p50_s, status.server_p50_s)

    def _inference_w(self, status: Any) -> float:
        if status is not None and status.energy_j >= 0:
            return float(status.energy_j * status.rate_hz)
        return 0.0 if self.point is None else self.point.predicted.robot_j * self.point.rate_hz

    def _settled(self, plan: Plan, now_s: float) -> Planned | None:
        new, old = plan.point, self.point
        if new is None or old is None or _same(new, old) or not self._feasible(old, plan):
            self._since_s = math.inf
            return new
        if _demand(new) <= _demand(old):
            self._since_s = math.inf
            return new
        self._since_s = min(self._since_s, now_s)
        if now_s - self._since_s < self.dwell_s:
            return old
        self._since_s = math.inf
        return new

    def _feasible(self, old: Planned, plan: Plan) -> bool:
        """Whether the old point's cut still has one: else there is nothing to wait at."""
        points = plan.alternatives if plan.point is None else (plan.point, *plan.alternatives)
        return any(point.split == old.split for point in points)

    def _asked(self, point: Planned, reason: str) -> OperatingPoint:
        return OperatingPoint(
            split_of(point.split),
            point.feature_bits,
            point.weight_bits,
            point.rate_hz,
            Route.OFFBOARD if point.offboard else Route.LOCAL,
            self.file.machines.clock_hz(point.profile),
            reason,
        )


def _same(one: Planned, other: Planned) -> bool:
    """Whether two points choose the same, whatever is predicted of them."""
    names = ("split", "weight_bits", "feature_bits", "profile", "rate_hz")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _demand(point: Planned) -> tuple[float, float]:
    """What a point asks of the robot and the link, roughly: power first, then bytes a second."""
    robot_w = point.predicted.robot_j * point.rate_hz
    return robot_w, point.predicted.payload_bytes * point.rate_hz
