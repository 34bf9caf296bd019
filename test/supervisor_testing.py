"""A supervisor through its topics, on a machine that is a folder: the fixture `world`."""

from __future__ import annotations

import numpy as np
from node_testing import latest_status
from qeil_ros.msg import FallbackStatus, OperatingPoint, SupervisorStatus
from support import wait_until

from qeil_ros.nodes import qos
from qeil_ros.nodes.supervisor import SupervisorNode
from qeil_ros.planning.cost import Cut, Side, WidthCurve
from qeil_ros.planning.link import Link
from qeil_ros.planning.plan_file import Measure, PlanFile
from qeil_ros.planning.planner import Goals, Machines, Model, Planner, Readings

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


def sample_plan():
    """A plan with one cut, which can be answered offboard in 2, 4 or 8 bits, or locally."""
    bits = (2, 4, 8)
    error = np.add.outer(0.1 / np.array(bits), 0.2 / np.array(bits))
    model = Model(
        (
            Cut("early", 2e8, 9e9, (20e3, 40e3, 80e3), error / 3, loss=error),
            Cut("early/local", 3e9, 0.0, (0.0,) * 3, np.zeros((3, 3)), loss=np.full((3, 3), 0.5)),
        ),
        bits,
        bits,
        WidthCurve((4, 8), (0.7, 1.0)),
    )
    machines = Machines(
        ("low", "high"),
        Side((1 / 20e9, 1 / 60e9), (2.0, 15.0)),
        Side((1e-12,) * 2, (100.0,) * 2),
        clocks_hz=(6e8, 1.5e9),
    )
    goals, link = Goals(0.15, rates_hz=(5.0, 1.0)), Link(5e6, 0.005)
    point = Planner(model, machines, goals).plan(Readings(0.0, link)).point
    return PlanFile("a model", "0f" * 32, Measure("exact_match"), model, machines, goals, link, point)
