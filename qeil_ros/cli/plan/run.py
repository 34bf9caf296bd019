"""The work of `qeil plan`: read, measure, plan; what came of it as an object, a file and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qeil_ros.models.datasets import open_dataset
from qeil_ros.models.evaluate import evaluate
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.schema import ModelError
from qeil_ros.planning import device as device_file
from qeil_ros.planning import plan_file
from qeil_ros.planning.device import Device, FileError, machines
from qeil_ros.planning.frontier import frontier
from qeil_ros.planning.joint import Move
from qeil_ros.planning.link import Link, Load
from qeil_ros.planning.plain import to_plain
from qeil_ros.planning.planner import Goals, Machines, OperatingPoint, Plan, Planner, Readings
from qeil_ros.resources import share_dir

from ..evaluate import progress_bar
from .cuts import Planned, coarsened, model_of
from .layers import LayerReport, layer_report

__all__ = ["Found", "Request", "run"]

FEATURE_BITS = tuple(range(1, 9))
MOST_SCORES_BYTES = 64 << 20
LAYER_FRAMES = 16
RESOLUTION = 1e-4
"""Differences of a score below this are not worth a row."""


@dataclass(frozen=True)
class Request:
    """What was asked for; see the command's options."""

    model: str
    device: str
    server: str
    delay_s: float
    energy_j: float | None
    rates_hz: tuple[float, ...]
    most_bytes_s: float | None
    tolerance: float
    link_bytes_s: float
    round_trip_s: float
    loss: float
    robots: int
    tokens: float
    data: str
    samples: int
    scores: Path | None
    score: str
    layers: str


@dataclass(frozen=True, eq=False)
class Found:
    """A plan, and all that it rests on."""

    folder: ModelFolder
    agent: Device
    server: Device
    planned: Planned
    machines: Machines
    goals: Goals
    link: Link
    load: Load
    plan: Plan
    notes: tuple[str, ...]
    layers: LayerReport | None

    @cached_property
    def points(self) -> list[OperatingPoint]:
        """Every point at the rate that was planned, within the limits or not."""
        point = self.plan.point
        rate_hz = point.rate_hz if point is not None else self.goals.rates_hz[-1]
        planner = Planner(self.planned.model, self.machines, self.goals)
        return planner.every(self.readings, rate_hz)

    @cached_property
    def frontier(self) -> list[OperatingPoint]:
        """Those of them that no other one beats, and the one that was chosen; by delay."""
        found = frontier(self.points, RESOLUTION)
        if self.plan.point is not None and self.plan.point not in found:
            found.append(self.plan.point)
        return sorted(found, key=lambda point: point.predicted.delay_s)

    @cached_property
    def moves(self) -> tuple[Move, ...]:
        """The limits that bind: which cost a difference that is worth telling, or feasibility."""
        if self.plan.point is None:
            return self.plan.moves
        coarse = coarsened(self.planned.model, RESOLUTION)
        return Planner(coarse, self.machines, self.goals).plan(self.readings).moves

    @cached_property
    def cheaper(self) -> OperatingPoint | None:
        """The fastest point that takes no more of anything than the chosen one, and scored the same."""
        point = self.plan.point
        if point is None:
            return None
        return next(
            (
                other
                for other in self.frontier
                if other != point
                and abs(self.quality(other) - self.quality(point)) < RESOLUTION
                and other.energy_j <= point.energy_j
                and other.predicted.delay_s < point.predicted.delay_s
            ),
            None,
        )

    @property
    def readings(self) -> Readings:
        return Readings(0.0, self.link, self.load)

    @property
    def energy_known(self) -> bool:
        return self.agent.power.known and self.server.power.known

    def keeps(self, point: OperatingPoint) -> bool:
        """Whether a point keeps the promise."""
        goals = self.goals
        return (
            point.predicted.delay_s <= goals.delay_s
            and point.energy_j <= goals.energy_j
            and point.predicted.payload_bytes * point.rate_hz <= goals.bytes_s
        )

    def quality(self, point: OperatingPoint) -> float:
        """The score that was measured there."""
        return self.planned.quality(point.split, point.weight_bits, point.feature_bits)

    def admitted(self, move: Move) -> float:
        """The score of what a moved limit would admit."""
        return self.planned.quality(move.point.split, move.point.weight_bits, move.point.feature_bits)

    def write(self, output: Path | None, json_file: str, plot: Path | None) -> None:
        """The plan (where there is one), the JSON, the figure."""
        if output is not None and (file := self._file()) is not None:
            plan_file.write(output, file, self._comment())
        if json_file:
            text = json.dumps(_finite(self.to_json()), indent=1, allow_nan=False) + "\n"
            if json_file == "-":
                print(text, end="")
            else:
                Path(json_file).write_text(text, encoding="utf-8")
        if plot is not None:
            from .figure import draw

            draw(self, plot)

    def to_json(self) -> dict[str, Any]:
        def shown(point: OperatingPoint) -> dict[str, Any]:
            return {**to_plain(point), "quality": self.quality(point), "keeps_the_promise": self.keeps(point)}

        point = self.plan.point
        return {
            "model": self.folder.name,
            "digest": self.folder.digest,
            "measure": to_plain(self.planned.measure),
            "device": self.agent.name,
            "server": self.server.name,
            "agent_power": to_plain(self.agent.power),
            "server_power": to_plain(self.server.power),
            "goals": to_plain(self.goals),
            "link": to_plain(self.link),
            "robots": self.load.alike + 1,
            "point": shown(point) if point is not None else None,
            "alternatives": [shown(other) for other in self.plan.alternatives],
            "reason": self.plan.reason,
            "moves": [
                {
                    "limit": move.resource.name,
                    "unit": move.resource.unit,
                    "now": move.resource.limit,
                    "needed": move.needed,
                    "admits": {
                        "split": move.point.split,
                        "weight_bits": move.point.weight_bits,
                        "feature_bits": move.point.feature_bits,
                        "profile": move.point.profile,
                        "quality": self.admitted(move),
                    },
                }
                for move in self.moves
            ],
            "frontier": [shown(other) for other in self.frontier],
            "layers": to_plain(self.layers) if self.layers is not None else None,
            "notes": list(self.notes),
        }

    def _file(self) -> plan_file.PlanFile | None:
        if self.plan.point is None:
            return None
        return plan_file.PlanFile(
            self.folder.name,
            self.folder.digest,
            self.planned.measure,
            self.planned.model,
            self.machines,
            self.goals,
            self.link,
            self.plan.point,
            self.load,
            self.agent.power,
            self.server.power,
            self.notes,
        )

    def _comment(self) -> str:
        return (
            f"Made by: qeil plan. {self.folder.name} on {self.agent.name}, served by {self.server.name}.\n"
            "Goals may be changed by hand; the supervisor plans anew from this with what it measures."
        )


def run(request: Request) -> Found:
    """Does what was asked for; a bar on stderr where the model is scored.

    Raises:
        ValueError: something does not fit; the message says what to do.
    """
    folder = ModelFolder.load(request.model)
    agent = find_device(request.device)
    notes: list[str] = []
    server = _server(request, agent, notes)
    table = _scores(folder, request, notes)
    planned = model_of(
        folder,
        table,
        agent,
        server,
        score=request.score,
        tokens=request.tokens,
        tolerance=request.tolerance,
    )
    if request.energy_j is not None:
        for machine in (agent, server):
            if not machine.power.known:
                raise ValueError(
                    f"--energy {request.energy_j:g}: the power of {machine.name!r} is not known "
                    f"({machine.power.source or 'its profile gives none'}); state it in its profile, or to "
                    "`qeil profile` with --idle-w and --core-w"
                )
    goals = Goals(
        request.delay_s,
        math.inf if request.energy_j is None else request.energy_j,
        request.most_bytes_s or math.inf,
        request.rates_hz,
    )
    radio = agent.radio
    link = Link(
        request.link_bytes_s,
        request.round_trip_s,
        request.loss,
        joules_per_bit=radio.joules_per_bit,
        tail_w=radio.tail_w,
        tail_s=radio.tail_s,
    )
    load = Load(alike=request.robots - 1)
    pair = machines(agent, server)
    plan = Planner(planned.model, pair, goals).plan(Readings(0.0, link, load))
    return Found(
        folder,
        agent,
        server,
        planned,
        pair,
        goals,
        link,
        load,
        plan,
        (*notes, *planned.notes),
        _layers(folder, plan, request) if request.layers else None,
    )


def find_device(name: str) -> Device:
    """A profile by its path, or one of config/devices by its name. Raises FileError."""
    path = Path(name).expanduser()
    if path.is_file():
        return device_file.read(path)
    presets = share_dir() / "config" / "devices"
    if "/" not in name and (presets / f"{name}.yaml").is_file():
        return device_file.read(presets / f"{name}.yaml")
    known = ", ".join(sorted(file.stem for file in presets.glob("*.yaml")))
    raise FileError(
        f"no device profile {name!r}: it is neither a file (`qeil profile` writes one) nor one of {known}"
    )


def _server(request: Request, agent: Device, notes: list[str]) -> Device:
    if request.server:
        return find_device(request.server)
    if agent.server is not None:
        return agent.server
    notes.append(
        f"The server is taken to be a machine like {agent.name!r}; profile the true one and give --server."
    )
    return agent


def _layers(folder: ModelFolder, plan: Plan, request: Request) -> LayerReport:
    source = _source(folder, request.data)
    split = plan_file.split_of(plan.point.split) if plan.point is not None else ""
    with progress_bar() as progress:
        report = layer_report(folder, split, source, min(request.samples, LAYER_FRAMES), progress)
    if request.layers != "-":
        text = json.dumps(report.per_layer(), indent=1) + "\n"
        Path(request.layers).write_text(text, encoding="utf-8")
    return report


def _source(folder: ModelFolder, data: str) -> str:
    source = data or ("tabletop" if folder.name == "tabletop-captioner" else "")
    if not source:
        raise ValueError(
            f"there are no pictures to try {folder.name!r} on: give --data, or for the scores alone --scores "
            "with what `qeil evaluate --json` wrote"
        )
    return source


def _scores(folder: ModelFolder, request: Request, notes: list[str]) -> Mapping[str, Any]:
    """The table of `qeil evaluate`: read, or made."""
    if request.scores is not None:
        if request.scores.stat().st_size > MOST_SCORES_BYTES:
            raise ValueError(f"{request.scores}: is too large for a table of `qeil evaluate --json`")
        try:
            found = json.loads(request.scores.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{request.scores}: is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise ValueError(f"{request.scores}: is not what `qeil evaluate --json` writes")
        return found
    dataset = open_dataset(_source(folder, request.data), limit=request.samples)
    held = [name for name in folder.splits if folder.has("agent", name) and folder.has("server", name)]
    if not held:
        raise ModelError(
            f"{folder.path}: no split has both its parts on this machine; score the model where they are "
            "(`qeil evaluate --json`) and give --scores"
        )
    made: dict[str, Any] = {}
    for name in held:
        widths = folder.agent(name).widths
        with progress_bar() as progress:
            table = evaluate(
                folder,
                dataset,
                splits=[name],
                weight_bits=widths or (0,),
                feature_bits=FEATURE_BITS,
                progress=progress,
            )
        notes += table.notes
        record = table.to_json()
        made = record | {"rows": [*made.get("rows", []), *record["rows"]]}
    return made


def _finite(value: Any) -> Any:
    """JSON knows no infinity: null."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
