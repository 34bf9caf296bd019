"""What a placement of layers on devices costs: time, energy, memory, and how idle it leaves the devices.

Paper: QEIL, arXiv 2602.06057, Eq 8, 17, 19 to 22, 26 to 28, 33. A layer's time on a device is the roofline's,
max(FLOP / C, bytes / B), where the paper takes the first term for prefill and the second for decode; layers
of one query run one after another, so times add up (the paper's Eq 26 takes the busiest device alone, which
is the time of a full pipeline's beat: `Outcome.beat_s`). What is ours beside that: transfers with a start-up
time and energy, and the state (keys and values) that must move when prefill and decode are placed apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Assignment", "Device", "Layer", "Limits", "Link", "Outcome", "Problem", "Refused", "Tables"]

Floats = NDArray[np.float64]
Assignment = NDArray[np.intp]
"""[phases, layers]: the index of a device."""


@dataclass(frozen=True)
class Device:
    """A device's record (Eq 17).

    Attributes:
        flops_s: C, peak of the precision used [FLOP/s]. bandwidth_bytes_s: B. power_w: P, when busy.
        efficiency: lambda of Eq 2, a factor on the energy.
    """

    name: str
    flops_s: float
    bandwidth_bytes_s: float
    power_w: float
    memory_bytes: float = math.inf
    efficiency: float = 1.0

    def __post_init__(self) -> None:
        for name in ("flops_s", "bandwidth_bytes_s", "power_w", "memory_bytes", "efficiency"):
            if not getattr(self, name) > 0:
                raise ValueError(f"device {self.name!r}: {name} is {getattr(self, name)}; want above 0")

    @property
    def ridge(self) -> float:
        """C / B [FLOP/byte]: work of a lower intensity is bound by memory (Eq 8)."""
        return self.flops_s / self.bandwidth_bytes_s

    @property
    def flops_j(self) -> float:
        """C / (P lambda) [FLOP/J]: what algorithm 1 ranks devices by."""
        return self.flops_s / (self.power_w * self.efficiency)


@dataclass(frozen=True)
class Layer:
    """Attributes:
    weight_bytes: what must lie on its device.
    flops, moved_bytes, output_bytes: for one pass of each phase, [phases]; moved: weights and activations.
    state_bytes: what the first phase leaves behind for the next (keys and values); lies there, too.
    """

    name: str
    weight_bytes: float
    flops: tuple[float, ...]
    moved_bytes: tuple[float, ...]
    output_bytes: tuple[float, ...]
    state_bytes: float = 0.0

    def intensity(self, phase: int) -> float:
        """FLOP per byte moved; 0 where nothing is."""
        return self.flops[phase] / self.moved_bytes[phase] if self.moved_bytes[phase] else 0.0


@dataclass(frozen=True)
class Link:
    """Between two devices: seconds to start, bytes a second, joules a byte."""

    bytes_s: float = 32e9
    start_s: float = 0.0
    j_byte: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What must hold for a query; inf: no limit. Coverage is none of them: at equal samples and numerics no
    placement changes it."""

    latency_s: float = math.inf
    energy_j: float = math.inf


class Refused(ValueError):
    """No placement, or not this one, is within the limits.

    Attributes:
        limit: "memory", "latency" or "energy". needed: what there would have to be. allowed: what there is.
    """

    def __init__(self, limit: str, needed: float, allowed: float, message: str) -> None:
        super().__init__(message)
        self.limit, self.needed, self.allowed = limit, needed, allowed


@dataclass(frozen=True)
class Tables:
    """The problem as numbers: P phases, L layers, D devices.

    Attributes:
        time_s, energy_j: [P, L, D], all passes of a phase together.
        hop_s, hop_j: [P, L, D, D] from layer l's device to that of layer l + 1; the last layer's are 0.
        move_s, move_j: [P, L, D, D] of a layer's state from its device in a phase to that in the next; the
            last phase's are 0.
        need_bytes: [L], memory of a layer on each device that runs it. memory_bytes: [D].
    """

    time_s: Floats
    energy_j: Floats
    hop_s: Floats
    hop_j: Floats
    move_s: Floats
    move_j: Floats
    need_bytes: Floats
    memory_bytes: Floats


@dataclass(frozen=True)
class Outcome:
    """What a placement costs for one query.

    Attributes:
        beat_s: the busiest device's time: with queries in a row, one is done each beat (Eq 26, 27).
        memory_bytes: [D]. busy_s: [D].
        idle_share: under-utilisation, 1 - FLOP done / FLOP that the devices could do while busy (ours).
    """

    latency_s: float
    energy_j: float
    beat_s: float
    idle_share: float
    memory_bytes: Floats
    busy_s: Floats


@dataclass(frozen=True)
class Problem:
    """Layers in the order in which they run, devices, and how often each phase passes through all layers.

    Attributes:
        passes: [phases], for example (1, S T): prefill once, decode once a token of each sample.
        link: between any two different devices.
        factors: by a device's name, for each layer what its time was measured to be over the roofline's, as
            the device was when it was measured; devices without them go by the roofline. What is left of a
            peak differs from layer to layer: QEIL v2 (arXiv 2602.06057 v3) speaks of a utilisation derived
            from the roofline; this one is measured.
    """

    layers: tuple[Layer, ...]
    devices: tuple[Device, ...]
    passes: tuple[float, ...]
    link: Link = field(default_factory=Link)
    limits: Limits = field(default_factory=Limits)
    factors: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.layers or not self.devices or not self.passes:
            raise ValueError("want at least one layer, one device and one phase")
        for layer in self.layers:
            sizes = {len(layer.flops), len(layer.moved_bytes), len(layer.output_bytes)}
            if sizes != {len(self.passes)}:
                raise ValueError(f"layer {layer.name!r} does not have {len(self.passes)} phases")
        for name, factors in self.factors.items():
            if len(factors) != len(self.layers) or not all(0 < f < math.inf for f in factors):
                raise ValueError(
                    f"device {name!r}: want a factor above 0 for each of {len(self.layers)} layers"
                )

    @property
    def shape(self) -> tuple[int, int]:
        """(phases, layers), an assignment's shape."""
        return len(self.passes), len(self.layers)

    @cached_property
    def tables(self) -> Tables:
        flops = np.array([layer.flops for layer in self.layers]).T  # [P, L]
        moved = np.array([layer.moved_bytes for layer in self.layers]).T
        out = np.array([layer.output_bytes for layer in self.layers]).T
        state = np.array([layer.state_bytes for layer in self.layers])
        passes = np.array(self.passes)[:, None]
        peak = np.array([device.flops_s for device in self.devices])
        bandwidth = np.array([device.bandwidth_bytes_s for device in self.devices])
        watts = np.array([device.power_w * device.efficiency for device in self.devices])
        time_s = passes[..., None] * np.maximum(flops[..., None] / peak, moved[..., None] / bandwidth)
        for index, device in enumerate(self.devices):
            time_s[..., index] *= self.factors.get(device.name, 1.0)
        hops = passes * out
        hops[:, -1] = 0.0
        starts = np.broadcast_to(passes, hops.shape).copy()
        starts[:, -1] = 0.0
        moves = np.zeros_like(hops)
        moves[:-1] = state
        return Tables(
            time_s,
            time_s * watts,
            self._apart(hops / self.link.bytes_s + starts * self.link.start_s),
            self._apart(hops * self.link.j_byte),
            self._apart(moves / self.link.bytes_s + (moves > 0) * self.link.start_s),
            self._apart(moves * self.link.j_byte),
            np.array([layer.weight_bytes + layer.state_bytes for layer in self.layers]),
            np.array([device.memory_bytes for device in self.devices], np.float64),
        )

    def _apart(self, values: Floats) -> Floats:
        """[P, L] -> [P, L, D, D], 0 where both devices are the same."""
        return values[..., None, None] * (1.0 - np.eye(len(self.devices)))

    def outcome(self, assignment: Assignment | Sequence[Sequence[int]]) -> Outcome:
        """What a placement costs, within the limits or not. ValueError: it has another shape."""
        a = np.asarray(assignment, np.intp)
        if a.shape != self.shape or (a < 0).any() or (a >= len(self.devices)).any():
            raise ValueError(f"an assignment of shape {a.shape}; want {self.shape} of device indices")
        t = self.tables
        p, n = np.ix_(*map(np.arange, self.shape))
        times = t.time_s[p, n, a]
        hop_s, hop_j = self._pairs(t.hop_s, t.hop_j, a)
        move_s, move_j = self._moves(t.move_s, t.move_j, a)
        busy: Floats = np.bincount(a.ravel(), times.ravel(), minlength=len(self.devices)).astype(np.float64)
        latency = float(times.sum() + hop_s + move_s)
        energy = float(t.energy_j[p, n, a].sum() + hop_j + move_j)
        capacity = float(sum(b * device.flops_s for b, device in zip(busy, self.devices, strict=True)))
        work = sum(k * sum(layer.flops[i] for layer in self.layers) for i, k in enumerate(self.passes))
        return Outcome(
            latency,
            energy,
            float(busy.max()),
            1.0 - work / capacity if capacity > 0 else 0.0,
            self.memory_used(a),
            busy,
        )

    def memory_used(self, assignment: Assignment) -> Floats:
        """Bytes on each device, [D]: a layer lies on every device that runs it in any phase."""
        used = np.zeros(len(self.devices))
        for layer, need in enumerate(self.tables.need_bytes):
            used[np.unique(assignment[:, layer])] += need
        return used

    def check(self, assignment: Assignment) -> Outcome:
        """The outcome of a placement that is within every limit.

        Raises:
            Refused: it is not; memory is looked at first, then latency, then energy.
        """
        outcome = self.outcome(assignment)
        for device, used in zip(self.devices, outcome.memory_bytes, strict=True):
            if used > device.memory_bytes:
                raise Refused(
                    "memory",
                    float(used),
                    device.memory_bytes,
                    f"{device.name} would hold {used:.4g} bytes and has {device.memory_bytes:.4g}: "
                    f"{used / device.memory_bytes - 1:.1%} too much",
                )
        for limit, value, allowed, unit in (
            ("latency", outcome.latency_s, self.limits.latency_s, "s"),
            ("energy", outcome.energy_j, self.limits.energy_j, "J"),
        ):
            if value > allowed * (1 + 1e-9):
                raise Refused(
                    limit,
                    value,
                    allowed,
                    f"{limit} would be {value:.4g} {unit}, the limit is {allowed:.4g} {unit}: "
                    f"{value / allowed - 1:.1%} too much",
                )
        return outcome

    @staticmethod
    def _pairs(seconds: Floats, joules: Floats, a: Assignment) -> tuple[float, float]:
        p, n = np.ix_(np.arange(a.shape[0]), np.arange(a.shape[1] - 1))
        index = (p, n, a[:, :-1], a[:, 1:])
        return float(seconds[index].sum()), float(joules[index].sum())

    @staticmethod
    def _moves(seconds: Floats, joules: Floats, a: Assignment) -> tuple[float, float]:
        p, n = np.ix_(np.arange(a.shape[0] - 1), np.arange(a.shape[1]))
        index = (p, n, a[:-1], a[1:])
        return float(seconds[index].sum()), float(joules[index].sum())
