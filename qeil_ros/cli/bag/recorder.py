"""Writes the messages of topics into a recording, as bytes, with their times of arrival."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosbags.rosbag2 import Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from qeil_ros.nodes.message_text import definition_text

from .. import qos
from ..errors import CliError
from ..ros import hidden, load_interface
from .storage import STORAGES, recorded_profile, type_hash


@dataclass(frozen=True)
class Selection:
    """Which topics: named ones, those that match `regex`, or all; never those that match `exclude`."""

    topics: tuple[str, ...] = ()
    everything: bool = False
    regex: str | None = None
    exclude: str | None = None
    include_hidden: bool = False

    def wants(self, topic: str) -> bool:
        if self.exclude is not None and re.search(self.exclude, topic):
            return False
        if topic in self.topics:
            return True
        chosen = self.everything or (self.regex is not None and re.search(self.regex, topic) is not None)
        return chosen and (self.include_hidden or not hidden(topic))


class Recorder:
    """Records what `selection` wants, subscribing to topics as they appear. `close` finishes the recording.

    `path` must not exist yet.
    """

    def __init__(
        self, node: Any, path: Path, selection: Selection, storage: str = "mcap", compress: bool = False
    ) -> None:
        self.node = node
        self.selection = selection
        self.counts: Counter[str] = Counter()
        self.unknown: dict[str, str] = {}
        self._subscriptions: dict[str, Any] = {}
        self._writer = Writer(path, version=9, storage_plugin=STORAGES[storage])
        if compress:
            mode = CompressionMode.STORAGE if storage == "mcap" else CompressionMode.MESSAGE
            self._writer.set_compression(mode, CompressionFormat.ZSTD)
        self._writer.open()

    @property
    def topics(self) -> list[str]:
        """Topics that are being recorded."""
        return sorted(self._subscriptions)

    def discover(self) -> list[str]:
        """Subscribes to wanted topics that are new in the graph; gives their names."""
        new = []
        for topic, types in self.node.get_topic_names_and_types():
            if topic in self._subscriptions or topic in self.unknown or not self.selection.wants(topic):
                continue
            publishers = list(self.node.get_publishers_info_by_topic(topic))
            if not publishers:
                continue  # the profile to listen with, and the one to write down, are the publishers'
            try:
                self._subscribe(topic, types[0], publishers)
            except CliError as error:
                self.unknown[topic] = str(error)
                continue
            new.append(topic)
        return new

    def _subscribe(self, topic: str, typename: str, publishers: list[Any]) -> None:
        cls = load_interface(typename)
        text = definition_text(cls)
        connection = self._writer.add_connection(
            topic,
            typename,
            msgdef=text,
            rihs01=type_hash(cls, text),
            offered_qos_profiles=[recorded_profile(entry.qos_profile) for entry in publishers],
        )

        def write(stamp_ns: int, data: bytes) -> None:
            self._writer.write(connection, stamp_ns, data)
            self.counts[topic] += 1

        def take(data: bytes, about: Any) -> None:
            # When it came in, not when its turn came: while one message is written, others wait.
            write(about["received_timestamp"] or time.time_ns(), data)

        def take_alone(data: bytes) -> None:
            write(time.time_ns(), data)

        from rclpy.subscription import Subscription

        callback = (
            take if hasattr(Subscription, "CallbackType") else take_alone
        )  # Humble has no such information
        # Deeper than the publishers' queues: while one message is being written, others must not be lost.
        profile = qos.choose(publishers, depth=max(1000, *(entry.qos_profile.depth for entry in publishers)))
        self._subscriptions[topic] = self.node.create_subscription(cls, topic, callback, profile, raw=True)

    def close(self) -> None:
        """Stops listening, and writes index and metadata."""
        for subscription in self._subscriptions.values():
            self.node.destroy_subscription(subscription)
        self._writer.close()
