"""A meter's differences are the joules of the work between; the best source is taken, and named."""

from __future__ import annotations

import math

import pytest

from qeil_ros.platform.energy import PowerMeter, ProcessorTimeMeter, energy_meter
from qeil_ros.platform.readings import Quality, Reading, unit_of, unread


class Sensors:
    """Readings set by hand."""

    def __init__(self, **values):
        self.values = {name.replace("__", "/").replace("_", "-"): value for name, value in values.items()}
        self.closed = False

    @property
    def names(self):
        return tuple(self.values)

    def read(self, now_s):
        return [
            unread(name, unit_of(name), "hand", now_s, "no")
            if math.isnan(value)
            else Reading(name, value, unit_of(name), "hand", Quality.MEASURED, now_s)
            for name, value in self.values.items()
        ]

    def close(self):
        self.closed = True


def test_counters_come_first_and_are_added():
    counters = Sensors(energy__package_0=5.0, energy__gpu0=7.0, energy__dram=1.0)
    power = Sensors(power__psys=100.0)
    meter = energy_meter(10.0, [counters, power])
    assert meter.quality == Quality.MEASURED and meter.source == "counters energy/gpu0 + energy/package-0"
    assert meter.read() == 12.0
    assert power.closed and not counters.closed
    counters.values["energy/package-0"] = math.nan
    assert math.isnan(meter.read())
    meter.close()
    assert counters.closed


def test_a_processor_that_cannot_be_read_is_not_left_out_of_a_sum():
    two = Sensors(energy__package_0=5.0, energy__package_1=math.nan)
    assert energy_meter(0.0, [two]) is None and two.closed
    modelled = energy_meter(10.0, [Sensors(energy__package_0=math.nan)])
    assert modelled.quality == Quality.MODELLED and modelled.source == "processor time x 10 W a core"


def test_a_graphics_processor_is_metered_where_the_processor_is_not():
    alone = energy_meter(0.0, [Sensors(energy__package_0=math.nan, energy__gpu0=7.0)])
    assert (alone.source, alone.quality, alone.read()) == ("counters energy/gpu0", Quality.MEASURED, 7.0)
    card = Sensors(energy__gpu0=7.0)
    both = energy_meter(10.0, [card])
    assert both.source == "counters energy/gpu0 + processor time x 10 W a core"
    assert both.quality == Quality.MODELLED, "the worse of the two"
    before_j = both.read()
    card.values["energy/gpu0"] = 9.0
    assert 2.0 <= both.read() - before_j < 4.0
    both.close()
    assert card.closed


def test_power_is_integrated_in_straight_lines():
    now = [0.0]
    sensors = Sensors(power__psys=10.0)
    meter = energy_meter(5.0, [sensors], clock=lambda: now[0])
    assert isinstance(meter, PowerMeter) and meter.quality == Quality.MEASURED
    first = meter.read()
    now[0], sensors.values["power/psys"] = 2.0, 20.0
    assert meter.read() - first == pytest.approx(30.0)
    now[0], sensors.values["power/psys"] = 3.0, math.nan
    assert math.isnan(meter.read())
    now[0], sensors.values["power/psys"] = 4.0, 20.0
    assert meter.read() - first == pytest.approx(70.0)


def test_processor_time_is_the_last_resort():
    spent = iter([1.0, 1.5])
    meter = ProcessorTimeMeter(8.0, lambda: next(spent))
    assert -meter.read() + meter.read() == pytest.approx(4.0)
    with pytest.raises(ValueError, match="core_w"):
        ProcessorTimeMeter(0.0)
    assert energy_meter(0.0, []) is None
