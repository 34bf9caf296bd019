"""A board whose heat and battery a test decides: its files below /sys, and the topic of its battery."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path

from rclpy.node import Node
from sensor_msgs.msg import BatteryState

__all__ = ["CRITICAL_C", "Board"]

WARNING_C, THROTTLE_C, CRITICAL_C = 70.0, 85.0, 95.0
_PERIOD_S = 0.1
_ZONE = "class/thermal/thermal_zone0"


class Board:
    """Keeps its readings alive, with a little noise as sensors have it, until `close`.

    Attributes:
        temperature_c: of its one thermal zone [degrees Celsius]. charge: of its battery, 0 to 1.
    """

    def __init__(self, folder: Path) -> None:
        self.sys, self.proc = folder / "sys", folder / "proc"
        self.proc.mkdir(parents=True)
        self.temperature_c, self.charge = 45.0, 0.9
        self._noise = random.Random(5)
        self._over = threading.Event()
        self._write("type", "cpu-thermal")
        trips = (("active", WARNING_C), ("passive", THROTTLE_C), ("critical", CRITICAL_C))
        for number, (kind, value_c) in enumerate(trips):
            self._write(f"trip_point_{number}_type", kind)
            self._write(f"trip_point_{number}_temp", str(round(value_c * 1000)))
        self._heat()

    def live(self, node: Node, robot: str) -> None:
        """From now on the battery reports on the robot's topic."""
        self._node = node
        self._publisher = node.create_publisher(BatteryState, f"/{robot}/battery_state", 5)
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)
        self._node.destroy_publisher(self._publisher)

    def _run(self) -> None:
        while not self._over.wait(_PERIOD_S):
            self._heat()
            noise = self._noise.uniform(-0.001, 0.001)
            self._publisher.publish(
                BatteryState(percentage=self.charge + noise, voltage=15.0 + 10 * noise, current=-2.0 + noise)
            )

    def _heat(self) -> None:
        self._write("temp", str(round((self.temperature_c + self._noise.uniform(-0.3, 0.3)) * 1000)))

    def _write(self, name: str, text: str) -> None:
        path = self.sys / _ZONE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{name}")
        beside.write_text(text)
        os.replace(beside, path)
