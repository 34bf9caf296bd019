"""Writes config/robot.yaml and config/offboard.yaml from the nodes' parameter dataclasses.

python tools/write_config.py            # after a parameter was added, removed or described anew
python tools/write_config.py --check    # exit code 1 where the files are not up to date
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import sys
import textwrap
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import qeil_ros.nodes  # noqa: F401  serves rclpy where no ROS 2 is installed
from qeil_ros.nodes.parameters import NodeParameters

CONFIG = Path(__file__).resolve().parent.parent / "config"
FILES = {
    "robot.yaml": (
        "Parameters of the robot's side, all of them with their defaults.",
        ("encoder", "fallback", "supervisor"),
    ),
    "offboard.yaml": (
        "Parameters of the computer off the robot, all of them with their defaults.",
        ("co_inference",),
    ),
}
# Given by the launch files.
LAUNCHED = {"autostart", "flight_log", "image_transport", "model", "plan", "robots"}


def parameters_of(node: str) -> type[NodeParameters]:
    module = importlib.import_module(f"qeil_ros.nodes.{node}")
    (found,) = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, NodeParameters) and value is not NodeParameters
    }
    return found


def section(node: str) -> str:
    lines = [f"/**/{node}:", "  ros__parameters:"]
    for field in dataclasses.fields(parameters_of(node)):
        if field.name not in LAUNCHED:
            lines += [f"    # {line}" for line in textwrap.wrap(comment(field), 100)]
            lines += [f"    {field.name}: {json.dumps(default_of(field))}", ""]
    return "\n".join(lines)


def default_of(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def comment(field: dataclasses.Field[Any]) -> str:
    metadata = field.metadata
    text = metadata["description"][0].upper() + metadata["description"][1:] + "."
    if metadata["choices"]:
        text += " One of " + ", ".join(metadata["choices"]) + "."
    elif metadata["low"] is not None and not isinstance(default_of(field), bool):
        text += f" {metadata['low']:g} to {metadata['high']:g}."
    return text


def content(name: str) -> str:
    headline, nodes = FILES[name]
    notes = f"# {headline} Launch arguments set {', '.join(sorted(LAUNCHED))}.\n"
    return notes + "\n" + "\n".join(section(node) for node in nodes).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 for a stale file")
    check = parser.parse_args().check
    stale = [name for name in FILES if (CONFIG / name).read_text() != content(name)]
    for name in stale:
        if check:
            print(f"config/{name} is not what the nodes declare: run python tools/write_config.py")
        else:
            (CONFIG / name).write_text(content(name))
            print(f"config/{name} written")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
