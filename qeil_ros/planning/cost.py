"""What an operating point takes, as measured machines and links have it: past the paper.

The paper (arXiv 2602.13052) counts computation only, time linear in the width (Eq 4), continuous clocks, one
robot and the first token. Here, all of it ours:

* time follows a measured curve of the width (`WidthCurve`; `WidthCurve.linear` is the paper's);
* speed and power are those of clock profiles (`Side`; `Side.paper` gives Eq 4 to 7);
* features travel over a link, and the server has other robots to serve (`link.py`);
* every generated token counts, and the cut among a model's cuts is a choice (`Cut`).

`Work.tables` puts them together for `joint.solve`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .co_inference import Processor
from .link import Link, Load

__all__ = ["Cut", "Factors", "Side", "Tables", "WidthCurve", "Work", "packed_bytes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WidthCurve:
    """Time of the agent part at a width, relative to its time as stored.

    A width between measured ones takes as long as the next wider one: it runs in that one's kernels. Wider
    than all measured, and 0 ("as stored"), is 1.

    Attributes:
        bits: measured widths, ascending. relative: their times / the time as stored.
    """

    bits: tuple[int, ...]
    relative: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.bits or len(self.bits) != len(self.relative) or list(self.bits) != sorted(set(self.bits)):
            raise ValueError(
                f"widths {self.bits} with times {self.relative}; want ascending widths, a time each"
            )
        if self.bits[0] < 1 or not all(0 < t < math.inf for t in self.relative):
            raise ValueError(f"widths {self.bits} with times {self.relative}; all must be positive")

    @classmethod
    def linear(cls, stored_bits: int) -> WidthCurve:
        """The paper's: b^/b (Eq 4)."""
        widths = range(1, stored_bits + 1)
        return cls(tuple(widths), tuple(width / stored_bits for width in widths))

    @classmethod
    def measured(cls, seconds: Mapping[int, float], stored_s: float) -> WidthCurve:
        """From the measured time [s] at each width and as stored."""
        widths = sorted(seconds)
        return cls(tuple(widths), tuple(seconds[width] / stored_s for width in widths))

    def at(self, bits: Sequence[int]) -> Floats:
        """Relative times of these widths."""
        found = [
            next((t for b, t in zip(self.bits, self.relative, strict=True) if b >= width), 1.0)
            if width
            else 1.0
            for width in bits
        ]
        return np.array(found)


@dataclass(frozen=True)
class Side:
    """One machine in each of the profiles [P].

    Attributes:
        seconds_per_flop: at stored precision. busy_w: power above idle while it computes, losses included.
    """

    seconds_per_flop: tuple[float, ...]
    busy_w: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seconds_per_flop or len(self.seconds_per_flop) != len(self.busy_w):
            raise ValueError(
                f"{len(self.seconds_per_flop)} speeds and {len(self.busy_w)} powers; want as many"
            )
        if not all(0 < value < math.inf for value in self.seconds_per_flop):
            raise ValueError(f"seconds_per_flop is {self.seconds_per_flop}; want positive, finite times")
        if not all(0 <= value < math.inf for value in self.busy_w):
            raise ValueError(f"busy_w is {self.busy_w}; want finite powers not below 0")

    @classmethod
    def paper(cls, processor: Processor, clocks_hz: Sequence[float]) -> Side:
        """1/(f c) seconds an operation and eta psi f^3 watts, which is Eq 4 and 6 or 5 and 7."""
        return cls(
            tuple(1.0 / (hz * processor.flop_per_cycle) for hz in clocks_hz),
            tuple(processor.joule_factor * hz**3 for hz in clocks_hz),
        )


def packed_bytes(elements: int, bits: Sequence[int], overhead_bytes: int = 40) -> tuple[float, ...]:
    """Bytes of features at these widths without entropy coding, for where no measured curve is known."""
    return tuple(math.ceil(elements * width / 8) + float(overhead_bytes) for width in bits)


@dataclass(frozen=True, eq=False)
class Cut:
    """One place to cut the model, with what either side has to do.

    Attributes:
        agent_flop, server_flop: to the first token, or to the answer where there are none.
        agent_token_flop, server_token_flop: for each further token.
        feature_bytes: at each feature width [Q], as measured on the coder or from `packed_bytes`; all 0 where
            nothing travels (the robot answers alone).
        distortion: of the features by their coding [W, Q], as a robot can measure it; infinity where a width
            is not to be had.
        agent_s, server_s: time that does not depend on clock and width: preparation, coding [s].
        loss: what `joint.solve` minimises [W, Q]: how much worse answers are; None: the distortion itself.
        floor: the part of the loss that would remain without distortion. What is above it grows with the
            distortion, to first order in proportion (Eq 16, 17).
        widths: how this cut's time depends on the weights' width; None: as the model's.
    """

    name: str
    agent_flop: float
    server_flop: float
    feature_bytes: tuple[float, ...]
    distortion: Floats
    agent_token_flop: float = 0.0
    server_token_flop: float = 0.0
    agent_s: float = 0.0
    server_s: float = 0.0
    loss: Floats | None = None
    floor: float = 0.0
    widths: WidthCurve | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "distortion", np.asarray(self.distortion, np.float64))
        if self.distortion.ndim != 2 or self.distortion.shape[1] != len(self.feature_bytes):
            raise ValueError(
                f"cut {self.name!r}: distortion {list(self.distortion.shape)} for {len(self.feature_bytes)} "
                "feature widths; want [weight widths, feature widths]"
            )
        if self.loss is not None:
            object.__setattr__(self, "loss", np.asarray(self.loss, np.float64))
            if self.loss.shape != self.distortion.shape:
                raise ValueError(
                    f"cut {self.name!r}: loss {list(self.loss.shape)}; want {list(self.distortion.shape)}"
                )
        for name, value in vars(self).items():
            if isinstance(value, float | int) and not 0 <= value < math.inf:
                raise ValueError(f"cut {self.name!r}: {name} is {value}; want 0 or more")
        if not all(0 <= size < math.inf for size in self.feature_bytes):
            raise ValueError(f"cut {self.name!r}: feature_bytes {self.feature_bytes}; want 0 or more")

    @property
    def travels(self) -> bool:
        """Whether this cut uses link and server at all."""
        return any(self.feature_bytes)


@dataclass(frozen=True, eq=False)
class Factors:
    """Corrections of the model by measurements, for each cut [S]; see `corrections.py`.

    Each is of its quantity given the others: more bytes make the link slower by themselves.
    """

    agent_s: Floats
    link_s: Floats
    server_s: Floats
    robot_j: Floats
    payload_bytes: Floats
    distortion: Floats

    @classmethod
    def none(cls, cuts: int) -> Factors:
        """All 1."""
        return cls(*np.ones((6, cuts)))


@dataclass(frozen=True, eq=False)
class Tables:
    """The parts of delay and energy, [S cuts, W, Q, P].

    Attributes:
        agent_s, agent_j: float64 [S, W, P], of the robot's computing.
        link_s, radio_j, payload_bytes: float64 [S, Q].
        distortion, loss: float64 [S, W, Q].
        server_s: float64 [S, P], waiting included. server_j: float64 [S, P].
    """

    agent_s: Floats
    agent_j: Floats
    link_s: Floats
    radio_j: Floats
    payload_bytes: Floats
    server_s: Floats
    server_j: Floats
    distortion: Floats
    loss: Floats

    def delay(self) -> tuple[Floats, Floats]:
        """Delay as a part of the computing [S, W, P] and of the link [S, Q] (past Eq 8)."""
        return self.agent_s + self.server_s[:, None, :], self.link_s

    def energy(self) -> tuple[Floats, Floats]:
        """Energy of both machines and the radio (past Eq 9), in the same two parts."""
        return self.agent_j + self.server_j[:, None, :], self.radio_j

    def robot_energy(self) -> tuple[Floats, Floats]:
        """The robot's energy alone: what its battery gives and its case must shed."""
        return self.agent_j, self.radio_j


@dataclass(frozen=True, eq=False)
class Work:
    """What does not change from frame to frame: the cuts on these machines, as arrays. Made by `Work.of`.

    Attributes:
        agent_s: float64 [S, W, P]; agent_w: float64 [P].
        service_s: float64 [S, P], of the server alone; server_w: float64 [P].
        payload_bytes: float64 [S, Q]; travels: bool [S, 1]; distortion, loss: float64 [S, W, Q].
        floor: float64 [S, 1, 1].
    """

    agent_s: Floats
    agent_w: Floats
    service_s: Floats
    server_w: Floats
    payload_bytes: Floats
    travels: NDArray[np.bool_]
    distortion: Floats
    loss: Floats
    floor: Floats

    @classmethod
    def of(
        cls,
        cuts: Sequence[Cut],
        weight_bits: Sequence[int],
        widths: WidthCurve,
        agent: Side,
        server: Side,
        tokens: float = 1.0,
    ) -> Work:
        """The cuts' work on these machines, for answers of so many tokens on average.

        Raises:
            ValueError: no cut, fewer than one token, or shapes that do not agree.
        """
        if not cuts or not tokens >= 1:
            raise ValueError(f"{len(cuts)} cuts, {tokens} tokens; want one or more of either")
        if len(agent.busy_w) != len(server.busy_w):
            raise ValueError(f"{len(agent.busy_w)} profiles of the agent, {len(server.busy_w)} of the server")
        for cut in cuts:
            shape = len(weight_bits), len(cuts[0].feature_bytes)
            if cut.distortion.shape != shape:
                raise ValueError(f"cut {cut.name!r}: distortion {cut.distortion.shape}; want {shape}")
        further = tokens - 1.0
        agent_flop = np.array([cut.agent_flop + further * cut.agent_token_flop for cut in cuts])
        server_flop = np.array([cut.server_flop + further * cut.server_token_flop for cut in cuts])
        by_width = np.stack([(cut.widths or widths).at(weight_bits) for cut in cuts])
        fixed_s = np.array([[cut.agent_s, cut.server_s] for cut in cuts])
        return cls(
            (agent_flop[:, None] * by_width)[:, :, None] * agent.seconds_per_flop + fixed_s[:, :1, None],
            np.array(agent.busy_w),
            server_flop[:, None] * np.array(server.seconds_per_flop) + fixed_s[:, 1:],
            np.array(server.busy_w),
            np.array([cut.feature_bytes for cut in cuts]),
            np.array([[cut.travels] for cut in cuts]),
            np.stack([cut.distortion for cut in cuts]),
            np.stack([cut.distortion if cut.loss is None else cut.loss for cut in cuts]),
            np.array([[[cut.floor]] for cut in cuts]),
        )

    def tables(
        self, link: Link, *, rate_hz: float, load: Load | None = None, factors: Factors | None = None
    ) -> Tables:
        """What each combination takes for one frame; what cannot keep up with `rate_hz` has infinite delay.

        Raises:
            ValueError: a rate that is not positive.
        """
        if not rate_hz > 0:
            raise ValueError(f"the rate is {rate_hz} Hz; it must be positive")
        f = factors or Factors.none(len(self.payload_bytes))
        agent_s = self.agent_s * f.agent_s[:, None, None]
        agent_j = agent_s * self.agent_w * f.robot_j[:, None, None]
        agent_s[agent_s * rate_hz > 1.0] = math.inf
        payload = self.payload_bytes * f.payload_bytes[:, None]
        link_s = np.where(self.travels, link.delay_s(payload, rate_hz) * f.link_s[:, None], 0.0)
        radio_j = link.energy_j(payload, rate_hz) * f.robot_j[:, None]
        service_s = self.service_s * f.server_s[:, None]
        server_s = service_s + np.where(self.travels, (load or Load()).wait_s(service_s, rate_hz), 0.0)
        by_distortion = f.distortion[:, None, None]
        return Tables(
            agent_s,
            agent_j,
            link_s,
            radio_j,
            payload,
            server_s,
            service_s * self.server_w,
            self.distortion * by_distortion,
            self.floor + (self.loss - self.floor) * by_distortion,
        )
