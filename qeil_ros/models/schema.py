"""Checked values out of a parsed YAML mapping, with errors that name the file, the key and the value."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ModelError(ValueError):
    """A model folder that cannot be used; the message names the file, the key and the value."""


class Section:
    """One mapping of a YAML file. Every key must be asked for: `done()` refuses the keys that nobody knows.

    A value is required unless a default is given. All methods raise ModelError.
    """

    def __init__(self, values: object, where: str, key: str = "") -> None:
        self.where, self.key = where, key
        if not isinstance(values, Mapping):
            raise ModelError(f"{where}: {key or 'top level'}: want a mapping, got {shown(values)}")
        self._values: dict[Any, Any] = dict(values)
        self._asked: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> list[Any]:
        return list(self._values)

    def error(self, key: str, problem: str) -> ModelError:
        return ModelError(f"{self.where}: {self._path(key)}: {problem}")

    def value(self, key: str, default: Any = ...) -> Any:
        self._asked.add(key)
        if key in self._values:
            return self._values[key]
        if default is ...:
            raise self.error(
                key, f"is missing; {self.key or 'the file'} has {shown(sorted(map(str, self._values)))}"
            )
        return default

    def section(self, key: str) -> Section:
        return Section(self.value(key), self.where, self._path(key))

    def text(self, key: str, default: Any = ..., choices: Iterable[str] | None = None) -> str:
        found = self.value(key, default)
        if not isinstance(found, str) or len(found) > 4096:
            raise self.error(key, f"want a string, got {shown(found)}")
        if choices is not None and found not in (allowed := list(choices)):
            raise self.error(key, f"want one of {', '.join(allowed)}, got {shown(found)}")
        return found

    def integer(self, key: str, default: Any = ..., low: int = 0, high: int = 2**31 - 1) -> int:
        found = self.value(key, default)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            raise self.error(key, f"want an integer from {low} to {high}, got {shown(found)}")
        return found

    def number(self, key: str, default: Any = ...) -> float:
        found = self.value(key, default)
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
            raise self.error(key, f"want a finite number, got {shown(found)}")
        return float(found)

    def scalar(self, key: str) -> bool | int | float | str:
        found = self.value(key)
        if isinstance(found, str) or (isinstance(found, (bool, int, float)) and math.isfinite(found)):
            return found
        raise self.error(key, f"want a string, a finite number, true or false, got {shown(found)}")

    def shape(self, key: str) -> tuple[int, ...]:
        found = self.value(key)
        good = isinstance(found, list) and 0 < len(found) <= 8
        if not good or any(
            isinstance(n, bool) or not isinstance(n, int) or not 0 < n <= 2**24 for n in found
        ):
            raise self.error(
                key, f"want a list of 1 to 8 positive integers (no batch dimension), got {shown(found)}"
            )
        return tuple(found)

    def sha256(self, key: str, default: Any = ...) -> str:
        found = self.text(key, default)
        if not _SHA256.fullmatch(found) and found != default:
            raise self.error(key, f"want 64 lower-case hexadecimal digits, got {shown(found)}")
        return found

    def file_name(self, key: str, *, folder: bool = False) -> str:
        """A path below the model folder. Folders are downloaded: none may point outside itself.

        With `folder` the name may be a folder's, which ends in `/`.
        """
        found = self.text(key)
        pieces = (found[:-1] if folder and found.endswith("/") else found).split("/")
        if not found or "\\" in found or "\0" in found or any(piece in ("", ".", "..") for piece in pieces):
            raise self.error(key, f"want a file below the model folder, got {shown(found)}")
        return found

    def done(self) -> None:
        unknown = [key for key in self._values if key not in self._asked]
        if unknown:
            raise self.error(
                str(unknown[0]), f"is not a known key here; known are {', '.join(sorted(self._asked))}"
            )

    def _path(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key


def shown(value: object) -> str:
    """The value for an error message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
