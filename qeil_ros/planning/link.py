"""The way to the server, and the queue before it: what the paper (arXiv 2602.13052) leaves out. All ours.

Means, not worst cases: of a link whose packets are lost independently, and of queues in equilibrium.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Link", "Load", "waiting_s"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """The way to the server and back, as measured.

    A payload goes in packets; a lost one is sent again a round trip later. The radio takes energy for each
    bit it sends and stays awake for a tail after each payload.

    Attributes:
        rate_bytes_s: bytes a second that leave the robot [B/s], those of lost packets included; 0: no link.
        round_trip_s: there and back without payload [s].
        loss: share of packets that are lost, 0 to below 1.
        busy: share of the air time that others use, 0 to below 1.
        variability: squared coefficient of variation of a payload's transmission time: a link whose rate
            swings makes payloads wait for each other.
        joules_per_bit: of the radio, for bits sent. tail_w, tail_s: its tail.
        packet_bytes, header_bytes: of a packet: payload at most, and what comes on top.
    """

    rate_bytes_s: float
    round_trip_s: float = 0.0
    loss: float = 0.0
    busy: float = 0.0
    variability: float = 0.0
    joules_per_bit: float = 0.0
    tail_w: float = 0.0
    tail_s: float = 0.0
    packet_bytes: int = 1400
    header_bytes: int = 60

    def __post_init__(self) -> None:
        for name in ("rate_bytes_s", "round_trip_s", "variability", "joules_per_bit", "tail_w", "tail_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; want a finite value not below 0")
        for name in ("loss", "busy"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; want 0 or more and less than 1")
        if self.packet_bytes < 1 or self.header_bytes < 0:
            raise ValueError(f"packets of {self.packet_bytes} with headers of {self.header_bytes} bytes")

    def packets(self, payload_bytes: ArrayLike) -> Floats:
        """Packets of a payload."""
        return np.ceil(np.asarray(payload_bytes, np.float64) / self.packet_bytes)

    def sent_bytes(self, payload_bytes: ArrayLike) -> Floats:
        """Bytes on the air: headers, and on average 1/(1 - loss) sendings of each packet."""
        payload = np.asarray(payload_bytes, np.float64)
        return np.asarray((payload + self.packets(payload) * self.header_bytes) / (1.0 - self.loss))

    def rounds(self, packets: ArrayLike) -> Floats:
        """Expected rounds of sending again until n packets are there: sum_{k>=1} 1 - (1 - loss^k)^n."""
        n = np.asarray(packets, np.float64)
        total = np.zeros_like(n)
        if self.loss:
            missing, most = self.loss, float(n.max(initial=0.0))
            while missing * most > 1e-6:
                total -= np.expm1(n * math.log1p(-missing))
                missing *= self.loss
        return total

    def air_s(self, payload_bytes: ArrayLike) -> Floats:
        """Time that a payload keeps the link busy [s]."""
        if not self.rate_bytes_s:
            return np.where(np.asarray(payload_bytes) > 0, math.inf, 0.0)
        return self.sent_bytes(payload_bytes) / (self.rate_bytes_s * (1.0 - self.busy))

    def delay_s(self, payload_bytes: ArrayLike, rate_hz: float) -> Floats:
        """From a payload's readiness to the answer's arrival, without the server [s]; inf: it cannot keep up.

        Waiting for earlier payloads, air time, sending again, and the round trip.
        """
        payload = np.asarray(payload_bytes, np.float64)
        if not self.rate_bytes_s:
            return np.full_like(payload, math.inf)
        air_s = self.air_s(payload)
        return np.asarray(
            waiting_s(air_s, rate_hz, 0.0, self.variability)
            + air_s
            + (1.0 + self.rounds(self.packets(payload))) * self.round_trip_s
        )

    def energy_j(self, payload_bytes: ArrayLike, rate_hz: float) -> Floats:
        """The radio's energy for a payload [J]: bits sent, and the tail as far as the next payload allows."""
        sent = self.sent_bytes(payload_bytes)
        silence_s = np.maximum(1.0 / rate_hz - self.air_s(payload_bytes), 0.0)
        tail_j = self.tail_w * np.minimum(self.tail_s, silence_s)
        return np.asarray(8.0 * sent * self.joules_per_bit + np.where(sent > 0, tail_j, 0.0))


@dataclass(frozen=True)
class Load:
    """What else the server does.

    Attributes:
        rate_hz: frames of other robots a second. service_s: mean time of one of them on the server [s].
        variability: squared coefficient of variation of that time.
        alike: other robots, besides, that do just what this one does, at its rate.
    """

    rate_hz: float = 0.0
    service_s: float = 0.0
    variability: float = 0.0
    alike: int = 0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}; want a finite value not below 0")

    @classmethod
    def robots(cls, others: int, rate_hz: float, service_s: float) -> Load:
        """Of so many other robots, each with that rate and service time."""
        return cls(others * rate_hz, service_s)

    def wait_s(self, service_s: ArrayLike, rate_hz: float) -> Floats:
        """Mean time that one's frames, of that service time and rate, wait for others' [s].

        Pollaczek and Khinchine with the others' frames as the random arrivals: one's own come regularly and
        wait for none of their kind. Infinite where the server is overloaded.
        """
        own_s = np.asarray(service_s, np.float64)
        spare = 1.0 - (1 + self.alike) * rate_hz * own_s - self.rate_hz * self.service_s
        begun = self.rate_hz * self.service_s**2 * (1.0 + self.variability) + self.alike * rate_hz * own_s**2
        with np.errstate(divide="ignore", invalid="ignore"):
            wait = begun / (2.0 * spare)
        return np.where(spare > 0, wait, math.inf)


def waiting_s(
    service_s: ArrayLike, rate_hz: float, arrival_variability: float, service_variability: float
) -> Floats:
    """Kingman's mean waiting time before a single server [s]; inf where it is overloaded.

    rho/(1 - rho) (ca^2 + cs^2)/2 times the service time. Exact for Poisson arrivals (ca^2 = 1), 0 for regular
    arrivals of equal jobs.
    """
    service = np.asarray(service_s, np.float64)
    rho = rate_hz * service
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = rho / (1.0 - rho) * (arrival_variability + service_variability) / 2.0 * service
    return np.where(rho < 1.0, wait, math.inf)
