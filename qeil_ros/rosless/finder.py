"""Imports of `rclpy` and of interface packages, where no ROS 2 is installed.

`import rclpy` gives `qeil_ros.rosless.client`, and `rclpy.x` its module `x` (the same module objects);
`from sensor_msgs.msg import Image` gives a class made from the message store. Interface packages are looked
for behind Python's own finders, so whatever is really installed wins; where a real rclpy can be imported
nothing is put in place at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .types import TypeStore

CLIENT = "qeil_ros.rosless.client"
_OURS = "qeil_ros"
# By convention interface packages are named so. Other names are looked up only once the store has been
# loaded, which takes 0.3 s: programs probe for modules of all kinds.
_INTERFACES = re.compile(r"[a-z0-9_]+_(msgs|srvs|interfaces)")


def _store() -> TypeStore:
    from .types import default_store  # late: importing this module must stay cheap

    return default_store()


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
        if name.startswith("_"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        package, _, folder = self.__name__.rpartition(".")
        full = f"{package}/{folder}/{name}"
        try:
            cls: type = _store().get_service(full) if folder == "srv" else _store().get_message(full)
        except LookupError as error:
            raise AttributeError(str(error)) from None
        setattr(self, name, cls)
        return cls

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.__dict__["__all__"]})


class _InterfaceLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        kind = _InterfaceModule if "." in spec.name else ModuleType
        return kind(spec.name, f"Interfaces of {spec.name.partition('.')[0]}.")

    def exec_module(self, module: ModuleType) -> None:
        package, _, folder = module.__name__.rpartition(".")
        if package:
            module.__dict__["__all__"] = _store().names(package, folder)


class _ClientFinder(MetaPathFinder):
    """`rclpy` and `rclpy.x`. It has to stand in front: for `rclpy` Python's own finders would take any plain
    folder of that name, and for `rclpy.x` they would find the file and load it a second time.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "rclpy" and not fullname.startswith("rclpy."):
            return None
        real = CLIENT + fullname[len("rclpy") :]
        found = importlib.util.find_spec(real)
        if found is None:
            return None
        return ModuleSpec(
            fullname, _AliasLoader(real), is_package=found.submodule_search_locations is not None
        )


class _InterfaceFinder(MetaPathFinder):
    """Interface packages, behind Python's own finders."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, folder = fullname.partition(".")
        if folder not in ("", "msg", "srv") or not _may_hold_interfaces(package):
            return None
        if folder:
            return ModuleSpec(fullname, _InterfaceLoader()) if _store().names(package, folder) else None
        if package in _store().packages():
            return ModuleSpec(fullname, _InterfaceLoader(), is_package=True)
        return None


def _may_hold_interfaces(package: str) -> bool:
    return (
        package == _OURS
        or _INTERFACES.fullmatch(package) is not None
        or f"{_OURS}.rosless.types.store" in sys.modules
    )


def install() -> bool:
    """Puts the finder in place, once. Returns whether it serves: false where a real rclpy is installed."""
    if installed():
        return True
    real = importlib.util.find_spec("rclpy")
    if real is not None and real.origin is not None:  # a folder without __init__.py is no package of anyone's
        return False
    sys.meta_path.insert(0, _ClientFinder())
    sys.meta_path.append(_InterfaceFinder())
    return True


def installed() -> bool:
    """Whether `rclpy` comes from here in this process."""
    return any(isinstance(finder, _InterfaceFinder) for finder in sys.meta_path)
