from __future__ import annotations

import math

import pytest

from qeil_ros.platform import BatterySensor, Quality, total_power

NAN = math.nan


def test_battery_is_what_the_last_message_said():
    sensor = BatterySensor("topic /battery_state", stale_s=5.0)
    assert {reading.reason for reading in sensor.read(0.0)} == {"no message yet"}
    sensor.hear(0.5, 11.0, -1.0, 0.5)
    sensor.hear(0.42, 12.0, -2.5, 1.0)
    readings = sensor.read(3.0)
    assert tuple(reading.name for reading in readings) == sensor.names
    assert [(reading.value, reading.unit) for reading in readings] == [
        (42.0, "%"),
        (12.0, "V"),
        (-2.5, "A"),
        (30.0, "W"),
    ]
    assert {(r.quality, r.source, r.time_s) for r in readings} == {
        (Quality.MEASURED, "topic /battery_state", 3.0)
    }


def test_silence_is_not_taken_for_a_full_battery():
    sensor = BatterySensor(stale_s=5.0)
    sensor.hear(0.9, 12.0, -2.5, 1.0)
    assert all(reading.good for reading in sensor.read(6.0))
    assert {reading.reason for reading in sensor.read(9.0)} == {"no message for 8 s"}
    sensor.hear(0.1, 12.0, -2.5, 10.0)
    assert sensor.read(10.0)[0].value == 10.0


@pytest.mark.parametrize(
    ("fields", "good", "reason"),
    [
        ((NAN, 12.0, -1.0), "01 1 1", "does not measure"),
        ((0.5, NAN, -1.0), "1 0 1 0", "does not measure"),
        ((0.5, 12.0, NAN), "1 1 0 0", "does not measure"),
        ((57.0, 12.0, -1.0), "0 1 1 1", "percentage is 57; want 0 to 1"),
        ((-0.1, 12.0, -1.0), "0 1 1 1", "percentage is -0.1"),
        ((math.inf, 12.0, -1.0), "0 1 1 1", "percentage is inf"),
        ((0.5, -12.0, -1.0), "1 0 1 0", "voltage is -12"),
        ((0.5, 1e9, -1.0), "1 0 1 0", "voltage is 1e+09"),
        ((0.5, 12.0, -math.inf), "1 1 0 0", "current is -inf"),
    ],
)
def test_fields_that_are_missing_or_wrong_are_the_only_ones_left_out(fields, good, reason):
    sensor = BatterySensor()
    sensor.hear(*fields, 0.0)
    readings = sensor.read(0.0)
    assert [reading.good for reading in readings] == [digit == "1" for digit in good.replace(" ", "")]
    assert reason in next(reading.reason for reading in readings if not reading.good)


def test_battery_is_not_the_computers_power_unless_told():
    sensor = BatterySensor()
    sensor.hear(0.5, 12.0, -10.0, 0.0)
    assert not total_power(sensor.read(0.0)).good
    assert total_power(sensor.read(0.0), "power/battery").value == 120.0
