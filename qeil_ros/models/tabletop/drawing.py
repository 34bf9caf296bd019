"""How a camera sees a scene."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .grammar import COLOURS, Scene, Surroundings, Thing
from .scenes import FROZEN_STREAM, sample_scene

CAMERAS = ((128, 96), (192, 144), (320, 240))
CAMERA_SHARES = (0.6, 0.25, 0.15)

_FLATTENING = 0.45  # height over width of a horizontal circle, as the raised camera sees it
_HEIGHTS = {"cube": 1.5, "ball": 1.9, "cone": 2.2, "cylinder": 1.8, "ring": 0.5}  # in radii

Picture = NDArray[np.uint8]
_Canvas = NDArray[np.float32]
_Shading = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


def render(
    scene: Scene, width: int = 320, height: int = 240, noise: np.random.Generator | None = None
) -> Picture:
    """What the camera sees: uint8 RGB [height, width, 3].

    The field of view is 4:3; other sizes are stretched. Sensor noise, of the surroundings' strength, is added
    where a generator is given: pass one generator on for a stream of frames with fresh noise.
    """
    place = scene.surroundings
    canvas = _background(place, width, height)
    for index in sorted(range(len(scene.things)), key=lambda i: _drawing_order(scene.things[i])):
        _draw_thing(canvas, scene, index)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :] * np.float32(np.cos(place.light_angle))
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(np.sin(place.light_angle))
    light = (place.exposure * (1 + place.light_strength * (across + down))).astype(np.float32)
    canvas *= light[:, :, None] * np.array(place.tint, np.float32)
    if noise is not None:
        canvas += np.float32(place.noise) * noise.standard_normal(canvas.shape, np.float32)
    np.rint(canvas, out=canvas)
    return np.clip(canvas, 0, 255, out=canvas).astype(np.uint8)


def photograph(index: int, stream: int = FROZEN_STREAM) -> tuple[Scene, Picture]:
    """Scene number `index` of a stream as some camera delivers it: uint8 RGB [height, width, 3], 4:3.

    Cameras of several resolutions, because what is left of noise and edges after the reduction to the model's
    input differs; some out of focus; half of the pictures went through JPEG.
    """
    rng = np.random.default_rng([stream, index])
    scene = sample_scene(rng)
    width, height = CAMERAS[rng.choice(len(CAMERAS), p=CAMERA_SHARES)]
    picture = render(scene, width, height, rng)
    if rng.random() < 0.15:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.8) * width / 128), np.uint8)
    if rng.random() < 0.5:
        _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))))
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return scene, picture


def locate(scene: Scene, index: int) -> tuple[float, float]:
    """Centre of a thing in the picture, as fractions of width and height from the upper left."""
    thing = scene.things[index]
    u, v, radius = _foot(scene, index)
    return u, v - 0.5 * _HEIGHTS[thing.shape] * radius * 2 / 3  # half widths to heights of a 4:3 picture


def _perspective(depth: float) -> float:
    return 1.12 - 0.24 * depth


def _drawing_order(thing: Thing) -> tuple[float, bool]:
    return (-thing.depth, thing.on is not None)


def _foot(scene: Scene, index: int) -> tuple[float, float, float]:
    """Where a thing touches what it stands on (fractions of the picture), and its radius in half widths."""
    thing = scene.things[index]
    scale = _perspective(thing.depth)
    u, v = 0.5 + 0.46 * thing.x * scale, 0.88 - 0.46 * thing.depth
    if thing.on is not None:
        lower = scene.things[thing.on]
        v -= _HEIGHTS[lower.shape] * lower.radius * _perspective(lower.depth) * 2 / 3
    return u, v, thing.radius * scale


def _background(place: Surroundings, width: int, height: int) -> _Canvas:
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    table = np.array(place.table, np.float32) * (0.92 + 0.16 * rows)
    canvas = np.broadcast_to(table, (height, width, 3)).astype(np.float32, order="C")
    horizon = round(place.horizon * height)
    if horizon > 0:
        canvas[:horizon] = place.wall
    if place.texture > 0:
        coarse = np.random.default_rng(place.texture_seed).standard_normal((7, 9), np.float32)
        canvas += (
            np.float32(place.texture)
            * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
        )
    return canvas


def _paint(
    canvas: _Canvas, outline: NDArray[np.float64], colour: NDArray[np.float32], shading: float | _Shading
) -> None:
    """Fill a polygon with smooth edges. A shading function gets x and y over the outline's box, -1..1."""
    height, width = canvas.shape[:2]
    low = np.floor(outline.min(0)).astype(int) - 1
    high = np.ceil(outline.max(0)).astype(int) + 2
    x0, y0 = max(low[0], 0), max(low[1], 0)
    x1, y1 = min(high[0], width), min(high[1], height)
    if x0 >= x1 or y0 >= y1:
        return
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    points = np.rint((outline - (x0, y0)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
    alpha = mask[:, :, None].astype(np.float32) / 255
    if callable(shading):
        centre, half = (
            (outline.min(0) + outline.max(0)) / 2,
            np.maximum((outline.max(0) - outline.min(0)) / 2, 1e-6),
        )
        xs = ((np.arange(x0, x1) - centre[0]) / half[0]).astype(np.float32)[None, :]
        ys = ((np.arange(y0, y1) - centre[1]) / half[1]).astype(np.float32)[:, None]
        paint = colour * shading(xs, ys)[:, :, None]
    else:
        paint = colour * np.float32(shading)
    region = canvas[y0:y1, x0:x1]
    region += alpha * (paint - region)


def _ellipse(
    x: float, y: float, rx: float, ry: float, start: float = 0.0, stop: float = 2 * np.pi
) -> NDArray[np.float64]:
    angles = np.linspace(start, stop, 41)
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)


def _darken(canvas: _Canvas, outline: NDArray[np.float64], amount: float) -> None:
    """A shadow: whatever lies under the outline gets darker towards its middle."""
    low = np.maximum(np.floor(outline.min(0)).astype(int), 0)
    high = np.ceil(outline.max(0)).astype(int)
    region = canvas[low[1] : high[1], low[0] : high[0]]
    if region.size == 0:
        return
    centre, half = (outline.min(0) + outline.max(0)) / 2, (outline.max(0) - outline.min(0)) / 2
    xs = ((np.arange(low[0], low[0] + region.shape[1]) - centre[0]) / half[0])[None, :]
    ys = ((np.arange(low[1], low[1] + region.shape[0]) - centre[1]) / half[1])[:, None]
    region *= (1 - amount * np.clip(1 - xs**2 - ys**2, 0, 1)).astype(np.float32)[:, :, None]


def _draw_thing(canvas: _Canvas, scene: Scene, index: int) -> None:
    thing = scene.things[index]
    height, width = canvas.shape[:2]
    u, v, radius = _foot(scene, index)
    # Geometry is worked out in units of half a picture width and only then stretched to the picture.
    stretch = np.array([width / 2, height * 2 / 3])
    foot = np.array([2 * u, v * 1.5])
    colour = np.array(COLOURS[thing.colour], np.float32) + np.array(thing.shade, np.float32)
    side = -1.0 if np.cos(scene.surroundings.light_angle) < 0 else 1.0  # the lit side
    shadow = _ellipse(foot[0] - 0.25 * side * radius, foot[1] + 0.03 * radius, 1.5 * radius, 0.75 * radius)
    _darken(canvas, shadow * stretch, 0.45)

    def paint(
        outline: NDArray[np.float64], shading: float | _Shading, dye: NDArray[np.float32] = colour
    ) -> None:
        _paint(canvas, outline * stretch, dye, shading)

    _PAINTERS[thing.shape](paint, foot[0], foot[1], radius, thing.yaw, side)


_Paint = Callable[..., None]


def _draw_cube(paint: _Paint, x: float, y: float, r: float, yaw: float, side: float) -> None:
    angles = yaw + np.arange(4) * np.pi / 2
    bottom = np.stack([x + 1.12 * r * np.cos(angles), y + _FLATTENING * 1.12 * r * np.sin(angles)], 1)
    top = bottom - (0, _HEIGHTS["cube"] * r)
    for i in range(4):
        j = (i + 1) % 4
        normal = yaw + (i + 0.5) * np.pi / 2
        if np.sin(normal) > 0:  # faces the camera
            paint(np.array([bottom[i], bottom[j], top[j], top[i]]), 0.76 + 0.22 * side * np.cos(normal))
    paint(top, 1.18)


def _draw_cylinder(paint: _Paint, x: float, y: float, r: float, yaw: float, side: float) -> None:
    h = _HEIGHTS["cylinder"] * r
    wall = np.concatenate(
        [
            _ellipse(x, y, 0.9 * r, 0.9 * _FLATTENING * r, 0, np.pi),
            [(x - 0.9 * r, y - h), (x + 0.9 * r, y - h)],
        ]
    )
    paint(wall, lambda xs, ys: 0.82 + 0.25 * side * xs - 0.12 * xs * xs + 0 * ys)
    paint(_ellipse(x, y - h, 0.9 * r, 0.9 * _FLATTENING * r), 1.18)


def _draw_ball(paint: _Paint, x: float, y: float, r: float, yaw: float, side: float) -> None:
    def shading(xs: NDArray[np.float32], ys: NDArray[np.float32]) -> NDArray[np.float32]:
        distance = (xs - np.float32(0.35 * side)) ** 2 + (ys + np.float32(0.4)) ** 2
        return np.asarray(1.22 - 0.34 * distance, np.float32)

    paint(_ellipse(x, y - 0.9 * r, r, r), shading)
    spot = np.array([255, 255, 255], np.float32)
    paint(_ellipse(x + 0.35 * side * r, y - 1.32 * r, 0.16 * r, 0.13 * r), 0.95, spot)


def _draw_cone(paint: _Paint, x: float, y: float, r: float, yaw: float, side: float) -> None:
    base = _ellipse(x, y, 1.05 * r, 1.05 * _FLATTENING * r, 0, np.pi)
    outline = np.concatenate([base, [(x, y - _HEIGHTS["cone"] * r)]])
    paint(outline, lambda xs, ys: 0.88 + 0.34 * side * xs + 0 * ys)


def _draw_ring(paint: _Paint, x: float, y: float, r: float, yaw: float, side: float) -> None:
    def band(cy: float) -> NDArray[np.float64]:  # one outline around the rim and back around the hole
        rim = _ellipse(x, cy, 1.1 * r, 0.72 * r)
        return np.concatenate([rim, _ellipse(x, cy, 0.52 * r, 0.30 * r)[::-1]])

    paint(band(y - 0.1 * r), lambda xs, ys: 0.62 + 0.10 * side * xs + 0 * ys)
    paint(band(y - 0.4 * r), lambda xs, ys: 1.02 + 0.12 * side * xs - 0.12 * ys)


_PAINTERS: dict[str, Callable[[_Paint, float, float, float, float, float], None]] = {
    "cube": _draw_cube,
    "cylinder": _draw_cylinder,
    "ball": _draw_ball,
    "cone": _draw_cone,
    "ring": _draw_ring,
}
