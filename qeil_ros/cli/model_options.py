"""The options that describe a model: what its answer is and how its image is prepared. Several commands have
them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer


class TaskKind(str, Enum):
    classify = "classify"
    caption = "caption"
    detect = "detect"
    embed = "embed"


class Layout(str, Enum):
    NCHW = "NCHW"
    NHWC = "NHWC"


class Channels(str, Enum):
    rgb = "rgb"
    bgr = "bgr"
    mono = "mono"


class Resize(str, Enum):
    stretch = "stretch"
    crop = "crop"
    fit = "fit"


class Interpolation(str, Enum):
    bilinear = "bilinear"
    bicubic = "bicubic"
    nearest = "nearest"


class Activation(str, Enum):
    softmax = "softmax"
    none = "none"


class Decoder(str, Enum):
    fastestdet = "fastestdet"
    yolov8 = "yolov8"
    rows = "rows"


_ANSWER, _IMAGE, _FOLDER = "The answer", "The image", "The folder"


def _option(panel: str, *names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


Task = Annotated[TaskKind, _option(_ANSWER, help="what the answer is")]
Labels = Annotated[Path | None, _option(_ANSWER, help="classify, detect: one label a line")]
Vocabulary = Annotated[Path | None, _option(_ANSWER, help="caption: one token a line")]
Begin = Annotated[int | None, _option(_ANSWER, help="caption: line number, from 0, of the begin token")]
End = Annotated[int | None, _option(_ANSWER, help="caption: line number, from 0, of the end token")]
MaxTokens = Annotated[int, _option(_ANSWER, help="caption: tokens at most")]
TopK = Annotated[int, _option(_ANSWER, help="classify: labels in an answer")]
ActivationOption = Annotated[
    Activation | None,
    _option(
        _ANSWER,
        "--activation",
        help="classify: what makes scores of the output (default: softmax; none for a quantized output)",
    ),
]
OutputScale = Annotated[
    float | None,
    _option(
        _ANSWER, help="classify: score per step of the output (default: 1; 1/256 for a quantized output)"
    ),
]
OutputZeroPoint = Annotated[
    int | None, _option(_ANSWER, help="classify: the output that means 0 (default: 0; -128 for int8)")
]
DecoderOption = Annotated[
    Decoder | None,
    _option(
        _ANSWER,
        "--decoder",
        help="detect: how the output reads: fastestdet's grid, YOLOv8's [4 + classes, N], or rows [N, 6] of "
        "x_min, y_min, x_max, y_max, score, class",
    ),
]
Threshold = Annotated[float, _option(_ANSWER, min=0, max=1, help="detect: lowest score of a box")]
Iou = Annotated[
    float | None,
    _option(
        _ANSWER,
        min=0,
        max=1,
        help="detect: boxes of a class that overlap more than this are one (default: 0.45; 1 for rows)",
    ),
]
BoxFractions = Annotated[
    bool,
    _option(
        _ANSWER, "--box-fractions", help="detect: yolov8 and rows give fractions of the image, not pixels"
    ),
]

LayoutOption = Annotated[
    Layout | None, _option(_IMAGE, "--layout", help="of the image (default: as the file tells)")
]
Width = Annotated[int | None, _option(_IMAGE, help="of the image (default: as the file tells)")]
Height = Annotated[int | None, _option(_IMAGE, help="of the image (default: as the file tells)")]
ChannelsOption = Annotated[
    Channels | None, _option(_IMAGE, "--channels", help="order of the colours (default: rgb)")
]
Scale = Annotated[
    float | None,
    _option(_IMAGE, help="input = (pixel x scale - mean) / std (default: 1/255; 1 for an integer input)"),
]
Mean = Annotated[str | None, _option(_IMAGE, help="one number, or one a channel: 0.485,0.456,0.406")]
Std = Annotated[str | None, _option(_IMAGE, help="one number, or one a channel: 0.229,0.224,0.225")]
ResizeOption = Annotated[
    Resize | None, _option(_IMAGE, "--resize", help="how an image of another shape is fitted")
]
InterpolationOption = Annotated[
    Interpolation | None, _option(_IMAGE, "--interpolation", help="how it is resized")
]
Antialias = Annotated[
    bool | None,
    _option(_IMAGE, "--antialias/--no-antialias", help="smooth before making it smaller"),
]

Version = Annotated[str, _option(_FOLDER, help="version of the model")]
Licence = Annotated[str, _option(_FOLDER, "--licence", "--license", help="SPDX identifier of the licence")]
Description = Annotated[str, _option(_FOLDER, help="one line")]
Overwrite = Annotated[bool, _option(_FOLDER, "--overwrite", help="replace a model folder that is there")]


def recipe_fields(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of `models.create.Recipe`, other than the files, out of a command's arguments by name."""
    task: TaskKind = given["task"]
    image = {
        name: getattr(given[name], "value", given[name])
        for name in ("layout", "width", "height", "channels", "scale", "resize", "interpolation", "antialias")
    }
    image |= {name: _numbers(f"--{name}", given[name]) for name in ("mean", "std") if given[name] is not None}
    plain = (
        "version",
        "licence",
        "description",
        "top_k",
        "output_scale",
        "output_zero_point",
        "begin",
        "end",
    )
    return {
        **{name: given[name] for name in (*plain, "max_tokens", "threshold", "iou")},
        "task": task.value,
        "words": given["vocabulary"] if task is TaskKind.caption else given["labels"],
        "input": {name: value for name, value in image.items() if value is not None},
        "activation": given["activation"] and given["activation"].value,
        "decoder": given["decoder"].value if given["decoder"] else "",
        "extent": (1, 1) if given["box_fractions"] else None,
    }


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(piece) for piece in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: want numbers with commas between them", param_hint=option
        ) from None
