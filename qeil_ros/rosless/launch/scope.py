"""What one part of a launch file has set, and the parts below it see: a group gets a copy and throws it
away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .substitutions import SubstitutionError


@dataclass
class Scope:
    """`parameters` holds (name, value) pairs and, as plain strings, paths of parameter files, in order."""

    variables: dict[str, str]
    environ: dict[str, str]
    namespace: str | None = None
    parameters: list[tuple[str, Any] | str] = field(default_factory=list)
    remaps: list[tuple[str, str]] = field(default_factory=list)

    def copy(self) -> Scope:
        return replace(
            self,
            variables=dict(self.variables),
            environ=dict(self.environ),
            parameters=list(self.parameters),
            remaps=list(self.remaps),
        )

    @staticmethod
    def fresh(environ: Mapping[str, str]) -> Scope:
        return Scope({}, dict(environ))


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def join_namespace(base: str | None, namespace: str | None) -> str | None:
    """The absolute namespace, or None where neither is given. SubstitutionError where it is not a valid
    one."""
    if base is None and namespace is None:
        return None
    if namespace is None:
        joined = base or ""
    elif not base or namespace.startswith("/"):
        joined = namespace
    else:
        joined = f"{base.rstrip('/')}/{namespace}"
    absolute = "/" + joined.strip("/")
    if absolute != "/" and not all(_NAME.fullmatch(part) for part in absolute[1:].split("/")):
        raise SubstitutionError(
            f"{absolute!r} is not a valid namespace (letters, digits, '_' between slashes)"
        )
    return absolute


def check_node_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise SubstitutionError(f"{name!r} is not a valid node name (letters, digits, '_'; no leading digit)")
    return name
