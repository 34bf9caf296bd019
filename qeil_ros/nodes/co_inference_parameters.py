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

    def __post_init__(self) -> None:
        names = [robot.strip("/") for robot in self.robots]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"robots: {self.robots}: want different names, at least one")
        for name in names:
            if name and not all(piece.isidentifier() and piece.isascii() for piece in name.split("/")):
                raise ValueError(
                    f"robots: {name!r} is no namespace; want letters, digits, underscores and slashes"
                )
