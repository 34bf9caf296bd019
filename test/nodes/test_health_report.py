from __future__ import annotations

import math

from safety_readings import ZONE, dead, temperature

from qeil_ros.nodes.diagnostics import Part
from qeil_ros.nodes.health_report import HealthReport
from qeil_ros.nodes.supervisor_status import View
from qeil_ros.safety.guard import Guard, GuardConfig
from qeil_ros.safety.link import Link
from qeil_ros.safety.permit import OperatingPoint


class Supervised:
    def __init__(self):
        self.guard, self.report = Guard(GuardConfig(limits=(ZONE,))), HealthReport()

    def tick(self, reading, now_s, link=Link.UP, stuck=()):
        verdict = self.guard.step(OperatingPoint(), [reading], link, "a reason", now_s)
        view = View(verdict, link, "a reason", None, None, "", None, math.nan, (), stuck)
        self.report.update(view, now_s)

    def events(self):
        return [(entry.subject, entry.event) for entry in self.report.log.entries]


def test_changes_are_written_down_and_nothing_else():
    robot = Supervised()
    for number in range(10):
        robot.tick(temperature(50.0 + number / 10), float(number))
    assert robot.events() == [("link", "up")]
    robot.tick(temperature(95.0), 10.0)
    robot.tick(temperature(96.0), 10.2)
    assert robot.events()[1:] == [("mode", "hold")]
    assert "over its critical limit" in robot.report.log.entries[-1].text
    robot.tick(temperature(95.0), 10.4, Link.DOWN)
    assert robot.events()[2:] == [("link", "down")]


def test_sensors_that_fail_and_come_back():
    robot = Supervised()
    robot.tick(temperature(50.0), 0.0)
    robot.tick(dead(0.2), 0.2)
    robot.tick(dead(0.4), 0.4, stuck=("temperature/cpu",))
    robot.tick(temperature(50.0), 0.6)
    assert robot.events()[1:] == [
        ("temperature/cpu", "unreadable"),
        ("temperature/cpu", "stuck"),
        ("temperature/cpu", "back"),
    ]


def test_what_the_encoders_screen_found():
    robot = Supervised()
    robot.report.hear_encoder({"images_frozen": "0", "images_blank": "nonsense"}, 0.0)
    robot.report.hear_encoder({"images_frozen": "7"}, 1.0)
    robot.report.hear_encoder({"images_frozen": "7"}, 2.0)
    robot.report.hear_encoder({"images_frozen": "9"}, 3.0)
    assert [(e.subject, e.event, e.count) for e in robot.report.log.entries] == [("camera", "frozen", 2)]
    robot.report.hear_encoder({"images_frozen": "1"}, 4.0)
    assert robot.report.log.count("frozen") == 3, "the encoder was started anew"


def test_the_newest_are_shown_first():
    robot, part = Supervised(), Part()
    robot.tick(temperature(50.0), 0.0)
    robot.tick(dead(0.5), 0.5)
    robot.report.show(part, 5.5)
    values = {entry.key: entry.value for entry in part.status("supervisor: health", "").values}
    assert values["event_1"] == "5 s ago: temperature/cpu: unreadable: input/output error"
    assert values["event_2"] == "6 s ago: link: up: a reason"
    assert values["unreadable_events"] == "1" and values["down_events"] == "0"
