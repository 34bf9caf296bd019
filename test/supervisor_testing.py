"""A supervisor through its topics, on a machine that is a folder: the fixture `world`."""

from __future__ import annotations

from node_testing import latest_status
from qeil_ros.msg import FallbackStatus, OperatingPoint, SupervisorStatus
from support import wait_until

from qeil_ros.nodes import qos
from qeil_ros.nodes.supervisor import SupervisorNode

ZONE = "temperature/cpu-thermal"


class World:
    def __init__(self, graph, machine):
        self.graph, self.machine = graph, machine
        self.points: list = []
        self.statuses: list = []

    def start(self, **parameters):
        roots = {
            "sysfs_root": str(self.machine.sys),
            "procfs_root": str(self.machine.proc),
            "sensor_sources": ["sysfs", "procfs"],
            "status_s": 0.05,
        }
        node = self.graph.start(SupervisorNode, **{**roots, **parameters})
        self.points = self.graph.listen(OperatingPoint, "operating_point", qos.LATEST)
        self.statuses = self.graph.listen(SupervisorStatus, "status", qos.LATEST)
        self.reports = self.graph.diagnostics()
        return node

    def fallback(self, link=SupervisorStatus.LINK_UP, **changes):
        """One word of the fallback that lasts for the whole test, given a `fallback_silence_s` of 30."""
        if not hasattr(self, "_fallback"):
            self._fallback = self.graph.publisher(FallbackStatus, "fallback/status", qos.LATEST)
        self._fallback.publish(FallbackStatus(link=link, **changes))

    def wait(self, condition, what):
        """The first status, from now on, that the condition holds for."""
        start = len(self.statuses)

        def found():
            return [status for status in self.statuses[start:] if condition(status)]

        wait_until(found, what=what)
        return found()[0]

    def wait_for_mode(self, mode):
        return self.wait(lambda status: status.mode == mode, f"mode {mode}")

    def report(self):
        return latest_status(self.reports, "supervisor")


def readings(status):
    return dict(zip(status.reading_names, status.reading_values, strict=True))
