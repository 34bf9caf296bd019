"""What can be fuzzed: it has valid inputs to start from, and says how it may refuse others."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Target(ABC):
    """Something that reads a stranger's bytes. `memory_bytes`: how much memory may grow over all inputs."""

    refusals: tuple[type[Exception], ...] = (ValueError,)
    memory_bytes = 64 << 20

    @abstractmethod
    def corpus(self) -> list[bytes]:
        """Valid inputs."""

    @abstractmethod
    def seal(self, data: bytearray) -> None:
        """Mends the checksum, so that what lies behind it is tried."""

    @abstractmethod
    def run(self, data: bytes) -> None:
        """Tries one input. Raises one of `refusals`, or AssertionError where an answer is wrong."""
