"""What a recording holds, as `ros2 bag info` says it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from .storage import offered_profiles, open_bag


def summary(path: Path) -> dict[str, Any]:
    """Names, counts and times of a recording. Times in seconds since the epoch, sizes in bytes."""
    reader = open_bag(path)
    try:
        files = [path / name for name in sorted(_files(path))] if path.is_dir() else [path]
        stored = reader.connections
        count = reader.message_count
        return {
            "files": [file.name for file in files],
            "size_bytes": sum(file.stat().st_size for file in files),
            "storage": {".mcap": "mcap", ".db3": "sqlite3"}.get(files[0].suffix, files[0].suffix.lstrip(".")),
            "ros_distro": reader.ros_distro,
            "duration_ns": max(0, reader.end_time - reader.start_time - 1) if count else 0,
            "start_ns": reader.start_time if count else 0,
            "messages": count,
            "topics": [
                {
                    "topic": connection.topic,
                    "type": connection.msgtype,
                    "type_hash": connection.digest or None,
                    "messages": connection.msgcount,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": [_profile(profile) for profile in offered_profiles(connection)],
                }
                for connection in sorted(stored, key=lambda connection: connection.topic)
            ],
        }
    finally:
        reader.close()


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.suffix in (".mcap", ".db3", ".zstd")]


def _profile(profile: Any) -> dict[str, Any]:
    return {
        "reliability": profile.reliability.name.lower(),
        "durability": profile.durability.name.lower(),
        "history": profile.history.name.lower(),
        "depth": profile.depth,
    }


def as_text(facts: dict[str, Any]) -> str:
    end_ns = facts["start_ns"] + facts["duration_ns"]
    lines = [
        ("Files:", " ".join(facts["files"])),
        ("Bag size:", _size(facts["size_bytes"])),
        ("Storage id:", facts["storage"]),
        ("ROS Distro:", facts["ros_distro"] or "unknown"),
        ("Duration:", f"{facts['duration_ns'] * 1e-9:.9f}s"),
        ("Start:", _moment(facts["start_ns"])),
        ("End:", _moment(end_ns)),
        ("Messages:", str(facts["messages"])),
    ]
    text = "\n".join(f"{title:<19}{value}" for title, value in lines)
    entries = [
        f"Topic: {entry['topic']} | Type: {entry['type']} | Count: {entry['messages']} | "
        f"Serialization Format: {entry['serialization_format']}"
        for entry in facts["topics"]
    ]
    return text + "\n" + f"{'Topic information:':<19}" + ("\n" + " " * 19).join(entries)


def _moment(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    written = datetime.fromtimestamp(seconds).strftime("%b %d %Y %H:%M:%S")
    return f"{written}.{rest:09d} ({seconds}.{rest:09d})"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}" if unit != "B" else f"{count} B"
        size /= 1024
    return f"{size:.1f} GiB"
