"""Readings and limits that the tests of the safety room share."""

from __future__ import annotations

from qeil_ros.platform.readings import Quality, Reading, unread
from qeil_ros.safety.limits import Limit
from qeil_ros.safety.permit import Caps

ZONE = Limit("temperature/*", 70.0, 80.0, 90.0, release=3.0)
CAPS = Caps(warning_rate_hz=10.0, throttle_rate_hz=2.0, degraded_feature_bits=4)


def temperature(value_c: float, now_s: float = 0.0, name: str = "temperature/cpu") -> Reading:
    return Reading(name, value_c, "C", "test", Quality.MEASURED, now_s)


def power(value_w: float, now_s: float = 0.0) -> Reading:
    return Reading("power/psys", value_w, "W", "test", Quality.MEASURED, now_s)


def busy(cores: float, now_s: float = 0.0) -> Reading:
    return Reading("cpu/busy_cores", cores, "", "test", Quality.MEASURED, now_s)


def charge(percent: float, now_s: float = 0.0) -> Reading:
    return Reading("battery/charge", percent, "%", "test", Quality.MEASURED, now_s)


def dead(now_s: float = 0.0, name: str = "temperature/cpu") -> Reading:
    return unread(name, "C", "test", now_s, "input/output error")
