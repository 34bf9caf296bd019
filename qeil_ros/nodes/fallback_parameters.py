"""The parameters of the fallback, and what they say to the arbiter and to the link's monitor."""

from __future__ import annotations

from dataclasses import dataclass

from qeil_ros.safety.arbiter import ArbiterConfig
from qeil_ros.safety.link import LinkConfig

from .parameters import NodeParameters, parameter

__all__ = ["FallbackParameters"]

_NEXT_CONFIGURE = "takes effect when the node is configured next"
_NEXT_ACTIVATE = "takes effect when the node is activated next"


@dataclass
class FallbackParameters(NodeParameters):
    model: str = parameter(
        "tabletop", f"name of a shipped model, or path of a model folder; {_NEXT_CONFIGURE}"
    )
    threads: int = parameter(1, f"threads of the local part; {_NEXT_CONFIGURE}", low=1, high=64)
    warm_up_runs: int = parameter(
        10,
        f"runs of the local part at the start, that its first estimate rests on; {_NEXT_CONFIGURE}",
        low=1,
        high=1000,
    )
    margin_s: float = parameter(
        0.02, "how long before its deadline a frame is answered at the latest [s]", low=0.0, high=1.0
    )
    slack_s: float = parameter(
        0.02,
        "how much earlier than its run time demands the local part is started, for a busy machine [s]",
        low=0.0,
        high=1.0,
    )
    max_pending: int = parameter(
        64,
        "frames that wait for an answer at most; over that, the oldest gets none",
        low=1,
        high=4096,
    )
    least_confidence: float = parameter(
        0.0,
        "offboard answers that state less confidence are refused, and the local model answers; 0: none is",
        low=0.0,
        high=1.0,
    )
    heartbeat_timeout_s: float = parameter(
        0.26,
        "silence after which the offboard computer counts as lost [s]; three of its periods if that is less; "
        f"{_NEXT_ACTIVATE}",
        low=0.02,
        high=30.0,
    )
    recover_s: float = parameter(
        0.5,
        f"how long the link must have been well before it is waited for again [s]; {_NEXT_ACTIVATE}",
        low=0.0,
        high=60.0,
    )
    heartbeat_s: float = parameter(
        0.1,
        "time between signs of life for the offboard computer [s]: where no frame has left for so long, a "
        f"heartbeat does; {_NEXT_ACTIVATE}",
        low=0.02,
        high=10.0,
    )
    hedge_share: float = parameter(
        0.1,
        "local answers that may be computed in vain, as a share of the frames: the energy that may go into "
        "starting the local part early where the offboard answer is in doubt; 0: it starts when it must",
        low=0.0,
        high=1.0,
    )
    hedge_burst: int = parameter(
        10,
        "local answers that may be computed in vain in a row, for doubts that come at once",
        low=1,
        high=1000,
    )
    hedge_below: float = parameter(
        0.5,
        "the offboard answer to a frame is in doubt when it has become less likely than this to come in "
        "time, by how long the last ones took",
        low=0.0,
        high=1.0,
    )
    rehearse_s: float = parameter(
        10.0,
        "where the local part has not run for so long it is run on a frame all the same, so that the "
        "estimate of its time is of this machine as it is now [s]; 0: never",
        low=0.0,
        high=3600.0,
    )
    active_core_w: float = parameter(
        0.0,
        "power of one busy processor core above idle, from the board's data sheet or a meter [W]; the energy "
        "of a local answer is modelled as processor time times this; 0: unknown, none is reported for it",
        low=0.0,
        high=1000.0,
    )

    def arbiter_config(self) -> ArbiterConfig:
        return ArbiterConfig(
            margin_s=self.margin_s,
            slack_s=self.slack_s,
            most_pending=self.max_pending,
            hedge_share=self.hedge_share,
            hedge_burst=self.hedge_burst,
            hedge_below=self.hedge_below,
            rehearse_s=self.rehearse_s,
        )

    def link_config(self) -> LinkConfig:
        return LinkConfig(most_silence_s=self.heartbeat_timeout_s, recover_s=self.recover_s)
