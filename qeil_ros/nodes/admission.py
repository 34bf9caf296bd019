"""Whether a frame can be answered here, seen from its fields and its data's header, before any decoding.

Bytes from the network are hostile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qeil_ros.codec import BitstreamError, peek
from qeil_ros.models.features import FeatureReader
from qeil_ros.models.folder import ModelFolder
from qeil_ros.models.schema import shown

__all__ = ["frame_problem"]


def frame_problem(folder: ModelFolder, readers: Mapping[str, FeatureReader], frame: Any) -> str:
    """Why a FeatureFrame cannot be answered; empty where it can.

    Args:
        readers: of the cuts that are served here.
    """
    if frame.model_digest != folder.digest:
        return (
            f"the robot runs model {shown(frame.model)} (digest {shown(frame.model_digest[:12])}), "
            f"this server {folder.name!r} ({folder.digest[:12]!r}): give both the same model folder"
        )
    reader = readers.get(frame.split)
    if reader is None:
        return f"split {shown(frame.split)} is not served here; there are {', '.join(readers)}"
    if not math.isfinite(frame.time_left_s):
        return f"time_left_s is {frame.time_left_s}"
    split = folder.split(frame.split)
    try:
        info = peek(frame.data, reader.limits)
    except BitstreamError as error:
        return f"unreadable data: {error}"
    if tuple(info.shape) != split.coded_shape or info.dtype != split.coded_dtype:
        return (
            f"the features are {list(info.shape)} of {info.dtype}, "
            f"split {split.name!r} has {list(split.coded_shape)} of {split.coded_dtype}"
        )
    return ""
