"""What a tabletop scene holds, and the one sentence that is true of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (208, 38, 40),
    "orange": (242, 132, 24),
    "yellow": (242, 218, 52),
    "green": (48, 164, 66),
    "blue": (38, 82, 208),
    "purple": (138, 52, 170),
    "white": (240, 240, 238),
    "black": (32, 32, 35),
}
SHAPES = ("cube", "ball", "cone", "cylinder", "ring")
SIZES: dict[str, float] = {"small": 0.125, "large": 0.2}  # radius, in half widths of the picture

SPECIAL = ("[pad]", "[begin]", "[end]", "[unknown]")
PAD, BEGIN, END, UNKNOWN = range(4)
VOCABULARY: tuple[str, ...] = (
    *SPECIAL,
    *("a", "an", "two", "three", *SIZES, *COLOURS, *SHAPES, *(f"{shape}s" for shape in SHAPES)),
    *("left", "of", "on", "behind", "and", ",", "empty", "table"),
)
MAX_TOKENS = 16  # the longest caption is 14 words; begin and end make 16

SIDE_BY_SIDE = 0.40  # least difference in x at which one thing is "left of" another
IN_DEPTH = 0.50  # least difference in depth at which one thing is "behind" another


@dataclass(frozen=True)
class Thing:
    """One object. `x` is -1 (left) to 1 (right), `depth` 0 (near) to 1 (far), `yaw` in radians."""

    shape: str
    colour: str
    size: str
    x: float
    depth: float
    yaw: float = 0.0
    scale: float = 1.0  # the individual's own radius, relative to its size class
    shade: tuple[int, int, int] = (0, 0, 0)  # the individual's own colour, as an offset of its class
    on: int | None = None  # index of the thing that this one stands on

    @property
    def radius(self) -> float:
        """Radius in half picture widths, in the middle of the table."""
        return SIZES[self.size] * self.scale

    def description(self, plural: bool = False) -> str:
        """The thing in words, without an article: `small red cube`."""
        return f"{self.size} {self.colour} {self.shape}{'s' if plural else ''}"


@dataclass(frozen=True)
class Surroundings:
    """Table, wall and light. Colours are 0..255; `noise` is the sensor's standard deviation, too."""

    table: tuple[float, float, float] = (150.0, 150.0, 152.0)
    wall: tuple[float, float, float] = (190.0, 190.0, 190.0)
    horizon: float = 0.15
    light_angle: float = 0.0
    light_strength: float = 0.15
    exposure: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    texture_seed: int = 0
    texture: float = 6.0
    noise: float = 4.0


@dataclass(frozen=True)
class Scene:
    """Things on a table. At most three; one may stand on another."""

    things: tuple[Thing, ...]
    surroundings: Surroundings = Surroundings()


def caption(scene: Scene) -> str:
    """The one sentence for a scene, words separated by single blanks.

    Nothing: `an empty table`. One thing: `a small red cube`. A stack: `A on B`. Two things apart in x:
    `A left of B`; apart in depth only: `A behind B`. Three things: a list from left to right. Like things
    are counted: `two small red cubes and a large blue cone`.

    Raises:
        ValueError: two things are neither clearly apart in x nor in depth, so that no one sentence is right.
    """
    things = scene.things
    if not things:
        return "an empty table"
    if any(thing.on is not None for thing in things):
        if len(things) != 2:
            raise ValueError(f"a stack of {len(things)} things has no caption; put one thing on one other")
        upper = next(thing for thing in things if thing.on is not None)
        lower = things[upper.on] if upper.on is not None else upper
        return f"a {upper.description()} on a {lower.description()}"
    in_order = sorted(things, key=lambda thing: thing.x)
    groups: dict[str, list[Thing]] = {}
    for thing in in_order:
        groups.setdefault(thing.description(), []).append(thing)
    if len(groups) == 2 and len(things) == 2:
        left, right = in_order
        if right.x - left.x >= SIDE_BY_SIDE:
            return f"a {left.description()} left of a {right.description()}"
        far, near = sorted(things, key=lambda thing: -thing.depth)
        if far.depth - near.depth >= IN_DEPTH:
            return f"a {far.description()} behind a {near.description()}"
        raise ValueError(
            f"ambiguous scene: x differs by {right.x - left.x:.2f} (left of: {SIDE_BY_SIDE} or more) "
            f"and depth by {far.depth - near.depth:.2f} (behind: {IN_DEPTH} or more)"
        )
    number = {1: "a", 2: "two", 3: "three"}
    parts = [f"{number[len(group)]} {group[0].description(len(group) > 1)}" for group in groups.values()]
    return parts[0] if len(parts) == 1 else " , ".join(parts[:-1]) + " and " + parts[-1]


def encode_caption(text: str) -> list[int]:
    """Token ids with begin and end. Raises ValueError for a word that is not in the vocabulary."""
    try:
        return [BEGIN, *(VOCABULARY.index(word) for word in text.split()), END]
    except ValueError:
        unknown = [word for word in text.split() if word not in VOCABULARY]
        raise ValueError(f"not in the vocabulary: {unknown}; the words are {VOCABULARY[4:]}") from None


def decode_caption(tokens: Sequence[int]) -> str:
    """The words of token ids up to the first end; special tokens are left out."""
    ids = list(tokens)
    ids = ids[: ids.index(END)] if END in ids else ids
    return " ".join(VOCABULARY[i] for i in ids if i >= len(SPECIAL))
