"""Recordings as files: opening, what is in them, QoS profiles and message definitions as recordings have
them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rosbags.interfaces import (
    ConnectionExtRosbag2,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Reader, ReaderError
from rosbags.rosbag2.enums import StoragePlugin

from qeil_ros.nodes.message_text import interface_name

from ..errors import CliError
from ..ros import load_interface

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
_FOREVER = QosTime(9223372036, 854775807)


def open_bag(path: Path) -> Reader:
    """An opened recording: a folder with metadata.yaml, or one .mcap or .db3 file. CliError where it cannot
    be read."""
    try:
        reader = Reader(path)
        reader.open()
    except FileNotFoundError as error:
        raise CliError(f"no recording at {str(path)!r}: {error}") from error
    except (ReaderError, OSError, ValueError) as error:
        raise CliError(f"cannot read the recording {str(path)!r}: {error}") from error
    return reader


def offered_profiles(connection: Any) -> list[Qos]:
    extension = connection.ext
    return list(extension.offered_qos_profiles) if isinstance(extension, ConnectionExtRosbag2) else []


def playback_profile(profiles: Iterable[Qos]) -> Any:
    """The rclpy profile to publish with: what the recorded publishers offered. Where they differ, the weaker
    reliability and the deeper queue, so that nobody who could listen then is turned away now."""
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

    offered = list(profiles)
    if not offered:
        return QoSProfile(depth=10)
    best_effort = any(qos.reliability == QosReliability.BEST_EFFORT for qos in offered)
    latched = all(qos.durability == QosDurability.TRANSIENT_LOCAL for qos in offered)
    keep_all = any(qos.history == QosHistory.KEEP_ALL for qos in offered)
    return QoSProfile(
        history=HistoryPolicy.KEEP_ALL if keep_all else HistoryPolicy.KEEP_LAST,
        depth=max(qos.depth for qos in offered) or 10,
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def recorded_profile(profile: Any) -> Qos:
    """An rclpy profile as recordings store it."""
    return Qos(
        history=QosHistory(int(profile.history)),
        depth=profile.depth,
        reliability=QosReliability(int(profile.reliability)),
        durability=QosDurability(int(profile.durability)),
        deadline=_time(profile.deadline),
        lifespan=_time(profile.lifespan),
        liveliness=QosLiveliness(int(profile.liveliness)),
        liveliness_lease_duration=_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=False,
    )


def _time(duration: Any) -> QosTime:
    nanoseconds = duration.nanoseconds
    if nanoseconds <= 0 or nanoseconds >= 2**63 - 1:
        return _FOREVER
    return QosTime(*divmod(nanoseconds, 10**9))


def message_class(connection: Any) -> Any:
    """The class of a connection's messages, made from the recording's own definition where it is not known
    here. CliError where neither is there, or where the known type is another one of the same name."""
    name = connection.msgtype
    try:
        cls = load_interface(name)
    except CliError:
        text = connection.msgdef.data if connection.msgdef.format == MessageDefinitionFormat.MSG else ""
        cls = _from_definition(name, text)
    info = getattr(cls, "__type_info__", None)
    if info is not None and connection.digest.startswith("RIHS01_") and info.hash != connection.digest:
        raise CliError(f"{name} was recorded with another definition of that type")
    return cls


def _from_definition(name: str, text: str) -> Any:
    import rclpy

    if not rclpy.__name__.startswith("qeil_ros"):
        raise CliError(f"type {name} is not installed")
    if not text:
        raise CliError(f"type {name} is unknown, and the recording has no definition of it")
    from qeil_ros.rosless.types import get_message, register

    try:
        register(text, name)
        return get_message(name)
    except (ValueError, LookupError) as error:
        raise CliError(f"the recording's definition of {name} cannot be read: {error}") from error


def type_hash(cls: Any, text: str) -> str:
    """The RIHS01 hash of a class; computed from its definition where the class does not say it."""
    info = getattr(cls, "__type_info__", None)
    if info is not None:
        return str(info.hash)
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    name = interface_name(cls)
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(text, name))
    return store.hash_rihs01(name)
