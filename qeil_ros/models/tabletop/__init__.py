"""Tabletop scenes: what they hold, what is true to say about them, and how a camera sees them.

The default model is trained on these scenes and scored on frozen ones. Everything follows from a seed, so any
machine can draw the very pictures that a published score was measured on. Only numpy and OpenCV may enter:
no model runtime, no files, no clock.
"""

from .drawing import CAMERAS, Picture, locate, photograph, render
from .grammar import (
    BEGIN,
    COLOURS,
    END,
    MAX_TOKENS,
    PAD,
    SHAPES,
    SIZES,
    UNKNOWN,
    VOCABULARY,
    Scene,
    Surroundings,
    Thing,
    caption,
    decode_caption,
    encode_caption,
)
from .scenes import FROZEN_STREAM, TRAINING_STREAM, sample_scene, scene_from_seed

__all__ = [
    "BEGIN",
    "CAMERAS",
    "COLOURS",
    "END",
    "FROZEN_STREAM",
    "MAX_TOKENS",
    "PAD",
    "SHAPES",
    "SIZES",
    "TRAINING_STREAM",
    "UNKNOWN",
    "VOCABULARY",
    "Picture",
    "Scene",
    "Surroundings",
    "Thing",
    "caption",
    "decode_caption",
    "encode_caption",
    "locate",
    "photograph",
    "render",
    "sample_scene",
    "scene_from_seed",
]
