"""What `qeil launch` and `qeil run` can start: this package's nodes, the router, and installed ROS
packages."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from qeil_ros.resources import share_dir
from qeil_ros.rosless.launch import Packages

_ROOT = Path(__file__).resolve().parent.parent


def own_executables() -> list[str]:
    """Names of this package's nodes: the modules in `nodes` that have a `main`."""
    modules = sorted((_ROOT / "nodes").glob("[a-z]*.py"))
    return [path.stem for path in modules if re.search(r"^def main\(", path.read_text(), re.MULTILINE)]


def _own(name: str) -> list[str] | None:
    return [sys.executable, "-m", f"qeil_ros.nodes.{name}"] if name in own_executables() else None


def _router(name: str) -> list[str] | None:
    """rmw_zenoh's router has a name that ROS launch files use; ours stands in for it."""
    return [sys.executable, "-m", "qeil_ros.cli", "router"] if name == "rmw_zenohd" else None


def packages(environ: dict[str, str]) -> Packages:
    return Packages(
        environ,
        own_share={"qeil_ros": share_dir},
        own_executables={"qeil_ros": _own, "rmw_zenoh_cpp": _router},
    )


def child_environ() -> dict[str, str]:
    """This process's environment, in which a started Python finds this very copy of the package."""
    environ = dict(os.environ)
    if (_ROOT.parent / "package.xml").is_file():  # a checkout: not installed, so only the path leads to it
        rest = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
        environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT.parent), *rest])
    return environ
