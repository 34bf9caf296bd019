"""The supervisor's services: pin, reset the energy budget, raise a limit. Each is logged with who and why."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from rclpy.parameter import Parameter

from qeil_ros.platform import trip_points
from qeil_ros.srv import Pin, RaiseLimit, ResetEnergy

from .overrides import Signature

if TYPE_CHECKING:
    from .supervisor import SupervisorNode

__all__ = ["Services"]


class Services:
    """Offered in every lifecycle state; what cannot be done in the present one is refused with the reason."""

    def __init__(self, node: SupervisorNode) -> None:
        self._node = node
        for kind, name, answer in (
            (Pin, "~/pin", self._pin),
            (ResetEnergy, "~/reset_energy", self._reset_energy),
            (RaiseLimit, "~/raise_limit", self._raise_limit),
        ):
            node.create_service(kind, name, self._refusing(answer))

    def _refusing(self, answer: Any) -> Any:
        """A service callback from a method that returns what was done, or raises ValueError."""

        def serve(request: Any, response: Any) -> Any:
            try:
                if self._node.guard is None:
                    raise ValueError("the supervisor is not active")
                response.message, response.success = answer(request), True
            except ValueError as error:
                response.message, response.success = str(error), False
                self._node.note(f"{_name(request)} refused: {error}")
            return response

        return serve

    def _pin(self, request: Any) -> str:
        node, now_s = self._node, time.monotonic()
        signature = Signature.of(request.who, request.why, request.duration_s, now_s)
        node.overrides.pin(request.mode, request.strategy, signature)
        node.reconfigure()
        asked = ", ".join(filter(None, (request.mode, request.strategy)))
        node.note(f"pin: {asked} {signature.text(now_s)}")
        return "; ".join(node.overrides.describe(now_s)) or "nothing is pinned"

    def _reset_energy(self, request: Any) -> str:
        node, now_s = self._node, time.monotonic()
        assert node.guard is not None
        if not 0 <= request.budget_j < math.inf:
            raise ValueError(f"budget_j is {request.budget_j}; want 0 (as before) or more")
        signature = Signature.of(request.who, request.why, 0.0, now_s)
        if request.budget_j:
            (outcome,) = node.set_parameters([Parameter("energy_budget_j", value=request.budget_j)])
            if not outcome.successful:
                raise ValueError(outcome.reason)
        node.guard.reset_energy()
        budget_j = node.params.energy_budget_j
        said = f"{budget_j:g} J from now on" if budget_j else "no budget is set; what was spent counts anew"
        node.note(f"energy budget reset {signature.text(now_s)}: {said}")
        return said

    def _raise_limit(self, request: Any) -> str:
        node, now_s = self._node, time.monotonic()
        signature = Signature.of(request.who, request.why, request.duration_s, now_s)
        limit = node.overrides.raise_limit(
            request.name,
            request.by_c,
            node.params.temperature_limits(node.sensors),
            trip_points(node.sensors),
            signature,
        )
        node.reconfigure()
        levels = zip(("warning", "throttle", "critical"), limit.thresholds, strict=True)
        holds = ", ".join(f"{level} {value:.4g} C" for level, value in levels if not math.isnan(value))
        node.note(f"limit of {request.name} raised by {request.by_c:g} K {signature.text(now_s)}: {holds}")
        return f"{request.name}: {holds}"


def _name(request: Any) -> str:
    """Which service a request is for: "pin" of a Pin_Request."""
    return {"Pin": "pin", "ResetEnergy": "reset_energy", "RaiseLimit": "raise_limit"}[
        type(request).__name__.partition("_")[0]
    ]
