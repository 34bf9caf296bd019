"""Where types are looked up: a ROS distribution's standard packages, our own, and whatever was registered."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_typestore

from .classes import Message, make_class
from .definition import (
    Constant,
    Definition,
    Field,
    FieldType,
    event_of,
    parse_sections,
    parse_service,
)
from .hashes import PLACEHOLDER, rihs01, service_rihs01
from .services import SERVICES

_STORES = "rosbags.typesys.stores.ros2_"
#: What Humble, which knows no type hashes, writes in the place of one.
NO_HASH = "TypeHashNotSupported"
DEFAULT_DISTRO = "jazzy"
#: Those that rmw_zenoh exists for, oldest first.
_DISTROS = ("humble", "iron", "jazzy", "kilted", "lyrical")
#: Defaults of fields in the standard packages, which the message store has lost.
_DEFAULTS = {("geometry_msgs/msg/Quaternion", "w"): 1.0}


@dataclass(frozen=True)
class TypeInfo:
    """A type's name, its name on the wire and its hash."""

    name: str
    """As "sensor_msgs/msg/Image"."""
    dds_name: str
    """As "sensor_msgs::msg::dds_::Image_"."""
    hash: str
    """As "RIHS01_" and 64 hex digits."""


class Service:
    """Base of service classes: `Request`, `Response` and `Event` are message classes."""

    Request: ClassVar[type[Message]]
    Response: ClassVar[type[Message]]
    Event: ClassVar[type[Message]]
    __type_info__: ClassVar[TypeInfo]


class TypeStore:
    """The types of one ROS distribution, and classes for them, made on first use. Thread-safe.

    Args:
        distro: "humble" to "lyrical", or "rolling" (the newest known). Definitions differ between them.
    """

    def __init__(self, distro: str = DEFAULT_DISTRO) -> None:
        self.distro = distro
        self._definitions = _standard(distro)
        if "service_msgs/msg/ServiceEventInfo" not in self._definitions:  # older than Iron
            self._definitions |= {item.name: item for item in parse_sections(*_SERVICE_EVENT_INFO)}
        self._services: dict[str, str] = dict(SERVICES)
        self._sources: dict[str, Callable[[], Path]] = {}
        self._classes: dict[str, type[Message]] = {}
        self._service_classes: dict[str, type[Service]] = {}
        self._lock = threading.RLock()

    def definition(self, name: str) -> Definition:
        """The definition of a message, or of a service's request, response or event.

        Raises:
            LookupError: unknown type.
        """
        with self._lock:
            self._load_source(name.split("/")[0])
            if name not in self._definitions and "/srv/" in name:
                service = name.rpartition("_")[0]
                if service in self._services:
                    request, response = parse_service(self._services[service], service)
                    for item in (request, response, event_of(service)):
                        self._definitions[item.name] = item
            if name not in self._definitions:
                raise LookupError(f"unknown type {name!r} in ROS 2 {self.distro}; {self._hint(name)}")
            return self._definitions[name]

    def get_message(self, name: str) -> type[Message]:
        """The class of "pkg/msg/Name". Raises LookupError where there is none."""
        with self._lock:
            if name not in self._classes:
                self._classes[name] = make_class(self.definition(name), self.get_message)
            return self._classes[name]

    def get_service(self, name: str) -> type[Service]:
        """The class of "pkg/srv/Name". Raises LookupError where there is none."""
        with self._lock:
            if name not in self._service_classes:
                self._load_source(name.split("/")[0])
                if name not in self._services:
                    raise LookupError(f"unknown service {name!r} in ROS 2 {self.distro}; {self._hint(name)}")
                package, folder, short = name.split("/")
                parts: dict[str, Any] = {
                    part: self.get_message(f"{name}_{part}") for part in ("Request", "Response", "Event")
                }
                info = self._info(name, NO_HASH if self._hashless else service_rihs01(name, self.definition))
                parts |= {"__module__": f"{package}.{folder}", "__type_info__": info, "__slots__": ()}
                self._service_classes[name] = type(short, (Service,), parts)
            return self._service_classes[name]

    def message_info(self, name: str) -> TypeInfo:
        with self._lock:
            definition = self.definition(name)
            return self._info(name, NO_HASH if self._hashless else rihs01(definition, self.definition))

    def register(self, text: str, name: str) -> None:
        """Adds "pkg/msg/Name" from `.msg` text (with the sections that recordings append) or "pkg/srv/Name".

        Raises:
            DefinitionError: the text cannot be read.
            ValueError: the type is known with other fields.
        """
        with self._lock:
            is_service = "/srv/" in name
            definitions = [*parse_service(text, name)] if is_service else parse_sections(text, name)
            for item in definitions:
                known = self._definitions.get(item.name)
                if known is not None and _shape(known) != _shape(item):
                    raise ValueError(f"{item.name} is known with other fields in ROS 2 {self.distro}")
            if is_service:
                self._services[name] = text
            for item in definitions:
                self._definitions.setdefault(item.name, item)

    def register_folder(self, package: str, folder: Path) -> None:
        """Adds every `.msg` (or `.srv`) file of an interface package's `msg/` (or `srv/`) folder."""
        for path in sorted([*folder.glob("*.msg"), *folder.glob("*.srv")]):
            self.register(path.read_text(encoding="utf-8"), f"{package}/{path.suffix[1:]}/{path.stem}")

    def add_source(self, package: str, share: Callable[[], Path]) -> None:
        """Has an interface package's `msg/` and `srv/` read from `share()` when they are first needed."""
        with self._lock:
            self._sources[package] = share

    def _load_source(self, package: str) -> None:
        share = self._sources.pop(package, None)
        if share is not None:
            folder = share()
            self.register_folder(package, folder / "msg")
            self.register_folder(package, folder / "srv")

    def names(self, package: str, folder: str) -> list[str]:
        """Short names in "pkg/msg" or "pkg/srv", sorted."""
        prefix = f"{package}/{folder}/"
        with self._lock:
            self._load_source(package)
            names: Iterable[str] = self._services if folder == "srv" else self._definitions
            return sorted(name[len(prefix) :] for name in names if name.startswith(prefix))

    def packages(self) -> set[str]:
        with self._lock:
            known = {name.split("/")[0] for name in (*self._definitions, *self._services)}
            return known | self._sources.keys()

    @property
    def _hashless(self) -> bool:
        return self.distro == "humble"

    def _info(self, name: str, type_hash: str) -> TypeInfo:
        package, folder, short = name.split("/")
        return TypeInfo(name, f"{package}::{folder}::dds_::{short}_", type_hash)

    def _hint(self, name: str) -> str:
        parts = name.split("/")
        if len(parts) != 3:
            return "write it as package/msg/Name or package/srv/Name"
        known = self.names(parts[0], parts[1])
        if not known:
            return f"the package {parts[0]!r} has no {parts[1]} here; register its definitions first"
        return f"{parts[0]}/{parts[1]} has {', '.join(known)}"


_SERVICE_EVENT_INFO = (
    "uint8 REQUEST_SENT=0\nuint8 REQUEST_RECEIVED=1\nuint8 RESPONSE_SENT=2\nuint8 RESPONSE_RECEIVED=3\n"
    "uint8 event_type\nbuiltin_interfaces/Time stamp\nchar[16] client_gid\nint64 sequence_number\n",
    "service_msgs/msg/ServiceEventInfo",
)


def _standard(distro: str) -> dict[str, Definition]:
    stores = {store.value.removeprefix("ros2_"): store for store in Stores if "ros2_" in store.value}
    available = {name: stores[name] for name in _DISTROS if name in stores}
    chosen = list(available.values())[-1] if distro == "rolling" else available.get(distro)
    if chosen is None:
        raise ValueError(
            f"ROS_DISTRO={distro!r} is not known; the installed rosbags has {', '.join(available)}, rolling"
        )
    definitions = {}
    for name, (constants, fields) in get_typestore(chosen).fielddefs.items():
        definitions[name] = Definition(
            name,
            tuple(
                Field(field, _field_type(kind), _DEFAULTS.get((name, field)))
                for field, kind in fields
                if field != PLACEHOLDER.name
            ),
            tuple(Constant(item, base, _constant(base, value)) for item, base, value in constants),
        )
    _forget_stores()
    return definitions


def _forget_stores() -> None:
    """Lets go of the dataclass that rosbags has made of each message of each distribution.

    Here only the fields are of use; the classes take several megabytes, which every node would keep. Whoever
    asks rosbags for them gets new ones.
    """
    for name in [name for name in sys.modules if name.startswith(_STORES)]:
        parent, _, child = name.rpartition(".")
        del sys.modules[name]
        vars(sys.modules[parent]).pop(child, None)
    gc.collect()


def _field_type(node: Any) -> FieldType:
    kind, content = node
    if kind == Nodetype.NAME:
        return FieldType(content)
    if kind == Nodetype.BASE:
        return FieldType(content[0], string_bound=content[1])
    inner = _field_type(content[0])
    return FieldType(
        inner.base, "array" if kind == Nodetype.ARRAY else "sequence", content[1], inner.string_bound
    )


def _constant(base: str, value: Any) -> Any:
    if base == "byte":
        return bytes([value])
    return float(value) if base.startswith("float") else value


def _shape(definition: Definition) -> tuple[Any, ...]:
    return tuple((field.name, field.type) for field in definition.fields)


@cache
def default_store() -> TypeStore:
    """The store of this process: the types of `ROS_DISTRO` (Jazzy where unset), and our own."""
    store = TypeStore(os.environ.get("ROS_DISTRO") or DEFAULT_DISTRO)
    store.add_source(__name__.partition(".")[0], _own_share)
    return store


def _own_share() -> Path:
    from qeil_ros.resources import share_dir

    return share_dir()


def get_message(name: str) -> type[Message]:
    """The class of "pkg/msg/Name". Raises LookupError where there is none."""
    return default_store().get_message(name)


def get_service(name: str) -> type[Service]:
    """The class of "pkg/srv/Name". Raises LookupError where there is none."""
    return default_store().get_service(name)


def register(text: str, name: str) -> None:
    """See `TypeStore.register`."""
    default_store().register(text, name)


@cache
def type_info(cls: type) -> TypeInfo:
    """Name, wire name and hash of a message or service class."""
    if issubclass(cls, Service):
        return cls.__type_info__
    if issubclass(cls, Message):
        return default_store().message_info(cls.__definition__.name)
    raise TypeError(f"{cls!r} is no message or service class")
