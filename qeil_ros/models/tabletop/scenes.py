"""Random scenes, each from a number: the same on every machine."""

from __future__ import annotations

import numpy as np

from .grammar import COLOURS, SHAPES, SIZES, Scene, Surroundings, Thing

TABLES = ((166, 130, 94), (150, 150, 152), (104, 114, 122), (196, 180, 150), (94, 124, 106))

# Scenes of the two streams never share a seed: training never sees a frozen scene.
TRAINING_STREAM = 20_260_101
FROZEN_STREAM = 77_000_001


def scene_from_seed(index: int, stream: int = FROZEN_STREAM) -> Scene:
    """Scene number `index` of a stream; the same on every machine."""
    return sample_scene(np.random.default_rng([stream, index]))


def sample_scene(rng: np.random.Generator) -> Scene:
    """A random scene with a caption that is right beyond doubt."""
    arrangement = rng.choice(5, p=(0.03, 0.17, 0.40, 0.14, 0.26))
    if arrangement == 0:
        things: tuple[Thing, ...] = ()
    elif arrangement == 1:
        things = (_sample_thing(rng, rng.uniform(-0.8, 0.8), rng.uniform(0, 1)),)
    elif arrangement == 2:
        things = _sample_pair(rng)
    elif arrangement == 3:
        x, depth = rng.uniform(-0.75, 0.75), rng.uniform(0, 0.9)
        lower = _sample_thing(rng, x, depth, shape=("cube", "cylinder")[rng.integers(2)], size="large")
        things = (lower, _sample_thing(rng, x + rng.uniform(-0.02, 0.02), depth, size="small", on=0))
    else:
        things = _sample_row(rng)
    return Scene(things, _sample_surroundings(rng))


def _sample_thing(
    rng: np.random.Generator,
    x: float,
    depth: float,
    *,
    shape: str | None = None,
    colour: str | None = None,
    size: str | None = None,
    on: int | None = None,
) -> Thing:
    return Thing(
        shape=shape or SHAPES[rng.integers(len(SHAPES))],
        colour=colour or tuple(COLOURS)[rng.integers(len(COLOURS))],
        size=size or tuple(SIZES)[rng.integers(len(SIZES))],
        x=float(x),
        depth=float(depth),
        yaw=float(rng.uniform(0, np.pi / 2)),
        scale=float(rng.uniform(0.94, 1.06)),
        shade=tuple(int(v) for v in rng.integers(-10, 11, 3)),  # type: ignore[arg-type]
        on=on,
    )


def _like(rng: np.random.Generator, thing: Thing, x: float, depth: float) -> Thing:
    return _sample_thing(rng, x, depth, shape=thing.shape, colour=thing.colour, size=thing.size)


def _sample_pair(rng: np.random.Generator) -> tuple[Thing, ...]:
    if rng.random() < 0.6:
        gap, depth = rng.uniform(0.5, 1.3), rng.uniform(0.15, 0.85)
        x = rng.uniform(-0.8, 0.8 - gap)
        places = [(x, depth + rng.uniform(-0.15, 0.15)), (x + gap, depth + rng.uniform(-0.15, 0.15))]
    else:
        gap, x = rng.uniform(0.65, 0.95), rng.uniform(-0.75, 0.75)
        depth = rng.uniform(0, 1 - gap)
        places = [(x, depth), (x + rng.uniform(-0.12, 0.12), depth + gap)]
    first = _sample_thing(rng, *places[0])
    second = _like(rng, first, *places[1]) if rng.random() < 0.12 else _sample_thing(rng, *places[1])
    return (first, second)


def _sample_row(rng: np.random.Generator) -> tuple[Thing, ...]:
    slack = np.sort(rng.uniform(0, 1.64 - 2 * 0.5, 3))  # three places at least 0.5 apart in -0.82..0.82
    places = [(-0.82 + slack[i] + 0.5 * i, rng.uniform(0.05, 0.95)) for i in range(3)]
    things = [_sample_thing(rng, *place) for place in places]
    if rng.random() < 0.25:  # two or three alike
        model, *rest = rng.permutation(3)
        for i in rest[: 2 if rng.random() < 0.35 else 1]:
            things[i] = _like(rng, things[model], *places[i])
    return tuple(things)


def _sample_surroundings(rng: np.random.Generator) -> Surroundings:
    table = np.array(TABLES[rng.integers(len(TABLES))]) * rng.uniform(0.85, 1.1) + rng.uniform(-8, 8, 3)
    wall = rng.uniform(90, 215) + rng.uniform(-18, 18, 3)
    tint = rng.uniform(0.95, 1.05, 3)
    return Surroundings(
        table=(float(table[0]), float(table[1]), float(table[2])),
        wall=(float(wall[0]), float(wall[1]), float(wall[2])),
        horizon=float(rng.uniform(-0.05, 0.22)),
        light_angle=float(rng.uniform(0, 2 * np.pi)),
        light_strength=float(rng.uniform(0.02, 0.22)),
        exposure=float(rng.uniform(0.86, 1.12)),
        tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        texture_seed=int(rng.integers(2**31)),
        texture=float(rng.uniform(0, 9)),
        noise=float(rng.uniform(1, 8)),
    )
