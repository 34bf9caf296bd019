"""Camera images -> the tensor a model takes, in one pass: decode, crop, resize, normalise, lay out.

The same code runs wherever a model runs, so that the robot and a computer off it prepare images alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import resample

try:
    from qeil_ros import _kernels
except ImportError as error:
    raise ImportError(
        f"qeil_ros's compiled kernels are missing or do not load ({error}); "
        "`import qeil_ros.codec` says how to build them"
    ) from error

MAX_SIDE = 32768
"""Largest width and height of an image and of a model's input [pixels]."""

_CHOICES = {
    "channels": ("rgb", "bgr", "mono"),
    "layout": ("NCHW", "NHWC"),
    "dtype": ("float32", "float16", "uint8", "int8"),
    "resize": ("stretch", "crop", "fit", "shortest"),
    "interpolation": ("bilinear", "bicubic", "nearest"),
}
_ORDERS = {"rgb": (0, 1, 2), "bgr": (2, 1, 0), "mono": (0,)}

# ROS's names (sensor_msgs/image_encodings) to the kernel's. ROS names a Bayer image by its first two rows, as
# the kernel does; OpenCV's older constants name it by the second row's second pixel: bayer_rggb8 is
# cv2.COLOR_BayerBG2RGB.
_FORMATS = {
    **{name: name for name in ("rgb8", "bgr8", "rgba8", "bgra8", "mono8")},
    **{name: name for name in ("rgb16", "bgr16", "rgba16", "bgra16", "mono16", "nv12", "nv21")},
    **{f"bayer_{order}8": f"bayer_{order}8" for order in ("rggb", "bggr", "gbrg", "grbg")},
    "8UC1": "mono8",
    "8UC3": "bgr8",
    "8UC4": "bgra8",
    "yuv422": "uyvy",
    "uyvy": "uyvy",
    "yuv422_yuy2": "yuyv",
    "yuyv": "yuyv",
}
ENCODINGS = tuple(_FORMATS)


@dataclass(frozen=True)
class InputSpec:
    """What a model takes: one image of width x height as [1, C, H, W] or [1, H, W, C].

    A value is `(pixel * scale - mean) / std` with the pixel from 0 to 255; uint8 and int8 are that rounded to
    nearest and saturated. `mean` and `std` have one entry per channel, in the order of `channels`; a single
    number stands for all.

    resize: "stretch" ignores the aspect ratio; "crop" takes the largest centred part of the right ratio;
        "fit" scales the whole image into the tensor's centre and fills the rest with the pixel value `pad`;
        "shortest" scales the whole image until its shorter side has `shortest_edge` pixels and takes the
        centre of that, filled up with `pad` where it is too small (what Hugging Face's processors do with a
        `size` of that name and a `crop_size`).
    interpolation: "bilinear" and "nearest" equal OpenCV's, and with `antialias` "bilinear" and "bicubic"
        equal Pillow's (what Hugging Face's image processors use), which averages over all pixels when it
        shrinks. "bicubic" needs `antialias`.

    Raises ValueError or TypeError that names the field, its value and what is possible.
    """

    width: int
    height: int
    channels: str = "rgb"
    layout: str = "NCHW"
    dtype: str = "float32"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: str = "stretch"
    interpolation: str = "bilinear"
    antialias: bool = False
    pad: float = 0.0
    shortest_edge: int = 0

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            side = getattr(self, name)
            if isinstance(side, bool) or not isinstance(side, int):
                raise TypeError(f"{name} is {side!r}; a whole number of pixels is needed")
            if not 1 <= side <= MAX_SIDE:
                raise ValueError(f"{name} is {side}; 1 to {MAX_SIDE} pixels are possible")
        if isinstance(self.shortest_edge, bool) or not isinstance(self.shortest_edge, int):
            raise TypeError(f"shortest_edge is {self.shortest_edge!r}; a whole number of pixels is needed")
        if (self.resize == "shortest") != (1 <= self.shortest_edge <= MAX_SIDE):
            raise ValueError(
                f"shortest_edge is {self.shortest_edge} and resize {self.resize!r}; "
                f"1 to {MAX_SIDE} pixels are needed where resize is 'shortest', and 0 elsewhere"
            )
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; possible are {', '.join(choices)}")
        if not isinstance(self.antialias, bool):
            raise TypeError(f"antialias is {self.antialias!r}; true and false are possible")
        if self.interpolation == "bicubic" and not self.antialias:
            raise ValueError(
                "interpolation is bicubic without antialias; set antialias to true, or use bilinear"
            )
        if self.interpolation == "nearest" and self.antialias:
            raise ValueError(
                "interpolation is nearest with antialias; set antialias to false, or use bilinear"
            )
        for name in ("scale", "pad"):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        for name in ("mean", "std"):
            object.__setattr__(self, name, self._per_channel(name, getattr(self, name)))
        if self.scale == 0:
            raise ValueError("scale is 0; every image would be the same")
        if any(value <= 0 for value in self.std):
            raise ValueError(f"std is {list(self.std)}; every entry must be positive")
        if not 0 <= self.pad <= 255:
            raise ValueError(f"pad is {self.pad}; a pixel value from 0 to 255 is needed")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputSpec:
        """From a model.yaml's `input`. Unknown keys are errors, so that a misspelt one is not ignored."""
        known = {field.name for field in fields(cls)}
        unknown = [key for key in values if key not in known]
        if unknown:
            raise ValueError(
                f"unknown {', '.join(map(repr, unknown))}; possible are {', '.join(sorted(known))}"
            )
        missing = {"width", "height"} - set(values)
        if missing:
            raise ValueError(f"{' and '.join(sorted(missing))} must be given")
        return cls(**values)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the tensor, with the batch of 1."""
        count = len(_ORDERS[self.channels])
        if self.layout == "NCHW":
            return 1, count, self.height, self.width
        return 1, self.height, self.width, count

    def _per_channel(self, name: str, value: Any) -> tuple[float, ...]:
        count = len(_ORDERS[self.channels])
        entries = list(value) if isinstance(value, (list, tuple)) else [value]
        numbers = tuple(_number(name, entry) for entry in entries)
        if len(numbers) == 1:
            return numbers * count
        if len(numbers) != count:
            raise ValueError(
                f"{name} has {len(numbers)} entries; channels {self.channels} need {count} (or 1 for all)"
            )
        return numbers


class Preprocessor:
    """Prepares images for a model. Tables and scratch are kept while image size and encoding stay the same.

    Not for several threads at once; one each is cheap. `portable` does without wide vector instructions where
    the processor has them, for comparison: the bytes are the same.
    """

    def __init__(self, spec: InputSpec, *, portable: bool = False) -> None:
        self.spec = spec
        self._out = np.empty(spec.shape, spec.dtype)
        self._plan: Any = None
        self._portable = portable
        self._geometry: tuple[int, int, str, bool] | None = None

    def __call__(
        self,
        data: Any,
        width: int,
        height: int,
        step: int,
        encoding: str,
        is_bigendian: bool = False,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        """The tensor [1, ...] of an image as in sensor_msgs/Image; valid until the next call without `out`.

        Args:
            data: bytes of the image: anything with the buffer protocol. nv12 and nv21 have the chroma rows
                after the luma rows, with the same step; 4:2:2 rows and chroma rows hold whole pairs, so that
                an odd width needs a step of one pixel more.
            width, height: pixels, 1 to 32768 each.
            step: bytes from one row to the next; more than the pixels need is skipped.
            encoding: one of ENCODINGS. 16-bit values are scaled to 0..255; alpha is dropped; YUV is BT.601
                with limited range; Bayer images are demosaiced bilinearly, their outermost rows and columns
                repeat their inner neighbours, and they need 3x3 pixels.
            is_bigendian: matters for 16-bit encodings only.
            out: C-contiguous, of the spec's shape and dtype.

        Raises:
            ValueError: an encoding, size or step that is not possible, or too few bytes.
            TypeError: `data` has no buffer of bytes.
        """
        name = _FORMATS.get(encoding)
        if name is None:
            raise ValueError(f"the image's encoding is {encoding!r}; possible are {', '.join(ENCODINGS)}")
        big_endian = bool(is_bigendian) and name.endswith("16")
        if (width, height, name, big_endian) != self._geometry:
            self._configure(width, height, name, big_endian)
        if out is None:
            out = self._out
        elif out.shape != self._out.shape or out.dtype != self._out.dtype or not out.flags.carray:
            raise ValueError(
                f"out is {out.dtype} {out.shape}; a contiguous, aligned, writable {self._out.dtype} "
                f"{self._out.shape} is needed"
            )
        if step < 0:
            raise ValueError(f"step is {step}; it cannot be negative")
        self._plan.run(_bytes_of(data), step, out.reshape(-1).view(np.uint8))
        return out

    def _configure(self, width: int, height: int, name: str, big_endian: bool) -> None:
        if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
            raise ValueError(f"the image is {width}x{height}; 1 to {MAX_SIDE} pixels a side are possible")
        spec = self.spec
        crop, rect, resized, windows = _geometry(spec, (width, height))
        taps = [_taps(spec, crop[k + 2], resized[k], windows[k]) for k in (0, 1)]
        if spec.resize == "shortest":  # what lies beside the window need not be filtered
            x, y = (resample.needed(tap, spec.antialias) for tap in taps)
            crop, taps = (x[0], y[0], x[1], y[1]), [x[2], y[2]]
        self._geometry = None
        self._plan = _kernels.ImagePlan(
            format=name,
            size=(width, height),
            crop=crop,
            out=(spec.width, spec.height),
            rect=rect,
            order=_ORDERS[spec.channels],
            interleaved=spec.layout == "NHWC",
            dtype=spec.dtype,
            scale=[spec.scale / std for std in spec.std],
            shift=[-mean / std for mean, std in zip(spec.mean, spec.std, strict=True)],
            pad=spec.pad,
            filtered=spec.antialias,
            x=taps[0],
            y=taps[1],
            big_endian=big_endian,
            portable=self._portable,
        )
        self._geometry = (width, height, name, big_endian)


Rectangle = tuple[int, int, int, int]
"""x, y, width, height"""


def placement(resize: str, image: tuple[int, int], target: tuple[int, int]) -> tuple[Rectangle, Rectangle]:
    """Which part of the image goes to which part of the tensor; `image` and `target` are (width, height)."""
    (width, height), (out_width, out_height) = image, target
    crop, rect = (0, 0, width, height), (0, 0, out_width, out_height)
    if resize == "crop":
        part = (
            min(width, max(1, round(height * out_width / out_height))),
            min(height, max(1, round(width * out_height / out_width))),
        )
        crop = ((width - part[0]) // 2, (height - part[1]) // 2, *part)
    elif resize == "fit":
        scale = min(out_width / width, out_height / height)
        part = (
            min(out_width, max(1, round(width * scale))),
            min(out_height, max(1, round(height * scale))),
        )
        rect = ((out_width - part[0]) // 2, (out_height - part[1]) // 2, *part)
    return crop, rect


def _geometry(
    spec: InputSpec, image: tuple[int, int]
) -> tuple[Rectangle, Rectangle, tuple[int, int], list[resample.Window | None]]:
    """The part of the image, its place in the tensor, the part's size after resizing, and what of it is
    wanted.
    """
    target = (spec.width, spec.height)
    if spec.resize != "shortest":
        crop, rect = placement(spec.resize, image, target)
        return crop, rect, rect[2:], [None, None]
    short, long = min(image), max(image)
    longer = int(spec.shortest_edge * long / short)  # rounded as Hugging Face's processors do
    resized = (spec.shortest_edge, longer) if image[0] <= image[1] else (longer, spec.shortest_edge)
    count = [min(want, have) for want, have in zip(target, resized, strict=True)]
    windows = [((have - some) // 2, some) for have, some in zip(resized, count, strict=True)]
    place = [(want - some + 1) // 2 for want, some in zip(target, count, strict=True)]
    return (0, 0, *image), (place[0], place[1], count[0], count[1]), resized, list(windows)


def _taps(spec: InputSpec, source: int, target: int, window: resample.Window | None) -> Any:
    if spec.antialias:
        return resample.antialiased(source, target, spec.interpolation, window)
    table = resample.nearest if spec.interpolation == "nearest" else resample.bilinear
    return table(source, target, window)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError(f"{name} is {value!r}; a finite number is needed")
    return float(value)


def _bytes_of(data: Any) -> memoryview:
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(
            f"image data must have the buffer protocol, as bytes has; got {type(data).__name__}"
        ) from None
    if not view.c_contiguous:
        raise TypeError("image data must be contiguous in memory")
    return view.cast("B")
