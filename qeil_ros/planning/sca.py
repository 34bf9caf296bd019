"""The paper's own solver of P1: successive convex approximation (algorithm 1), with cvxpy and Clarabel.

Paper: quantization-aware co-inference, arXiv 2602.13052. The width is relaxed to a real b~, b~' stands for
its inverse, and each iterate minimises a convex bound of the objective over a convex part of the feasible
set. `co_inference.solve` gives the exact answer without any of this; here is what the paper does, to be
compared with it.

Three things are ours. D_U (Eq 26) is convex but not in the form that cvxpy accepts: with u = lambda D_U it is
written as log(1 + exp(-v)) <= (b~ - 1) ln 2, v <= log u + log(u + 1), which is the same and not an
approximation. Variables are taken relative to the last iterate, so that the solver sees numbers near one.
And where the paper rounds to the nearest width, `round_down` rounds to one that is feasible.

Needs the extra `planning` (cvxpy).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any

from . import co_inference
from .co_inference import Design, Processor, Workload
from .rate_distortion import distortion_lower, gap

__all__ = ["Iterate", "Relaxed", "Rounded", "relax", "round_down", "round_nearest"]

_BEGIN_BITS = 1.5
_LEAST_EXCESS = 1e-6
_TOLERANCE = 1e-6
"""A width closer than that to the next integer counts as that integer: the solver is no more exact."""


@dataclass(frozen=True)
class Iterate:
    """One point on the way: the relaxed width b~, the clocks, and the objective D_U(b~-1) - D_L(b~-1)."""

    bits: float
    agent_hz: float
    server_hz: float
    objective: float


@dataclass(frozen=True)
class Relaxed:
    """The way of the algorithm.

    Attributes:
        iterates: the start and what followed, each no worse than the one before.
        converged: whether the last decrease was below delta; else the iterations ran out, or the solver
            could not improve an iterate, and `reason` says so.
    """

    iterates: tuple[Iterate, ...]
    converged: bool
    reason: str = ""

    @property
    def last(self) -> Iterate:
        return self.iterates[-1]


@dataclass(frozen=True)
class Rounded:
    """The nearest width with the clocks of the relaxed solution, as printed, and which limits that breaks."""

    design: Design
    breaks_delay: bool
    breaks_energy: bool

    @property
    def safe(self) -> bool:
        return not (self.breaks_delay or self.breaks_energy)


def relax(
    work: Workload,
    agent: Processor,
    server: Processor,
    delay_limit_s: float,
    energy_limit_j: float,
    rate: float = 1.0,
    *,
    delta: float = 1e-4,
    iterations: int = 60,
) -> Relaxed:
    """Algorithm 1 up to its rounding.

    Args:
        rate: lambda of the weights; the widths do not depend on it.
        delta: the relative decrease of the objective at which it stops. The paper gives no value.

    Raises:
        Infeasible: not even one bit is feasible.
        ModuleNotFoundError: cvxpy is missing.
    """
    floor = co_inference.solve(work, agent, server, delay_limit_s, energy_limit_j)  # raises where infeasible
    start = _start(work, agent, server, delay_limit_s, energy_limit_j, rate)
    if start is None:
        only = Iterate(1.0, floor.agent_hz, floor.server_hz, math.inf)
        return Relaxed((only,), True, "no width above one bit is feasible")
    step = _subproblem()
    points = [start]
    for _ in range(iterations):
        last = points[-1]
        following = step.improve(last, work, agent, server, delay_limit_s, energy_limit_j, rate)
        if following is None:
            return Relaxed(tuple(points), False, "Clarabel did not solve an approximation")
        if following.objective > last.objective:  # by the solver's rounding errors only
            return Relaxed(tuple(points), True)
        points.append(following)
        if last.objective - following.objective < delta * last.objective:
            return Relaxed(tuple(points), True)
    return Relaxed(tuple(points), False, f"still falling after {iterations} iterations")


def round_nearest(
    relaxed: Relaxed,
    work: Workload,
    agent: Processor,
    server: Processor,
    delay_limit_s: float,
    energy_limit_j: float,
) -> Rounded:
    """The paper's last step: the nearest width, the clocks as they are. It can break either limit."""
    last = relaxed.last
    bits = min(max(math.floor(last.bits + 0.5), 1), work.max_bits)
    design = _design(work, agent, server, bits, last.agent_hz, last.server_hz)
    return Rounded(
        design,
        design.delay_s > delay_limit_s * (1 + _TOLERANCE),
        design.energy_j > energy_limit_j * (1 + _TOLERANCE),
    )


def round_down(
    relaxed: Relaxed,
    work: Workload,
    agent: Processor,
    server: Processor,
    delay_limit_s: float,
    energy_limit_j: float,
) -> Design:
    """Ours: the largest width not above the relaxed one that keeps both limits, with its own best clocks.

    Raises Infeasible as `co_inference.solve` does; never for what `relax` found with the same limits.
    """
    most = min(math.floor(relaxed.last.bits + _TOLERANCE), work.max_bits)
    return co_inference.solve(replace(work, max_bits=most), agent, server, delay_limit_s, energy_limit_j)


def _start(
    work: Workload,
    agent: Processor,
    server: Processor,
    delay_limit_s: float,
    energy_limit_j: float,
    rate: float,
) -> Iterate | None:
    """A feasible point just above one bit: the paper asks for one and does not say which."""
    excess = min(_BEGIN_BITS, work.max_bits) - 1.0
    while excess > _LEAST_EXCESS:
        bits = 1.0 + excess
        clocks = co_inference.clocks(work, agent, server, bits, delay_limit_s)
        if clocks and co_inference.energy_j(work, agent, server, bits, *clocks) <= energy_limit_j:
            return Iterate(bits, *clocks, float(gap(bits, rate)))
        excess /= 2
    return None


def _design(
    work: Workload, agent: Processor, server: Processor, bits: int, agent_hz: float, server_hz: float
) -> Design:
    point = bits, agent_hz, server_hz
    return Design(
        *point,
        co_inference.delay_s(work, agent, server, *point),
        co_inference.energy_j(work, agent, server, *point),
    )


@lru_cache(maxsize=1)
def _subproblem() -> _Subproblem:
    return _Subproblem()


class _Subproblem:
    """The convex problem of one iterate, compiled once; everything that varies is a parameter of it.

    Variables, relative to iterate k: b = b~, z = b~' b~k, x = f/fk, y = f~/f~k, u = lambda D_U / Dk.
    """

    def __init__(self) -> None:
        try:
            cp: Any = import_module("cvxpy")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                'the paper\'s algorithm needs cvxpy: pip install "qeil-ros[planning]"; '
                "co_inference.solve needs nothing and is exact"
            ) from error
        self._error: type[Exception] = cp.error.SolverError

        def positive() -> Any:
            return cp.Parameter(nonneg=True)

        self._agent_time, self._server_time = positive(), positive()
        self._agent_energy, self._server_energy = positive(), positive()
        self._agent_cap, self._server_cap = positive(), positive()
        self._last, self._most, self._scale, self._slope = positive(), positive(), positive(), positive()
        self._log_scale = cp.Parameter()
        self._b, self._x, self._y = cp.Variable(), cp.Variable(), cp.Variable()
        z, u, v = cp.Variable(), cp.Variable(), cp.Variable()
        b, x, y = self._b, self._x, self._y
        constraints = [
            self._agent_time * cp.inv_prod(cp.hstack([z, x])) + self._server_time * cp.inv_pos(y) <= 1,
            self._agent_energy * cp.quad_over_lin(x, z) + self._server_energy * cp.square(y) <= 1,
            b <= self._last * (2 - z),  # b~ - 1/b~'k + (b~' - b~'k)/b~'k^2 <= 0
            b >= 1,
            b <= self._most,
            x <= self._agent_cap,
            y <= self._server_cap,
            cp.logistic(-v) <= math.log(2) * (b - 1),
            v <= cp.log(u) + self._log_scale + cp.log(1 + self._scale * u),
        ]
        # D_U less the tangent of D_L at b~k, without its constant.
        self._problem = cp.Problem(cp.Minimize(u + self._slope * b), constraints)

    def improve(
        self,
        last: Iterate,
        work: Workload,
        agent: Processor,
        server: Processor,
        delay_limit_s: float,
        energy_limit_j: float,
        rate: float,
    ) -> Iterate | None:
        """The next iterate; None where Clarabel fails."""
        lower = float(distortion_lower(last.bits - 1, rate)) * rate
        scale = last.objective * rate + lower  # lambda D_U at the last iterate
        # Eq 4 to 7 at the last iterate, as shares of the limits.
        agent_time = last.bits * work.agent_flop / (work.stored_bits * agent.flop_per_cycle * last.agent_hz)
        server_time = work.server_flop / (server.flop_per_cycle * last.server_hz)
        self._agent_time.value = agent_time / delay_limit_s
        self._server_time.value = server_time / delay_limit_s
        self._agent_energy.value = agent.joule_factor * agent_time * last.agent_hz**3 / energy_limit_j
        self._server_energy.value = server.joule_factor * server_time * last.server_hz**3 / energy_limit_j
        self._agent_cap.value = agent.max_hz / last.agent_hz
        self._server_cap.value = server.max_hz / last.server_hz
        self._last.value, self._most.value = last.bits, float(work.max_bits)
        self._scale.value, self._log_scale.value = scale, math.log(scale)
        self._slope.value = math.log(2) * lower / scale
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "solution may be inaccurate": the caller checks the descent
                self._problem.solve(solver="CLARABEL")
        except self._error:
            return None
        if self._problem.status not in ("optimal", "optimal_inaccurate"):
            return None
        bits = min(max(float(self._b.value), 1.0), float(work.max_bits))
        agent_hz = min(float(self._x.value) * last.agent_hz, agent.max_hz)
        server_hz = min(float(self._y.value) * last.server_hz, server.max_hz)
        return Iterate(bits, agent_hz, server_hz, float(gap(bits, rate)))
