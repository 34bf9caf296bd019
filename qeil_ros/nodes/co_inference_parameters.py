"""The parameters of the offboard side."""

from __future__ import annotations

from dataclasses import dataclass

from qeil_ros.models.runtime import DEVICES

from .parameters import NodeParameters, parameter

__all__ = ["CoInferenceParameters"]

_NEXT_CONFIGURE = "takes effect when the node is configured next"
_NEXT_ACTIVATE = "takes effect when the node is activated next"


@dataclass
class CoInferenceParameters(NodeParameters):
    model: str = parameter(
        "tabletop", f"name of a shipped model, or path of a model folder; {_NEXT_CONFIGURE}"
    )
    robots: list[str] = parameter(  # noqa: RUF009 makes a field with a factory
        [""], f"namespaces of the robots to serve; '' is this node's own namespace; {_NEXT_CONFIGURE}"
    )
    engine: str = parameter(
        "",
        "onnx, transformers or an installed engine's name; empty: what suits the server part; "
        f"{_NEXT_CONFIGURE}",
    )
    device: str = parameter("auto", f"what runs the server part; {_NEXT_CONFIGURE}", choices=DEVICES)
    threads: int = parameter(2, f"threads of the server part; {_NEXT_CONFIGURE}", low=1, high=256)
    max_batch: int = parameter(8, f"frames run together at most; {_NEXT_ACTIVATE}", low=1, high=1024)
    max_wait_s: float = parameter(
        0.003, f"how long a frame waits for frames of other robots [s]; {_NEXT_ACTIVATE}", low=0.0, high=1.0
    )
    max_queue: int = parameter(
        4,
        f"frames of one robot that wait at most; a further one replaces its oldest; {_NEXT_ACTIVATE}",
        low=1,
        high=64,
    )
    heartbeat_s: float = parameter(0.1, f"time between heartbeats [s]; {_NEXT_ACTIVATE}", low=0.01, high=10.0)
    robot_timeout_s: float = parameter(
        1.0,
        "silence after which a robot counts as gone [s]: what was kept for it is dropped, and no batch waits "
        "for its frames",
        low=0.1,
        high=3600.0,
    )

    samples: int = parameter(
        1,
        "answers drawn for a question at most, of which the most frequent one is given; 1: the model's "
        f"likeliest alone; above 1 {_NEXT_CONFIGURE}",
        low=1,
        high=1000,
    )
    sampling_temperature: float = parameter(
        0.7,
        "of all answers but the first, which is the model's likeliest; 1: as the model was trained",
        low=0.01,
        high=10.0,
    )
    sampling_together: int = parameter(
        3,
        "answers to a question drawn in one run of the model; more are cheaper each, fewer end sooner",
        low=1,
        high=256,
    )
    sampling_certainty: float = parameter(
        0.95,
        "chance that the leading answer stays ahead of the second, from which on no more are drawn; 1: never",
        low=0.5,
        high=1.0,
    )
    sampling_accept: float = parameter(
        1.0,
        "confidence from which on an answer is taken without drawing more; 1: never",
        low=0.0,
        high=1.0,
    )
    sampling_verifier: str = parameter(
        "",
        "an installed verifier's name (entry point of the group qeil_ros.verifiers) whose word ends a "
        f"question; empty: none; {_NEXT_CONFIGURE}",
    )
    sampling_energy_j: float = parameter(
        0.0, "energy that the answers to one question may take [J]; 0: no limit", low=0.0, high=1e6
    )
    sampling_budget_j: float = parameter(
        0.0,
        "energy for all questions of sampling_budget_s together [J]: what easy ones leave, hard ones may "
        f"spend; 0: no limit; {_NEXT_CONFIGURE}",
        low=0.0,
        high=1e12,
    )
    sampling_budget_s: float = parameter(
        3600.0,
        f"how long sampling_budget_j has to last; then it is there anew [s]; {_NEXT_CONFIGURE}",
        low=1.0,
        high=1e8,
    )
    sampling_time_share: float = parameter(
        0.5,
        "share of the time that a frame has left within which answers are drawn; the rest is the way back's",
        low=0.01,
        high=1.0,
    )
    sampling_seed: int = parameter(0, "of what is drawn", low=0, high=2**31 - 1)
    active_core_w: float = parameter(
        0.0,
        "power of one busy processor core above idle [W], for a machine without energy counters: energy is "
        f"then modelled as processor time times this; 0: unknown; {_NEXT_CONFIGURE}",
        low=0.0,
        high=1000.0,
    )

    def __post_init__(self) -> None:
        names = [robot.strip("/") for robot in self.robots]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"robots: {self.robots}: want different names, at least one")
        for name in names:
            if name and not all(piece.isidentifier() and piece.isascii() for piece in name.split("/")):
                raise ValueError(
                    f"robots: {name!r} is no namespace; want letters, digits, underscores and slashes"
                )
