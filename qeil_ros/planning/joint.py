"""Split, weight width, feature width and clock profile chosen together, by exact enumeration.

Past the paper (arXiv 2602.13052), whose problem P1 knows one cut, one width and continuous clocks. What a
point takes of each resource is the sum of a part of the computing and a part of the link:

    value[resource, s, w, q, p] = compute[resource, s, w, p] + link[resource, s, q] <= limit[resource]

and of all points that satisfy every limit the one with the least cost[s, w, q] is wanted: the predicted
distortion, or a predicted quality negated. Ties go to the point that takes less of the first resource, then
of the second, and so on, and then to the first in order. `cost.py` makes such tables.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qeil_ros import _kernels

__all__ = ["Choices", "Move", "Point", "Problem", "Resource", "Solution", "solve"]

Floats = NDArray[np.float64]

_LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Resource:
    """Something that a point takes and that is limited: at most `limit`, in `unit`; inf: not limited."""

    name: str
    unit: str
    limit: float

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"the limit of {self.name} is {self.limit} {self.unit}; it must be positive")


@dataclass(frozen=True)
class Choices:
    """What can be chosen: splits [S], weight widths [W], feature widths [Q], names of clock profiles [P]."""

    splits: tuple[str, ...]
    weight_bits: tuple[int, ...]
    feature_bits: tuple[int, ...]
    profiles: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} is {values!r}; want one or more different values")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self.splits), len(self.weight_bits), len(self.feature_bits), len(self.profiles)


@dataclass(frozen=True, eq=False)
class Problem:
    """An instance.

    Attributes:
        resources: [R], 1 to 8 of them, in the order in which they break ties.
        compute: float64 [R, S, W, P]; link: float64 [R, S, Q]: the parts of each resource. Infinity where a
            combination is impossible.
        cost: float64 [S, W, Q], what is minimised; infinity where a combination is not to be had.

    Raises:
        ValueError: shapes that do not agree; a value that is not a number or is minus infinity.
    """

    choices: Choices
    resources: tuple[Resource, ...]
    compute: Floats
    link: Floats
    cost: Floats

    def __post_init__(self) -> None:
        s, w, q, p = self.choices.shape
        r = len(self.resources)
        if not 1 <= r <= 8:
            raise ValueError(f"{r} resources; want 1 to 8")
        for name, shape in (("compute", (r, s, w, p)), ("link", (r, s, q)), ("cost", (s, w, q))):
            table = np.ascontiguousarray(getattr(self, name), np.float64)
            if table.shape != shape:
                raise ValueError(f"{name} has the shape {list(table.shape)}; want {list(shape)}")
            if not table.min() > -math.inf:  # false for NaN too
                raise ValueError(f"{name} holds a value that is not a number, or minus infinity")
            object.__setattr__(self, name, table)

    @classmethod
    def maximise(
        cls,
        choices: Choices,
        resources: tuple[Resource, ...],
        compute: Floats,
        link: Floats,
        quality: ArrayLike,
    ) -> Problem:
        """The problem that maximises a predicted quality [S, W, Q]; `cost` is its negative."""
        return cls(choices, resources, compute, link, -np.asarray(quality, np.float64))

    def point(self, s: int, w: int, q: int, p: int) -> Point:
        """The point at these indices."""
        choices = self.choices
        return Point(
            choices.splits[s],
            choices.weight_bits[w],
            choices.feature_bits[q],
            choices.profiles[p],
            float(self.cost[s, w, q]),
            tuple((self.compute[:, s, w, p] + self.link[:, s, q]).tolist()),
            (s, w, q, p),
        )


@dataclass(frozen=True)
class Point:
    """An operating point: what is chosen, its cost, what it takes of each resource, and its indices."""

    split: str
    weight_bits: int
    feature_bits: int
    profile: str
    cost: float
    values: tuple[float, ...]
    index: tuple[int, int, int, int]


@dataclass(frozen=True)
class Move:
    """A limit that stands in the way of something better (or, in an infeasible problem, of anything at all).

    Attributes:
        resource: as it is limited now.
        needed: what its limit would have to be, the others unchanged.
        point: what that would admit.
    """

    resource: Resource
    needed: float
    point: Point

    @property
    def factor(self) -> float:
        """How many times its present value the limit would have to be; more than 1."""
        return self.needed / self.resource.limit

    def __str__(self) -> str:
        r = self.resource
        return f"{r.name} would have to be {self.needed:.4g} {r.unit} instead of {r.limit:.4g} {r.unit}"


@dataclass(frozen=True)
class Solution:
    """What `solve` found.

    Attributes:
        best: None where the problem is infeasible.
        alternatives: the best point of each other split that has one, best first.
        moves: the limits that bind, least factor first: of a feasible problem those which, moved alone, give
            a lower cost, of an infeasible one those which, moved alone, make it feasible.
        stretch: the least factor on all limits together with the same effect; inf where nothing has.
        nearest: the point that `stretch` admits; None where there is none.
        impossible: something would have a lower cost, but is infinite in a resource: no limit admits it.
    """

    best: Point | None
    alternatives: tuple[Point, ...]
    moves: tuple[Move, ...]
    stretch: float
    nearest: Point | None
    impossible: bool

    def explain(self) -> str:
        """What binds, in a sentence."""
        if self.best is None:
            if self.moves:
                return f"infeasible: {self.moves[0]}"
            if self.nearest is not None:
                factor = f"{self.stretch:.4g}"
                return f"infeasible: no limit alone can help; all would have to be {factor} times as large"
            return "infeasible: no combination is possible at any limit"
        if self.moves:
            move = self.moves[0]
            costs = f"a cost of {move.point.cost:.4g} instead of {self.best.cost:.4g}"
            return f"{move.resource.name} binds: {move}, for {costs}"
        if self.nearest is not None:
            return (
                f"several limits bind: all would have to be {self.stretch:.4g} times as large for a cost of "
                f"{self.nearest.cost:.4g} instead of {self.best.cost:.4g}"
            )
        if self.impossible:
            return "no limit binds: what would be better is impossible at any limit"
        return "no limit binds: nothing better is to be had"


def solve(problem: Problem) -> Solution:
    """The best of all S W Q P points, the best of each split, and the limits that bind. Exact."""
    s, w, q, p = problem.choices.shape
    r = len(problem.resources)
    # An infinite limit admits whatever is finite: infinity means impossible.
    limits = np.array([min(resource.limit, _LARGEST) for resource in problem.resources])
    flat = np.empty(s, np.int64)
    winner = _kernels.best_points(problem.compute, problem.link, problem.cost, limits, flat)
    points = [
        problem.point(split, index // (q * p), index // p % q, index % p)
        for split, index in enumerate(flat.tolist())
        if index >= 0
    ]
    points.sort(key=lambda point: (point.index[0] != winner, point.cost, point.values))
    best = points[0] if points else None
    needed, at = np.empty(r), np.empty(r, np.int64)
    bound = best.cost if best is not None else math.inf
    stretch, nearest = _kernels.limit_moves(
        problem.compute, problem.link, problem.cost, limits, bound, needed, at
    )

    def at_flat(index: int) -> Point:
        return problem.point(index // (w * q * p), index // (q * p) % w, index // p % q, index % p)

    moves = [
        Move(problem.resources[i], value, at_flat(index))
        for i, (value, index) in enumerate(zip(needed.tolist(), at.tolist(), strict=True))
        if index >= 0
    ]
    moves.sort(key=lambda move: move.factor)
    return Solution(
        best,
        tuple(points[1:]),
        tuple(moves),
        stretch,
        at_flat(nearest) if nearest >= 0 else None,
        nearest < 0 and bool(problem.cost.min() < bound),
    )
