"""A placed network at work, whose placement can be changed while it runs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from ..graph import Graph
from ..graph_shapes import Shapes
from ..stages import Block
from .crew import Crew, Fault, Health, Timing
from .crew_types import Fill
from .place import Place
from .program import Program, cut

__all__ = ["Staged"]


class Staged:
    """A network's blocks on places, each place a process of its own (see `crew.Crew`).

    Args:
        chain: the network's blocks, `stages.blocks`.
        places: at least one.
        assignment: for each block the index of its place.
        room_bytes, health, timing, depth: as `Crew` takes them.

    Raises:
        ModelError: the network cannot be cut so, or a section not be loaded.
    """

    def __init__(
        self,
        graph: Graph,
        shapes: Shapes,
        chain: Sequence[Block],
        places: Sequence[Place],
        assignment: Sequence[int],
        *,
        room_bytes: Sequence[float] = (),
        health: Health | None = None,
        timing: Timing | None = None,
        depth: int = 1,
    ) -> None:
        self._graph, self._shapes, self._chain = graph, shapes, chain
        self.places = tuple(places)
        self._room, self._health, self._timing, self._depth = room_bytes, health, timing, depth
        self._idle = threading.Condition()
        self._users: dict[int, int] = {}
        self._past: list[Fault] = []
        self._reassigning = threading.Lock()
        self.assignment = tuple(int(place) for place in assignment)
        self._crew = self._made(self.assignment)

    @property
    def crew(self) -> Crew:
        """The processes of the present placement."""
        return self._crew

    @property
    def program(self) -> Program:
        return self._crew.program

    @property
    def faults(self) -> list[Fault]:
        """Of this placement and those before it, oldest first."""
        return [*self._past, *self._crew.faults]

    def run(self, image: NDArray[Any] | Fill) -> list[NDArray[Any]]:
        """The network's outputs, see `Crew.run`."""
        with self._idle:
            crew = self._crew
            self._users[id(crew)] = self._users.get(id(crew), 0) + 1
        try:
            return crew.run(image)
        finally:
            with self._idle:
                self._users[id(crew)] -= 1
                self._idle.notify_all()

    def reassign(self, assignment: Sequence[int]) -> bool:
        """Puts another placement in this one's place: requests go on here until it is ready, those under way
        end here. False: it is the present one.

        Both lie in memory for a moment. Raises ModelError where it cannot be had; then all stays as it is.
        """
        wanted = tuple(int(place) for place in assignment)
        with self._reassigning:
            if wanted == self.assignment:
                return False
            crew = self._made(wanted)
            with self._idle:
                old, self._crew = self._crew, crew
                self.assignment = wanted
                self._idle.wait_for(lambda: not self._users.get(id(old), 0))
                self._users.pop(id(old), None)
            self._past += old.faults
            old.close()
        return True

    def _made(self, assignment: Sequence[int]) -> Crew:
        program = cut(self._graph, self._shapes, self._chain, assignment)
        return Crew(
            program,
            self.places,
            room_bytes=self._room,
            health=self._health,
            timing=self._timing,
            depth=self._depth,
        )

    def close(self) -> None:
        """Ends all processes."""
        self._crew.close()

    def __enter__(self) -> Staged:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
