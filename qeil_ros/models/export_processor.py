"""A Hugging Face image processor's settings as an `InputSpec`, and the proof that both do the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .preprocess import InputSpec, Preprocessor
from .schema import ModelError

__all__ = ["TOLERANCE", "input_spec", "parity"]

TOLERANCE = 1.01
"""Largest difference allowed to a processor, in steps of an 8-bit pixel: each rounds in its own way."""

_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL.Image.Resampling


def input_spec(transformers: Any, path: Path) -> InputSpec:
    """What the image processor in the folder does, for our own preparation; tried on pictures.

    Raises:
        ModelError: the processor cannot be loaded, or does something that has no counterpart here.
    """
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(f"{path}: transformers cannot load the image processor: {error}") from error
    spec = _spec(processor)
    if (worst := max(parity(processor, spec, picture) for picture in _pictures(spec))) > TOLERANCE:
        raise ModelError(
            f"{type(processor).__name__} prepares images otherwise than its settings tell: "
            f"up to {worst:.1f} of 255 apart from {spec}"
        )
    return spec


def parity(processor: Any, spec: InputSpec, picture: NDArray[np.uint8]) -> float:
    """Largest difference of the two preparations of an RGB picture [H, W, 3], in steps of an 8-bit pixel."""
    from PIL import Image

    height, width = picture.shape[:2]
    theirs = processor([Image.fromarray(picture)], return_tensors="np")["pixel_values"].reshape(spec.shape)
    ours = Preprocessor(spec)(picture, width, height, 3 * width, "rgb8")
    step = np.array(spec.std).reshape(1, 3, 1, 1) / abs(spec.scale)
    return float(np.abs((theirs - ours) * step).max())


def _spec(processor: Any) -> InputSpec:
    name = type(processor).__name__

    def given(key: str, default: Any = None) -> Any:
        value = getattr(processor, key, default)
        return default if value is None else value

    if given("do_pad", False):
        raise ModelError(f"{name}: do_pad is set; padding is not known here")
    if not given("do_resize", True):
        raise ModelError(f"{name}: do_resize is false; the model takes images of any size, not known here")
    if (interpolation := _INTERPOLATIONS.get(int(given("resample", 2)))) is None:
        raise ModelError(f"{name}: resample is {given('resample')}; known are 2 (bilinear) and 3 (bicubic)")
    size, crop = _sizes(given("size")), _sizes(given("crop_size")) if given("do_center_crop", False) else {}
    fields: dict[str, Any] = {
        "interpolation": interpolation,
        "antialias": True,
        "scale": float(given("rescale_factor", 1 / 255)) if given("do_rescale", True) else 1.0,
    }
    if given("do_normalize", True):
        fields |= {"mean": _numbers(given("image_mean", 0.0)), "std": _numbers(given("image_std", 1.0))}
    if set(size) == {"shortest_edge"} and set(crop) == {"height", "width"}:
        fields |= {"resize": "shortest", "shortest_edge": size["shortest_edge"], **crop}
    elif set(size) == {"height", "width"} and crop in ({}, size):
        fields |= size
    else:
        raise ModelError(
            f"{name}: size {size} with crop_size {crop}; known are a height and width, "
            "or a shortest_edge and a crop to a height and width"
        )
    try:
        return InputSpec.from_dict(fields)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{name}: {error}") from error


def _sizes(value: Any) -> dict[str, int]:
    return {key: int(side) for key, side in dict(value or {}).items() if side is not None}


def _numbers(value: Any) -> list[float]:
    return [float(entry) for entry in (value if isinstance(value, (list, tuple)) else [value])]


def _pictures(spec: InputSpec) -> list[NDArray[np.uint8]]:
    """Noise of several shapes. Of half contrast: no overshoot is clipped in it.

    So it does not matter in which order rows and columns are filtered, but for the rounding between: Pillow
    since 13 begins with the columns where an image is made less tall but no less wide; Pillow before,
    torchvision and our kernels begin with the rows always.
    """
    generator = np.random.default_rng(0)
    shapes = [(480, 640), (640, 480), (spec.height, spec.width), (97, 131)]
    return [generator.integers(64, 192, (*shape, 3), np.uint8) for shape in shapes]
