"""Imports of `rclpy` and of interface packages, where no ROS 2 is installed.

`import rclpy` gives `qeil_ros.rosless.client`, and `rclpy.x` its module `x` (the same module objects);
`from sensor_msgs.msg import Image` gives a class made from the message store. The finder stands behind Python's own
ones, so whatever is really installed wins; where a real rclpy can be imported nothing is put in place at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from .types import default_store, get_message, get_service

CLIENT = "qeil_ros.rosless.client"
_OURS = "qeil_ros"


class _AliasLoader(Loader):
    """Loads a module that exists under another name, and leaves its identity alone."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._target)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has just replaced it


class _InterfaceModule(ModuleType):
    """`<pkg>.msg` or `<pkg>.srv`: classes are made when they are asked for."""

    def __getattr__(self, name: str) -> type:
        if not name.startswith("_"):
            package, _, folder = self.__name__.rpartition(".")
            full = f"{package}/{folder}/{name}"
            try:
                cls = get_service(full) if folder == "srv" else get_message(full)
            except LookupError as error:
                raise AttributeError(str(error)) from None
            setattr(self, name, cls)
            return cls
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        package, _, folder = self.__name__.rpartition(".")
        names = default_store().names(package, folder)
        return sorted({*super().__dir__(), *(name for name in names if "_Event" not in name)})


class _InterfaceLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if "." not in spec.name:
            return ModuleType(spec.name, f"Interfaces of {spec.name}.")
        module = _InterfaceModule(spec.name, f"Interfaces of {spec.name}.")
        package, _, folder = spec.name.rpartition(".")
        module.__dict__["__all__"] = default_store().names(package, folder)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == f"{_OURS}.msg":
            _register_ours()
            module.__dict__["__all__"] = default_store().names(_OURS, "msg")


class _SubmoduleFinder(MetaPathFinder):
    """`rclpy.x`. It has to stand in front: Python's own would find the file and load it a second time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("rclpy."):
            return None
        real = CLIENT + fullname[len("rclpy") :]
        found = importlib.util.find_spec(real)
        if found is None:
            return None
        package = found.submodule_search_locations is not None
        return ModuleSpec(fullname, _AliasLoader(real), is_package=package)


class _Finder(MetaPathFinder):
    """Everything else, behind Python's own finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "rclpy":
            if not any(isinstance(finder, _SubmoduleFinder) for finder in sys.meta_path):
                sys.meta_path.insert(0, _SubmoduleFinder())
            return ModuleSpec(fullname, _AliasLoader(CLIENT), is_package=True)
        package, _, folder = fullname.partition(".")
        if fullname == f"{_OURS}.msg":
            return ModuleSpec(fullname, _InterfaceLoader())
        if package == _OURS or package not in default_store().packages():
            return None
        if not folder:
            return ModuleSpec(fullname, _InterfaceLoader(), is_package=True)
        if folder in ("msg", "srv") and default_store().names(package, folder):
            return ModuleSpec(fullname, _InterfaceLoader())
        return None


def install() -> bool:
    """Puts the finder in place, once. Returns whether it serves: false where a real rclpy is installed."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return True
    if importlib.util.find_spec("rclpy") is not None:
        return False
    sys.meta_path.append(_Finder())
    return True


def installed() -> bool:
    """Whether `rclpy` comes from here in this process."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


#: Gives the folder that holds `msg/`; a variable so that a program with its own layout can replace it.
share_dir: Callable[[], Path]


def _register_ours() -> None:
    default_store().register_folder(_OURS, share_dir() / "msg")


def share_dir() -> Path:
    from qeil_ros.resources import share_dir as find

    return find()
