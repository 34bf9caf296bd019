"""From a model folder, what was measured of it, and two machines, to the model that `planning` plans.

Quality and bytes come from `qeil evaluate` (its table as JSON), times from device profiles; where a machine
has not timed the model, from its operations as counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.part_cost import Operations, operations
from qeil_ros.models.schema import ModelError
from qeil_ros.models.tasks import CaptionTask, GenerateTask
from qeil_ros.planning.cost import Cut, WidthCurve
from qeil_ros.planning.device import AS_STORED, Device
from qeil_ros.planning.plan_file import Measure, local_name
from qeil_ros.planning.planner import Model

__all__ = ["Planned", "coarsened", "model_of", "monotone"]

Floats = NDArray[np.float64]
Record = Mapping[str, Any]

_PREFERENCE = 1e-6
"""By how much a bit more is preferred where no difference was measured."""


@dataclass(frozen=True, eq=False)
class Planned:
    """A model ready to be planned, what its loss counts, and what should be known about it.

    `exact`: the same with its losses as measured, where `model` has them in steps.
    """

    model: Model
    exact: Model
    measure: Measure
    notes: tuple[str, ...]

    def quality(self, split: str, weight_bits: int, feature_bits: int) -> float:
        """The score that was measured at a point; `feature_bits` 0: nothing travels."""
        cut = next(cut for cut in self.exact.cuts if cut.name == split)
        table = cut.distortion if cut.loss is None else cut.loss
        row = self.exact.weight_bits.index(weight_bits)
        column = self.exact.feature_bits.index(feature_bits) if feature_bits else 0
        return self.measure.quality(float(table[row, column]))


def model_of(
    folder: ModelFolder,
    table: Record,
    agent: Device,
    server: Device,
    *,
    score: str = "",
    tokens: float = 0.0,
    tolerance: float = 0.0,
) -> Planned:
    """The model as it would run on these machines.

    Args:
        table: what `evaluate.Table.to_json` gives, of this model, with one way of coding.
        score: whose loss is minimised; empty: the first one of `judge.MAIN_SCORES` that the table has.
        tokens: of an answer; 0: as many as were generated when it was timed.
        tolerance: losses within so much of the best one count as equal: of equal ones the planner takes the
            cheapest.

    Raises:
        ValueError: the table is of another model, or lacks what is needed.
        ModelError: a machine has not timed the model, and its operations cannot be counted.
    """
    rows = _rows(folder, table)
    name = score or _main_score(rows)
    if missing := [row for row in rows if name not in row["scores"]]:
        raise ValueError(f"no score {name!r} in the table; it has {', '.join(missing[0]['scores'])}")
    losses, best = _losses(rows, name)
    weights = sorted({row["weight_bits"] for row in rows if row["weight_bits"]}) or [AS_STORED]
    features = sorted({row["feature_bits"] for row in rows if row["feature_bits"]})
    if not features:
        raise ValueError("the table has no coded features; evaluate some widths from 1 to 8")
    notes: list[str] = []
    timed = server.times(folder.digest)
    tokens = tokens or (timed.tokens if timed else _most_tokens(folder, notes))
    cuts: list[Cut] = []
    for split in dict.fromkeys(str(row["split"]) for row in rows):
        of_split = [(row, loss) for row, loss in zip(rows, losses, strict=True) if row["split"] == split]
        cuts += _cuts(_Times(folder, split, agent, server, tokens, notes), of_split, weights, features)
    model = Model(
        tuple(cuts),
        tuple(weights),
        tuple(features),
        WidthCurve((32,), (1.0,)),  # every cut has its own
        tokens,
    )
    if tolerance:
        notes.append(f"Losses are in steps of {tolerance:g} above the least: what differs by less is equal.")
    return Planned(
        coarsened(model, tolerance) if tolerance else model,
        model,
        Measure(name, best, str(table.get("dataset", "")), int(table.get("frames", 0))),
        tuple(dict.fromkeys(notes)),
    )


def monotone(losses: Floats) -> Floats:
    """The losses [W, Q] made to fall with the width of the weights and of the features.

    Scores of few frames scatter. The mean of the least monotone table above and the greatest below: both are
    monotone, so is their mean, and a table that is monotone already stays as it is. Infinity stays.
    """
    known = np.isfinite(losses)
    above = np.where(known, losses, -np.inf)
    below = np.where(known, losses, np.inf)
    for axis in (0, 1):
        above = np.flip(np.maximum.accumulate(np.flip(above, axis), axis), axis)
        below = np.minimum.accumulate(below, axis)
    return np.where(known, (np.where(known, above, 0.0) + np.where(known, below, 0.0)) / 2.0, np.inf)


def _rows(folder: ModelFolder, table: Record) -> list[Record]:
    rows, digest = table.get("rows"), table.get("digest")
    if not isinstance(rows, list) or not rows:
        raise ValueError("the table has no rows; want what `qeil evaluate --json` writes")
    if digest != folder.digest:
        raise ValueError(
            f"the table is of another model or version: its digest is {str(digest)[:12]}..., "
            f"{folder.name!r} has {folder.digest[:12]}..."
        )
    wanted = {
        "split",
        "source",
        "weight_bits",
        "feature_bits",
        "coding",
        "scores",
        "bytes_mean",
        "distortion",
    }
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or (lacking := wanted - set(row)):
            lacking = wanted if not isinstance(row, dict) else lacking
            raise ValueError(f"rows[{number}]: has no {sorted(lacking)[0]!r}")
        if row["split"] not in folder.splits:
            raise ValueError(
                f"rows[{number}]: no split {row['split']!r}; there are {', '.join(folder.splits)}"
            )
    codings = {str(row["coding"]) for row in rows if row["feature_bits"]}
    if len(codings) > 1:
        raise ValueError(f"the table has several ways of coding ({'; '.join(sorted(codings))}); want one")
    return rows


def _main_score(rows: Iterable[Record]) -> str:
    from qeil_ros.models.evaluate import main_score

    return main_score(next(iter(rows))["scores"])


def _losses(rows: Sequence[Record], name: str) -> tuple[list[float], float]:
    """How far each row's score is below the best possible: 1, or of an open-ended score the best one seen."""
    values = [row["scores"][name]["value"] for row in rows]
    best = max([1.0, *(value for value in values if value is not None)])
    return [float("inf") if value is None else best - value for value in values], float(best)


class _Times:
    """The times of one cut on the two machines, as operations at their nominal speeds."""

    def __init__(
        self,
        folder: ModelFolder,
        split: str,
        agent: Device,
        server: Device,
        tokens: float,
        notes: list[str],
    ) -> None:
        self.split, self._tokens = split, tokens
        self._agent, self._server = agent, server
        mine, theirs = agent.times(folder.digest), server.times(folder.digest)
        self._mine = mine.split(split) if mine else None
        self._theirs = theirs.split(split) if theirs else None
        if self._mine is not None and not self._mine.agent_s:
            self._mine = None
        if self._theirs is not None and self._theirs.first_s is None:
            self._theirs = None
        self._counted = Operations()
        untimed = [
            machine for machine, times in ((agent, self._mine), (server, self._theirs)) if times is None
        ]
        for machine in untimed:
            if not machine.seconds_per_flop:
                raise ModelError(
                    f"{machine.name!r} has not timed the split {split!r} of {folder.name!r} of this version, "
                    f"and its profile gives no seconds_per_flop: run `qeil profile {folder.name}` there"
                )
            self._counted = operations(folder, split)
            notes.append(
                f"The times of {folder.name!r} on {machine.name!r} are estimated by counting operations."
            )

    def robot(self) -> tuple[float, WidthCurve]:
        """Operations from the image to the coded features, and how the time depends on the width."""
        if self._mine is None:
            return self._counted.agent_flop, self._agent.widths or WidthCurve((32,), (1.0,))
        times = {bits: self._mine.robot_s(bits) for bits in self._mine.agent_s}
        stored_s = times.pop(AS_STORED, None) or max(times.values())
        curve = WidthCurve.measured(times, stored_s) if times else WidthCurve((32,), (1.0,))
        return stored_s / self._agent.flop_s, curve

    def alone(self) -> tuple[float, WidthCurve]:
        """The same to the local part's answer."""
        flop, curve = self.robot()
        if self._mine is not None:
            local_flop = (self._mine.local_s or 0.0) / self._agent.flop_s
        else:
            local_flop = self._counted.local_flop * self._tokens
        whole = flop + local_flop
        relative = tuple((flop * share + local_flop) / whole for share in curve.relative)
        return whole, WidthCurve(curve.bits, relative)

    def server(self) -> tuple[float, float]:
        """Operations to the first token, and for each further one."""
        if self._theirs is None or self._theirs.first_s is None:
            return self._counted.server_flop, self._counted.token_flop
        first_s = self._theirs.decode_s + self._theirs.first_s
        return first_s / self._server.flop_s, self._theirs.token_s / self._server.flop_s


def _cuts(
    times: _Times,
    rows: Sequence[tuple[Record, float]],
    weights: Sequence[int],
    features: Sequence[int],
) -> list[Cut]:
    """The cut with the server behind it, and the robot alone behind it where it can answer."""
    shape = len(weights), len(features)
    found: list[Cut] = []
    coded = {(r["weight_bits"], r["feature_bits"]): (r, loss) for r, loss in rows if r["feature_bits"]}
    loss, distortion = np.full(shape, np.inf), np.full(shape, np.inf)
    sizes = np.zeros((2, len(features)))
    for (w, q), _ in np.ndenumerate(loss):
        if (entry := coded.get((weights[w], features[q]))) is not None:
            row, loss[w, q] = entry
            distortion[w, q] = float(row["distortion"] or 0.0)
            sizes[:, q] += float(row["bytes_mean"]), 1.0
    floors = [loss for row, loss in rows if row["source"] == "offboard" and not row["feature_bits"]]
    flop, curve = times.robot()
    if coded:
        server_flop, token_flop = times.server()
        table = _preferring(monotone(loss))
        found.append(
            Cut(
                times.split,
                _tidy(flop),
                _tidy(server_flop),
                # A width that was not measured at this cut is impossible; its bytes do not matter.
                tuple(_tidy(size / count) if count else 1.0 for size, count in sizes.T),
                _rounded(distortion),
                server_token_flop=_tidy(token_flop),
                loss=_rounded(table),
                floor=_tidy(max(0.0, min([*floors, float(table.min())]))),
                widths=_tidy_curve(curve),
            )
        )
    local = {row["weight_bits"]: loss for row, loss in rows if row["source"] == "local"}
    if local:
        column = np.array([[local.get(bits, np.inf)] for bits in weights])
        table = np.repeat(_preferring(monotone(column)), len(features), axis=1)
        whole, curve = times.alone()
        found.append(
            Cut(
                local_name(times.split),
                _tidy(whole),
                0.0,
                (0.0,) * len(features),
                np.zeros(shape),
                loss=_rounded(table),
                floor=_tidy(max(0.0, float(table.min()))),
                widths=_tidy_curve(curve),
            )
        )
    return found


def _preferring(losses: Floats) -> Floats:
    """Of equal losses that of more bits is a trifle less."""
    w, q = np.indices(losses.shape)
    return losses + _PREFERENCE * (0.5**w + 0.5**q)


def coarsened(model: Model, step: float) -> Model:
    """The model with its losses in steps above the least of all: what differs by less is equal."""
    tables = [cut.distortion if cut.loss is None else cut.loss for cut in model.cuts]
    least = min(float(table.min()) for table in tables)
    steps = [np.floor((table - least) / step * (1 + 1e-12)) for table in tables]
    return replace(
        model,
        cuts=tuple(
            replace(cut, loss=_rounded(least + step * count), floor=min(cut.floor, least))
            for cut, count in zip(model.cuts, steps, strict=True)
        ),
    )


def _most_tokens(folder: ModelFolder, notes: list[str]) -> float:
    task = folder.task
    most = 1.0
    if isinstance(task, CaptionTask):
        most = float(task.max_tokens)
    elif isinstance(task, GenerateTask):
        most = float(task.options.get("max_new_tokens", 1))
    if most > 1:
        notes.append(
            f"Answers are taken to have {most:g} tokens, the most there may be; --tokens tells better."
        )
    return most


def _tidy(value: float) -> float:
    return float(f"{value:.6g}")


def _rounded(table: Floats) -> Floats:
    """To nine decimals: finer than the preference among equals, coarser than a file needs."""
    return np.round(table, 9)


def _tidy_curve(curve: WidthCurve) -> WidthCurve:
    return WidthCurve(curve.bits, tuple(_tidy(share) for share in curve.relative))
