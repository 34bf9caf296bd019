"""Where packages and their executables are: the ament prefixes of a ROS 2 workspace, and what the caller
adds."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Packages:
    """Finds packages: `own_*` first, then the prefixes in `AMENT_PREFIX_PATH`.

    `own_share` maps a package to a function that gives its share folder, `own_executables` a package to a
    function from an executable's name to the command that runs it (None: there is no such executable).
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    own_share: Mapping[str, Callable[[], Path]] = field(default_factory=dict)
    own_executables: Mapping[str, Callable[[str], list[str] | None]] = field(default_factory=dict)

    def prefix(self, package: str) -> Path:
        """The install prefix that holds the package. LookupError if there is none."""
        prefixes = [Path(p) for p in self.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
        for prefix in prefixes:
            if (prefix / "share" / package).is_dir() or (prefix / "lib" / package).is_dir():
                return prefix
        searched = ", ".join(map(str, prefixes)) or "AMENT_PREFIX_PATH is empty"
        raise LookupError(f"package {package!r} is not installed here (searched: {searched})")

    def share(self, package: str) -> Path:
        """The share folder of a package. LookupError if it is not installed."""
        if package in self.own_share:
            try:
                return self.own_share[package]()
            except FileNotFoundError as error:
                raise LookupError(str(error)) from error
        return self.prefix(package) / "share" / package

    def executable(self, package: str, name: str) -> list[str]:
        """The command that runs an executable of a package. LookupError if it is not installed."""
        if package in self.own_executables:
            command = self.own_executables[package](name)
            if command is not None:
                return command
            raise LookupError(f"package {package!r} has no executable {name!r}")
        folder = self.prefix(package) / "lib" / package
        found = shutil.which(name, path=str(folder))
        if found is None:
            raise LookupError(f"package {package!r} has no executable {name!r} in {folder}")
        return [found]
