"""The hash that tells versions of an interface type apart."""

from __future__ import annotations


class TypeHash:
    """Version and 32 bytes; as text `RIHS01_<hex>`, or `INVALID`."""

    _TYPE_HASH_SIZE = 32
    __slots__ = ("_value", "_version")

    def __init__(self, version: int = -1, value: bytes = bytes(_TYPE_HASH_SIZE)) -> None:
        self._version = version
        self._value = value

    @classmethod
    def _from_text(cls, text: str) -> TypeHash:
        """What a peer says its hash is; one that is none (Humble has none) becomes the invalid hash."""
        prefix, _, digits = text.partition("_")
        try:
            if not prefix.startswith("RIHS") or len(digits) != 2 * cls._TYPE_HASH_SIZE:
                return cls()
            return cls(int(prefix.removeprefix("RIHS")), bytes.fromhex(digits))
        except ValueError:
            return cls()

    @property
    def version(self) -> int:
        return self._version

    @property
    def value(self) -> bytes:
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TypeHash):
            return False
        return (self._version, self._value) == (other._version, other._value)

    def __hash__(self) -> int:
        return hash((self._version, self._value))

    def __str__(self) -> str:
        if self._version <= 0 or len(self._value) != self._TYPE_HASH_SIZE:
            return "INVALID"
        return f"RIHS{self._version:02}_{self._value.hex()}"
