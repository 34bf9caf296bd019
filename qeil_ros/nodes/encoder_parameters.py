"""The parameters of the encoder."""

from __future__ import annotations

from dataclasses import dataclass

from qeil_ros.models.backends import AUTO, BACKENDS

from .parameters import NodeParameters, parameter

__all__ = ["EncoderParameters"]

_NEXT_CONFIGURE = "takes effect when the node is configured next"


@dataclass
class EncoderParameters(NodeParameters):
    model: str = parameter(
        "tabletop", f"name of a shipped model, or path of a model folder; {_NEXT_CONFIGURE}"
    )
    threads: int = parameter(1, f"threads of the agent part; {_NEXT_CONFIGURE}", low=1, high=64)
    backend: str = parameter(
        AUTO,
        "what runs packed weights (.qwt): onnxruntime, onnxruntime-int8, openvino, or auto for the fastest "
        f"here, measured once and remembered; {_NEXT_CONFIGURE}",
        choices=(AUTO, *BACKENDS),
    )
    image_transport: str = parameter(
        "auto",
        "raw, compressed (the image topic + /compressed), or auto: the first of the two that has a publisher",
        choices=("auto", "raw", "compressed"),
    )
    deadline_s: float = parameter(
        0.2, "from an image's arrival to the latest moment for its answer [s]", low=0.001, high=60.0
    )
    split: str = parameter("", "cut of the model where no supervisor names one; empty: the model's default")
    feature_bits: int = parameter(
        0, "bits per feature value where no supervisor says; 0: what the model wants", low=0, high=8
    )
    weight_bits: int = parameter(
        0,
        "bits of the agent part's weights where no supervisor says; 0: its best. Of the widths that the "
        "model offers the next larger one is taken",
        low=0,
        high=8,
    )
    rate_hz: float = parameter(
        0.0,
        "frames encoded per second at most where no supervisor says [Hz]; 0: every frame",
        low=0.0,
        high=1000.0,
    )
    safe_split: str = parameter(
        "", "cut to use when the supervisor has fallen silent; empty: the model's default"
    )
    safe_feature_bits: int = parameter(
        0,
        "bits per feature value when the supervisor has fallen silent; 0: what the model wants",
        low=0,
        high=8,
    )
    safe_weight_bits: int = parameter(
        0,
        "bits of the agent part's weights when the supervisor has fallen silent; 0: its best",
        low=0,
        high=8,
    )
    safe_rate_hz: float = parameter(
        5.0,
        "frames encoded per second at most when the supervisor, and with it the watch over heat and energy, "
        "has fallen silent [Hz]; 0: every frame",
        low=0.0,
        high=1000.0,
    )
    feature_coder: str = parameter(
        "rans",
        "how feature values become bytes: packed, each in as many bits as feature_bits says, or rans, "
        "entropy-coded, with the step that so many bits would have over +-4 times their root mean square",
        choices=("packed", "rans"),
    )
    inter_frame: bool = parameter(
        True,
        "send differences from an earlier frame where the offboard computer and the fallback have confirmed "
        "to have that one; without a fallback every frame stands by itself",
    )
    key_frame_interval: int = parameter(
        100,
        "with inter_frame, frames from one that stands by itself to the next at most; 0: no limit",
        low=0,
        high=10**6,
    )
    max_frame_bytes: int = parameter(
        0,
        "coded features of more bytes are coded more coarsely, so that they fit [bytes]; 0: no limit",
        low=0,
        high=1 << 26,
    )
    keep_tokens: float = parameter(
        1.0,
        "share of the feature rows (tokens) that is sent; the others, those most like the mean, travel as "
        "one row, their own mean",
        low=0.01,
        high=1.0,
    )
    max_image_pixels: int = parameter(
        64_000_000,
        "compressed images of more pixels are refused before they are decoded",
        low=1,
        high=1 << 30,
    )
    screen: str = parameter(
        "warn",
        "images that are blank, frozen, replayed or full of noise that no camera makes are told of (warn), "
        "not encoded, so that nobody answers them (refuse), or not looked for (off)",
        choices=("warn", "refuse", "off"),
    )
    screen_frozen_s: float = parameter(
        2.0,
        "a camera that gives the very same image for so long is frozen [s]; 0: never, for a simulated one "
        "that may stand still",
        low=0.0,
        high=3600.0,
    )
    screen_noise: float = parameter(
        1.8,
        "noise where a picture is flat, as a standard deviation in grey levels, above which it is not the "
        "camera's; 2.5 times that for a camera without colour, and less where its usual noise is known",
        low=0.1,
        high=255.0,
    )
    distortion_every: int = parameter(
        30,
        "every so many frames the features are decoded again and the distortion measured; 0: never",
        low=0,
        high=10**6,
    )
    active_core_w: float = parameter(
        0.0,
        "power of one busy processor core above idle, from the board's data sheet or a meter [W]; the energy "
        "of a frame is modelled as processor time times this; 0: unknown, no energy is reported",
        low=0.0,
        high=1000.0,
    )
